"""Names: what each view undoes, in words."""

from collections.abc import Sequence

_WORDS = {
    "terminal": "removing terminal codes",
    "quoted-printable": "undoing quoted-printable encoding",
    "percent": "undoing percent encoding",
    "latex": "removing LaTeX commands",
    "character escapes": "undoing escapes of characters",
    "escapes": "undoing string escapes",
    "entities": "undoing character entities",
    "tags": "removing HTML or XML tags",
    "markdown": "removing Markdown",
    "hyphens": "joining words that were broken across lines",
    "columns": "keeping the column of words",
    "timecodes": "removing timecodes",
    "speakers": "removing speakers' names",
    "string literals": "joining string literals",
    "line numbers": "removing numbers of lines",
    "notes": "removing footnote marks",
    "word tags": "removing the tags of words",
    "word parts": "joining parts of words",
    "ornaments": "removing ornaments inside words",
    "digits for letters": "reading digits as the letters that they are drawn like",
    "hex": "decoding hexadecimal digits",
    "base32": "decoding base32",
    "base64": "decoding base64",
    "base85": "decoding base85",
    "binary": "decoding binary digits",
    "decimal codes": "decoding decimal codes",
    "uuencode": "decoding uuencode",
    "octal codes": "decoding octal codes",
    "unseen characters": "dropping characters that leave no mark",
    "digits inside words": "removing digits beside letters",
    "letters among others": "removing letters of other scripts inside words",
    "fields": "joining the values of one field",
    "places in the alphabet": "reading numbers as places in the alphabet",
    "Morse": "reading Morse code",
    "letters in signs": "reading signs as the letters that they show",
    "roff": "removing roff requests",
    "attributes": "reading the attributes of tags",
    "shifted keys": "undoing a shift on the keyboard",
    "upside down": "turning it upside down",
    "doubled letters": "undoubling letters",
    "words reversed": "reading every word backwards",
    "atbash": "undoing the cipher atbash",
    "reversed": "reading it backwards",
    "spelled numbers": "writing spelled numbers in digits",
    "rows": "joining rows that follow each other",
    "joined": "ignoring where words begin and end",
}


def in_words(views: Sequence[str]) -> str:
    """What some views did, as in "undoing character entities and removing HTML or XML tags"; empty where nothing."""
    said = [_WORDS.get(view, f"undoing the cipher {view}") for view in views]
    return " and ".join(filter(None, [", ".join(said[:-1]), said[-1]])) if said else ""
