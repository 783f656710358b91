"""Column mappings: what the columns of an evaluation set mean. The common sets are known by their columns; any other is said."""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from carto_audit.runtime.errors import UsageError
from carto_audit.runtime.strict_model import nearest
from carto_audit.text.untrusted import safe_inline

COMPONENTS = ("question", "passage", "choices", "answer", "item_id")
"""What an item consists of. All but the question may be missing."""

_ID_COLUMNS = ("item_id", "id", "question_id", "task_id", "unique_id", "qid")
_LETTERED = ("A", "B", "C", "D", "E", "F", "G", "H", "I", "J")
_OPTION_LETTER = re.compile(r"^\s*\(([A-Za-z])\)\s*")
_PROMPT_HEAD = re.compile(r"^\s*(?:Q|Question|问题)\s*[:：]\s*")
_PROMPT_TAIL = re.compile(r"\s*(?:Answer Choices|选项)\s*[:：].*\Z", re.DOTALL)

Row = Mapping[str, Any]
Item = dict[str, Any]
"""question, passage and answer as text, choices as a list of texts; item_id is "" where the set has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnMapping:
    """How one kind of row becomes an item. A set is of this kind when its rows have one of `known_by` altogether."""

    name: str
    read: Callable[[Row], Item]
    known_by: tuple[frozenset[str], ...] = ()
    fits: Callable[[Row], bool] = field(default=lambda row: True)
    code: tuple[str, ...] = ()
    """The components that are program text."""


def as_text(value: Any) -> str:
    """A JSON or Arrow scalar as text; lone surrogates, which JSON can carry, become replacement characters."""
    if value is None:
        return ""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value).encode("utf-8", "replace").decode()


def as_choices(value: Any) -> list[str]:
    """AuditOptions however a set writes them: a list, a list of {text, label}, {text: [...], label: [...]}, or any as JSON."""
    if isinstance(value, str):
        value = _from_json(value)
    if isinstance(value, Mapping):
        for key in ("text", "choices"):
            if isinstance(value.get(key), Sequence) and not isinstance(value[key], str):
                return as_choices(value[key])
        return [as_text(option) for option in value.values()]
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [as_text(option.get("text")) if isinstance(option, Mapping) else as_text(option) for option in value]
    return [as_text(value)] if as_text(value) else []


def _from_json(text: str) -> Any:
    """CSV files carry their lists as JSON; a text that is no list is one option."""
    if text[:1] in "[{":
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text
    return text


def gold(answer: Any, choices: Sequence[str]) -> str:
    """The gold answer's own text, also where the set gives the option's number (from 0) or letter.

    A number that is not written as text counts options. Of several gold answers the first.
    """
    if isinstance(answer, Sequence) and not isinstance(answer, str | bytes):
        answer = answer[0] if answer else None
    text = as_text(answer)
    if isinstance(answer, int) and not isinstance(answer, bool) and 0 <= answer < len(choices):
        return choices[answer]
    if not choices or text in choices:
        return text
    if isinstance(answer, float) and answer.is_integer():
        text = str(int(answer))
    return _at(choices, _place(text), text)


def _place(text: str) -> int:
    """The place that a number or a letter names, or -1."""
    label = text.strip().strip("().").upper()
    if label.isdecimal() and len(label) < 4:
        return int(label)
    return ord(label) - ord("A") if len(label) == 1 else -1


def _at(choices: Sequence[str], place: int, otherwise: str) -> str:
    return choices[place] if 0 <= place < len(choices) else otherwise


def _item(question: Any, *, passage: Any = None, choices: Any = None, answer: Any = None, item_id: Any = None) -> Item:
    options = as_choices(choices)
    if isinstance(choices, Sequence) and choices and all(isinstance(option, int | float) for option in choices):
        answer = as_text(answer)  # among options that are numbers, a number is an option and not its place
    return {
        "item_id": as_text(item_id),
        "question": as_text(question),
        "passage": as_text(passage),
        "choices": options,
        "answer": gold(answer, options),
    }


def _id(row: Row) -> str:
    return next((as_text(row[name]) for name in _ID_COLUMNS if row.get(name) is not None), "")


def _plain(row: Row) -> Item:
    parts = {name: row.get(name) for name in ("passage", "choices", "answer")}
    return _item(row.get("question"), item_id=_id(row), **parts)


def _agieval(row: Row) -> Item:
    options = [_OPTION_LETTER.sub("", option) for option in as_choices(row.get("options"))]
    answer = next((row[name] for name in ("label", "answer") if row.get(name) is not None), None)
    return _item(row.get("question"), passage=row.get("passage"), choices=options, answer=answer, item_id=_id(row))


def _agieval_prompt(row: Row) -> Item:
    """The copies on the hub hold the whole prompt: the question is what stands before its options."""
    question = _PROMPT_TAIL.sub("", _PROMPT_HEAD.sub("", as_text(row.get("query"))))
    options = [_OPTION_LETTER.sub("", option) for option in as_choices(row.get("choices"))]
    return _item(question, choices=options, answer=row.get("gold"), item_id=_id(row))


def _copa(row: Row) -> Item:
    """Its `question` says only whether a cause or an effect is asked for: what names the item is the premise."""
    choices = [row.get("choice1"), row.get("choice2")]
    return _item(row.get("premise"), choices=choices, answer=row.get("label"), item_id=_id(row))


def _arc(row: Row) -> Item:
    """ARC, and its cousins OpenBookQA and CommonsenseQA; in the original JSONL the stem stands inside `question`."""
    question = row.get("question_stem", row.get("question"))
    choices = row.get("choices")
    if isinstance(question, Mapping):
        choices = question.get("choices", choices)
        question = question.get("stem")
    choices = _from_json(choices) if isinstance(choices, str) else choices
    if isinstance(choices, Mapping):
        labels = [as_text(label) for label in choices.get("label") or ()]
    else:
        labels = [as_text(option.get("label")) for option in choices or () if isinstance(option, Mapping)]
    options, key = as_choices(choices), as_text(row.get("answerKey"))
    answer = _at(options, labels.index(key), key) if key in labels else gold(key, options)
    return _item(question, choices=options, answer=answer, item_id=_id(row))


def _hellaswag(row: Row) -> Item:
    options = as_choices(row.get("endings"))
    label = as_text(row.get("label"))
    return _item(row.get("ctx"), choices=options, answer=_at(options, _place(label), ""), item_id=row.get("ind"))


def _winogrande(row: Row) -> Item:
    options = [as_text(row.get("option1")), as_text(row.get("option2"))]
    answer = _at(options, _place(as_text(row.get("answer"))) - 1, "")
    return _item(row.get("sentence"), choices=options, answer=answer, item_id=_id(row))


def _truthfulqa(row: Row) -> Item:
    targets = row.get("mc1_targets")
    targets = _from_json(targets) if isinstance(targets, str) else targets
    targets = targets if isinstance(targets, Mapping) else {}
    options = as_choices(targets.get("choices"))
    right = [as_text(label) for label in targets.get("labels") or ()]
    return _item(row.get("question"), choices=options, answer=_at(options, _index(right, "1"), ""), item_id=_id(row))


def _index(values: Sequence[str], wanted: str) -> int:
    return values.index(wanted) if wanted in values else -1


def _truthfulqa_free(row: Row) -> Item:
    return _item(row.get("question"), answer=row.get("best_answer"), item_id=_id(row))


def _boolq(row: Row) -> Item:
    truth = as_text(row["answer"] if row.get("answer") is not None else row.get("label")).strip().lower()
    answer = {"true": "yes", "1": "yes", "false": "no", "0": "no"}.get(truth, "")
    return _item(
        row.get("question"), passage=row.get("passage"), choices=["no", "yes"], answer=answer, item_id=_id(row)
    )


def _lettered(row: Row) -> Item:
    options = [as_text(row[name]) for name in _LETTERED if row.get(name) is not None]
    answer = next((row[name] for name in ("answer", "target", "label") if row.get(name) is not None), None)
    return _item(row.get("question", row.get("input")), choices=options, answer=answer, item_id=_id(row))


def _humaneval(row: Row) -> Item:
    return _item(row.get("prompt"), answer=row.get("canonical_solution"), item_id=_id(row))


def _mbpp(row: Row) -> Item:
    question = row.get("text") if row.get("text") is not None else row.get("prompt")
    return _item(question, answer=row.get("code"), item_id=_id(row))


def _math(row: Row) -> Item:
    return _item(row.get("problem"), answer=row.get("solution"), item_id=_id(row))


def _columns(*sets: str) -> tuple[frozenset[str], ...]:
    return tuple(frozenset(names.split()) for names in sets)


def _is_solution(row: Row) -> bool:
    return "####" in as_text(row.get("answer"))


def _is_truth(row: Row) -> bool:
    return as_text(row.get("answer")).lower() in ("true", "false") or as_text(row.get("label")) in ("0", "1", "-1")


READY: Mapping[str, ColumnMapping] = {
    mapping.name: mapping
    for mapping in (
        ColumnMapping(
            name="arc",
            read=_arc,
            known_by=_columns("question choices answerKey", "question_stem choices answerKey", "question answerKey"),
        ),
        ColumnMapping(name="hellaswag", read=_hellaswag, known_by=_columns("ctx endings")),
        ColumnMapping(name="copa", read=_copa, known_by=_columns("premise choice1 choice2")),
        ColumnMapping(name="winogrande", read=_winogrande, known_by=_columns("sentence option1 option2")),
        ColumnMapping(name="truthfulqa", read=_truthfulqa, known_by=_columns("question mc1_targets")),
        ColumnMapping(name="truthfulqa-free", read=_truthfulqa_free, known_by=_columns("question best_answer")),
        ColumnMapping(
            name="boolq",
            read=_boolq,
            known_by=_columns("passage question answer", "passage question label idx"),
            fits=lambda row: not {"choices", "options"} & set(row) and _is_truth(row),
        ),
        ColumnMapping(
            name="humaneval",
            read=_humaneval,
            known_by=_columns("task_id prompt canonical_solution"),
            code=("question", "answer"),
        ),
        ColumnMapping(
            name="mbpp", read=_mbpp, known_by=_columns("task_id text code", "task_id prompt code"), code=("answer",)
        ),
        ColumnMapping(name="math", read=_math, known_by=_columns("problem solution")),
        ColumnMapping(
            name="agieval", read=_agieval, known_by=_columns("question options label", "question options answer")
        ),
        ColumnMapping(name="agieval-prompt", read=_agieval_prompt, known_by=_columns("query choices gold")),
        ColumnMapping(
            name="lettered",
            read=_lettered,
            known_by=_columns("question A B C D answer", "question A B C D target", "input A B C D target"),
        ),
        ColumnMapping(name="gsm8k", read=_plain, known_by=_columns("question answer"), fits=_is_solution),
        ColumnMapping(name="mmlu", read=_plain, known_by=_columns("question subject choices answer")),
        ColumnMapping(name="plain", read=_plain, known_by=_columns("question")),
    )
}
"""The sets that need no `--map`, most telling columns first. `plain` is our own: question, passage, choices, answer."""


def recognize(columns: Iterable[str], first: Row) -> ColumnMapping | None:
    """The ready mapping that these columns and the first row belong to; None when no one knows them."""
    names = set(columns)
    for mapping in READY.values():
        if any(known <= names for known in mapping.known_by) and mapping.fits(first):
            return mapping
    return None


def fold_columns(row: Row) -> Row:
    """The same row under plain names: `Best Answer` is `best_answer`. What is known already keeps its spelling."""
    return {
        (name if name in _SPELLED else name.strip().lower().replace(" ", "_")): value for name, value in row.items()
    }


_SPELLED = frozenset({*_LETTERED, "answerKey"})


def parse_map(given: Sequence[str]) -> ColumnMapping | None:
    """The mapping that `--map` describes: the name of a ready one, or COMPONENT=COLUMN as often as needed.

    A column may lie deeper (`choices=options.text`), and choices may come from several (`choices=a,b,c`). None when
    nothing was given. Raises UsageError in one line.
    """
    if not given:
        return None
    if len(given) == 1 and "=" not in given[0]:
        return ready_mapping(given[0])
    columns: dict[str, str] = {}
    for pair in given:
        component, equals, column = (part.strip() for part in pair.partition("="))
        shown = safe_inline(pair, 80)
        if not equals or not column:
            raise UsageError(f'--map "{shown}": write COMPONENT=COLUMN, such as question=stem')
        if component in columns:
            raise UsageError(f'--map "{shown}": this part is mapped twice; keep one')
        columns[component] = column
    return mapped(columns)


def ready_mapping(name: str) -> ColumnMapping:
    """The ready mapping of that name. Raises UsageError with the nearest name, or all of them."""
    if name not in READY:
        hint = nearest(name, READY) or f"; known are {', '.join(READY)}"
        raise UsageError(f'no mapping is called "{safe_inline(name, 60)}"{hint}')
    return READY[name]


def mapped(columns: Mapping[str, str]) -> ColumnMapping:
    """A mapping of components to columns. Raises UsageError for an unknown component and for one without a question."""
    for component in columns:
        if component not in COMPONENTS:
            hint = nearest(component, COMPONENTS) or f"; known are {', '.join(COMPONENTS)}"
            raise UsageError(f'"{safe_inline(component, 60)}" is no part of an item{hint}')
    if "question" not in columns:
        raise UsageError("a mapping needs a question; add question=COLUMN")

    def read(row: Row) -> Item:
        parts: dict[str, Any] = {name: pick(row, columns[name]) for name in COMPONENTS if name in columns}
        question = parts.pop("question")
        return _item(question, **{"item_id": _id(row), **parts})

    roots = frozenset(_root(path) for column in columns.values() for path in column.split(","))
    described = " ".join(f"{name}={column}" for name, column in sorted(columns.items()))
    return ColumnMapping(name=described, read=read, known_by=(roots,))


def _root(path: str) -> str:
    return path.strip().split(".")[0]


def pick(row: Row, column: str) -> Any:
    """A column's value; `a.b` looks inside `a` unless a column is called just so, `a,b` makes a list of both."""
    if column in row:
        return row[column]
    if "," in column:
        return [value for name in column.split(",") if (value := pick(row, name.strip())) is not None]
    head, dot, rest = column.partition(".")
    inner = row.get(head)
    inner = _from_json(inner) if dot and isinstance(inner, str) else inner
    return pick(inner, rest) if dot and isinstance(inner, Mapping) else None
