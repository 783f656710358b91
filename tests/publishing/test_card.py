import json
import re

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from carto_audit.publishing.card import bar, card_entry, card_section
from carto_audit.publishing.public_report import public_facts
from carto_audit.publishing.readme_section import BEGIN, END, splice
from carto_audit.report.markdown_text import code, inert
from tests.support.audits import FRAGMENTS
from tests.support.report_facts import make_facts

PARSER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])


def public(**changes):
    return public_facts(make_facts() | changes, "ab" * 32)


def blocks(text):
    """The structure of a Markdown text: every block and inline token but words and code, with where links lead."""
    found = []
    for token in PARSER.parse(text):
        found.append(token.type)
        for inner in token.children or ():
            if inner.type not in ("text", "code_inline", "softbreak", "text_special"):
                found.append((inner.type, inner.attrs.get("href") or inner.attrs.get("src") or inner.content))
    return found


def words_of(text):
    """What a reader reads, without markup."""
    parts = [token.children or [token] for token in PARSER.parse(text)]
    return "".join(
        inner.content for part in parts for inner in part if inner.type in ("text", "code_inline", "text_special")
    )


def test_a_reader_finds_verdict_map_quadrants_contamination_power_method_limits_and_how_to_verify():
    text = card_section(public())
    said = words_of(text)
    assert [line for line in text.splitlines() if line.startswith("#")] == [
        "## Data audit", "### What decided the verdict", "### The map", "### Benchmark contamination",
        "### Detection power", "### Method", "### Limits", "### Check it yourself",
    ]  # fmt: skip
    assert "> ### ⛔ Rejected" in text
    assert "2 rules of the policy “default” reject the batch." in said
    assert ("image", ".carto-audit/map.png") in blocks(text)
    assert (
        "| **Memorized hotspot**<br>easy because memorized: extraction risk | ▰▰▱▱▱▱▱▱▱▱" not in text
    )  # 8 % is one of ten
    assert "▰▱▱▱▱▱▱▱▱▱ | **8.2 %** | 7.8\u00a0–\u00a08.5\u00a0% | 167 | downweight\u00a0×\u00a00.5 |" in text
    assert "| `orchard_math` | 40 | 95.0 % | **3** in 3 rows | 1 | 35 |" in text
    assert "| `orchard_reading` | 120 | 100.0 % | 0 | 0 | 120 |" in text
    assert "2 confirmed rows (0.2 % of the tokens) lie in the memorized hotspot as well" in said
    found, rank = (
        text.index("| 4 times, what the policy asks | **34** of 36 | 83 % |"),
        text.index("An AUC of 1 is perfect"),
    )
    assert found < rank < text.index("| 4 times | random secrets inside other text | 0.93 |")
    assert "| ➖ waived by data-governance |" in text
    assert "carto-audit verify .carto-audit BATCH" in text
    for digest in ("3b" * 32, "9f" * 32, "ab" * 32):
        assert f"`{digest}`" in text


STATES = ("accepted", "accepted_with_warnings", "rejected", "inconclusive")


@pytest.mark.parametrize("status", STATES)
def test_every_verdict_has_its_sign_and_word(status):
    facts = public(verdict={"status": status, "exit_code": 0, "complete": True})
    first = card_section(facts).splitlines()[2]
    assert first == {
        "accepted": "> ### ✅ Accepted",
        "accepted_with_warnings": "> ### ⚠️ Accepted with warnings",
        "rejected": "> ### ⛔ Rejected",
        "inconclusive": "> ### ❔ Inconclusive",
    }[status]  # fmt: skip
    assert card_entry(facts)["verdict"] == status


def test_what_was_not_looked_for_is_not_called_clean():
    facts = public()
    facts["contamination"] |= {"benchmarks": [], "drop_first": None}
    facts["detection"] |= {"scores": {}, "found": []}
    text = card_section(facts)
    assert "Not checked: no benchmark was given. Nothing is said about evaluation sets in this batch." in text
    assert "so the detection power of this audit is unknown" in text


def test_the_entry_is_flat_and_says_what_was_audited_by_what():
    assert card_entry(public()) == {
        "schema_version": 1,
        "verdict": "rejected",
        "complete": True,
        "policy": "default",
        "policy_sha256": "9f" * 32,
        "batch_sha256": "3b" * 32,
        "audited_at": "2026-03-01T10:00:00+00:00",
        "tool_version": "0.1.0",
        "report": ".carto-audit/report.json",
    }


HOSTILE = (
    *FRAGMENTS,
    "`code` ``two`` |cell| [link](https://x.example) ![image](https://x.example/i.png) <https://x.example>",
    f"\n{END}\n{BEGIN}\n---\n# heading\n- item\n1. one\n> quote\n```\nfence\n",
    "](x) **bold** __b__ ~~s~~ $$m$$ &lt;b&gt; &#60; \\` \\",
    "1. one", "- item", "# heading", "=====", "+ x", "[x]: https://x.example", "<!-- carto-audit:end -->", "-->", " ", "",
)  # fmt: skip


def dressed(text):
    """Public facts with this text wherever a vendor, a benchmark or a policy may choose one."""
    facts = make_facts()
    facts["batch"] |= {"paths": [text, f"x/{text}"], "text_column": text, "id_column": text}
    for benchmark in facts["contamination"]["benchmarks"]:
        benchmark["name"] = text
    for finding in facts["findings"]:
        finding |= {"rule": text, "reason": f"why {text}", "waived_by": text if finding["waived_by"] else None}
    facts["policy"]["name"] = text
    facts["warnings"] = [f"note {text}"]
    facts["detection"]["warnings"] = [f"note {text}"]
    return public_facts(facts, "ab" * 32)


PLAIN = blocks(card_section(dressed("harmless")))


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_change_no_block_link_picture_or_tag_of_the_card(text):
    assert blocks(card_section(dressed(text))) == PLAIN


@settings(max_examples=60)
@given(
    st.text(max_size=40)
    | st.lists(st.sampled_from([*"`|[]()<>!#*_~\\$&-=+.:1 \n\r\t", *HOSTILE[-6:]]), max_size=12).map("".join)
)
def test_no_name_changes_a_block_link_picture_or_tag_of_the_card(text):
    facts = dressed(text)
    section = card_section(facts)
    assert blocks(section) == PLAIN
    readme = splice("# Title\n", section, card_entry(facts), "README.md")
    assert splice(readme, section, card_entry(facts), "README.md") == readme
    assert re.findall(rf"^ *({BEGIN}|{END})$", readme, re.M) == [BEGIN, END]
    entry = yaml.safe_load(readme.split("\n---\n")[0].removeprefix("---\n"))["carto_audit"]
    assert entry == card_entry(facts) | {"audited_at": "2026-03-01T10:00:00+00:00"}
    json.dumps(entry)


@given(st.text(max_size=60))
def test_inert_words_read_as_they_were_written(text):
    from carto_audit.text.untrusted import safe_inline

    read = " ".join(words_of(f"x {inert(text, 600)}").split())
    assert read == " ".join(f"x {safe_inline(text, 600)}".replace("|", "¦").split())


def test_a_name_in_code_reads_as_it_was_written_but_for_what_would_end_it():
    assert code("a_b*c") == "`a_b*c`"
    assert code("a`b|c") == "``a`b¦c``"
    assert code("`a") == "`` `a ``"
    assert code("\u200b \n") == "–"


@pytest.mark.parametrize(("share", "shown"), [(None, 0), (0, 0), (0.04, 0), (0.06, 1), (0.5, 5), (1, 10), (1.2, 10)])
def test_a_bar_shows_tenths(share, shown):
    assert bar(share) == "▰" * shown + "▱" * (10 - shown)
