"""Rendered text: markup, escapes and hyphenation undone, each of which has one right answer. Only where its signs are."""

import html
import re
import urllib.parse
from collections.abc import Iterator

from carto_audit.text.views.reading import Reading
from carto_audit.text.views.signs import BREAK, INNER, TAG, all_of, any_of
from carto_audit.text.views.steps import Step

_LEAST_ATTRIBUTES = 5
_LEAST_BARE = 5
_LEAST_WORDS = 5  # in the attribute of a tag
_MOST_HIDDEN = 50_000  # characters of one element
_ROUNDS = 3

_INLINE = (
    "a|abbr|acronym|b|bdi|bdo|big|cite|code|data|del|dfn|em|font|i|ins|kbd|label|mark|nobr|q|rb|ruby|s|samp|small|span|"
    "strike|strong|sub|sup|time|tt|u|var|wbr"
)
_TEXT_COMMANDS = (
    "text|textbf|textit|textrm|textsf|texttt|textsc|textsl|textup|textnormal|emph|mbox|hbox|fbox|underline|uline|mathrm|"
    "mathbf|mathit|mathsf|mathtt|mathnormal|operatorname|boldsymbol|bm|section|subsection|subsubsection|paragraph|chapter|"
    "title|caption|footnote|item|textcolor|centering|noindent|em|bf|it|rm|sf|tt|sl|sc|bfseries|itshape|rmfamily|sffamily|"
    "ttfamily|scshape|normalfont|small|large|Large|tiny|footnotesize|begin|end|label|left|right|b|i|ul|ulnone|plain|pard"
)
_LATEX_NAMES = (
    "n(?:u|e|eq|ot|otin|i|abla|atural|earrow|ewline|ewcommand|ewpage|oindent|onumber|ormalfont|ormalsize)|"
    "t(?:au|heta|imes|o|op|an|anh|ext\\w*|ilde|riangle\\w*|frac|binom|iny|itle|t|hickspace|hinspace|ag)|"
    "r(?:ho|ight\\w*|angle|m|ef|eal|ceil|floor|enewcommand|vert|Vert|mfamily)"
)

_ANSI = re.compile(r"\x1b\[[0-9;?]{0,32}[A-Za-z]")
_NUMBER_ESCAPE = re.compile(
    r"(?:\\u[0-9A-Fa-f]{4}|\\U[0-9A-Fa-f]{8}|\\u\{[0-9A-Fa-f]{1,6}\}|\\00[0-9A-Fa-f]{4}|\\x[0-9A-Fa-f]{2}|\\[0-3][0-7]{2})+"
)
_ONE_NUMBER = re.compile(r"\\(?:(?:[uUx]\{?|(?=00[0-9A-Fa-f]{4}))([0-9A-Fa-f]{2,8})\}?|([0-3][0-7]{2}))")
_SPACE_ESCAPE = re.compile(rf"\\(?!(?:{_LATEX_NAMES})(?![A-Za-z]))[nrt]")
_SIGN_ESCAPE = re.compile(r"\\([\"'/])")
_PERCENT = re.compile(r"%[0-9A-Fa-f]{2}(?:%[0-9A-Fa-f]{2})*")
_PERCENT_UNIT = re.compile(r"%u([0-9A-Fa-f]{4})")
_OVERSTRUCK = re.compile(r"(\S)\x08(?=\1)")  # how printers and manual pages write bold
_PRINTABLE = re.compile(r"=(?:\r?\n|(?<![\d)\s]=)[0-9A-F]{2})(?:=\r?\n|=[0-9A-F]{2})*")  # not "4*5=20"
_ENTITY = re.compile(r"&(?:#0{0,40}[0-9]{1,7}|#[xX]0{0,40}[0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});?")
_MAY_HIDE = re.compile(
    r"<(?:script|style|r[tp])\b|display\s*:|visibility\s*:|opacity\s*:|font-size\s*:|\bhidden\b", re.I
)
_HIDES = re.compile(
    r"<(?:(script|style|rt|rp)\b[^<>]{0,500}|([a-z][a-z0-9]{0,20})\s[^<>]{0,500}?(?:display\s*:\s*none|"
    r"visibility\s*:\s*hidden|opacity\s*:\s*0|font-size\s*:\s*0|\bhidden\b)[^<>]{0,500})>",
    re.IGNORECASE,
)
_LONG_TAG = re.compile(r"<[A-Za-z][^<>]{30,20000}>")
_VALUE = re.compile(r"=[ ]?(?:\"([^\"]{20,20000})\"|'([^']{20,20000})')")
_NOTE = re.compile(r"<sup\b[^>]{0,200}>\s*\[?[\d*†]{1,4}\]?\s*</sup>", re.IGNORECASE)
_BARE_TAG = re.compile(r"<[A-Za-z][\w-]{0,20}>")
_CUE = re.compile(r"<\d{1,2}:\d{2}(?::\d{2})?[.,]\d{1,3}>")
_INLINE_TAG = re.compile(rf"</?(?:{_INLINE})(?:\s[^<>]{{0,20000}})?/?>", re.IGNORECASE)
_TAG = re.compile(r"<!\[CDATA\[|\]\]>|</?[A-Za-z!?][^<>]{0,20000}>")
_WORD_ATTRIBUTE = re.compile(
    r'<[A-Za-z][\w:.-]{0,30}\s(?:[^<>]{0,500}\s)?(?:form|word|text|token|value|content|w)="([^"<>]{1,200})"[^<>]{0,500}/>'
)
_BLOCK_TAG = re.compile(
    r"<(?:br|hr|p|div|li|img|td|th|tr|h[1-6]|input|meta|link|!DOCTYPE)\b[^<>]{0,20000}>", re.IGNORECASE
)
_BBCODE = re.compile(
    r"\[/?(?:b|i|u|s|url|img|code|quote|color|size|font|center|list|spoiler)(?:=[^\]\n]{0,200})?\]", re.IGNORECASE
)
_LINK = re.compile(r"!?\[([^\[\]\n]{1,300})\]\([^()\n]{0,500}\)")
_ORG_LINK = re.compile(r"\[\[[^\[\]\n]{1,300}\]\[([^\[\]\n]{1,300})\]\]")
_REFERENCE_LINK = re.compile(r"\[([^\[\]\n]{1,300})\]\[[^\[\]\n]{0,100}\]")
_WIKI_LINK = re.compile(r"\[\[[^\[\]|\n]{1,300}\|([^\[\]\n]{1,300})\]\]")
_EMPHASIS = re.compile(r"[*~'`_](?<=[^\W\d_].)(?:(?<=\*)\*{0,2}|(?<=~)~|(?<=')'{1,4}|(?<=`)|(?<=_)_)(?=[^\W\d_])")
_LATEX_SPACE = re.compile(r"\\(?:quad|qquad|enspace|thinspace|newline|linebreak|par|[,;:! \\])(?![A-Za-z])")
_ROFF_FONT = re.compile(r"\\f(?:[BIRPS1-4]|\([A-Z]{2}|\[[A-Z]{0,3}\])")
_LATEX_HYPHEN = re.compile(r"\\-")
_LATEX_ACCENT = re.compile(r"\\(?:['\"`^~=.]|[uvHckrb](?=\{))\{?\\?([A-Za-z])\}?")
_LATEX_TEXT = re.compile(rf"\\(?:{_TEXT_COMMANDS})\*?(?![A-Za-z])")
_HYPHEN = re.compile("[-\u2010\u2011\u00ac](?<=\\w.)\\r?\\n[ \\t]{0,40}(?=\\w)")


def _escapes(reading: Reading) -> Reading:
    reading = reading.substituted("character escapes", _NUMBER_ESCAPE, _unescape)
    reading = reading.substituted("escapes", _SPACE_ESCAPE, " ")
    return reading.substituted("escapes", _SIGN_ESCAPE, lambda match: match[1])


def _unescape(match: re.Match[str]) -> str:
    units = [int(m[1], 16) if m[1] else int(m[2], 8) for m in _ONE_NUMBER.finditer(match[0])]
    if all(unit < 256 for unit in units) and match[0].startswith("\\x"):
        return bytes(units).decode("utf-8", "replace")
    text = "".join(chr(unit) if unit < 0x110000 else "\ufffd" for unit in units)
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _percent(reading: Reading) -> Reading:
    reading = reading.substituted("percent", _PERCENT_UNIT, lambda match: chr(int(match[1], 16)))
    for _ in range(_ROUNDS):
        reading = reading.substituted("percent", _PERCENT, lambda match: urllib.parse.unquote(match[0]))
    return reading


def _printable(reading: Reading) -> Reading:
    if len(_PRINTABLE.findall(reading.text)) < 2:
        return reading
    return reading.substituted("quoted-printable", _PRINTABLE, _from_printable)


def _from_printable(match: re.Match[str]) -> str:
    return bytes.fromhex(re.sub(r"=\r?\n|=", "", match[0])).decode("utf-8", "replace")


def _entities(reading: Reading) -> Reading:
    for _ in range(_ROUNDS):
        reading = reading.substituted("entities", _ENTITY, lambda match: html.unescape(match[0]))
    return reading


def _tags(reading: Reading) -> Reading:
    """What a page shows, and behind it what it does not: that may be an item, or what is to hide one."""
    if len(_WORD_ATTRIBUTE.findall(reading.text)) >= _LEAST_ATTRIBUTES:  # tags that hold nothing say it in an attribute
        reading = reading.substituted("attributes", _WORD_ATTRIBUTE, lambda match: f" {match[1]} ")
    for hidden in (_comments, _unshown, _values):
        reading = reading.moved_behind("tags", hidden(reading.text))
    for pattern in (_NOTE, _CUE, _INLINE_TAG):
        reading = reading.substituted("tags", pattern, "")
    # "<unk>" and "a<b" open what is never closed: only where some tag is closed are unknown names tags.
    other = _TAG if "</" in reading.text or "/>" in reading.text else _BLOCK_TAG
    return reading.substituted("tags", other, " ")


def _comments(text: str) -> Iterator[tuple[int, int, int, int]]:
    """The comments of a page; one that is never closed is none, and nor is any behind it."""
    begin = text.find("<!--")
    while begin >= 0 and (end := text.find("-->", begin + 4)) >= 0:
        yield begin, end + 3, begin + 4, end
        begin = text.find("<!--", end + 3)


def _unshown(text: str) -> Iterator[tuple[int, int, int, int]]:
    """Elements that a page does not show where they stand, up to the first end tag of their name."""
    place = 0
    lower = text.lower() if _MAY_HIDE.search(text) else ""
    for match in _HIDES.finditer(text) if len(lower) == len(text) else ():
        held = match.end()
        last = lower.find(f"</{(match[1] or match[2]).lower()}", held, held + _MOST_HIDDEN)
        end = text.find(">", last, last + _MOST_HIDDEN) + 1 if last >= 0 else 0
        if match.start() >= place and end:
            yield match.start(), end, held, last
            place = end


def _values(text: str) -> Iterator[tuple[int, int, int, int]]:
    """Attributes of tags that say something in words."""
    for tag in _LONG_TAG.finditer(text):
        if tag[0].count(" ") >= _LEAST_WORDS:
            for value in _VALUE.finditer(text, *tag.span()):
                begin, end = value.span(1) if value[1] else value.span(2)
                if text.count(" ", begin, end) >= _LEAST_WORDS - 1:
                    yield begin, end, begin, end


def _bare_tags(reading: Reading) -> Reading:
    """Tags of any name behind letters, where some stand inside words."""
    text = reading.text
    found = [m.span() for m in _BARE_TAG.finditer(text) if text[m.start() - 1 : m.start()].isalpha()]
    if sum(text[end : end + 1].isalpha() for _, end in found) < _LEAST_BARE:
        return reading
    return reading.replaced("tags", [(*span, "") for span in found])


def _markdown(reading: Reading) -> Reading:
    for pattern in (_WIKI_LINK, _ORG_LINK, _LINK, _REFERENCE_LINK):
        reading = reading.unwrapped("markdown", pattern)
    reading = reading.substituted("markdown", _BBCODE, "")
    return reading.substituted("markdown", _EMPHASIS, "")


def _latex(reading: Reading) -> Reading:
    reading = reading.substituted("roff", _ROFF_FONT, "")
    reading = reading.substituted("latex", _LATEX_HYPHEN, "")
    reading = reading.substituted("latex", _LATEX_SPACE, " ")
    reading = reading.unwrapped("latex", _LATEX_ACCENT)
    return reading.substituted("latex", _LATEX_TEXT, "")


def _hyphens(reading: Reading) -> Reading:
    return reading.substituted("hyphens", _HYPHEN, "")


RENDERED = (
    Step(shows=any_of("\x1b"), apply=lambda reading: reading.substituted("terminal", _ANSI, "")),
    Step(shows=any_of("\b"), apply=lambda reading: reading.substituted("terminal", _OVERSTRUCK, "")),
    Step(shows=any_of("=", least=2), apply=_printable),
    Step(shows=any_of("%", least=2), apply=_percent),
    Step(shows=any_of("\\"), apply=_latex),
    Step(shows=any_of("\\"), apply=_escapes),
    Step(shows=any_of("&"), apply=_entities),
    Step(shows=any_of(TAG), apply=_tags),
    Step(shows=any_of(INNER, least=_LEAST_BARE), apply=_bare_tags),
    Step(shows=any_of("[", "*", "~", "`", least=2), apply=_markdown),
    Step(shows=any_of("'", least=8), apply=_markdown),
    Step(shows=all_of(any_of(BREAK), any_of("\n")), apply=_hyphens),
)
"""Markup and escapes, in the order in which a page that holds all of them would undo them."""
