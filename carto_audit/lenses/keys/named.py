"""Secrets that only their name tells: passwords, keys of AWS and of services without a prefix of their own."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from carto_audit.lenses.keys.likely import is_drawn, is_password
from carto_audit.lenses.values.value import Value

_TO = (
    r"(?:[ _-]?(?:prod|dev|test|staging|live|value|v?\d{1,2}))?"  # the name goes on
    r"(?:\\?[\"'`)*\]]){0,3}"  # and is closed
    r"(?:(?P<call>[ \t]{0,8}[(,>][ \t]{0,8})"
    r"|[ \t]{0,2}:[ \t]{0,2}[A-Za-z]{1,10}[ \t]{0,2}=[ \t]{0,2}"  # its type is given before it is set
    r"|(?P<set>[ \t]{0,8}(?::=|=>|==|[:=])\*{0,2}[ \t]{0,8})"
    r"|[ \t](?:(?:for|of|on|to|in)[ \t](?:[\w.-]{1,20}[ \t]){1,3})?(?:is|was)[ \t](?:now[ \t])?|[ \t](?=[\"'`]))"
)
"""From the middle of the name to the secret. Every part is bounded."""

_OPEN, _CLOSE = r"[rbufRBUF]{0,2}\\?[\"'`]", r"\\?[\"'`]"

_PASSWORD = (
    rf"(?:{_OPEN}(?P<quoted>[^\s\"'`\\]{{6,128}}){_CLOSE}"
    r"|(?P<bare>[^\s\"'`,;<>(){}\[\]\\]{6,128})(?![^\s\"'`,;<>)}\]]))"
)
_FORTY = rf"(?:{_OPEN})?(?P<bare>[A-Za-z0-9+/]{{40}})(?![A-Za-z0-9+/=])"
_KEY = (
    rf"(?:{_OPEN}(?P<quoted>[A-Za-z0-9_+/.~-]{{16,200}}={{0,2}}){_CLOSE}"
    r"|(?P<bare>[A-Za-z0-9_+/.~-]{16,200}={0,2})(?![\w(\[{$=]))"
)
"""None holds what leads from a name to a secret, so that no text is read as more than a few secrets."""

_KEY_OF = re.compile(
    r"(?:api|app|auth|access|client|consumer|secret|private|encryption|signing|master|service|license|webhook|storage|session"
    r"|bearer|refresh|bot|deploy|admin|account|shared)[ _.-]?\Z"
)
_AWS = re.compile(r"(?:aws[\w .-]{0,24}secret[\w .-]{0,16}|secret[ _.-]?access[ _.-]?)\Z")
_IDENTIFIER = re.compile(r"[A-Za-z_][\w.]*")
_WINDOW = 60
"""Characters before the last word of a name that are looked at."""


def _starts_a_word(text: str, start: int) -> bool:
    """After no letter, or with a capital as in `dbPass`."""
    return start == 0 or not text[start - 1].isalpha() or (text[start].isupper() and text[start - 1].islower())


def _is_password_name(text: str, low: str, name: re.Match[str], to: re.Match[str]) -> bool:
    """`pass` and `pwd` are words of their own, and set to something."""
    return len(name[0]) > 4 or (_starts_a_word(text, name.start()) and bool(to["set"] or to["call"]))


def _is_aws_name(text: str, low: str, name: re.Match[str], to: re.Match[str]) -> bool:
    return bool(_AWS.search(low, max(0, name.start() - _WINDOW), name.start()))


def _is_key_name(text: str, low: str, name: re.Match[str], to: re.Match[str]) -> bool:
    """A key of something that has secrets, or any token and secret but that of a page."""
    if _KEY_OF.search(low, max(0, name.start() - _WINDOW), name.start()):
        return True
    return (
        name[0] != "key"
        and _starts_a_word(text, name.start())
        and not low.endswith(("page_", "page "), 0, name.start())
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """The last words of names, looked for in lower case, what may follow them, and when both are believed."""

    label: str
    needles: tuple[str, ...]
    words: re.Pattern[str]
    secret: re.Pattern[str]
    is_name: Callable[[str, str, re.Match[str], re.Match[str]], bool]
    likely: Callable[[str], bool]
    ignores_case: bool = True

    def found(self, text: str, low: str) -> Iterator[Value]:
        """The secrets behind such names, without quotes and the stop of a sentence; `low` has the length of `text`."""
        for name in self.words.finditer(low):
            to = self.secret.match(text, name.end())
            if to is None or not self.is_name(text, low, name, to):
                continue
            part = to.lastgroup or "bare"
            secret, start = to[part], to.start(part)
            if part == "bare":
                secret = secret.rstrip(".,:;?")
            if (part == "quoted" or not _is_code(text[name.start()], to, secret)) and self.likely(secret):
                yield Value(start=start, end=start + len(secret), label=self.label)


def _is_code(first: str, to: re.Match[str], secret: str) -> bool:
    """Whether what stands there without quotes is an expression of a program: an argument, or a name set to another name."""
    if to["call"]:
        return True
    is_set = (to["set"] or "").strip() in ("=", ":=", "==", "=>")
    as_in_a_shell = to["set"] == "=" and first.isupper()
    return is_set and not as_in_a_shell and bool(_IDENTIFIER.fullmatch(secret)) and not is_drawn(secret)


NAMED: tuple[Named, ...] = (
    Named(
        label="aws_secret_key",
        needles=("key",),
        words=re.compile("key"),
        secret=re.compile(_TO + _FORTY),
        is_name=_is_aws_name,
        likely=is_drawn,
    ),
    Named(
        label="password_assignment",
        needles=("pass", "pwd"),
        words=re.compile("password|passwd|passphrase|passcode|pass|pwd"),
        secret=re.compile(_TO + _PASSWORD),
        is_name=_is_password_name,
        likely=is_password,
    ),
    Named(
        label="generic_api_key",
        needles=("key", "token", "secret"),
        words=re.compile("key|token|secret"),
        secret=re.compile(_TO + _KEY),
        is_name=_is_key_name,
        likely=is_drawn,
    ),
)
