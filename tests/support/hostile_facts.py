"""Facts of an audit with hostile text wherever a vendor, a policy's author or a file's name may have put it."""

import copy

from hypothesis import strategies as st

from tests.support.report_facts import make_facts

FRAGMENTS = (
    "\x00\x1b[31m\x07",
    "]]>",
    "<!--",
    "</failure><testcase/>",
    "::error::stop",
    "::stop-commands::x",
    "##[error]stop",
    "\n::set-output name=a::b\n",
    "%0A::error::x",
    "%25",
    "a | b | c\n| --- |",
    "`",
    "```\n",
    "``",
    "\\",
    "\\`",
    "\\|",
    "](https://evil.example/)",
    "![x](https://evil.example/x.png)",
    "<img src=x onerror=alert(1)>",
    "&lt;b&gt;",
    "@octocat",
    "a@b.example",
    "www.evil.example",
    "https://evil.example",
    "#1",
    "GH-1",
    "!1",
    "~label",
    "%milestone",
    ":tada:",
    "deadbeefdeadbeef",
    "**bold**",
    "__init__",
    "1. one",
    "- one",
    "# head",
    "---",
    "=====",
    "/close",
    "{0} {{x}}",
    "\u202eRTL\u2066\u200b",
    "\ud800",
    "\udfff",
    "\ufffe\uffff",
    "\u2028\u2029\x85",
    "ﬀ́ é",
    "../../etc/passwd",
    "/abs/olute.yaml",
    "C:\\win.yaml",
    "javascript:alert(1)",
    "x" * 3000,
)

hostile_text = st.one_of(
    st.lists(st.sampled_from(FRAGMENTS), max_size=4).map("".join),
    st.text(st.characters(), max_size=40),
    st.tuples(
        st.text(st.characters(), max_size=6), st.sampled_from(FRAGMENTS), st.text(st.characters(), max_size=6)
    ).map("".join),
)
"""Fragments that some sink takes for an instruction, alone and inside any text, lone surrogates included."""

WAIVER = {"rule": "noise", "owner": "data-governance", "reason": "logs are wanted here", "expires": "2026-06-30"}
OUTCOMES = ("passed", "failed", "not_measured", "underpowered", "unread", "waived")


def slim_facts():
    """The facts without samples, matches and the other scores' power, which no CI format shows."""
    facts = make_facts()
    facts["detection"]["scores"] = {"memorized": {"random": facts["detection"]["scores"]["memorized"]["random"]}}
    facts["riskiest"], facts["contamination"]["matches"] = [], []
    facts["policy"]["resolved"]["waivers"] = [dict(WAIVER)]
    return facts


_BASE = slim_facts()


@st.composite
def hostile_facts(draw):
    """Facts of which every text that we did not write ourselves is drawn, and every outcome."""
    facts = copy.deepcopy(_BASE)

    def text():
        return draw(hostile_text)

    owner, rule = text(), text()
    facts["findings"] = [_finding(draw, text, rule, owner) for _ in range(draw(st.integers(0, 4)))]
    facts["policy"]["resolved"]["waivers"] = [{"rule": rule, "owner": owner, "reason": text(), "expires": text()}]
    facts["policy"] |= {"name": text(), "sha256": text()}
    facts["batch"] |= {"paths": [text() for _ in range(draw(st.integers(0, 2)))], "sha256": text()}
    facts["batch"]["skipped"] = [{"reason": text(), "explanation": text(), "rows": 1, "examples": []}]
    facts["warnings"] = [text(), f"notice: {text()}"]
    facts["detection"]["warnings"] = [text() for _ in range(draw(st.integers(0, 12)))]
    facts["tool"]["version"] = text()
    facts["run"]["started_at"] = text()
    for benchmark in facts["contamination"]["benchmarks"]:
        benchmark["name"] = text()
    return facts


def _finding(draw, text, rule, owner):
    outcome = draw(st.sampled_from(OUTCOMES))
    return {
        "rule": draw(st.sampled_from([rule, "hotspot-mass"])),
        "metric": draw(st.sampled_from(["contamination.confirmed_items", "duplicates.token_share", "unknown.metric"])),
        "observed": None if outcome == "not_measured" else draw(st.floats(0, 1)),
        "limit": 0.5,
        "bound": draw(st.sampled_from(["max", "min"])),
        "severity": draw(st.sampled_from(["reject", "warn"])),
        "outcome": outcome,
        "reason": text(),
        "explanation": text(),
        "waived_by": owner if outcome == "waived" else None,
        "file": draw(st.one_of(st.none(), hostile_text)),
        "line": draw(st.one_of(st.none(), st.integers(-1, 99))),
        "column": draw(st.one_of(st.none(), st.integers(0, 99))),
        "subject": draw(st.one_of(st.none(), hostile_text)),
    }
