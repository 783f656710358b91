"""A page: one file that opens offline. Facts made printable, the template's environment, what its security policy allows."""

import base64
import hashlib
import re
from functools import partial
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from carto_audit.report.narrative import words
from carto_audit.runtime.resources import resource_folder
from carto_audit.text.numbers import number, percent, times, whole_percent
from carto_audit.text.untrusted import safe_inline

STRING_LIMIT = 400
"""Characters of one string on a page."""


def page_environment() -> Environment:
    """Jinja that escapes everything and knows no undefined value, with the filters that every page uses."""
    environment = Environment(
        loader=FileSystemLoader(resource_folder("templates")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(percent=percent, percent0=whole_percent, number=number, count=partial(number, digits=0))
    environment.filters.update(words=words, slug=_slug, short=safe_inline, sentence=sentence, times=times)
    return environment


def asset(name: str) -> Markup:
    """One of our own style sheets or scripts, as the page embeds it."""
    return Markup((resource_folder("templates") / name).read_text(encoding="utf-8"))


def csp_hash(content: str) -> str:
    """By which the page's security policy allows exactly this style or script."""
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()


def printable(value: Any) -> Any:
    """The facts with every string, keys included, made printable and of bounded length."""
    if isinstance(value, str):
        line = safe_inline(value, STRING_LIMIT)
        # The parts of an excerpt are read as one line, so a space at their edge stays.
        return " " * value[:1].isspace() + line + " " * value[-1:].isspace()
    if isinstance(value, dict):
        return {safe_inline(key, STRING_LIMIT): printable(item) for key, item in value.items()}
    return [printable(item) for item in value] if isinstance(value, list) else value


def sentence(text: str) -> str:
    """With a capital first letter; the rest stays."""
    return text[:1].upper() + text[1:]


def _slug(name: str | None) -> str:
    """Fit to be a CSS class."""
    return re.sub(r"[^a-z_]+", "-", (name or "none").lower())
