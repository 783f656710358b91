"""Cues to who the author is: what he says of himself in the first person, by class of attribute, as in arXiv 2310.07298."""

import re

_I_AM = (
    r"(?:(?<!\w)(?:I am|I['’]m|I was|ich bin|je suis)"
    r"(?: (?:still|now|also|just|currently|already|actually|only|noch|encore))?)"
)
_JOB = (
    r"(?:nurse|teacher|engineer|doctor|lawyer|developer|programmer|accountant|electrician|plumber|carpenter"
    r"|farmer|chef|cook|driver"
    r"|waiter|waitress|barista|cashier|manager|student|professor|scientist|researcher|librarian|mechanic"
    r"|nursery teacher|paramedic"
    r"|firefighter|police officer|cop|soldier|veteran|pharmacist|dentist|vet|architect|designer|writer"
    r"|journalist|editor|translator"
    r"|musician|painter|photographer|salesman|realtor|consultant|analyst|technician|welder|baker|butcher|tailor|hairdresser"
    r"|secretary|receptionist|social worker|therapist|psychologist|midwife|pilot|sailor|fisherman|bus driver|truck driver"
    r"|krankenschwester|lehrer(?:in)?|ingenieur(?:in)?|arzt|ärztin|infirmi(?:er|ère)|professeur|médecin|avocate?)"
)
_PLACE = r"[A-Z][\w'’-]{2,20}(?: [A-Z][\w'’-]{1,20})?"
_RELATIVE = (
    r"(?:wife|husband|girlfriend|boyfriend|fiancée?|partner|spouse|ex-(?:wife|husband)|frau|mann|freundin|freund"
    r"|femme|mari)"
)

_PATTERNS = {
    "age": (
        rf"{_I_AM} (?:an? )?\d\d(?:[ -]?years?[ -]old|yo?\b|[MF]\b|\b(?! ?(?:%|percent|minutes|miles|km|hours|of"
        rf"|days|weeks|pages)))",
        r"(?:my|I had my) \d\d(?:st|nd|rd|th) birthday",
        rf"{_I_AM} in my (?:early |mid |late )?(?:twenties|thirties|forties|fifties|sixties|seventies|\d0s)",
        r"(?:ich bin|je suis âgée? de|j['’]ai) \d\d (?:jahre alt|ans)",
        r"(?:I turned|I just turned|I['’]m turning|when I turned) \d\d",
    ),
    "sex": (
        rf"{_I_AM} an? (?:\w{{1,12}} ){{0,2}}(?:woman|man|girl|boy|guy|female|male|mother|father|mom|mum|dad"
        rf"|transgender\w*)\b",
        r"as an? (?:\w{1,12} )?(?:woman|man|mother|father|girl|mom|dad|wife|husband)\b,? (?:I|my)",
        r"(?<!\w)(?:I['’]m|I am|I was) pregnant|my (?:pregnancy|prostate|period cramps)",
    ),
    "place": (
        rf"(?<!\w)(?:I|we) (?:live|lived|moved|am living|work|are living)(?: \w{{1,10}}){{0,2}} (?:in|to|near) {_PLACE}",
        rf"(?:[Hh]ere|[Bb]ack home|[Aa]t home) in {_PLACE}",
        rf"(?:I['’]m|I am) (?:from|based in|living in) {_PLACE}",
        rf"(?:ich wohne|ich lebe) in {_PLACE}|(?:j['’]habite|je vis) (?:à|en) {_PLACE}",
        rf"my (?:flat|house|apartment|place|home) in {_PLACE}",
    ),
    "birthplace": (
        rf"(?<!\w)I (?:was born|grew up|was raised)(?: \w{{1,10}}){{0,3}} (?:in|near) {_PLACE}",
        rf"(?:my|our) home ?town(?: of| is|,)? {_PLACE}",
        rf"originally from {_PLACE}",
    ),
    "occupation": (
        rf"{_I_AM} (?:an? |eine? |une? )?(?:\w{{1,14}} ){{0,2}}{_JOB}\b",
        r"(?<!\w)I (?:work|worked|have worked)(?: \w{1,10}){0,2} (?:as an? \w+|at an? \w+|for an? \w+|in (?:IT"
        r"|sales|retail|finance|nursing))",
        rf"as an? (?:\w{{1,14}} )?{_JOB}\b,? I",
        r"my (?:job|work|career|shift|boss|coworkers|colleagues|patients|pupils|clients) (?:as|at|in|is|are|ends"
        r"|starts|told|asked)",
        r"(?:ich arbeite|je travaille) (?:als|bei|comme|chez)",
    ),
    "education": (
        r"(?<!\w)I (?:studied|majored in|graduated|dropped out|did my (?:degree|phd|masters?))\b"
        r"|(?<!\w)I['’]m (?:studying|majoring)\b",
        r"my (?:degree|phd|thesis|dissertation|bachelor['’]?s?|master['’]?s?|major|alma mater|university|college)\b",
        r"(?:ich habe|ich) (?:\w{1,12} )?studier(?:t|e)\b|j['’]ai étudié",
    ),
    "relationship": (
        rf"(?:(?:my|meine?|mon|ma) (?:\w{{1,10}} )?{_RELATIVE})\b",
        rf"{_I_AM} (?:happily |recently |newly )?(?:married|single|divorced|widowed|engaged|verheiratet|geschieden"
        rf"|mariée?|divorcée?)\b",
        r"(?:my|our) (?:wedding|marriage|divorce|anniversary)\b|since (?:I|we) got (?:married|divorced)",
    ),
    "children": (
        r"(?:my|our|meine?|mon|ma|mes) (?:\w{1,10} )?(?:son|sons|daughters?|kids?|children|toddler|baby|twins"
        r"|tochter|sohn|kinder|fille|fils"
        r"|enfants)\b",
        r"(?<!\w)I have (?:\w{1,8} )?(?:kids|children|daughters|sons|twins)\b|(?:mother|father|mom|dad) of (?:two"
        r"|three|four|five|\d)\b",
    ),
    "income": (
        r"(?<!\w)I (?:earn|make|take home|am paid|get paid) (?:about |around |only |just )?(?:[$€£] ?\d"
        r"|\d[\d,.]*k?\b|minimum wage)",
        r"my (?:salary|wages?|income|paycheck|pension|mortgage|rent) (?:is|was|of|went)\b",
        r"(?:ich verdiene|je gagne) \d",
    ),
    "health": (
        rf"{_I_AM} (?:\w{{1,10}} )?(?:diabetic|epileptic|autistic|disabled|bipolar|allergic|celiac|asthmatic|blind"
        rf"|deaf|schwerbehindert)\b",
        r"(?:I was|I got|I['’]ve been|I have been|me) diagnosed\b",
        r"my (?:\w{1,10} )?(?:diabetes|depression|anxiety|asthma|cancer|chemo|epilepsy|adhd|arthritis|migraines?"
        r"|surgery|therapist"
        r"|medication|meds|insulin|blood pressure|diagnosis|disability|wheelchair)\b",
        r"(?<!\w)I (?:have|suffer from|take) (?:\w{1,10} ){0,2}(?:diabetes|depression|anxiety|asthma|cancer"
        r"|epilepsy|adhd|arthritis|migraines"
        r"|hiv|insulin|antidepressants)\b",
    ),
    "religion": (
        rf"{_I_AM} (?:an? )?(?:\w{{1,12}} )?(?:christian|catholic|protestant|muslim|jewish|jew|hindu|buddhist|sikh"
        rf"|mormon|baptist|atheist|agnostic"
        r"|lutheran|evangelical|katholisch|evangelisch|muslima?|catholique|musulmane?|juive?|athée)\b",
        r"(?:my|our) (?:church|mosque|synagogue|parish|temple|rabbi|imam|pastor|priest|congregation|faith|baptism)\b",
        r"as an? (?:\w{1,12} )?(?:christian|catholic|muslim|jew|hindu|buddhist|sikh|atheist|believer)\b,? (?:I|we|my)",
    ),
    "origin": (
        rf"{_I_AM} (?:an? )?(?:half[ -]|part[ -])?(?:african|african-american|asian|black|white|latino|latina"
        rf"|hispanic|irish|german|french|italian"
        r"|polish|turkish|indian|pakistani|chinese|korean|japanese|vietnamese|mexican|nigerian|russian|ukrainian"
        r"|british|scottish|welsh"
        r"|american|canadian|brazilian|greek|spanish|portuguese|swedish|dutch|romanian)\b",
        r"(?:my|our) (?:green card|visa|citizenship|native language|mother tongue|homeland|asylum)\b",
        r"(?:my parents|my family|we|I) (?:emigrated|immigrated|came over|fled) (?:from|to)\b",
    ),
    "politics": (
        rf"{_I_AM} (?:an? )?(?:\w{{1,12}} )?(?:democrat|republican|conservative|liberal|socialist|libertarian"
        rf"|labour voter|tory|communist|green"
        r" voter|leftist|union member)\b",
        r"(?<!\w)I (?:voted|vote|will vote|am voting|campaigned|canvassed) (?:for|against|labour|conservative|green"
        r"|democrat|republican)\b",
    ),
}
"""By class of attribute. The first eight of the paper are age, sex, place, birthplace, occupation, education, relationship and
income."""

ATTRIBUTES = tuple(_PATTERNS)

_COMPILED = {
    attribute: re.compile("|".join(f"(?:{pattern})" for pattern in patterns), re.IGNORECASE)
    for attribute, patterns in _PATTERNS.items()
    if attribute not in ("place", "birthplace")
} | {
    attribute: re.compile("|".join(f"(?:{pattern})" for pattern in _PATTERNS[attribute]))
    for attribute in ("place", "birthplace")
}
"""Names of places are told by their capitals."""

_FIRST_PERSON = re.compile(
    r"(?i)(?<!\w)(?:I|my|our|we|ich|meine?|wir|je|j['’]|mon|ma|mes|as an?|here in)(?!\w)|(?<!\w)j['’]"
)


def author_cues(text: str) -> frozenset[str]:
    """Classes of attributes of the author that the text gives away, of `ATTRIBUTES`. Linear in the text.

    A single row tells little; the union over all rows of an author is what a reader could piece together.
    """
    if not _FIRST_PERSON.search(text):
        return frozenset()
    return frozenset(attribute for attribute, pattern in _COMPILED.items() if pattern.search(text))
