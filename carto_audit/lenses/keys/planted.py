"""Planted keys: keys of every kind that the finder knows, and what only looks like one, all made up and none of them issued.

They are written after the formats that their issuers publish, not after the finder's patterns. The check sums of GitHub and npm
are right, since other finders ask for them.
"""

import base64
import json
import string
import zlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np

Rng = np.random.Generator
Maker = Callable[[Rng], str]

_LOWER, _UPPER, _DIGITS = string.ascii_lowercase, string.ascii_uppercase, string.digits
_LETTERS = string.ascii_letters
_ALNUM = _DIGITS + _UPPER + _LOWER
_URL_SAFE = _ALNUM + "-_"
_BASE64 = _ALNUM + "+/"
_BASE32 = _UPPER + "234567"
_HEX = "0123456789abcdef"


def _text(rng: Rng, alphabet: str, length: int) -> str:
    return "".join(alphabet[k] for k in rng.integers(len(alphabet), size=length))


def _one(rng: Rng, of: Sequence[str]) -> str:
    return of[int(rng.integers(len(of)))]


def _made(rng: Rng, *makers: Maker) -> str:
    return makers[int(rng.integers(len(makers)))](rng)


def _with_sum(prefix: str, rng: Rng) -> str:
    """Thirty characters and their CRC-32 in base 62, as GitHub and npm write them."""
    body = _text(rng, _ALNUM, 30)
    left, checked = zlib.crc32(body.encode()), ""
    for _ in range(6):
        left, digit = divmod(left, 62)
        checked = _ALNUM[digit] + checked
    return f"{prefix}{body}{checked}"


def _mixed(rng: Rng, alphabet: str, length: int) -> str:
    """With a digit and letters of both cases, where the alphabet has them: an issuer's draw seldom lacks one."""
    wanted = [part for part in (_DIGITS, _LOWER, _UPPER) if set(part) & set(alphabet)]
    while True:
        made = _text(rng, alphabet, length)
        if all(set(part) & set(made) for part in wanted):
            return made


def _github(rng: Rng) -> str:
    if rng.random() < 0.25:
        return f"github_pat_{_text(rng, _ALNUM, 22)}_{_text(rng, _ALNUM, 59)}"
    return _with_sum(_one(rng, ("ghp_", "gho_", "ghu_", "ghs_")), rng)


def _slack(rng: Rng) -> str:
    return _made(
        rng,
        lambda r: f"xoxb-{_text(r, _DIGITS, 12)}-{_text(r, _DIGITS, 13)}-{_text(r, _ALNUM, 24)}",
        lambda r: f"xoxp-{_text(r, _DIGITS, 12)}-{_text(r, _DIGITS, 12)}-{_text(r, _DIGITS, 13)}-{_text(r, _HEX, 32)}",
        lambda r: f"xapp-1-A{_text(r, _UPPER + _DIGITS, 10)}-{_text(r, _DIGITS, 13)}-{_text(r, _HEX, 64)}",
    )


def _model_service(rng: Rng) -> str:
    return _made(
        rng,
        lambda r: f"sk-proj-{_text(r, _URL_SAFE, 74)}T3BlbkFJ{_text(r, _URL_SAFE, 73)}A",
        lambda r: f"sk-{_text(r, _ALNUM, 20)}T3BlbkFJ{_text(r, _ALNUM, 20)}",
        lambda r: f"sk-ant-api03-{_text(r, _URL_SAFE, 93)}AA",
        lambda r: f"hf_{_text(r, _LETTERS, 34)}",
        lambda r: f"gsk_{_text(r, _ALNUM, 20)}WGdyb3FY{_text(r, _ALNUM, 24)}",
    )


def _messaging(rng: Rng) -> str:
    return _made(
        rng,
        lambda r: f"SG.{_text(r, _URL_SAFE, 21)}a.{_text(r, _URL_SAFE, 42)}a",
        lambda r: f"SK{_text(r, _HEX, 32)}",
        lambda r: f"{_text(r, _HEX, 32)}-us{1 + int(r.integers(20))}",
        lambda r: f"{1 + int(r.integers(9))}{_text(r, _DIGITS, 9)}:AA{_text(r, _ALNUM + '_', 33)}",
        lambda r: f"xkeysib-{_text(r, _HEX, 64)}-{_text(r, _ALNUM, 16)}",
    )


def _service(rng: Rng) -> str:
    return _made(
        rng,
        lambda r: f"dop_v1_{_text(r, _HEX, 64)}",
        lambda r: f"dapi{_text(r, _HEX, 32)}",
        lambda r: f"shpat_{_text(r, _HEX, 32)}",
        lambda r: f"hvs.{_text(r, _ALNUM, 90)}",
        lambda r: f"lin_api_{_text(r, _ALNUM, 40)}",
        lambda r: f"glsa_{_text(r, _ALNUM, 32)}_{_text(r, _HEX, 8)}",
    )


def _part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value, separators=(",", ":")).encode()).decode().rstrip("=")


def _jwt(rng: Rng) -> str:
    claims = {"sub": _text(rng, _DIGITS, 10), "iat": int(rng.integers(1_500_000_000, 2_000_000_000))}
    return f"{_part({'alg': _one(rng, ('HS256', 'RS256')), 'typ': 'JWT'})}.{_part(claims)}.{_text(rng, _ALNUM, 43)}"


def _private(rng: Rng) -> str:
    newline = _one(rng, ("\n", "\n", "\\n"))
    lines = [_text(rng, _BASE64, 64) for _ in range(3 + int(rng.integers(20)))]
    return newline.join([f"MII{lines[0][3:]}", *lines[1:], f"{_text(rng, _ALNUM, 30)}=="])


def _password(rng: Rng) -> str:
    """Drawn by a machine, or a word with a year and a sign, as people make them."""
    words = ("Sommer", "dragon", "Liverpool", "orchid", "Kestrel", "maple", "Guitar", "winter")
    return _made(
        rng,
        lambda r: _mixed(r, _ALNUM + "!#%&*+?", 10 + int(r.integers(8))) + _one(r, _ALNUM),
        lambda r: f"{_one(r, words)}{1970 + int(r.integers(60))}{_one(r, '!#*$')}",
        lambda r: f"{_one(r, words)}-{_one(r, words)}-{_text(r, _DIGITS, 3)}",
    )


def _unnamed(rng: Rng) -> str:
    """Of a service without a prefix of its own."""
    return _made(
        rng,
        lambda r: _mixed(r, _ALNUM, 32),
        lambda r: _mixed(r, _HEX, 32),
        lambda r: _mixed(r, _HEX, 40),
        lambda r: _mixed(r, _ALNUM, 24),
        lambda r: f"{_mixed(r, _BASE64, 43)}=",
        lambda r: _mixed(r, _LOWER + _DIGITS, 32),
    )


def _azure(rng: Rng) -> str:
    return f"{_mixed(rng, _BASE64, 86)}==" if rng.random() < 0.6 else f"{_mixed(rng, _BASE64, 43)}="


def _google(rng: Rng) -> str:
    return _made(
        rng,
        lambda r: f"AIzaSy{_text(r, _URL_SAFE, 32)}{_one(r, _ALNUM)}",
        lambda r: f"AIzaSy{_text(r, _URL_SAFE, 32)}{_one(r, _ALNUM)}",
        lambda r: f"GOCSPX-{_text(r, _URL_SAFE, 27)}{_one(r, _ALNUM)}",
    )


def _registry(rng: Rng) -> str:
    return _made(
        rng,
        lambda r: _with_sum("npm_", r),
        lambda r: f"pypi-AgEIcHlwaS5vcmc{_text(r, _URL_SAFE, 120)}{_one(r, _ALNUM)}",
        lambda r: f"rubygems_{_text(r, _HEX, 48)}",
        lambda r: f"dckr_pat_{_text(r, _ALNUM, 27)}",
    )


_MAKERS: Mapping[str, Maker] = {
    "private_key": _private,
    "jwt": _jwt,
    "aws_access_key": lambda r: f"{_one(r, ('AKIA', 'ASIA'))}{_text(r, _BASE32, 16)}",
    "github_token": _github,
    "gitlab_token": lambda r: f"glpat-{_mixed(r, _URL_SAFE, 19)}{_one(r, _ALNUM)}",
    "slack_token": _slack,
    "google_api_key": _google,
    "stripe_key": lambda r: f"{_one(r, ('sk_live_', 'rk_live_', 'sk_live_51'))}{_mixed(r, _ALNUM, 24)}",
    "model_service_key": _model_service,
    "registry_token": _registry,
    "messaging_key": _messaging,
    "service_token": _service,
    "azure_key": _azure,
    "aws_secret_key": lambda r: _mixed(r, _BASE64, 39) + _one(r, _ALNUM),
    "url_password": lambda r: _mixed(r, _ALNUM + "!$*_-", 8 + int(r.integers(12))) + _one(r, _ALNUM),
    "connection_password": _password,
    "auth_header": lambda r: f"{_mixed(r, _ALNUM, 38)}==",
    "password_assignment": _password,
    "generic_api_key": _unnamed,
}

KINDS = tuple(_MAKERS)
"""Every label of the finder."""

_CODE = (
    '{snake} = "{key}"',
    "{snake} = '{key}'  # production",
    "{upper}={key}",
    "export {upper}={key}",
    'const {camel} = "{key}";',
    '  "{camel}": "{key}",',
    "  {snake}: {key}",
    'client = connect(host, {snake}="{key}", timeout=30)',
    '{upper}: "{key}"',
    "{snake} => '{key}',",
)
_PROSE = (
    "Hi Ana, the {words} for staging is {key} until we rotate it on Friday.",
    "You asked for the {words}: {key}",
    "For the demo the {words} is {key}. Do not pass it on.",
    'I reset it this morning, and the new {words} is "{key}".',
    "{Words}: {key}, valid for thirty days.",
    "Log in with the {words} `{key}` and tell me what you see.",
)
"""Every kind may stand in these, after its name."""

_NAMES: Mapping[str, Sequence[str]] = {
    "aws_access_key": ("aws access key id", "access key id"),
    "aws_secret_key": ("aws secret access key", "aws secret key", "secret access key"),
    "github_token": ("github token", "gh token"),
    "gitlab_token": ("gitlab token", "ci token"),
    "slack_token": ("slack token", "bot token"),
    "google_api_key": ("google api key", "maps key"),
    "stripe_key": ("stripe key", "payment key"),
    "model_service_key": ("model key", "inference token"),
    "registry_token": ("registry token", "publish token"),
    "messaging_key": ("mail key", "messaging key"),
    "service_token": ("service token", "deploy token"),
    "jwt": ("session token", "login token"),
    "password_assignment": ("db password", "password", "smtp password", "root password", "admin passwd"),
    "generic_api_key": ("api key", "client secret", "auth token", "access token", "weather api key"),
}
_AROUND_CODE: Mapping[str, Sequence[str]] = {
    "private_key": (
        "-----BEGIN {pem}-----\n{key}\n-----END {pem}-----\n",
        'key = """-----BEGIN {pem}-----\n{key}\n-----END {pem}-----"""',
        '"private_key": "-----BEGIN {pem}-----\\n{key}\\n-----END {pem}-----\\n",',
    ),
    "azure_key": (
        'conn = "DefaultEndpointsProtocol=https;AccountName=logs{n};AccountKey={key};EndpointSuffix=core.windows.net"',
        "BUS=Endpoint=sb://queue{n}.servicebus.windows.net/;SharedAccessKeyName=RootManage;SharedAccessKey={key}",
    ),
    "url_password": (
        'DATABASE_URL = "postgres://app{n}:{key}@db{n}.internal:5432/orders"',
        "git clone https://deploy:{key}@git.acme{n}.org/team/app.git",
        "redis_url: redis://:{key}@cache{n}:6379/0",
    ),
    "connection_password": (
        'var c = new SqlConnection("Server=db{n};Database=orders;User Id=app;Password={key};Encrypt=True");',
        "CONN=Data Source=db{n};Initial Catalog=shop;uid=sa;pwd={key};",
    ),
    "auth_header": (
        "curl -H 'Authorization: Basic {key}' https://api.acme{n}.org/v1/users",
        'headers = {{"Authorization": "Bearer {key}"}}',
    ),
}
_AROUND_PROSE: Mapping[str, Sequence[str]] = {
    "private_key": (
        "Please keep this safe:\n\n-----BEGIN {pem}-----\n{key}\n-----END {pem}-----\n\nand delete the mail.",
    ),
    "azure_key": (
        "Use AccountName=logs{n};AccountKey={key};EndpointSuffix=core.windows.net to read the logs.",
        "The queue answers to SharedAccessKeyName=Root;SharedAccessKey={key} since Monday.",
    ),
    "url_password": (
        "The old database is still at mysql://root:{key}@db{n}.acme.org/shop if you need it.",
        "Open https://ana:{key}@wiki{n}.acme.org/ in a private window.",
    ),
    "connection_password": ("We connect with Server=db{n};User Id=app;Password={key}; and nothing else.",),
    "auth_header": ("Send it with the header Authorization: Bearer {key} and you are in.",),
}
_PEMS = ("RSA PRIVATE KEY", "PRIVATE KEY", "EC PRIVATE KEY", "OPENSSH PRIVATE KEY")


def write_key(kind: str, rng: Rng) -> str:
    """A made-up key of one of KINDS, and nothing around it: what the finder should mark."""
    return _MAKERS[kind](rng)


def in_code(key: str, kind: str, rng: Rng) -> str:
    """A line of code or configuration that holds the key as its kind is written."""
    return _around(key, kind, _AROUND_CODE.get(kind, _CODE), rng)


def in_prose(key: str, kind: str, rng: Rng) -> str:
    """A sentence of a letter or a ticket that holds the key."""
    return _around(key, kind, _AROUND_PROSE.get(kind, _PROSE), rng)


def _around(key: str, kind: str, frames: Sequence[str], rng: Rng) -> str:
    words = _one(rng, _NAMES.get(kind, ("key",)))
    snake = words.replace(" ", "_")
    first, *others = words.split()
    return _one(rng, frames).format(
        key=key,
        words=words,
        Words=words[0].upper() + words[1:],
        snake=snake,
        upper=snake.upper(),
        camel=first + "".join(word.title() for word in others),
        pem=_one(rng, _PEMS),
        n=1 + int(rng.integers(9)),
    )


def look_alike(rng: Rng) -> str:
    """A line in which nothing is secret: digests, identifiers, public keys, keys of a documentation, blanks to be filled in."""
    return _made(rng, *_LOOK_ALIKES)


def _uuid(rng: Rng) -> str:
    return "-".join(_text(rng, _HEX, length) for length in (8, 4, 4, 4, 12))


def _picture(rng: Rng) -> str:
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + rng.bytes(180)).decode()


def _digest(rng: Rng) -> str:
    made = _text(rng, _HEX, (32, 40, 64)[int(rng.integers(3))])
    frames = (
        "sha256: {}",
        "commit {}",
        "index {} in the log",
        'checksum = "{}"',
        "Merge {} into main",
        '"etag": "{}",',
    )
    return _one(rng, frames).format(made)


def _identifier(rng: Rng) -> str:
    frames = ('"request_id": "{}",', "GET /v2/orders/{} HTTP/1.1", "tenant_id = '{}'", "The ticket is {}.", "key: {}")
    return _one(rng, frames).format(_uuid(rng))


def _integrity(rng: Rng) -> str:
    digest = base64.b64encode(rng.bytes(64)).decode()
    frames = ('"integrity": "sha512-{}",', "    --hash=sha256:{}", '<script integrity="sha384-{}" src="a.js">')
    return _one(rng, frames).format(digest)


def _public(rng: Rng) -> str:
    body = _text(rng, _BASE64, 68)
    frames = (
        "ssh-rsa AAAAB3NzaC1yc2E{} ana@desk",
        "-----BEGIN CERTIFICATE-----\nMIID{}\n-----END CERTIFICATE-----",
        'public_key = "-----BEGIN PUBLIC KEY-----\\nMIIB{}\\n-----END PUBLIC KEY-----"',
        'known_hosts_key = "{}"',
    )
    return _one(rng, frames).format(body)


_DOCUMENTED = (
    'aws_access_key_id = "AKIAIOSFODNN7EXAMPLE"',
    "AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "AccountName=devstoreaccount1;AccountKey="
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==;",
    "curl -u sk_test_{} https://api.example.org/v1/charges".format("4eC39HqLyjWDarjtT1zdp7dc"),
    "token = eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiaWF0IjoxNTE2MjM5MDIyfQ."
    "SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c",
)
_BLANKS = (
    'api_key = "YOUR_API_KEY_HERE"',
    "GITHUB_TOKEN=ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    "password: ${DB_PASSWORD}",
    'auth_token = os.environ["AUTH_TOKEN"]',
    "client_secret: {{ vault.client_secret_v2 }}",
    "api_key = '0123456789abcdef0123456789abcdef'",
    "postgres://user:password@localhost:5432/app",
    "https://example.org:8080/@scope/package@1.2.3",
    'password = getpass.getpass("Password for 2 users: ")',
    "secret_key = hashlib.sha256(seed).hexdigest()[:16]",
    "Authorization: Bearer <your-access-token-1>",
    "SLACK_TOKEN=xoxb-000000000000-000000000000-xxxxxxxxxxxxxxxxxxxxxxxx",
    'PASSWORD_HASHER = "django.contrib.auth.hashers.PBKDF2PasswordHasher"',
    "The password must hold at least 12 characters, 2 of them digits.",
    "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----",
    "next_page_token: the value that the last call returned, see section 4.2.1",
    "The secret is out: Table9 has the key, and token 4096 is the last.",
    "AIzaSyXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX",
    "Pass: see the pass word list of 1914-18; passport no. on request.",
)
_LOOK_ALIKES: tuple[Maker, ...] = (
    _digest,
    _identifier,
    _integrity,
    _public,
    lambda rng: f'<img src="data:image/png;base64,{_picture(rng)}">',
    lambda rng: f"{_picture(rng)}",
    lambda rng: f'publishable = "pk_live_{_text(rng, _ALNUM, 24)}"',
    lambda rng: f'cache_key = "{_text(rng, _HEX, 32)}"',
    lambda rng: f"password_hash = '{_text(rng, _HEX, 64)}'",
    lambda rng: _one(rng, _DOCUMENTED),
    lambda rng: _one(rng, _BLANKS),
    lambda rng: _one(rng, _BLANKS),
)
