"""Text inside Markdown, for summaries and cards alike: nobody's text becomes a link, markup, a mention or a table."""

import re

from carto_audit.text.untrusted import safe_inline

_PLAIN = re.compile(r"[\w .,:;()%…–“”’×≤≥\"'\u00a0-]*")
_CALLS = re.compile(
    r":(?! )|www\.|__|%\w|\bGH-\d|\b[0-9a-f]{7,64}\b|^\d+[.)](?= |$)|^[^\w“\"'(]|_\b|\b_", re.IGNORECASE
)
"""Plain characters that some viewer yet makes something of: emoji, addresses, emphasis, milestones, issues, commits, lists."""


class Markdown(str):
    """Text that is Markdown already; all else is made inert on its way into a document."""

    __slots__ = ()


def inert(text: object, limit: int = 240) -> Markdown:
    """Text that Markdown shows as it is: plain words stand bare, anything else in a code span, where nothing is a link,
    a mention, an image or HTML. Fit for a table cell: a bar, which would end one even there, becomes ¦."""
    if isinstance(text, Markdown):
        return text
    line = safe_inline(str(text), limit)
    if _PLAIN.fullmatch(line) and not _CALLS.search(line):
        return Markdown(line)
    return code(line, limit)


def code(text: object, limit: int = 120) -> Markdown:
    """A name in a code span, which no viewer looks into; a dash where nothing of it can be printed."""
    line = safe_inline(str(text), limit).replace("|", "¦")
    if not line.strip():
        return Markdown("–")
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", line)), default=0))
    room = " " if line[0] == "`" or line[-1] == "`" else ""
    return Markdown(f"{fence}{room}{line}{room}{fence}")
