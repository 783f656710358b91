"""A real headless Chromium: pages are opened offline, and everything that goes wrong in them is told."""

from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

CHROMIUM = Path("/usr/bin/chromium")

IN_A_BROWSER = [
    pytest.mark.browser,
    pytest.mark.enable_socket,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no {CHROMIUM} on this machine"),
]


@contextmanager
def open_browser():
    """The browser, for as long as it is needed."""
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@contextmanager
def opener_of(browser, path, render, allowed=("file:",)):
    """A function that writes what `render` makes of facts to `path`, opens it, and returns the page with the list of everything
    that went wrong in it: messages, errors, dialogs, and requests other than the `allowed` ones."""
    contexts = []

    def open_page(facts, **options):
        context = browser.new_context(offline=True, **options)
        contexts.append(context)
        page, troubles = context.new_page(), []
        page.on("console", lambda message: troubles.append(message.text))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("dialog", lambda dialog: (troubles.append(f"dialog {dialog.message}"), dialog.dismiss()))
        page.on("request", lambda request: None if request.url[:5] in allowed else troubles.append(request.url))
        path.write_text(render(facts), encoding="utf-8")
        page.goto(path.as_uri())
        return page, troubles

    yield open_page
    for context in contexts:
        context.close()
