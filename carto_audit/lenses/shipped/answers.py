"""Answers: rows that ask and answer, and whether the proxy that read one gives its answer to another question too."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from carto_audit.lenses.answers import Bar, Bars, LensResult, Looked, Section
from carto_audit.lenses.declared.answers import ANSWERS, AnswersOptions
from carto_audit.lenses.plants import Example, Plants, Room
from carto_audit.lenses.questions.asking import Answered, ask_questions, cue_of, right
from carto_audit.lenses.questions.counting import Counted, count_questions
from carto_audit.lenses.questions.gather import NONE, Gathered, gather
from carto_audit.lenses.questions.invented import arithmetic, fact, written
from carto_audit.lenses.view import LensView
from carto_audit.policy.metrics import Measurement
from carto_audit.runtime.strict_model import Strict
from carto_audit.text.numbers import number, percent

NULL = 24
"""Generated questions of arithmetic that nobody read, asked of one proxy each."""

_EXAMPLES, _TWINS, _SPARE = 60, 60, 8


class AnswersLens:
    """Asks the proxy that read a question, and the one that did not, the question as written and changed."""

    spec = ANSWERS

    def plant(self, room: Room, options: Strict) -> Plants:
        """Invented arithmetic and facts, each in eight rows; as twins, others that stand once."""
        rng = np.random.default_rng(room.seed)
        make = (arithmetic, fact)
        texts = list(dict.fromkeys(written(*make[k % 2](rng)) for k in range(_EXAMPLES + _TWINS + _SPARE)))
        (dose,) = self.spec.doses
        examples = tuple(Example(texts=(text,) * dose) for text in texts[:_EXAMPLES])
        return Plants(examples=examples, twins=tuple(texts[_EXAMPLES : _EXAMPLES + _TWINS]))

    def look(self, view: LensView, options: Strict) -> Looked:
        """Which rows ask and answer, and which are rote."""
        assert isinstance(options, AnswersOptions)
        gathered = gather(view, options.most_questions)
        reserve = NULL * view.proxies.context
        rng = np.random.default_rng([view.seed, 0xA6])
        answered = ask_questions(view.proxies, gathered.drawn, reserve, rng)
        columns = _columns(gathered, answered)
        found = columns["sticky"].fill_null(False).to_numpy().astype(np.int64)
        return Looked(columns=columns, found=found)

    def sum_up(self, view: LensView, looked: Looked, options: Strict) -> LensResult:
        """How much is rote, how much stands without a solution, and what the proxies make of arithmetic that nobody read."""
        columns = looked.columns
        counted = count_questions(columns, view.n_tokens)
        rows, tokens = int(counted.rows.sum()), int(view.n_tokens.sum())
        rote, rote_tokens = counted.rote(counted.rows, rows), counted.rote(counted.tokens, tokens)
        alone = int(pc.sum(columns["answer_only"]).as_py() or 0) / max(1, rows)
        facts = [
            ("question rows", number(rows, 0)),
            ("distinct questions", number(len(counted.rows), 0)),
            ("of these, asked", number(int(counted.asked.sum()), 0)),
            ("of these, drawn and not asked: too long, or nothing to change", number(_unclear(counted), 0)),
            ("rows without a worked solution", percent(alone)),
            *_of_the_asked(columns, counted),
        ]
        null = _null(view) if counted.asked.any() else None
        if null is not None:
            facts.append(("generated arithmetic that nobody read, answered right", f"{null[0]} of {null[1]}"))
        section = Section(
            headline=f"{_share(rote)} of the question rows are rote" if rows else "No row asks and answers",
            paragraph="A row is rote where the proxy that read it gives its answer, and gives it again when numbers, names or "
            "the order of the options in the question are changed, so that it is wrong; and the proxy that never read it does "
            "neither. "
            "Answers that come after other questions too do not count. Bounds count what was not asked.",
            facts=tuple(facts),
            figures=_figures(columns),
        )
        metrics: dict[str, float | Measurement] = {"rote_row_share": rote, "rote_token_share": rote_tokens}
        return LensResult(metrics=metrics | {"answer_only_share": alone}, section=section)


def _columns(gathered: Gathered, answered: Mapping[int, Answered]) -> pa.Table:
    """The declared columns, a value for every row; copies of a question have what was answered once."""
    has = gathered.number != NONE
    said = [answered.get(n, Answered()) for n in gathered.number.tolist()]
    drawn = np.array([n in answered for n in gathered.number.tolist()], dtype=bool)
    return pa.table(
        {
            "question": has,
            "number": pa.array(gathered.number, pa.int64(), mask=~has),
            "answer_only": pa.array(~gathered.worked, pa.bool_(), mask=~has),
            "drawn": pa.array(drawn, pa.bool_(), mask=~has),
            "known": pa.array([one.known for one in said], pa.bool_()),
            "sticky": pa.array([one.sticky for one in said], pa.bool_()),
            "limem": pa.array([one.limem for one in said], pa.float64()),
            "choice_gain": pa.array([one.gain for one in said], pa.float64()),
            "choice_gain_stranger": pa.array([one.stranger_gain for one in said], pa.float64()),
        }
    )


def _of_the_asked(columns: pa.Table, counted: Counted) -> list[tuple[str, str]]:
    """What the proxies made of the distinct questions that they were asked."""
    if not counted.asked.any():
        return []
    once = _once(columns)
    facts = [
        ("answered as written, of those asked", percent(float(pc.mean(once["known"].cast(pa.float64())).as_py()))),
        ("LiMem, mean of those asked (0 to 1)", number(float(pc.mean(once["limem"]).as_py()))),
    ]
    gains = [once[name].drop_null() for name in ("choice_gain", "choice_gain_stranger")]
    if len(gains[0]):
        own, other = (float(pc.mean(gain).as_py()) for gain in gains)
        words = f"{own:+.2f}, by the other proxy {other:+.2f}"
        facts.append((f"gain by other wrong options, of {number(len(gains[0]), 0)} with options", words))
    return facts


def _once(columns: pa.Table) -> pa.Table:
    """One row of each distinct question that was asked."""
    asked = columns.filter(columns["sticky"].is_valid())
    _, first = np.unique(asked["number"].to_numpy(), return_index=True)
    return asked.take(pa.array(first))


def _figures(columns: pa.Table) -> tuple[Bars, ...]:
    """Rote questions of those that were asked, without and with a worked solution."""
    once = _once(columns)
    alone = once["answer_only"].to_numpy().astype(bool)
    sticky = once["sticky"].to_numpy().astype(bool)
    bars = [
        Bar(label=label, value=float(sticky[chosen].mean()))
        for label, chosen in (("answer alone", alone), ("worked solution", ~alone))
        if chosen.any()
    ]
    return (Bars(title="Rote, of the distinct questions asked", unit="share", bars=tuple(bars)),) if bars else ()


def _null(view: LensView) -> tuple[int, int] | None:
    """Of generated questions that nobody read, how many a proxy answers right, and how many were asked."""
    readers = view.proxies
    rows = np.flatnonzero(readers.read)
    if not len(rows) or readers.left < NULL * readers.context:
        return None
    rng = np.random.default_rng([view.seed, 0xA7])
    cues = []
    for row in rng.choice(rows, NULL).tolist():
        before, answer = written(*arithmetic(rng)).rsplit(" ", 1)
        cue = cue_of(readers, row, f"{before} ", answer)
        cues += [cue] if cue is not None else []
    return int(right(readers, cues).sum()), len(cues)


def _unclear(counted: Counted) -> int:
    return int((counted.drawn & ~counted.asked).sum())


def _share(measured: Measurement) -> str:
    """`31 %`, or `31 % (up to 40 %)` where not all were asked."""
    most = f" (up to {percent(measured.high)})" if measured.high > measured.value else ""
    return f"{percent(measured.value)}{most}"
