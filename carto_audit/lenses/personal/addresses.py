"""Postal addresses: a street with its number and a place or postcode, as written in the US, the UK, Germany and France."""

import re
from collections.abc import Iterator

Interval = tuple[int, int]

_NAME = r"[A-ZÀ-ÖØ-Þ][\w.'’-]{0,24}"
_BREAK = r"(?: ?, ?\n?|\s?\n| \| | / )"
"""Between the lines of an address."""
_UNIT = r"(?:(?i:flat|studio|apartment|apt|suite|ste|unit|room|floor|fl)\b\.? ?#?\w{1,6}|# ?\w{1,6})"
_NUMBER = r"\d{1,6}[A-Za-z]?(?:[-/]\d{1,4}[A-Za-z]?)?"
_STREET_EN = (
    r"(?:Street|St|Road|Rd|Avenue|Ave|Lane|Ln|Drive|Dr|Boulevard|Blvd|Court|Ct|Crescent|Close|Terrace|Square"
    r"|Place|Pl|Way|Parkway"
    r"|Gardens|Grove|Mews|Row)\b\.?"
)
_STATES = (
    "AL AK AZ AR CA CO CT DE FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NE NV NH NJ NM NY NC ND OH "
    "OK OR PA RI SC SD TN "
    "TX UT VT VA WA WV WI WY DC PR GU VI AS MP FM MH PW AA AE AP"
).replace(" ", "|")
_STATE_NAMES = (
    "Alabama|Alaska|Arizona|Arkansas|California|Colorado|Connecticut|Delaware|Florida|Georgia|Hawaii|Idaho|Illinois|Indiana|Iowa"
    "|Kansas|Kentucky|Louisiana|Maine|Maryland|Massachusetts|Michigan|Minnesota|Mississippi|Missouri|Montana|Nebraska|Nevada"
    "|New (?:Hampshire|Jersey|Mexico|York)|(?:North|South) (?:Carolina|Dakota)|Ohio|Oklahoma|Oregon|Pennsylvania|Rhode Island"
    "|Tennessee|Texas|Utah|Vermont|(?:West )?Virginia|Washington|Wisconsin|Wyoming"
)
_ZIP = rf"(?:{_STATES}|{_STATE_NAMES}),? \d{{5}}(?:-\d{{4}})?(?!\d)"
_US = re.compile(
    rf"(?<![\w.,/-])(?:{_NUMBER} {_NAME}(?: [A-Z0-9#][\w.'’-]{{0,24}}){{0,5}}|P\.? ?O\.? Box \d{{1,6}})"
    rf"(?:,? {_UNIT}|{_BREAK}{_UNIT})?{_BREAK}{_NAME}(?: {_NAME}){{0,3}} ?,? {_ZIP}"
    rf"|(?<!\w)(?:PSC|CMR|Unit|USNS|USCGC|USNV|USS) [\w ,]{{1,40}}{_BREAK}(?:APO|FPO|DPO),? A[AEP] \d{{5}}(?!\d)"
)

_POSTCODE = r"(?:GIR ?0AA|[A-Z]{1,2}\d[A-Z\d]? ?\d[ABD-HJLNP-UW-Z]{2})(?!\w)"
_CHUNK = r"[A-Z][\w.'’-]{0,24}(?: [\w.'’&-]{1,24}){0,3}"
_UK = re.compile(
    rf"(?<![\w.,/-])(?:{_UNIT}(?:{_BREAK}| ))?(?:{_NUMBER},? )?{_CHUNK}(?:{_BREAK}{_CHUNK}){{0,4}}(?:{_BREAK}| ){_POSTCODE}"
)
_UK_END = re.compile(_POSTCODE)
_UK_START = re.compile(rf"(?<![\w.,/-])(?:{_UNIT}|{_NUMBER},? [A-Z])")
_UK_REACH = 130
"""Characters before a postcode in which its address begins."""

_STREET_DE = r"(?:stra(?:ß|ss)e|str\.|weg|platz|gasse|allee|ring|ufer|damm|steig|chaussee|promenade|hof|stieg|wall)"
_SURE_DE = r"(?:stra(?:ß|ss)e|str\.|weg|platz|gasse|allee)"
"""Endings of streets that are told without a postcode: "During 1992" ends in another one."""
_WORD_DE = r"[A-ZÄÖÜ][\wäöüß.-]{1,40}"
_INNER_DE = (
    r"(?:[A-ZÄÖÜ\d][\wäöüß.-]{0,30}|am|an(?= de)|der|dem|den|des|im|auf|zum|zur|vo[nm]|van|unter|hinter|vor|de|la)"
)
_CITY_DE = (
    r"[A-ZÄÖÜ][\wäöüß-]{1,30}(?:/[A-ZÄÖÜ][\w.]{1,20})?"
    r"(?: (?:(?:am|an der|an|im|in|ob der|ob|bei|auf|vor|vorm|v\.|a\.|b\.|i\."
    r"|o\.) ?)?(?:d\.? ?)?[A-ZÄÖÜ(][\wäöüß)-]{0,30}){0,2}"
)
_HOUSE_DE = r"\d{1,4} ?[a-zA-Z]?(?: ?[-/] ?\d{1,4}[a-z]?)?(?!\w)"
_DE = re.compile(
    rf"(?<![\w.-])(?:{_WORD_DE}(?: {_INNER_DE}){{0,3}}|[A-Z]\d(?:, ?\d)?) {_HOUSE_DE}{_BREAK}(?:D-|DE-)?\d{{5}} {_CITY_DE}"
    rf"|(?<![\w.-])(?:{_WORD_DE} ){{0,2}}[\wäöüÄÖÜß.-]{{0,40}}(?i:{_STREET_DE}) {_HOUSE_DE}"
    rf"(?:{_BREAK}| )(?:(?:[ADF]|CH|DE|AT)-)?\d{{4,5}} {_CITY_DE}"
    rf"|(?<![\w.-])[\wäöüÄÖÜß.-]{{1,40}}(?i:{_SURE_DE}) (?!(?:1[5-9]|20)\d\d\b){_HOUSE_DE}(?: ?, ?| in ){_CITY_DE}"
)

_STREET_FR = (
    r"(?i:rue|avenue|av\.|boulevard|bd\.?|chemin|place|allée|allee|impasse|quai|route|cours|passage|square|voie"
    r"|sentier|ruelle"
    r"|faubourg|villa|résidence|hameau|montée)"
)
_HOUSE_FR = r"\d{1,4}(?: ?(?:bis|ter|quater|[A-D]))?(?!\w)"
_CITY_FR = r"[A-ZÀ-Þ][\wà-ÿ'’-]{1,40}(?: (?:(?:sur|en|les?|lès|la|de|des|du|sous|aux?) )?[A-ZÀ-Þ][\wà-ÿ'’-]{1,40}){0,2}"
_REST_FR = r"(?: [\wà-ÿÀ-Þ'’.-]{1,30}){1,6}?"
_FR = re.compile(
    rf"(?<![\w.,/-])(?:{_HOUSE_FR} ?,? ?)?\b{_STREET_FR}{_REST_FR}(?:{_BREAK}"
    rf"| )(?:F-)?\d{{5}} {_CITY_FR}(?: (?:CEDEX|Cedex)(?: \d\d?)?)?"
    rf"|(?<![\w.,/-]){_HOUSE_FR} ?,? ?{_STREET_FR}{_REST_FR}(?: ?, ?(?:à )?| à ){_CITY_FR}"
)
_PLACED = re.compile(
    rf"(?<![\w.,/-]){_NUMBER} (?:{_NAME} ){{1,3}}{_STREET_EN}(?: ?,? {_UNIT})?(?: ?, ?"
    rf"| in ){_NAME}(?: [A-Z][a-z'’-]{{1,24}}){{0,2}}"
)
"""A street of the English kind with a place and no postcode."""

_FIVE = re.compile(r"(?<!\d)\d{4,5} [A-ZÀ-Þ]")
_US_END = re.compile(rf"(?:{_STATES}|[a-z]),? \d{{5}}(?!\d)")
_STREET_WORD_EN = re.compile(rf" {_STREET_EN}")
_DE_WORD = re.compile(rf"(?i){_STREET_DE} \d")
_FR_WORD = re.compile(rf"\b{_STREET_FR} ")


def addresses(text: str) -> Iterator[Interval]:
    """Streets with their number and place or postcode. Each pattern runs only where its postcode or word for a street is."""
    for start, end in _found(text):
        yield start, start + len(text[start:end].rstrip(" \n.,;)-"))


def _found(text: str) -> Iterator[Interval]:
    if _US_END.search(text):
        yield from (found.span() for found in _US.finditer(text))
    yield from _british(text)
    german, french = _DE_WORD.search(text), _FR_WORD.search(text)
    if german or _FIVE.search(text):
        yield from (found.span() for found in _DE.finditer(text))
    if french:
        yield from (found.span() for found in _FR.finditer(text))
    if _STREET_WORD_EN.search(text):
        yield from (found.span() for found in _PLACED.finditer(text))


def _british(text: str) -> Iterator[Interval]:
    """From each postcode back to the first number or flat from which an address leads up to it."""
    at = 0
    for code in _UK_END.finditer(text):
        low = max(at, code.start() - _UK_REACH)
        for start in _UK_START.finditer(text, low, code.start()):
            whole = _UK.match(text, start.start(), code.end())
            if whole and whole.end() == code.end():
                yield whole.span()
                break
        at = code.end()
