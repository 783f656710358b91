"""The kind of text of a row: a few rules of layout and wording, first match wins; prose that fits none is `other`."""

import re
from typing import Literal, get_args

ContentType = Literal["article", "post", "forum", "review", "comment", "listing", "chat", "record", "other"]
"""What a text is by its form."""

CONTENT_TYPES: tuple[ContentType, ...] = get_args(ContentType)

_LONGEST = 8000
"""Characters that are looked at: the form of a text shows in its beginning."""

_FEWEST_LINES, _SHARE_OF_LINES = 3, 0.6
"""A chat has so many turns, a record so many fields, on this share of its lines."""

_OWN_WORDS = 40
"""Of so many words one is "I" or "my" where somebody speaks of himself; in an article it stands in a quotation."""

_LONGEST_COMMENT, _LONGEST_POST, _SHORTEST_ARTICLE = 60, 150, 25
"""Words."""

_TURN = re.compile(
    r"(?:\[?\d{1,2}:\d\d(?::\d\d)?(?: ?[AaPp][Mm])?\]?,? ?-? ?)?<?(?P<who>[A-Za-z_][\w.-]{1,20})(?: [A-Z][\w.]{0,12})?>?: ?\S"
)
_ROLE = re.compile(
    r"<\|im_start\|>|\[INST\]|(?m:^(?:###? ?)?(?:user|assistant|human|system|customer|agent): )", re.IGNORECASE
)
_FIELD = re.compile(r"\s*[\"'<*-]{0,2} ?[\w][\w /().#-]{0,30}[\"'*>]{0,2} ?(?:[:=|\t]|;(?=\S)) ?\S.{0,80}$")
_TABLE = re.compile(r"(?m)^\|.*\|$|^(?:[^,\n]{1,40},){3,}[^,\n]{1,40}$|^(?:[^;\n]{1,40};){2,}[^;\n]{1,40}$")
_INLINE_FIELDS = re.compile(r"(?:^|[;,{|] ?)[\"']?[A-Za-z][\w .]{1,24}[\"']? ?[:=] ?[\"']?[^;,|}\n]{1,60}")

_LISTING = re.compile(
    r"(?i)\b(?:for sale|selling|asking price|asking|o\.?b\.?o\b|pick[ -]?up (?:only|in|at)|brand new"
    r"|barely used|good condition"
    r"|like new|for rent|per month|bedrooms?|shipping|no returns|cash only|serious buyers|make an offer|best offer|price:"
    r"|zu verkaufen|festpreis|\bvb\b|abholung|à vendre|prix ferme|remise en main propre)\b"
)
_PRICE = re.compile(r"[$€£] ?\d|\d ?(?:€|euros?\b|dollars\b|EUR\b|USD\b)")
_STARS = re.compile(
    r"[★☆⭐]|\b[0-5](?:\.\d)? ?(?:out of|/) ?(?:5|10)\b|\b(?:one|two|three|four|five|[1-5])[ -]stars?\b", re.IGNORECASE
)
_REVIEW = re.compile(
    r"(?i)\b(?:recommend(?:ed)?|disappointed|product|quality|purchased?|bought|ordered|arrived|refund|customer service|staff"
    r"|delicious|waste of money|worth (?:it|every|the)|works (?:great|well|as)|value for|would (?:buy|come"
    r"|order|go) (?:it )?(?:again|back)"
    r"|never again|five stars|loved (?:it|this)|the (?:food|hotel|room|battery|book) was)\b"
)
_FORUM = re.compile(
    r"(?i)(?:^|\n)(?:>|re: |posted by|originally posted|joined: )|\b(?:thanks in advance|any (?:help|advice"
    r"|ideas|suggestions)"
    r"|anyone (?:else|here|know|had|tried)|has anyone|does anyone|this (?:thread|forum|sub)|\bop\b|hi (?:all"
    r"|everyone|guys|folks)"
    r"|hello (?:all|everyone)|newbie|first post|bump|solved|edit:|same (?:issue|problem) here|did you try|have you tried)\b"
)
_COMMENT = re.compile(
    r"(?i)^(?:@\w|this\b[.!]|so true|same here|lol|haha|great (?:post|article|video|read)|nice (?:post|article"
    r"|video)|thanks? for"
    r"|agreed|i (?:totally |completely |strongly )?(?:agree|disagree)|you(?:['’]re| are) (?:so )?(?:right"
    r"|wrong)|exactly|first!|wow)"
    r"|\b(?:great (?:post|article|video)|thanks for (?:sharing|posting|writing)|well said|this article"
    r"|your (?:post|article|video))\b"
)
_OWN = re.compile(r"\b(?:I|I['’]m|I['’]ve|my|My|me|we|We|our|ich|mein\w{0,2}|je|mon|ma)\b")
_TAG = re.compile(r"(?<!\w)#[A-Za-z]\w+|[\U0001F300-\U0001FAFF]")
_SENTENCE = re.compile(r"[.!?](?:\s|$|[\"')])")


def content_type(text: str) -> ContentType:
    """What kind of text this is. In this order, the first that fits:

    - `chat`: at least three turns of two or more speakers, or marks of roles;
    - `record`: fields with values on most lines, or a table, or fields in one line;
    - `listing`: an offer, with a price or two words of trade;
    - `review`: a rating, or two words of judgement of what was bought;
    - `forum`: a quotation, a greeting to all, or a question to all;
    - `comment`: short, and answers somebody or something said;
    - `post`: short, in the first person or with tags;
    - `article`: sentences in the third person;
    - `other`: anything else.
    """
    text = text[:_LONGEST].strip()
    lines = [line for line in text.splitlines() if line.strip()]
    words = len(text.split())
    if _is_chat(text, lines):
        return "chat"
    if _is_record(text, lines):
        return "record"
    trade = len(set(map(str.lower, _LISTING.findall(text))))
    if trade and (_PRICE.search(text) or trade > 1) and not _STARS.search(text):
        return "listing"
    if _STARS.search(text) or len(set(map(str.lower, _REVIEW.findall(text)))) > 1:
        return "review"
    if _FORUM.search(text):
        return "forum"
    if words <= _LONGEST_COMMENT and _COMMENT.search(text):
        return "comment"
    own, sentences = len(_OWN.findall(text)), len(_SENTENCE.findall(text))
    if 2 < words <= _LONGEST_POST and (own * _OWN_WORDS >= words or _TAG.search(text)):
        return "post"
    if words >= _SHORTEST_ARTICLE and sentences and own * _OWN_WORDS < words:
        return "article"
    return "other"


def _is_chat(text: str, lines: list[str]) -> bool:
    if len(_ROLE.findall(text)) > 1:
        return True
    turns = [found.group("who") for line in lines if (found := _TURN.match(line))]
    speakers = set(turns)
    return len(turns) >= max(_FEWEST_LINES, _SHARE_OF_LINES * len(lines)) and 2 <= len(speakers) < len(turns)


def _is_record(text: str, lines: list[str]) -> bool:
    fields = sum(_FIELD.match(line[:200]) is not None for line in lines)
    if fields >= max(_FEWEST_LINES, _SHARE_OF_LINES * len(lines)):
        return True
    if len(lines) <= 2 and len(_INLINE_FIELDS.findall(text)) >= _FEWEST_LINES and not _SENTENCE.search(text[:-1]):
        return True
    rows = len(_TABLE.findall(text))
    return rows >= 2 and rows >= _SHARE_OF_LINES * len(lines)
