import pytest

from carto_audit.report.formats.text_map import PLAIN_SHADES, SHADES, plot_lines
from tests.support.report_facts import make_facts


def shown(facts=None, width=90, **options):
    return [line.plain for line in plot_lines(facts or make_facts(), width, **options)]


def test_the_map_in_characters_has_quadrants_shades_border_ruler_and_axes():
    lines = shown()
    text = "\n".join(lines)
    for words in ("8.2 % Memorized hotspot", "2.4 % Noisy outlier", "68.8 % Stable, easy", "20.6 % Ambiguous, hard"):
        assert words in text
    assert lines[0].startswith(" 1.05 │ 8.2 %")
    assert lines[-1].split()[0] == "└2.5"
    assert "difficulty" in lines[-1]
    assert set(SHADES) <= set(text)
    assert [line for line in lines if line.endswith("◂ secret ×4")]
    border = next(line for line in lines if "┄┄" in line)
    assert "◂ secret ×1" in border


def test_the_border_lies_where_the_threshold_lies():
    facts = make_facts()
    for threshold, row in ((1.04, 1), (0.5, 6), (-0.05, 11)):
        facts["map"]["thresholds"]["memorization"] = threshold
        facts["map"]["grid"]["counts"] = [[0] * 56 for _ in range(11)]
        facts["map"]["grid"]["counts"][0][0] = 1
        lines = shown(facts)
        assert [y for y, line in enumerate(lines) if "┄┄" in line] == ([row] if row < 11 else [])


@pytest.mark.parametrize("width", [20, 40, 60, 78, 200])
def test_no_line_is_wider_than_asked(width):
    assert all(len(line) <= width for line in shown(width=width))


def test_a_stream_that_holds_ascii_only_gets_ascii():
    text = "".join(shown(plain=True))
    assert text.isascii()
    assert set(PLAIN_SHADES) <= set(text)


def test_where_nothing_was_placed_nothing_is_drawn():
    facts = make_facts()
    facts["map"]["grid"]["counts"] = [[0] * 56 for _ in range(11)]
    assert shown(facts) == []
    assert shown(width=10) == []


def test_unknown_thresholds_and_shares_are_drawn():
    facts = make_facts()
    facts["map"].update(quadrants={}, thresholds={"difficulty": None, "memorization": None})
    facts["detection"]["ruler"] = {"1": None}
    assert len(shown(facts)) == 12
