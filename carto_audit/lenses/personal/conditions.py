"""Diagnoses: what follows a physician's word, and words of medicine behind what people say of their health."""

import re
from collections.abc import Iterator

Interval = tuple[int, int]

_STOP = (
    r"(?:last|this|in|at|on|when|and|who|that|which|since|after|before|but|by|while|as|for|from|during|until|so"
    r"|because|is|was"
    r"|are|were|has|had|he|she|they|it|we|i|or|im|seit|und|wurde|diagnostiziert|der|die|das|depuis|et|qui|elle|il)"
)
_TERM = r"(?:[^\W_][\w'’.-]{0,30}[\w]|[^\W_])"
_VALUE = rf"(?P<value>{_TERM}(?: (?!{_STOP}\b){_TERM}){{0,5}})"
_ARTICLE = r"(?:(?i:an?|the|eine[rm]?|einen|der|die|une?|la|le) |(?i:l|d)['’])?"

_SURE = re.compile(
    r"(?:(?<!\w)(?i:diagnosed(?: (?:him|her|me|them|us))?(?: (?:with|as having|having)))"
    r"|(?<![^\W_])(?i:diagnosis|diagnosen?|diagnostic|dx|befund)"
    r"(?:[\"'’]? ?[:=|>] ?[\"'„“]?| lautet|</?\w{1,6}>{1,3})|(?i:on m['’]a diagnostiqué)) ?"
    rf"{_ARTICLE}{_VALUE}"
)
_BEFORE = re.compile(
    rf"(?i:bei (?:ihr|ihm|mir|der Patientin|dem Patienten)) wurden? {_ARTICLE}{_VALUE} (?:diagnostiziert|festgestellt)"
)
_LIKELY = re.compile(
    r"(?<!\w)(?i:suffer(?:s|ed|ing)? from|I have|I['’]ve(?: got| had)?|I had|living with|diagnosis (?:is|of)|history of"
    r"|conditions?:|admitted (?:for|with)|treated for|treatment for|(?P<own>my)|leide[tn]? (?:an|unter)|ich habe"
    rf"|souffr(?:e|es|ent|ait) (?:de|du)|atteinte? (?:de|du)|souffr(?:e|es|ent|ait) d['’]|atteinte? d['’]"
    rf"|j['’]ai) ?{_ARTICLE}(?!been\b){_VALUE}"
)
_MEDICAL = re.compile(
    r"(?i)(?:\w{2}itis|\w{3}osis|\w{2}phreni[ae]|\w{3}phrénie|thyroidism|thyreose|\w{3}plegi[ae]|\w{3}penia"
    r"|lepsy|lepsie|rrhea"
    r"|(?:thromb|arthr|psych|skoli|scoli|tuberkul|tubercul|neur|fibr|skler|scler|sclér|endometri|zirrh|cirrh"
    r"|osteopor|ostéopor|myk)ose"
    r"|(?:hyper|hypo)(?:tension|tonie)|(?:an|leuk|septic|glyc|thalass|isch|tox)(?:a?em|äm|ém)i[ae]|(?:dys|a)trophy"
    r"|(?:hemat|prote|phenylketon)uri[ae]|(?:neuro|myo|retino|nephro|encephalo|arthro)path(?:y|ie)|(?:neur|my|arthr)algi[ae]"
    r"|(?:carcin|lymph|melan|glauc|sarc|gli|myel|fibr|aden|mesotheli)om[ae]?|sklerose|insuffizienz|krebs)\b"
    r"|\b(?:cancer|diab[eè]tes?|asthm[ae]?|d[eé]pression(?:en)?|hiv|stroke|tumou?rs?|disorders?|diseases?"
    r"|syndrome?|infection|migraines?|migräne|anxiety|anxiété|autism|adhd|adhs|bipolar|bipolaire|ptsd|copd|gout"
    r"|gicht|goutte|rheuma"
    r"|dementia|demenz|démence|alzheimer\S{0,2}|parkinson\S{0,2}|allerg\w{1,4}|eczema|ekzem|lupus|malaria|herpes|zona|cholera"
    r"|influenza|pneumonia|obesity|insomnia|apno?ea|fibrillation|(?:heart|kidney|renal|liver|respiratory|cardiac) failure"
    r"|insuffisance|fracture|hernia|hernie|herniated dis[ck]|ulcers?|leuk\w{3,6}|psoriasis|hepatitis|hépatite"
    r"|arrhythmia|angina|angine|crohn\S{0,2}|celiac|coeliac|\w{2,14}störung|\w{2,14}erkrankung|\w{2,14}krankheit|maladie"
    r"|troubles? (?:bipolaire|anxieux|du)|bluthochdruck|herzinfarkt|schlaganfall|infarctus|avc|sclérose"
    r"|épilepsie|concussion)\b"
)
_ICD = re.compile(
    r"(?i:icd(?:-?(?:10|11))?(?:-cm)?(?:[ -]?codes?)?)[\s:=(\"']{1,4}(?P<value>[A-TV-Z]\d[\dA-B](?:\.[\dA-Z]{1,4})?)(?!\w)"
)
_HINTS = (
    "diagnos dx suffer i_have i've i’ve i_had living_with history_of condition admitted treat my_ leide "
    "ich_habe souffr atteint "
    "j'ai j’ai icd befund"
).split()

_MOST_MORE = 3
"""Words behind the last one of medicine that belong to the diagnosis where a sign ends them: "diabetes mellitus type 2."."""


def diagnoses(text: str) -> Iterator[Interval]:
    """Up to six words of a diagnosis, or its ICD code. Words that are said of much else, such as "suffers from", count only
    before a word of medicine."""
    lowered = text.lower()
    if not any(hint.replace("_", " ") in lowered for hint in _HINTS):
        return
    for pattern in (_SURE, _BEFORE, _ICD):
        yield from (found.span("value") for found in pattern.finditer(text))
    for found in _LIKELY.finditer(text):
        words = list(_MEDICAL.finditer(found.group("value")))
        if words:
            end = found.start("value") + words[-1].end()
            more = text[end : found.end("value")]
            closed = text[found.end("value") : found.end("value") + 1] != " "
            whole = closed and not found.group("own") and len(more.split()) <= _MOST_MORE
            yield found.start("value"), found.end("value") if whole else end
