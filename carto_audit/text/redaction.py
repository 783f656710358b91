"""Redaction: excerpts that may be published. Linear-time detectors over a bounded window, which rather mask too much."""

import ipaddress
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from operator import itemgetter
from typing import Literal, get_args

from carto_audit.text.identifiers import identifiers, phones, public_numbers
from carto_audit.text.untrusted import INVISIBLE, safe_inline

# How far beyond an excerpt the detectors look, so that a secret cut by its border is seen whole (a PEM key: 3,300).
_MARGIN = 4096
# A longer span is shown by its beginning; both ends of it still decide what is masked around them.
_SPAN_LIMIT = 400

Interval = tuple[int, int]
Excerpts = Literal["none", "redacted", "full"]
"""How much of the samples a report quotes: nothing, without secrets and personal data, or as it is."""

EXCERPTS: tuple[Excerpts, ...] = get_args(Excerpts)
MASKED = (
    "Masked by form and check digit: e-mail and IP addresses, telephone, card, bank and national numbers, keys, tokens and "
    "passwords; names of persons are not masked."
)
"""What a reader of masked text is told beside it: the classes, and what stays readable."""

Finder = Callable[[str], Iterator[Interval]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Excerpt:
    """One printable line of a text in three parts: what stands before the span, the span, what follows."""

    before: str
    span: str
    after: str


def _matches(pattern: str, check: Callable[[str], bool] = lambda _: True, group: int = 0) -> Finder:
    """A detector from a regex; `check` refuses look-alikes, `group` is the part to mask.

    Every pattern is linear: open-ended runs start behind a lookbehind of their own class, everything else is bounded.
    """
    compiled = re.compile(pattern)
    return lambda text: (m.span(group) for m in compiled.finditer(text) if check(m.group(group)))


def _is_ipv4(text: str) -> bool:
    return all(int(part) <= 255 and part == str(int(part)) for part in text.split("."))


def _is_ipv6(text: str) -> bool:
    if text.count(":") < 2 or len(text) < 5:
        return False
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def _is_key_material(text: str) -> bool:
    if re.fullmatch(r"[0-9a-fA-F]+", text):
        return True
    kinds = sum(any(check(c) for c in text) for check in (str.isdigit, str.islower, str.isupper))
    return kinds == 3 and len(set(text)) >= 14


_CARD_RUN = re.compile(r"(?<!\d)\d(?:[ -]?\d){12,}")
_CARD_GROUP = re.compile(r"\d+")
_ISSUED = re.compile(
    r"4\d{12}(?:\d{3}){0,2}|[56]\d{12,18}|3[47]\d{13}|3(?:0[0-5]|[689]\d)\d{11,16}|35\d{14,17}"
    r"|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}|(?:8[12]\d\d|9792)\d{12}"
)
"""How numbers of cards begin, and how long they are then."""
_CARD_SIZES = re.compile(r"[0-9]+|(?:4,){3}4|(?:4,){3,4}[1-3]|4,6,[45]|8,8|6,13")
"""How many digits stand in each group: other rows of numbers are a table."""


def _cards(text: str) -> Iterator[Interval]:
    """Runs of 13 to 19 digits that pass Luhn, begin as an issuer's numbers do, are grouped as on a card and masked by whole
    groups."""
    from stdnum import luhn

    for run in _CARD_RUN.finditer(text):
        groups = [(m.start() + run.start(), m.group()) for m in _CARD_GROUP.finditer(run.group())]
        for first in range(len(groups)):
            digits, sizes = "", list[str]()
            for start, group in groups[first : first + 5]:
                digits, sizes = digits + group, [*sizes, str(len(group))]
                if len(digits) > 19:
                    break
                if _ISSUED.fullmatch(digits) and _CARD_SIZES.fullmatch(",".join(sizes)) and luhn.is_valid(digits):
                    yield groups[first][0], start + len(group)


_IBAN_RUN = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}", re.ASCII)


def _ibans(text: str) -> Iterator[Interval]:
    """The longest prefix of each candidate that passes mod 97: upper-case words may follow the number."""
    from stdnum.iso7064 import mod_97_10

    for run in _IBAN_RUN.finditer(text):
        for end in range(len(run.group()), 14, -1):
            compact = run.group()[:end].replace(" ", "")
            if len(compact) >= 15 and run.group()[end - 1] != " " and mod_97_10.is_valid(compact[4:] + compact[:4]):
                yield run.start(), run.start() + end
                break


# Most telling first: where detectors overlap, the first one's label is shown.
_DETECTORS: tuple[tuple[str, Finder], ...] = (
    ("[private key]", _matches(r"-----BEGIN [A-Z0-9 ]{1,40}-----[\s\S]*?(?:-----END [A-Z0-9 ]{1,40}-----|\Z)")),
    ("[token]", _matches(r"(?<![\w-])eyJ[\w-]{5,}\.[\w-]{5,}(?:\.[\w-]*)?")),
    (
        "[key]",
        _matches(
            r"(?<![A-Za-z0-9])(?:(?:AKIA|ASIA|AIDA|AROA)[A-Z0-9]{16}|gh[pousr]_\w{20,255}|github_pat_\w{20,255}|glpat-[\w-]{16,255}"
            r"|xox[a-z]-[\w-]{10,255}|xapp-[\w-]{10,255}|hf_[A-Za-z0-9]{16,255}|sk-[\w-]{16,255}|[rs]k_(?:live|test)_\w{10,255}"
            r"|AIza[\w-]{30,255}|npm_\w{30,255}|pypi-[\w-]{30,255}|do[opr]_v1_[0-9a-f]{40,255}|dapi[0-9a-f]{32}|shp[a-z]{2}_\w{20,255}"
            r"|GOCSPX-[\w-]{20,255}|ya29\.[\w-]{20,2048}|SG\.[\w-]{16,64}\.[\w-]{16,255}|whsec_[\w+/=]{20,255}|(?:SK|AC)[0-9a-f]{32}"
            r"|lin_api_\w{20,255}|ATATT3[\w=-]{30,255}|AGE-SECRET-KEY-1[A-Z0-9]{50,64}|T[A-Z0-9]{8,12}/B[A-Z0-9]{8,12}/\w{20,40}"
            r"|\d{8,10}:AA[\w-]{32,34})"
        ),
    ),
    ("[secret]", _matches(r"://([^\s/:@]{1,120}:[^\s/@]{1,120})@", group=1)),
    (
        "[secret]",
        _matches(
            r"(?i)(?:password|passwd|passphrase|pwd|secret|api[_ -]?key|access[_ -]?key|auth[_ -]?token)[\"']?"
            r"(?: {0,3}[:=]{1,2} {0,3}| is )[\"']?([^\s\"',;]{4,200})",
            group=1,
        ),
    ),
    ("[email]", _matches(r"(?<![\w.%+'-])[\w.%+'-]+@[\w-]+(?:\.[\w-]+)+")),
    ("[iban]", _ibans),
    ("[card]", _cards),
    ("[ssn]", _matches(r"(?<![\d-])(?!000|666|9)\d{3}([ -])(?!00)\d{2}\1(?!0000)\d{4}(?![\d-])")),
    (
        "[ip]",
        _matches(
            r"(?<![\d.vV])(?<!(?i:version) )(?<!(?i:version): )(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?!\d|\.\d)", _is_ipv4
        ),
    ),
    ("[ip]", _matches(r"(?<![\w:.])[0-9A-Fa-f:]{4,39}(?:\.[0-9]{1,3}){0,3}(?![\w:])", _is_ipv6)),
    ("[phone]", phones),
    ("[id]", identifiers),
    ("[secret]", _matches(r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{32,}={0,2}", _is_key_material)),
    ("[number]", _matches(r"\d{9,}")),
)
# What these find within a public number is none of a person's.
_NUMBER_LABELS = {"[card]", "[ssn]", "[ip]", "[phone]", "[id]", "[number]"}

# Inside a memorized span the text is likely the secret itself: short numbers and codes go too.
_SPAN_DETECTORS: tuple[tuple[str, Finder], ...] = (
    ("[number]", _matches(r"\d(?:[ .,:/-]?\d){2,}")),
    (
        "[code]",
        _matches(r"(?<![\w-])[\w-]{2,}", lambda token: any(map(str.isdigit, token)) and any(map(str.isalpha, token))),
    ),
)


def redact(text: str, span: Interval | None = None) -> str:
    """`text` with personal data and secrets replaced by labels such as `[email]`.

    `span` gives character offsets of a memorized passage: every number of three digits or more and every token of
    letters and digits that touches it is masked as well. Linear in the length of `text`.
    """
    return _masked(text, _found(text, span), 0, len(text))


def excerpt(
    text: str, start: int, end: int, context: int = 120, *, memorized: bool = True, excerpts: Excerpts = "redacted"
) -> Excerpt:
    """The passage `text[start:end]` with up to `context` characters on each side, redacted (unless `excerpts` says
    otherwise) and printable.

    Offsets beyond the text are clamped. Numbers and codes are masked in the whole excerpt, since the span that scored
    highest may end just before the secret; `memorized=False` leaves them readable, as a benchmark item needs. Looks at
    a bounded window, so its cost does not grow with the text.
    """
    if excerpts == "none":
        return Excerpt(before="", span="", after="")
    start = min(max(start, 0), len(text))
    end = min(max(end, start), len(text))
    left, right = max(start - context, 0), min(end + context, len(text))
    shown = min(end, start + _SPAN_LIMIT)
    codes = (left, right) if memorized else None
    before, span = _pieces(text, (left, start, shown), codes, excerpts)
    (after,) = _pieces(text, (end, right), codes, excerpts)
    return Excerpt(
        before=("…" if left else "") + _line(before),
        span=_line(span) + ("…" if shown < end else ""),
        after=_line(after) + ("…" if right < len(text) else ""),
    )


def heat_strip(
    text: str, cuts: list[int], levels: list[int], *, excerpts: Excerpts = "redacted"
) -> list[tuple[str, int]]:
    """The passage `text[cuts[0]:cuts[-1]]` in pieces of one level each, redacted and printable as a memorized passage is.

    `cuts` ascend, and `levels` has one level for each pair of neighbours. A masked secret is one label, at the level of the
    piece in which it begins.
    """
    if excerpts == "none":
        return []
    clean, found, places = _cleaned(text, tuple(cuts), (cuts[0], cuts[-1]), excerpts)
    ends = [next((end for start, end, _ in found if start < place < end), place) for place in places]
    strip: list[tuple[str, int]] = []
    for (low, high), level in zip(pairwise(ends), levels, strict=True):
        piece = _line(_masked(clean, found, low, high)) if low < high else ""
        if piece and strip and strip[-1][1] == level:
            strip[-1] = (strip[-1][0] + piece, level)
        elif piece:
            strip.append((piece, level))
    return strip


def labelled_spans(text: str) -> list[tuple[int, int, str]]:
    """Personal data and secrets in a text: start and end as characters and the label, disjoint and in order."""
    return _found(text, None)


def _pieces(text: str, cuts: tuple[int, ...], span: Interval | None, excerpts: Excerpts) -> list[str]:
    """The parts of `text` between consecutive `cuts`."""
    clean, found, places = _cleaned(text, cuts, span, excerpts)
    return [_masked(clean, found, a, b) for a, b in pairwise(places)]


def _cleaned(
    text: str, cuts: tuple[int, ...], span: Interval | None, excerpts: Excerpts
) -> tuple[str, list[tuple[int, int, str]], list[int]]:
    """The window around the `cuts` without what is invisible, which is dropped before the detectors look; what to mask in
    it; and where the cuts lie in it."""
    window = (max(cuts[0] - _MARGIN, 0), min(cuts[-1] + _MARGIN, len(text)))
    edges = sorted({*window, *cuts, *(min(max(edge, window[0]), window[1]) for edge in span or ())})
    position, length, parts = {edges[0]: 0}, 0, []
    for low, high in pairwise(edges):
        parts.append(_visible(text[low:high]))
        length += len(parts[-1])
        position[high] = length
    clean = "".join(parts)
    inside = None if span is None else _clamped(span, window, position)
    return clean, [] if excerpts == "full" else _found(clean, inside), [position[cut] for cut in cuts]


def _clamped(span: Interval, window: Interval, position: dict[int, int]) -> Interval:
    low, high = (position[min(max(edge, window[0]), window[1])] for edge in span)
    return low, high


def _visible(text: str) -> str:
    """Without control, bidi, zero-width and surrogate characters: they hide secrets from detectors, not readers."""
    shown = INVISIBLE.sub("", text)
    return "".join(c if c.isprintable() else " " if c.isspace() else "" for c in shown)


def _line(text: str) -> str:
    """`safe_inline` that keeps one space at the edges: the three parts are read as one line."""
    line = safe_inline(text, len(text) + 1)
    return (" " * text[:1].isspace() + line + " " * text[-1:].isspace()) if line else " " * bool(text)


def _found(text: str, span: Interval | None) -> list[tuple[int, int, str]]:
    """Disjoint intervals to mask, in order, each with its label."""
    public = _united((start, end, 0) for start, end in sorted(public_numbers(text)))
    found = [
        (start, end, rank)
        for rank, (label, finder) in enumerate(_DETECTORS)
        for start, end in finder(text)
        if not (label in _NUMBER_LABELS and _within(start, end, public))
    ]
    if span is not None:
        # Codes may be cut by the span's border, anywhere up to the window's: look wide, keep what touches the span.
        for rank, (_, finder) in enumerate(_SPAN_DETECTORS, start=len(_DETECTORS)):
            found += [(start, end, rank) for start, end in finder(text) if start < span[1] and end > span[0]]
    labels = [label for label, _ in (*_DETECTORS, *_SPAN_DETECTORS)]
    return [(start, end, labels[rank]) for start, end, rank in _united(sorted(found))]


def _within(start: int, end: int, disjoint: list[tuple[int, int, int]]) -> bool:
    place = bisect_right(disjoint, start, key=itemgetter(0)) - 1
    return place >= 0 and end <= disjoint[place][1]


def _united(intervals: Iterable[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    united: list[tuple[int, int, int]] = []
    for start, end, rank in intervals:
        if united and start < united[-1][1]:
            last = united.pop()
            start, end, rank = last[0], max(last[1], end), min(last[2], rank)
        united.append((start, end, rank))
    return united


def _masked(text: str, found: list[tuple[int, int, str]], low: int, high: int) -> str:
    """`text[low:high]` with every interval that touches it replaced by its label."""
    parts, at = [], low
    for start, end, label in found:
        if end > low and start < high:
            parts += [text[at : max(start, at)], label]
            at = min(end, high)
    return "".join([*parts, text[at:high]])
