"""What is no policy file is refused in one line, and nothing in one can do more than be refused."""

import os
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from carto_audit.policy.metrics import METRICS
from carto_audit.policy.model import load_policy
from carto_audit.runtime.errors import UsageError
from carto_audit.runtime.resources import resource_folder
from tests.support.policy_texts import HEAD, MAP, WHOLE, refusal, writer


@pytest.fixture
def write(tmp_path):
    return writer(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "policy.yaml:1:1: the file is empty; start with schema_version: 1"),
        (b"# only a comment\n", "policy.yaml:1:1: the file is empty; start with schema_version: 1"),
        (
            b"- 1\n",
            "policy.yaml:1:1: the file must be a mapping of keys at the top level; start with schema_version: 1",
        ),
        (
            b"just text",
            "policy.yaml:1:1: the file must be a mapping of keys at the top level; start with schema_version: 1",
        ),
        (b"\x89PNG\r\n\x1a\n\xff", "policy.yaml: not UTF-8 text; a policy is a YAML file saved as UTF-8"),
        (b"[" * 20_000, "policy.yaml: nested too deeply"),
        (b"a: " + b"[b," * 20_000, "policy.yaml: nested too deeply"),
        (b"a:\n" + b"- " * 20_000, "policy.yaml: nested too deeply"),
        (b"a: 1\n---\na: 2\n", "policy.yaml:2:1: not valid YAML: but found another document"),
    ],
)
def test_a_file_that_is_no_policy_is_refused_in_one_line(write, content, message):
    assert refusal(write(content)) == [message]


def test_a_byte_order_mark_and_windows_line_ends_are_fine(write):
    assert load_policy(write(b"\xef\xbb\xbf" + WHOLE.replace("\n", "\r\n").encode())).name == "test"


def test_an_enormous_file_is_refused_unread(tmp_path):
    path = tmp_path / "policy.yaml"
    with path.open("wb") as stream:
        stream.truncate(100_000_000)
    assert refusal(path) == ["policy.yaml: cannot read the policy: larger than 256 KB; is this a policy?"]


def test_a_folder_and_a_pipe_are_no_policies(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert refusal(tmp_path / "pipe") == ["pipe: cannot read the policy: not a regular file"]
    assert refusal(tmp_path)[0].endswith("cannot read the policy: not a regular file")


def test_alias_bombs_are_refused(write):
    levels = "".join(f"l{i + 1}: &l{i + 1} [{', '.join([f'*l{i}'] * 9)}]\n" for i in range(30))
    assert any("aliases (*name) are not allowed" in line for line in refusal(write("l0: &l0 [x]\n" + levels)))
    merges = "".join(f"l{i + 1}: &l{i + 1}\n  <<: [{', '.join([f'*l{i}'] * 9)}]\n" for i in range(30))
    assert any("merge keys (<<) are not allowed" in line for line in refusal(write("l0: &l0 {x: 1}\n" + merges)))


def test_a_value_cannot_contain_itself(write):
    assert refusal(write(WHOLE + "waivers: &w [*w]\n"))


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("strikt", 'did you mean "strict"?'),
        ("nothing/like.it", "built in are default, exploratory"),
        ("\x00", "built in"),
    ],
)
def test_an_unknown_policy_is_answered_with_the_nearest_name(name, hint):
    assert hint in refusal(name)[0]


def test_names_and_values_from_a_policy_reach_the_message_harmless(write):
    lines = refusal(write(HEAD + MAP + 'rules: []\n"\\e[31m\\u202E::error::\\n": 1\n'))
    assert lines == ["policy.yaml:7:1: [31m::error::: unknown key"]


# Properties


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("policies") / "policy.yaml"


def loads_or_refuses(path, text):
    """Whether it loads; anything but a policy or a UsageError with a well-formed text fails the test."""
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    try:
        load_policy(path)
    except UsageError as error:
        for line in str(error).split("\n"):
            assert line.startswith(f"{path}:")
            assert line.isprintable()
        return False
    return True


BASE = (resource_folder("policies") / "default.yaml").read_text()
YAMLISH = st.text(st.sampled_from(list("ab1.:-[]{}&*!|>'\"%@`#,?~<=\n\t \\/0exnN_é\u2028\x00\x1b")), max_size=60)
SNIPPETS = st.sampled_from(
    [
        "- ",
        "? ",
        ": ",
        "<<: ",
        "*a",
        "&a ",
        "!!int ",
        "!!set ",
        "!!omap ",
        "!!timestamp ",
        "%YAML 1.1\n---\n",
        "...\n",
        "0o7",
        "0x",
        "1e5",
        ".nan",
        "12:30",
        "2027-01-01",
        "=",
        "null",
        "~",
        "|+\n",
        ">-2\n",
        "extends: default\n",
        "\r",
    ]
)


@settings(deadline=None, max_examples=300)
@given(st.one_of(YAMLISH, st.lists(st.one_of(YAMLISH, SNIPPETS), max_size=12).map("".join), st.text(), st.binary()))
@example("!!binary x")
@example("? {a: 1}\n: 2")
@example("%YAML 1.1\n---\na: 12:30")
def test_no_text_does_anything_but_load_or_be_refused(scratch, text):
    assert not loads_or_refuses(scratch, text)


@settings(deadline=None, max_examples=150)
@given(st.integers(0, len(BASE)), st.integers(0, 12), st.one_of(YAMLISH, SNIPPETS))
def test_damaging_a_policy_anywhere_is_survived(scratch, start, cut, insert):
    loads_or_refuses(scratch, BASE[:start] + insert + BASE[start + cut :])


KEYS = list(re.finditer(r"^(?!#)[ -]*(\w+):|[{,] ?(\w+):", BASE, re.MULTILINE))
LETTERS = st.sampled_from("abcdefghijklmnopqrstuvwxyz_0")


@settings(deadline=None, max_examples=150)
@given(st.sampled_from(KEYS), st.data())
def test_a_mistyped_key_never_passes(scratch, match, data):
    group = 1 if match[1] else 2
    key = match[group]
    at = data.draw(st.integers(0, len(key) - 1))
    letter = data.draw(LETTERS)
    typo = data.draw(
        st.sampled_from([key[:at] + letter + key[at:], key[:at] + letter + key[at + 1 :], key[:at] + key[at + 1 :]])
    )
    if typo and typo != key:
        assert not loads_or_refuses(scratch, BASE[: match.start(group)] + typo + BASE[match.end(group) :])


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(sorted(METRICS)), st.data())
def test_a_mistyped_metric_never_passes(scratch, name, data):
    at = data.draw(st.integers(0, len(name) - 1))
    typo = name[:at] + data.draw(LETTERS) + name[at + 1 :]
    if typo not in METRICS:
        text = HEAD + MAP + f"rules: [{{id: a, metric: {typo}, max: 0.5, severity: warn, reason: r}}]\n"
        assert not loads_or_refuses(scratch, text)
