"""Whether what stands in a secret's place is one: drawn by chance, and no blank, no name and no key of a documentation."""

import re
import string
from collections import Counter
from math import log2

_BLANKS = (
    "example",
    "xxxx",
    "your_",
    "your-",
    "yourp",
    "changeme",
    "change_me",
    "change-me",
    "placeholder",
    "dummy",
    "redacted",
    "insert",
    "replace",
    "password",
    "passwd",
    "passphrase",
    "secret",
    "....",
    "****",
    "foobar",
    "deadbeef",
)
"""What a blank to be filled in contains, in lower case. A password of which this is true is not told from a blank."""

_DOCUMENTED = (
    "wJalrXUtnFEMI/",
    "Eby8vdM02xNOcqFl",
    "4eC39HqLyjWDarjt",
    "SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c",
    "Xbu8k2yYD6Dm5pk",
    "C2y6yDjf5/R+ob0N8A7Cgv30VRDJIWEHLM+4QDU5DE2nQ9nDuVTqobD4b8mGGyPM",
)
"""Parts of the keys that documentations of AWS, Azure, Stripe, jwt.io and Cosmos DB print for everyone."""

_ORDER = string.digits + string.ascii_lowercase
_COUNTED = re.compile("|".join([r"(.)\1{4}", *(re.escape(_ORDER[k : k + 6]) for k in range(len(_ORDER) - 5))]))
"""The same character five times, or six in the order in which one counts."""

_PIECE = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|[0-9]+")
_BETWEEN = re.compile(r"[_./-]")
_LONGEST_PIECES = 3.4
"""Characters: letters of one case or digits in a row, on average. About 2 where they are drawn, 4 and more in names and words."""

_NUMBERS = 4
"""So many numbers between letters are in no name either."""

_TEMPLATE = re.compile(r"[$@~][A-Za-z_][\w.]*|&[a-z]+;|[<{\[(].*|%[(sdr].*|%\w+%|.*(?:\$\{|\{\{|%\().*")


def is_blank(text: str) -> bool:
    """Whether `text` only shows where a key would stand, or stands in a documentation: repeated or counted up characters, words
    such as `example` and `your_`, keys that are known to be printed for everyone."""
    low = text.lower()
    return (
        any(word in low for word in _BLANKS)
        or any(part in text for part in _DOCUMENTED)
        or len(set(low)) < min(8, 1 + len(low) // 2)
        or _COUNTED.search(low) is not None
    )


def is_drawn(text: str) -> bool:
    """Whether `text` looks as if a machine drew it: letters and digits that change often, at least 2.8 bits of entropy a
    character."""
    if is_blank(text) or not (any(map(str.isdigit, text)) and any(map(str.isalpha, text))):
        return False
    parts = _BETWEEN.split(text)
    if len(parts) > 2 and all(part.isalpha() or part.isdigit() for part in parts):
        return False  # words and numbers of a name
    pieces = _PIECE.findall(text)
    changes = sum(map(len, pieces)) <= _LONGEST_PIECES * len(pieces) or sum(map(str.isdigit, pieces)) >= _NUMBERS
    return changes and _entropy(text) >= 2.8


def is_password(text: str) -> bool:
    """Whether `text` may be a password: no blank, variable or template, and letters beside digits or signs. Words alone are not
    taken for one."""
    if is_blank(text) or _TEMPLATE.fullmatch(text):
        return False
    letters = sum(map(str.isalpha, text))
    signs = sum(not c.isalnum() and c not in "_-./\\:=,;|<>()[]{}" for c in text)
    digits = sum(map(str.isdigit, text))
    return letters > 0 and digits + signs > 0


def _entropy(text: str) -> float:
    """Bits a character."""
    return -sum(n / len(text) * log2(n / len(text)) for n in Counter(text).values())
