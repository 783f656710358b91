"""Values that only a word beside them tells: numbers of passports, licences and patients, pay, and names of accounts."""

import re
from collections.abc import Iterator

Interval = tuple[int, int]

_LINK = (
    r"(?:[\s\"'“„:=|>,(\[*_#\\.–-]|</?\w{1,8}>|\([^()\n]{1,30}\)"
    r"|(?i:numbers?|nummer|numéro|nr|no|num|n°|n º|nº|id|card|is|was|has|with|the|my|her|his|it|reads|ist|hat"
    r"|die|der|lautet|mein"
    r"|est|porte|le|la|de|et|du)(?![a-zà-ÿ])){0,14}"
)
"""What may stand between the word and the number: signs, marks of HTML and a few small words."""

_CODE = r"(?<![A-Za-z0-9])(?P<value>[A-Z0-9](?:[ ./-]?[A-Z0-9]){3,21})(?![A-Za-z0-9]|-\d)"
"""Capitals and digits, in groups or not."""

_PASSPORT = re.compile(rf"(?i:passport|reisepass|passnummer|(?<!\w)pass[ -]?nr|passeport){_LINK}{_CODE}")
_LICENCE = re.compile(
    r"(?:(?i:driv(?:er|ing)[’']?s?[’']?[ _-]?licen[cs]e|licen[cs]e \(driving\)|führerschein|fuehrerschein|fahrerlaubnis"
    rf"|permis de conduire)|(?<!\w)DL(?:N|#| ?[Nn]o)){_LINK}{_CODE}"
)
_NUMBER_WORD = r"[ _.-]{0,2}(?:numbers?|nummer|no\b|nr\b|id\b|#|n°|nº)"
_HEALTH = re.compile(
    rf"(?i:(?<![a-z])mrn|med(?:ical|\.)?[ _-]?rec(?:ord|\.)|(?:patient|hospital|chart|health (?:insurance|card"
    rf"|plan))s?{_NUMBER_WORD}"
    rf"|(?:patienten|versicherten?|krankenversicherungs|fall|krankenakten?)-?{_NUMBER_WORD}|krankenakte|patientenakte"
    rf"|numéro de patient|dossier (?:médical|(?:de |du )?patient)){_LINK}{_CODE}"
)

_DIGITS = r"\d{1,3}(?:[,.'’ \u00a0\u202f]\d{3}){1,3}(?:[.,]\d\d)?|\d{1,7}(?:[.,]\d{1,2})?"
_BEFORE_SUM, _AFTER_SUM = (
    r"(?:[$€£¥]|USD|EUR|GBP|CHF)",
    r"(?:[$€£]|(?:USD|EUR|GBP|CHF|euros?|Euros?|dollars|pounds|Franken)\b)",
)
_SUM = (
    rf"(?P<value>{_BEFORE_SUM} ?(?:{_DIGITS})(?: ?[kK]\b|,-)?|(?<![\w.,$€£])(?:{_DIGITS})(?: ?[kK])? ?{_AFTER_SUM}"
    r"|(?<![\w.,$€£])\d{2,3} ?[kK]\b)(?!\w)"
)
_PAY_NOUN = (
    r"(?<![^\W_])(?:(?:annual|yearly|monthly|gross|net|base|starting|current)[ _])?(?:salary|wages?|compensation|remuneration)"
    r"|(?<![^\W_])(?:annual|yearly|monthly|hourly|gross|net|base|take-home)[ _](?:pay|income|earnings)"
    r"|(?<![^\W_])(?:my|his|her|their) (?:income|pay)(?= (?:is|was) )|(?<![^\W_])(?:pay|income|earnings)(?=[\"']? ?[:=])"
    r"|(?:brutto|netto|jahres|monats|grund)?(?:gehalt|lohn|einkommen|verdienst)"
    r"|salaire|rémunération|traitement mensuel|paie\b"
)
_PAY_LINK = (
    r"(?:[\s\"'“„:=|>,(\[*_–-]|</?\w{1,8}>|(?i:is|was|of|at|about|around|currently|now|on|a|the|per|year|annum"
    r"|gross|net|base|before"
    r"|tax|annual|ist|liegt|bei|beträgt|von|rund|etwa|brutto|netto|est|de|brut|net|annuel|annuelle|mensuel"
    r"|mensuelle|s'élève|à"
    r")(?=[\s:])){0,10}"
)
_PAY = (
    re.compile(rf"(?i:{_PAY_NOUN}){_PAY_LINK}{_SUM}"),
    re.compile(
        r"(?<!\w)(?i:I(?:['’]m| am)? (?:currently |now )?(?:earn(?:ing)?|make|making|get(?:ting)?(?: paid)?|am paid|on)"
        r"|(?:they|we|you) pay (?:me|him|her|them)|ich (?:verdiene|bekomme|kriege)|je (?:gagne|touche))"
        rf"(?: (?i:about|around|roughly|just|only|over|rund|etwa|ca\.|netto|brutto|environ)){{0,2}} {_SUM}"
    ),
)
_PAY_FIELD = re.compile(rf"(?i:{_PAY_NOUN})[\"'] ?: ?[\"']?(?P<value>\d{{4,7}}(?:\.\d\d?)?)(?![\w.])")

_SERVICE = (
    r"twitter|instagram|insta|snapchat|discord|reddit|telegram|tiktok|skype|steam|xbox|psn|twitch|youtube"
    r"|github|facebook|mastodon"
    r"|threads|bluesky|gamertag"
)
_HANDLE = r"(?<![\w@])@?(?P<value>[A-Za-z0-9](?:[\w.-]{1,30}[\w])(?:#\d{4})?)(?![\w@]|\.\w)"
_ACCOUNT_LINK = r"(?:[\s\"'“„:=|>*_–-]|</?\w{1,8}>|(?i:is|was|name|handle|as|ist|lautet|est)(?=[\s:])){1,8}"
_ACCOUNT = (
    re.compile(
        r"(?<![^\W_])(?i:user[ _-]?(?:name|id)?|screen[ _-]?name|account[ _-]?name|(?:my|his|her|your|their) handle"
        r"|handle(?=:| @| is )"
        r"|login(?: name)?|logged in as"
        r"|benutzer(?:name|kennung)|nutzer(?:name|kennung)|identifiant|nom d['’]utilisateur|pseudo)"
        rf"{_ACCOUNT_LINK}{_HANDLE}"
    ),
    re.compile(
        rf"(?<!\w)(?i:{_SERVICE})(?: (?i:handle|name|id|user|account)(?: is)?)?[\"']?(?: ?[:=] ?| (?=@)"
        rf"|, ?(?=@))[\"']?{_HANDLE}"
    ),
    re.compile(
        rf"(?i:(?<!\w)(?:I am|I['’]m|find me|add me|as"
        rf"|me:)) @?(?P<value>[A-Za-z0-9][\w.#-]{{2,30}}\w) (?i:on (?:{_SERVICE}))\b"
    ),
    re.compile(r"(?<![\w/])/?u/(?P<value>[A-Za-z0-9_][A-Za-z0-9_-]{2,19})(?![\w/-])"),
)
_NO_HANDLE = set(
    "the a an and or of to for in on is are was were not none null true false str string int integer bool name "
    "names user users "
    "username id ids password passwd you your his her their my this that which who whose must may can will "
    "with from by if as "
    "optional required default unknown invalid empty field value object list dict type text email mail here there first last "
    "full local remote current given same new old root admin login account accounts error prompt page form screen shell "
    "interface data input manual agent guide group groups space mode directory home base bytes argument "
    "function method set unset userid domain perhaps suitable".split()
)
"""What stands behind such words in prose and documentation, and is nobody's name."""

_ENDS_A_FIELD = re.compile(r"\s*(?:$|[\n\"',;.!?)<|}\]&]|(?:and|on|in|with|since|for)\b)")


def passports(text: str) -> Iterator[Interval]:
    """Six to ten capitals and digits behind a word for a passport."""
    yield from _codes(_PASSPORT, text, ("pass",), 6, 10)


def licences(text: str) -> Iterator[Interval]:
    """Five to twenty capitals and digits behind a word for a licence to drive."""
    hints = ("licen", "führerschein", "fuehrerschein", "fahrerlaubnis", "permis", "dl")
    yield from _codes(_LICENCE, text, hints, 5, 20)


def health_records(text: str) -> Iterator[Interval]:
    """Five to fourteen capitals and digits behind a word for a patient's number."""
    yield from _codes(
        _HEALTH,
        text,
        ("mrn", "med", "patient", "hospital", "chart", "health", "versich", "fall", "krank", "dossier"),
        5,
        14,
    )


def pay(text: str) -> Iterator[Interval]:
    """Sums behind a word for pay, or what somebody says to earn. Others' earnings in the third person are not told."""
    lowered = text.lower()
    if any(hint in lowered for hint in _PAY_HINTS):
        for pattern in (*_PAY, _PAY_FIELD):
            for found in pattern.finditer(text):
                if not (
                    _OF_MANY.search(text, max(found.start() - 30, 0), found.start())
                    or _COUNTED.match(text, found.end("value"))
                ):
                    yield found.span("value")


_OF_MANY = re.compile(
    r"(?i)(?:median|average|mean|household|family|per capita|total|national|minimum|durchschnitts?|médian"
    r"|(?:difference|increase|decrease) in(?: \w{1,10})?)[ -]?$"
)
"""Pay of nobody in particular."""
_COUNTED = re.compile(r"(?: ?,-)? ?[-+*/÷×–=x] ?[$€£]?\.?\d")
"""A sum within a calculation."""
_PAY_HINTS = (
    "salar", "wage", "pay", "paid", "compens", "remuner", "rémun", "incom", "earn", "gehalt", "lohn", "einkommen", "verdien",
    "salaire", "trait", "i make", "making", "i get", "i'm", "i’m", "bekomm", "krieg", "gagne", "touche", "paie",
)  # fmt: skip


def accounts(text: str) -> Iterator[Interval]:
    """Names of accounts behind a word for one, and handles beside the name of a service."""
    for number, pattern in enumerate(_ACCOUNT):
        for found in pattern.finditer(text):
            if any(map(str.isalpha, found.group("value"))) and (number or _is_handle(found, text)):
                yield found.span("value")


def _is_handle(found: re.Match[str], text: str) -> bool:
    name = found.group("value")
    if name.lower() in _NO_HANDLE or "@" in text[found.start() : found.start("value") - 1]:
        return False
    marked = text[found.start("value") - 1] == "@"
    telling = marked or any(c.isdigit() or c in "_." for c in name)
    field = re.search(r"[:=]", text[found.start() : found.start("value")]) is not None
    named = re.search(r"(?i)name|kennung|handle|identifiant|pseudo|logged", found.group()) is not None
    ends = _ENDS_A_FIELD.match(text, found.end("value")) is not None
    return ends and (telling or field or named)


def _codes(pattern: re.Pattern[str], text: str, hints: tuple[str, ...], fewest: int, most: int) -> Iterator[Interval]:
    lowered = text.lower()
    if any(hint in lowered for hint in hints):
        for found in pattern.finditer(text):
            start, end = found.span("value")
            end = start + len(_numbered(found.group("value")))
            letters = [c for c in text[start:end] if c.isalnum()]
            if fewest <= len(letters) <= most and sum(map(str.isdigit, letters)) >= 3:
                yield start, end


def _numbered(written: str) -> str:
    """Without trailing groups that hold no digit: words in capitals may follow a number."""
    groups = written.split(" ")
    while len(groups) > 1 and not any(map(str.isdigit, groups[-1])):
        groups.pop()
    return " ".join(groups)
