"""The pictures of the README, taken of a finished demo: `make pictures`. Needs Chromium and the dev extra.

python docs/pictures.py demo/vendor_batch-audit    # docs/images/*.png, and shown.json, by which a test tells stale ones
"""

import hashlib
import io
import json
import math
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright
from rich.console import Console

from carto_audit.artifacts.audit_folder import open_audit_folder
from carto_audit.report.formats.terminal import render_summary
from carto_audit.runtime.resources import resource_folder

IMAGES = Path(__file__).resolve().parent / "images"
CHROMIUM = "/usr/bin/chromium"
WIDE: Mapping[str, Any] = {"viewport": {"width": 1280, "height": 1010}, "device_scale_factor": 1.5}
PHONE: Mapping[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 2,
    "has_touch": True,
    "is_mobile": True,
}
PAPER: Mapping[str, Any] = {"viewport": {"width": 794, "height": 1123}, "device_scale_factor": 1.2, "bypass_csp": True}
TERMINAL_COLUMNS, COLOURS = 100, 192


def shown() -> dict[str, str]:
    """Digests of what decides how the report looks: its style, and every heading, label and line of its templates."""
    templates = resource_folder("templates")
    style = (templates / "report.css").read_bytes()
    pages = [templates / "report.html.j2", *sorted((templates / "report").glob("*.j2"))]
    words = [
        line
        for page in pages
        for line in re.findall(r"<(?:h[1-3]|th|dt|caption)\b.*", page.read_text(encoding="utf-8"))
    ]
    return {
        "style": hashlib.sha256(style).hexdigest(),
        "words": hashlib.sha256("\n".join(words).encode()).hexdigest(),
    }


def desktop(page: Page) -> None:
    """The first screen."""


def dark(page: Page) -> None:
    """The table of risky samples with its first row open."""
    page.locator("#detail-0").wait_for(state="visible")
    page.evaluate("document.querySelector('#riskiest').scrollIntoView({block: 'start'})")


def phone(page: Page) -> None:
    """A sample on the map, tapped."""
    page.evaluate("document.querySelector('#map').scrollIntoView({block: 'center'})")
    page.locator("[data-of=sample-0] .reach").tap(force=True)
    page.locator("#card").wait_for(state="visible")


def paper(page: Page) -> None:
    """The first page as it prints."""
    page.emulate_media(media="print")
    page.add_style_tag(content="body { margin: 3rem }")


PICTURES: Mapping[str, tuple[Mapping[str, Any], Callable[[Page], None]]] = {
    "report-desktop": (WIDE, desktop),
    "report-dark": ({**WIDE, "color_scheme": "dark"}, dark),
    "report-phone": (PHONE, phone),
    "report-print": (PAPER, paper),
}


def take(browser: Browser, url: str, name: str) -> None:
    """One picture of the page."""
    options, prepare = PICTURES[name]
    context = browser.new_context(offline=True, reduced_motion="reduce", **options)
    page = context.new_page()
    page.goto(url)
    prepare(page)
    page.wait_for_timeout(300)
    page.screenshot(path=IMAGES / f"{name}.png")
    context.close()


def take_terminal(browser: Browser, audit: Path, scratch: Path) -> None:
    """What `carto-audit ingest` says when the audit ends."""
    console = Console(
        record=True, width=TERMINAL_COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor"
    )
    render_summary(open_audit_folder(audit).report, audit, console)
    drawn = console.export_svg(title="carto-audit ingest vendor_batch.parquet --benchmark arithmetic_and_facts.jsonl")
    scratch.write_text(re.sub(r"@font-face \{.*?\}", "", drawn, flags=re.DOTALL), encoding="utf-8")
    width, height = (math.ceil(float(side)) for side in re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', drawn)[0])
    context = browser.new_context(offline=True, viewport={"width": width, "height": height})
    page = context.new_page()
    page.goto(scratch.resolve().as_uri())
    page.locator("svg").first.screenshot(path=IMAGES / "terminal.png")
    context.close()
    scratch.unlink()


def main() -> None:
    """Takes all of them."""
    audit = Path(sys.argv[1])
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for name in PICTURES:
            take(browser, (audit / "report.html").resolve().as_uri(), name)
        take_terminal(browser, audit, audit.with_name("terminal.svg"))
        browser.close()
    for name in (*PICTURES, "terminal"):
        path = IMAGES / f"{name}.png"
        Image.open(path).convert("RGB").quantize(COLOURS).save(path, optimize=True)
    (IMAGES / "shown.json").write_text(json.dumps(shown(), indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
