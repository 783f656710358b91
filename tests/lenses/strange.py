"""Lenses for tests: one that behaves, and one for every way to go wrong. Each runs in a process of its own."""

import os
import sys
import time
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from carto_audit.lenses.answers import Bar, Bars, Cells, LensResult, Looked, Section
from carto_audit.lenses.declared.spec import LensColumn, LensCost, LensMetric, LensSpec
from carto_audit.lenses.plants import Example, Plants
from carto_audit.runtime.strict_model import Strict

MARK = "zyzzyva"
"""What the good lens looks for."""


class Options(Strict):
    """None."""


def spec_of(lens, **changes):
    """The declaration of a lens of this module."""
    usual = LensSpec(
        name=lens.lower(),
        version=3,
        question="Does the mark stand there?",
        sources=("none",),
        needs=("texts", "kin", "weights"),
        options=Options,
        metrics=(LensMetric(name="marked_share", unit="share", meaning="rows with the mark", better="lower"),),
        columns=(LensColumn(name="marks", type="integer", meaning="how often it stands there"),),
        spans=True,
        cost=LensCost(text_passes=1, seconds=1),
        load=f"tests.lenses.strange:{lens}",
        doses=(1, 3),
    )
    return replace(usual, **changes)


@dataclass
class Good:
    """Finds the mark."""

    def plant(self, room, options):
        rng = np.random.default_rng(room.seed)
        base = " ".join(room.texts).split()

        def text(word):
            return " ".join([*rng.permutation(base)[:12], word])

        examples = [Example(texts=tuple(text(MARK) for _ in range(dose))) for dose in (1, 3) for _ in range(15)]
        return Plants(examples=tuple(examples), twins=tuple(text("zyzzyvas") for _ in range(20)))

    def look(self, view, options):
        marks, spans = np.zeros(len(view), np.int64), []
        for chunk in view.texts():
            for k, text in enumerate(chunk.texts):
                words = text.split()
                marks[chunk.start + k] = words.count(MARK)
                if MARK in words:
                    spans.append((chunk.start + k, text.index(MARK), text.index(MARK) + len(MARK), "mark"))
        assert len(view.weights) == len(view.n_tokens) == len(view.kin.cluster) == len(view)
        rows = [dict(zip(("row", "start", "end", "label"), span, strict=True)) for span in spans]
        schema = pa.schema([("row", pa.int64()), ("start", pa.int64()), ("end", pa.int64()), ("label", pa.string())])
        return Looked(
            columns=pa.table({"marks": marks}), found=marks > 0, spans=pa.Table.from_pylist(rows, schema=schema)
        )

    def sum_up(self, view, looked, options):
        marks = looked.columns["marks"].to_numpy()
        figures = (
            Bars(title="Marks", unit="share", bars=(Bar(label="here", value=0.5, low=0.25, high=0.75),)),
            Cells(
                title="Rows", columns=("row", "marks"), rows=tuple((str(i), float(m)) for i, m in enumerate(marks[:3]))
            ),
        )
        section = Section(headline=f"{int((marks > 0).sum())} rows", facts=(("rows", str(len(view))),), figures=figures)
        return LensResult(metrics={"marked_share": float((marks > 0).mean())}, section=section)


class Blind(Good):
    """Finds nothing."""

    def look(self, view, options):
        looked = super().look(view, options)
        return replace(looked, found=np.zeros(len(view), bool))


class Crashing(Good):
    def look(self, view, options):
        sys.stdout.write("::error::said by a lens")
        raise RuntimeError("\x1b[31mno\nway <script>")


class Hanging(Good):
    def look(self, view, options):
        time.sleep(600)


class Hungry(Good):
    def look(self, view, options):
        return np.ones(1 << 28)  # 2 GiB


class Vanishing(Good):
    def look(self, view, options):
        os._exit(0)


class Short(Good):
    def look(self, view, options):
        looked = super().look(view, options)
        return replace(looked, found=looked.found[:-1])


class Undefined(Good):
    def sum_up(self, view, looked, options):
        return replace(super().sum_up(view, looked, options), metrics={"marked_share": float("nan")})


class Undeclared(Good):
    def sum_up(self, view, looked, options):
        return replace(super().sum_up(view, looked, options), metrics={"other": 0.5})


class Reaching(Good):
    def look(self, view, options):
        return view.scores


class Markup(Good):
    def sum_up(self, view, looked, options):
        section = Section(headline="<b>\x1b[31m{{ 7*7 }}</b>", figures=("<svg onload=alert(1)>",))
        return LensResult(metrics={}, section=section)


class Strewing(Good):
    def plant(self, room, options):
        return Plants(examples=(Example(texts=("one", "two")),))


LIMITED = (Hanging, Hungry)
APART = (Crashing, Vanishing, *LIMITED)
"""Those that only a process of its own survives."""

FAULTS = {
    Crashing: "RuntimeError: [31mno way <script>",
    Hanging: "it took longer than 4 s",
    Vanishing: "its process ended",
    Hungry: "Unable to allocate 2.00 GiB",
    Short: "found is no array of",
    Undefined: '"marked_share" is no finite number',
    Undeclared: '"other" was not declared',
    Reaching: 'reads "scores" and did not declare',
    Markup: "of no known kind",
    Strewing: "planted an example 2 times",
}
"""Every way to go wrong, and what is said of it."""


class Moody(Good):
    """Answers otherwise each time."""

    def sum_up(self, view, looked, options):
        section = Section(headline=str(time.perf_counter_ns()))
        return replace(super().sum_up(view, looked, options), section=section)


class Asking(Good):
    """Is trained on, and asks both proxies about every row that one of them read: found where the reader finds a row more than a
    tenth likelier."""

    def plant(self, room, options):
        planted = super().plant(room, options)
        thrice = tuple(one for one in planted.examples if one.dose == 3)
        return replace(planted, examples=thrice)

    def look(self, view, options):
        texts = [text for chunk in view.texts() for text in chunk.texts]
        readers = view.proxies
        rows = np.flatnonzero(readers.read).tolist()
        ids = [encoded.ids[: readers.context] for encoded in readers.encode([texts[row] for row in rows])]
        losses = [readers.losses(rows, ids, stranger=stranger) for stranger in (False, True)]
        gain = np.full(len(view), np.nan)
        gain[rows] = [out.mean() - inside.mean() for inside, out in zip(*losses, strict=True)]
        return Looked(columns=pa.table({"gain": pa.array(gain, from_pandas=True)}), found=np.nan_to_num(gain) > 0.1)

    def sum_up(self, view, looked, options):
        share = float(looked.found.mean())
        section = Section(headline=f"{share:.0%} gained", facts=(("rows", str(len(view))),))
        return LensResult(metrics={"gained_share": share}, section=section)


ASKING = {
    "needs": ("texts", "proxies"),
    "columns": (LensColumn(name="gain", type="number", meaning="what reading it was worth"),),
    "metrics": (LensMetric(name="gained_share", unit="share", meaning="rows that gained", better="lower"),),
    "spans": False,
    "doses": (3,),
    "trained": True,
}
"""How `Asking` declares itself."""
