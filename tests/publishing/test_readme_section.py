import re

import pytest
import yaml
from huggingface_hub.repocard import REGEX_YAML_BLOCK
from hypothesis import example, given
from hypothesis import strategies as st

from carto_audit.publishing.readme_section import BEGIN, END, KEY, splice
from carto_audit.runtime.errors import UsageError

SECTION = "## Data audit\n\nAll well.\n"
ENTRY = {"verdict": "accepted", "complete": True, "rows": 12, "policy": 'a "quoted": # name', "none": None}

FRAGMENTS = (
    "---\n", "---\r\n", "---", "\n", "\r\n", "\r", "\ufeff", "# Title\n", "text", " ", "  ", "\t", "license: mit\n",
    "tags:\n- a\n- b\n", "tags:\n  - a # why\n", "configs: [{a: 1,\n b: 2}]\n", "note: |+\n  kept\n\n", "# a comment\n",
    "&a x: *a\n", f"{KEY}:\n", f"{KEY}: 1\n", f"{KEY}: [a,\nb]\n", "  verdict: old\n", "- item\n", "...\n", "? x\n: y\n",
    f"{BEGIN}\n", f"{END}\n", f"{BEGIN}\r\n", f"{END}\r\n", f"`{BEGIN}`\n", f"    {BEGIN}\n", "\x85", "\u2028", "\x0c", "é",
    "'single'", '"double\n quoted": 1\n', "!!python/object:x {}\n", "%YAML 1.2\n", "```\n",
)  # fmt: skip
PIECES = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=6), max_size=14).map("".join)
FRONTS = st.lists(st.sampled_from(FRAGMENTS[12:31]), max_size=6).map(lambda lines: f"---\n{''.join(lines)}---\n")
READMES = st.builds(lambda front, body, newline: (front + body).replace("\n", newline),
                    st.just("") | FRONTS, PIECES, st.sampled_from(["\n", "\r\n", "\r"]))  # fmt: skip


def outside(text):
    """The bytes before, between and after what is ours, found without the code under test."""
    opening = re.match(r"\ufeff?\s*---[\r\n]", text)
    closing = opening and re.compile(r"(?<=[\r\n])---[ \t]*(?:[\r\n]|\Z)").search(text, opening.end())
    end = closing.start() if closing else 0
    return "".join(lines_of_others(text[:end])) + without_section(text[end:])


def without_section(body):
    lone = r"(?:\A|(?<=[\r\n])) {{0,3}}{}(?=[ \t]*(?:[\r\n]|\Z))"
    begin, end = (re.search(lone.format(re.escape(marker)), body) for marker in (BEGIN, END))
    return body[: begin.start()] + body[end.end() :] if begin and end else body


def lines_of_others(front):
    """The lines of a front matter but those of our key; blank lines below it are not its own."""
    blank, ours = [], None
    for line in re.findall(r"[^\r\n]*(?:\r\n|\n|\r)", front):
        indent = len(line) - len(line.lstrip(" "))
        if ours is not None and not line.strip():
            blank.append(line)
        elif ours is not None and indent > ours:
            blank.clear()
        elif re.match(rf" *{KEY}:", line):
            ours = indent
        else:
            yield from [*blank, line]
            blank, ours = [], None
    yield from blank


def spliced(text):
    """The README with the card, or None and why it was refused."""
    try:
        return splice(text, SECTION, ENTRY, "README.md"), ""
    except UsageError as error:
        return None, str(error)


@given(READMES)
@example("")
@example("# Title")
@example("---")
@example("---\nlicense: mit\n---")
@example("\ufeff---\r\nnote: |+\r\n  kept\r\n\r\n---\r\ntext\r\n")
@example(f"---\n{KEY}: {{a: 1}}\n\n# comment\ntags: [x]\n---\n{BEGIN}\nold\n{END}\nafter")
def test_everything_else_stays_byte_for_byte_and_twice_is_once(text):
    made, refused = spliced(text)
    if made is None:
        assert refused.startswith("README.md: ")
        assert len(refused.splitlines()) == 1
        return
    assert splice(made, SECTION, ENTRY, "README.md") == made
    before, after = outside(text), outside(made)
    # A front matter made new adds its two lines of dashes, and a section made new a blank line above it.
    fresh = re.fullmatch(r"(\ufeff?)---(\r\n|\n|\r)---\2\2(.*)", after, re.S)
    if fresh and not re.match(r"\s*---[\r\n]", before.removeprefix("\ufeff")):
        after = fresh[1] + fresh[3]
    assert after.startswith(before)
    assert after[len(before) :].strip("\r\n") == ""


@given(FRONTS, PIECES)
def test_the_hub_reads_our_key_and_all_that_it_read_before(front, body):
    made, _ = spliced(front + body)
    if made is None:
        return
    found = REGEX_YAML_BLOCK.search(made)
    assert found is not None
    try:
        before = yaml.safe_load(front[4:-4]) or {}
    except yaml.YAMLError:  # what YAML 1.1 refuses was not readable before either
        return
    after = yaml.safe_load(found[2] + "\n")
    assert after.pop(KEY) == ENTRY
    before.pop(KEY, None)
    assert after == before
    assert list(after) == list(before)


BROKEN = {
    "two beginnings": (f"a\n{BEGIN}\n{BEGIN}\n{END}\n", "broken markers in lines 2, 3, 4; leave one"),
    "no end": (f"{BEGIN}\ntext\n", "broken markers in line 1; leave one"),
    "no beginning": (f"---\na: 1\n---\ntext\n{END}", "broken markers in line 5; leave one"),
    "the wrong way round": (f"{END}\r\n{BEGIN}\r\n", "broken markers in lines 1, 2; leave one"),
    "never closed": ("---\nlicense: mit\n", "the front matter is opened by --- and never closed"),
    "no YAML": ("---\na: [1\nb: 2\n---\n", "the front matter is no valid YAML in line 3"),
    "control characters": ("---\na: \x00\n---\n", "the front matter is no valid YAML"),
    "a list": ("---\n- a\n---\n", "the front matter is no list of keys, a line each"),
    "a flow mapping": ("---\n{a: 1}\n---\n", "the front matter is no list of keys, a line each"),
    "a word": ("---\nHello\n---\n", "the front matter is no list of keys, a line each"),
    "our key twice": (f"---\n{KEY}: 1\n{KEY}: 2\n---\n", f"the front matter holds {KEY} 2 times"),
    "our key explicit": (f"---\n? {KEY}\n: 2\n---\n", "does not start its line"),
    "our key with a list below": (f"---\n{KEY}:\n- a\n---\n", "cannot be put in without harm"),
    "an anchor in our key": (f"---\n{KEY}: &a 1\nb: *a\n---\n", "cannot be put in without harm"),
    "a document end": ("---\na: 1\n...\n---\n", "cannot be put in without harm"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_cannot_take_the_card_is_refused_with_the_place(name):
    text, words = BROKEN[name]
    with pytest.raises(UsageError, match=re.escape(words)):
        splice(text, SECTION, ENTRY, "README.md")


def test_markers_inside_a_line_or_indented_as_code_are_text():
    text = f"Use `{BEGIN}` and `{END}`.\n\n    {BEGIN}\n"
    assert splice(text, SECTION, ENTRY, "README.md").endswith(f"{text}\n{BEGIN}\n\n{SECTION}\n{END}\n")


def test_an_older_card_is_replaced_where_it_stands():
    once = splice("---\ntags: [a]\n---\nabove\n", "old", {"verdict": "rejected"}, "R")
    text = once.replace("tags: [a]\n", "").replace("\n---\nabove", "\ntags: [a]\n---\nabove") + "below"
    made = splice(text, "new", {"verdict": "accepted"}, "R")
    assert made == text.replace("old", "new").replace("rejected", "accepted")


def test_an_indented_front_matter_keeps_its_margin():
    made = splice("---\n  license: mit # why\n---\n", SECTION, {"n": 1}, "R")
    assert made.startswith(f"---\n  license: mit # why\n  {KEY}:\n    n: 1\n---\n")


def test_an_alias_bomb_is_carried_not_built():
    lines = [f"k{i + 1}: [{', '.join([f'*a{i}'] * 9)}]".replace(": ", f": &a{i + 1} ", 1) for i in range(30)]
    front = "\n".join(["k0: &a0 x", *lines])
    assert f"{front}\n{KEY}:" in splice(f"---\n{front}\n---\n", SECTION, ENTRY, "R")


def test_a_front_matter_nested_without_end_is_refused_at_once():
    text = f"---\na: {'[' * 20_000}{']' * 20_000}\n---\n# Set\n"
    with pytest.raises(UsageError, match="nested more than 100 deep"):
        splice(text, "section", {"schema_version": 1}, "README.md")
