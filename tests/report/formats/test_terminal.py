import io
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from carto_audit.artifacts.audit_call import AuditCall
from carto_audit.report.formats import terminal as console_module
from carto_audit.report.formats.terminal import RichProgress, open_console, planted_table, render_summary
from tests.report.test_html import HOSTILE, poisoned
from tests.support.report_facts import REMEDIES, make_facts

OURS = ("│", "|", "╭", "╰", "+", ">", "✖", "✔", "▲", "?", "x", "!", "·")


def _console(width=100, **options):
    return Console(file=io.StringIO(), width=width, **options)


def _summary(facts, width=100):
    console = _console(width)
    render_summary(facts, Path("vendor_batch-audit"), console)
    return console.file.getvalue()


def test_the_summary_is_one_screen_with_verdict_reasons_masses_and_files():
    text = _summary(make_facts())
    for words in (
        "REJECTED",
        "vendor_batch.parquet",
        "hotspot-mass",
        "8.2 %, at most 2.0 %",
        "Memorized hotspot",
        "68.8 %",
    ):
        assert words in text
    for words in ("3 confirmed and 1 suspected", "118 exact", "5 null, 7 empty", "vendor_batch-audit/report.html"):
        assert words in text
    assert len(text.splitlines()) <= 54


def test_what_would_help_is_said_and_the_summary_stays_one_screen():
    facts = make_facts()
    assert "More power" not in _summary(facts)
    facts["detection"]["remedies"] = REMEDIES
    text = _summary(facts)
    for remedy in REMEDIES:
        assert remedy in text
    assert len(text.splitlines()) <= 54


@pytest.mark.parametrize("status", ["accepted", "accepted_with_warnings", "rejected", "inconclusive"])
def test_each_verdict_is_a_word_not_only_a_colour(status):
    facts = make_facts()
    facts["verdict"]["status"] = status
    assert status.replace("_", " ").upper() in _summary(facts)


@pytest.mark.parametrize("width", [40, 80, 200])
@pytest.mark.parametrize("poison", [*HOSTILE, "[/bold][red]", "##[error]x", "a\n::error::x"])
def test_hostile_text_never_starts_a_line_or_controls_the_terminal(poison, width):
    text = _summary(poisoned(make_facts(), poison), width)
    assert not set("\x00\x07\x1b\u202e\u2066\u200b") & set(text)
    assert "::error" not in text
    assert "##[" not in text
    lines = [line for line in text.splitlines() if line.strip()]
    assert all(line.startswith((*OURS, "  2 rules", "  0 rules")) or "rules of the policy" in line for line in lines)


def test_the_summary_draws_the_map_and_says_what_to_run_next():
    text = _summary(make_facts())
    assert "8.2 % Memorized hotspot" in text
    assert "◂ secret ×4" in text
    assert _commands(text)[0].startswith("carto-audit apply vendor_batch-audit --remove hotspot_memorized")
    assert "hotspot-mass from 8.2 % to 0.0 %" in " ".join(text.replace("│", " ").split())
    assert "downweight × 0.5: memorized hotspot and noisy outlier" in " ".join(text.replace("│", " ").split())
    wide = _summary(make_facts(), 160)
    assert "33,415" in wide
    assert len(wide.splitlines()) <= 54


def _commands(text):
    return [line[len("> Next     ") :] for line in text.splitlines() if line.startswith(("> Next ", "> Then "))]


def test_the_commands_stand_on_lines_that_can_be_copied_whole():
    call = AuditCall(
        batch=("in/a b.parquet",), policy="ours.yaml", benchmarks=("sets/" + "x" * 90 + ".jsonl",), out="/a b-audit"
    )
    console = _console(60)
    render_summary(make_facts(), Path("/a b-audit"), console, call=call)
    apply, ingest = _commands(console.file.getvalue())
    assert shlex.split(apply)[:4] == ["carto-audit", "apply", "/a b-audit", "in/a b.parquet"]
    given = ["--policy", "ours.yaml", "--benchmark", call.benchmarks[0], "--out", "/a b-curated-audit"]
    assert shlex.split(ingest) == ["carto-audit", "ingest", "/a b-curated/curated", *given]


@pytest.mark.parametrize("status", ["accepted", "accepted_with_warnings"])
def test_what_passed_leads_to_the_card(status):
    facts = make_facts()
    facts["verdict"]["status"], facts["findings"] = status, []
    assert _commands(_summary(facts)) == ["carto-audit card vendor_batch-audit --readme README.md"]


def test_quiet_leaves_the_verdict_and_the_report():
    console = _console()
    render_summary(make_facts(), Path("out"), console, quiet=True)
    first, second = console.file.getvalue().splitlines()
    assert "REJECTED  vendor_batch.parquet" in first
    assert second == "> Report   out/report.html"


def test_ascii_streams_get_an_ascii_map():
    stream = io.BytesIO()
    console = Console(file=io.TextIOWrapper(stream, encoding="ascii", errors="replace"), width=100)
    render_summary(make_facts(), Path("out"), console)
    console.file.flush()
    text = stream.getvalue().decode()
    assert "< secret x4" in text
    assert "####" in text


@pytest.mark.parametrize("variable", ["FORCE_COLOR", "CI"])
def test_a_log_file_gets_no_moving_bars_whatever_is_forced(monkeypatch, capsys, variable):
    monkeypatch.setenv(variable, "1")
    console = open_console()
    with RichProgress(console).task("Training", 10, "tokens") as advance:
        advance(10)
    out = capsys.readouterr().out
    assert "Training: 10 tokens in" in out
    assert "\r" not in out
    assert "\x1b[?25l" not in out


def test_a_sign_of_life_says_how_long_it_will_take(monkeypatch):
    console = _console()
    monkeypatch.setattr(console_module, "_HEARTBEAT", -1.0)
    clock = iter((0.0, 30.0, 30.0, 40.0, 40.0))
    monkeypatch.setattr(console_module.time, "monotonic", lambda: next(clock))
    with RichProgress(console).task("Training", 100, "tokens") as advance:
        advance(25)
    assert "· Training: 25 %, about 0:01:30 left" in console.file.getvalue()


def test_markup_in_data_is_shown_not_obeyed():
    facts = make_facts()
    facts["findings"][1]["reason"] = "[/bold] and [red]"
    assert "[/bold] and [red]" in _summary(facts)


def test_a_path_is_never_broken():
    console = _console(40)
    folder = Path("/some") / ("long-name-" * 12)
    render_summary(make_facts(), folder, console)
    assert str(folder / "report.html") in console.file.getvalue()


def test_without_a_terminal_each_stage_is_one_plain_line():
    console = _console()
    progress = RichProgress(console)
    with progress.task("Training two proxies", 100, "tokens") as advance:
        advance(60)
        advance(40)
    with progress.task("Reading"):
        pass
    progress.note("::warning::[/bold]\x1b[31m")
    lines = console.file.getvalue().splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("· Training two proxies: 100 tokens in ")
    assert lines[1].startswith("· Reading: ")
    assert lines[2] == "· : :warning: :[/bold][31m"


def test_on_a_terminal_stages_may_overlap_and_end_in_any_order():
    console = _console(force_terminal=True, force_interactive=True)
    progress = RichProgress(console)
    with progress.task("first", 10) as first, progress.task("second") as second:
        second(3)
        first(4)
    with progress.task("third", 0) as third:
        third(0)
    text = console.file.getvalue()
    assert all(name in text for name in ("first", "second", "third"))
    assert "100%" in text


def test_an_error_inside_a_stage_leaves_the_terminal_usable():
    console = _console(force_terminal=True, force_interactive=True)
    with pytest.raises(ValueError, match="lost"), RichProgress(console).task("training", 10):
        raise ValueError("lost")
    assert console.file.getvalue().rstrip().endswith("\x1b[?25h")


def test_the_demo_table_shows_planted_beside_flagged_and_expected():
    console = _console()
    planted_table([("canaries, dose 4", 1200, 12, "nine in ten", "map"), ("[/x]", 8, 6, "all", "duplicates")], console)
    text = console.file.getvalue()
    assert "canaries, dose 4" in text
    assert "1,200" in text
    assert "nine in ten" in text
    assert "[/x]" in text


def test_what_the_verdict_warns_of_is_said_in_full():
    facts = make_facts() | {"warnings": ["the waiver of x by y expired\x1b[31m"] * 9}
    shown = [line for line in _summary(facts, width=200).splitlines() if "the waiver of x by y expired[31m" in line]
    assert len(shown) == 6


def test_the_summary_loads_no_plotting_library():
    program = (
        "import sys, carto_audit.report.formats.terminal, carto_audit.report.formats.render, carto_audit.report.html; "
    )
    program += "sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], timeout=120).returncode == 0
