"""Forms of keys that show by themselves who issued them, by the prefixes and lengths that issuers publish."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from carto_audit.lenses.keys.likely import is_blank, is_drawn, is_password
from carto_audit.lenses.values.value import Value


def _is_filled(text: str) -> bool:
    return not is_blank(text)


def _is_password_of_an_address(text: str) -> bool:
    """Letters of both cases are no word of an address."""
    return is_password(text) or (_IN_CAPITALS.search(text) is not None and text[0] != "$" and not is_blank(text))


_IN_CAPITALS = re.compile(r"[a-z][A-Z]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A pattern for keys of one kind; one of `needles` must stand in the text, else nothing is searched. Its only group that
    matched is the key.

    Every repetition has an upper bound, and the longest begin at the start of a word: no text costs more than a fixed number of
    steps a character. Patterns begin with letters where they can, since these are searched for fastest.
    """

    label: str
    needles: tuple[str, ...]
    pattern: re.Pattern[str]
    likely: Callable[[str], bool] = _is_filled
    ignores_case: bool = False
    """Whether the needles are looked for in the text in lower case."""

    def found(self, text: str, low: str) -> Iterator[Value]:
        """Keys of this form."""
        for match in self.pattern.finditer(text):
            group = match.lastindex or 0
            if self.likely(match[group]):
                yield Value(start=match.start(group), end=match.end(group), label=self.label)


_WORD, _WORD_END, _KEY_END = "[A-Za-z0-9_-]", r"(?![A-Za-z0-9])", r"(?![A-Za-z0-9_-])"


def _prefixed(label: str, *kinds: tuple[str, str], end: str = _KEY_END) -> Form:
    """Keys that begin with one of these words: a row for each kind of them, its beginnings and the pattern of what follows.

    None begins within a word; a line feed that is written as two characters is none.
    """
    branches, needles = list[str](), list[str]()
    for words, rest in kinds:
        for word in words.split():
            plain = re.escape(word)
            branches.append(rf"{plain}(?:(?<!{_WORD}{plain})|(?<=\\[nrt]{plain}))(?:{rest})")
            needles.append(word)
    return Form(label=label, needles=tuple(needles), pattern=re.compile(f"({'|'.join(branches)}){end}", re.ASCII))


def _inside(label: str, needle: str, pattern: str) -> Form:
    """Keys that are told by a word inside them or at their end."""
    return Form(label=label, needles=(needle,), pattern=re.compile(rf"(?<!{_WORD})({pattern}){_KEY_END}", re.ASCII))


FORMS: tuple[Form, ...] = (
    _prefixed("jwt", ("eyJ", r"[\w-]{10,2000}\.eyJ[\w-]{10,8000}\.[\w-]{20,1400}")),
    _prefixed("aws_access_key", ("AKIA ASIA ABIA ACCA", r"[A-Z2-7]{16}")),
    _prefixed(
        "github_token",
        ("ghp_ gho_ ghu_ ghs_ ghr_", r"[A-Za-z0-9]{36,251}"),
        ("github_pat_", r"[A-Za-z0-9]{22}_[A-Za-z0-9]{59}"),
        end=_WORD_END,
    ),
    _prefixed(
        "gitlab_token",
        (
            "glpat- gldt- glrt- glptt- glft- glimt- glcbt- glsoat- gloas- glagent-",
            r"[\w-]{20,64}(?:\.[0-9a-z]{2}\.[0-9a-z]{9})?",
        ),
    ),
    _prefixed(
        "slack_token",
        ("xoxa- xoxb- xoxe- xoxo- xoxp- xoxr- xoxs-", r"[A-Za-z0-9-]{24,250}"),
        ("xapp-", r"\d-[A-Z0-9]{8,16}-\d{8,16}-[a-f0-9]{40,80}"),
    ),
    _inside("slack_token", "/B", r"T[A-Z0-9]{8,12}/B[A-Z0-9]{8,12}/[A-Za-z0-9]{20,32}"),
    _prefixed(
        "google_api_key",
        ("AIza", r"[\w-]{35}"),
        ("GOCSPX-", r"[\w-]{28}"),
        ("ya29.", r"[\w-]{40,2048}"),
        ("1//0", r"[\w-]{40,120}"),
    ),
    _prefixed(
        "stripe_key",
        ("sk_live_ rk_live_ sk_test_ rk_test_", r"[A-Za-z0-9]{16,250}"),
        ("whsec_", r"[A-Za-z0-9+/]{32,64}"),
    ),
    _prefixed(
        "model_service_key",
        ("sk-", r"(?:proj|svcacct|admin|or-v1|ant-[a-z]{2,8}\d\d)-[\w-]{40,200}|[A-Za-z0-9]{32,64}"),
        ("hf_", r"[A-Za-z]{34}"),
        ("gsk_", r"[A-Za-z0-9]{52}"),
        ("r8_", r"[A-Za-z0-9]{37}"),
        ("xai-", r"[A-Za-z0-9]{80}"),
    ),
    _prefixed(
        "registry_token",
        ("npm_", r"[A-Za-z0-9]{36}"),
        ("pypi-AgE", r"[\w-]{50,250}"),
        ("rubygems_", r"[a-f0-9]{48}"),
        ("dckr_pat_ dckr_oat_", r"[\w-]{27,32}"),
    ),
    _prefixed(
        "messaging_key",
        ("SG.", r"[\w-]{22}\.[\w-]{43}"),
        ("SK", r"[a-f0-9]{32}"),
        ("xkeysib-", r"[a-f0-9]{64}-[A-Za-z0-9]{16}"),
        ("key-", r"[a-f0-9]{32}"),
    ),
    _inside("messaging_key", "-us", r"[a-f0-9]{32}-us\d{1,2}"),
    _inside("messaging_key", ":AA", r"\d{8,10}:AA[\w-]{32,34}"),
    _prefixed(
        "service_token",
        ("dop_v1_ doo_v1_ dor_v1_", r"[a-f0-9]{64}"),
        ("dapi", r"[a-f0-9]{32}(?:-\d)?"),
        ("shpat_ shpca_ shppa_ shpss_", r"[a-fA-F0-9]{32}"),
        ("hvs.", r"[\w-]{24,200}"),
        ("lin_api_", r"[A-Za-z0-9]{40}"),
        ("glsa_", r"[A-Za-z0-9]{32}_[a-f0-9]{8}"),
        ("ATATT3", r"[\w=-]{100,250}"),
        ("NRAK-", r"[A-Z0-9]{27}"),
        ("PMAK-", r"[a-f0-9]{24}-[a-f0-9]{34}"),
        ("dp.pt.", r"[A-Za-z0-9]{40,44}"),
        ("sbp_ pul-", r"[a-f0-9]{40}"),
        ("ntn_", r"[A-Za-z0-9]{40,50}"),
        ("EAAA", r"[\w-]{60}"),
        ("sq0csp- sq0atp- sq0idp-", r"[\w-]{22,43}"),
    ),
    _inside("service_token", ".atlasv1.", r"[A-Za-z0-9]{14}\.atlasv1\.[\w-]{60,72}"),
    _inside("service_token", "Q~", r"[\w~.-]{3}\dQ~[\w~.-]{31,34}"),
    Form(
        label="azure_key",
        needles=("AccountKey=", "SharedAccessKey=", "sig="),
        pattern=re.compile(
            r"(?:AccountKey=|SharedAccessKey=)([A-Za-z0-9+/]{43,86}={1,2})|[?&]sig=([A-Za-z0-9+/%]{43,80})(?=[&\s\"'<]|\Z)"
        ),
    ),
    Form(
        label="url_password",
        needles=("://",),
        pattern=re.compile(r"://[^\s/:@?#\"'<>`]{0,100}:([^\s/:@?#\"'<>`\[\](){}]{6,200})@(?=[A-Za-z0-9\[])"),
        likely=_is_password_of_an_address,
    ),
    Form(
        label="auth_header",
        needles=("authorization",),
        pattern=re.compile(
            r"(?i)authorization\\?[\"'`]?\]?[ \t]{0,4}[:=,][ \t]{0,4}\\?[\"'`]?(?:Bearer|Basic|Token|Bot|ApiKey)[ \t]{1,3}"
            r"([\w+/.~-]{16,2000}={0,2})(?![\w+/.~=-])",
            re.ASCII,
        ),
        likely=is_drawn,
        ignores_case=True,
    ),
    Form(
        label="connection_password",
        needles=("password=", "pwd="),
        pattern=re.compile(
            r"(?i)(?<![a-z])(?:server|data source|host|address|user id|uid|user|username)=[^;\"'\n]{1,60};"
            r"(?:[^;\"'\n]{0,60};){0,6}?[ \t]?(?:password|pwd)=([^;\"'\s]{6,128})"
        ),
        likely=is_password,
        ignores_case=True,
    ),
)
"""The most telling first: where two overlap, the first one's label holds."""
