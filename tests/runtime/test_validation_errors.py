"""Everything that is wrong with a file is said, and no file can make the answer endless."""

from carto_audit.runtime.validation_errors import MOST_PROBLEMS
from tests.support.policy_texts import HEAD, MAP, RULES, refusal, writer


def test_a_file_of_thousands_of_mistakes_is_answered_in_a_hundred_lines(tmp_path):
    rules = "".join(f"  - {{id: r{n}}}\n" for n in range(1000))
    lines = refusal(writer(tmp_path)(HEAD + MAP + "rules:\n" + rules))
    assert len(lines) == MOST_PROBLEMS + 1
    assert lines[-1] == "and 2,900 more problems"


def test_an_alias_bomb_is_answered_in_a_hundred_lines(tmp_path):
    levels = "".join(f"l{i + 1}: &l{i + 1} [{', '.join([f'*l{i}'] * 9)}]\n" for i in range(30))
    assert len(refusal(writer(tmp_path)("l0: &l0 [x]\n" + levels))) <= MOST_PROBLEMS + 1


def test_tabs_and_control_characters_are_refused_with_their_place(tmp_path):
    write = writer(tmp_path)
    (line,) = refusal(write(HEAD + MAP + RULES + "waivers:\n\t- {rule: mass}\n"))
    assert line.startswith("policy.yaml:11:1: not valid YAML: ")
    assert all(part.isprintable() for part in refusal(write(HEAD + MAP + 'rules:\n  - {id: "a\\x9b31m\\u202e"}\n')))
