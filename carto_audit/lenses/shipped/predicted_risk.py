"""Predicted risk: a regression on the text of rows that were trained on says what of the others would be flagged.

How well it tells is measured on groups of rows that it was not fitted on.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from carto_audit.cartography.intervals import CONFIDENCE, combined, percentiles, wilson
from carto_audit.cartography.quadrants import MEMORIZED, QUADRANT_NAMES
from carto_audit.lenses.answers import Bar, Bars, LensResult, Looked, Section
from carto_audit.lenses.declared.predicted_risk import PREDICTED_RISK
from carto_audit.lenses.plants import NOTHING, Plants, Room
from carto_audit.lenses.risk.features import NAMES, TextFeatures, read_features
from carto_audit.lenses.risk.regression import RiskModel, fit_risk, rank_share, resampled, risk_out_of_group
from carto_audit.lenses.view import LensView
from carto_audit.policy.metrics import Measurement
from carto_audit.runtime.strict_model import Strict
from carto_audit.text.numbers import number, percent, plural

LEAST_GROUPS = 2
"""Groups with flagged rows, and groups without, below which nothing is learned from them."""

_FLAGGED = tuple(QUADRANT_NAMES[code] for code in MEMORIZED)
_BARS = 8

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Index = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Rows:
    """All rows (N,): whether they were trained on, and flagged; who is kin; their tokens."""

    read: Flags
    flagged: Flags
    group: Index
    tokens: Floats

    @property
    def teach(self) -> bool:
        """Whether anything can be learned of those that were trained on."""
        bad = np.unique(self.group[self.read & self.flagged])
        good = np.unique(self.group[self.read & ~self.flagged])
        return min(len(bad), len(good)) >= LEAST_GROUPS


class PredictedRiskLens:
    """Counts in the text, one penalized logistic regression, and an interval by groups of kin."""

    spec = PREDICTED_RISK

    def plant(self, room: Room, options: Strict) -> Plants:
        """Nothing: what is planted has no scores."""
        return Plants()

    def look(self, view: LensView, options: Strict) -> Looked:
        """The risk of every row, null where nothing can be learned; of rows that were trained on by a model of other groups."""
        kin, texts = view.kin, (chunk.texts for chunk in view.texts())
        features = read_features(texts, view.n_tokens, kin.copies, kin.cluster)
        rows = _rows(view, _groups(kin.cluster, features))
        risk, reason = np.full(len(view), np.nan), _no_reasons(len(view))
        if rows.teach:
            read = rows.read
            model = fit_risk(features.values[read], rows.flagged[read])
            risk = model.risk(features.values)
            risk[read] = risk_out_of_group(features.values[read], rows.flagged[read], rows.group[read], view.seed)
            reason = _reasons(model, features)
        columns = pa.table(
            {
                "predicted_risk": pa.array(risk, pa.float64(), from_pandas=True),
                "read": pa.array(rows.read),
                "group": pa.array(rows.group, pa.int64()),
                "reason": pa.array(reason, pa.string()),
            }
        )
        return Looked(columns=columns, found=np.full(len(view), NOTHING))

    def sum_up(self, view: LensView, looked: Looked, options: Strict) -> LensResult:
        """How well the text tells what is flagged, and what share of the unread tokens would be."""
        rows = _rows(view, looked.columns["group"].to_numpy())
        if not rows.teach:
            return _nothing_learned(rows)
        risk = looked.columns["predicted_risk"].to_numpy()
        read = rows.read
        ranks, ratios = resampled(risk[read], rows.flagged[read], rows.tokens[read], rows.group[read], view.seed)
        auc = _auc(rows, risk, ranks)
        metrics, share = {"auc": auc}, None
        if not read.all():
            share = metrics["unread_flagged_token_share"] = _unread_share(rows, risk, ratios)
        warnings = () if auc.low >= 0.5 else ("the text does not tell what is flagged better than chance",)
        reasons = looked.columns["reason"].to_pylist()
        return LensResult(metrics=metrics, section=_section(rows, risk, reasons, auc, share), warnings=warnings)


def _rows(view: LensView, group: Index) -> _Rows:
    quadrant = view.scores["quadrant"]
    return _Rows(
        read=np.array([name is not None for name in quadrant.to_pylist()], dtype=bool),
        flagged=np.array([name in _FLAGGED for name in quadrant.to_pylist()], dtype=bool),
        group=group,
        tokens=view.n_tokens.astype(np.float64),
    )


def _groups(cluster: Index, features: TextFeatures) -> Index:
    """For each row (N,) the first of those that are tied to it, by copies or by the run of words that most rows share."""
    n, tied = len(cluster), np.flatnonzero(features.shared >= 0)
    _, run = np.unique(features.shared[tied], return_inverse=True)
    ends = np.concatenate([cluster, n + run])
    begins = np.concatenate([np.arange(n), tied])
    size = int(ends.max(initial=n - 1)) + 1
    graph = coo_array((np.ones(len(ends), dtype=np.int8), (begins, ends)), shape=(size, size))
    _, label = connected_components(graph, directed=False)
    _, first, member = np.unique(label[:n], return_index=True, return_inverse=True)
    return first[member].astype(np.int64)


def _no_reasons(count: int) -> list[str | None]:
    return [None] * count


def _reasons(model: RiskModel, features: TextFeatures) -> list[str | None]:
    """For each row the feature that raises its risk most above that of a usual row."""
    raised = model.standardized(features.values) * model.weights
    names = np.array(NAMES, dtype=object)[raised.argmax(1)]
    return [name if most > 0 else None for name, most in zip(names.tolist(), raised.max(1).tolist(), strict=True)]


def _auc(rows: _Rows, risk: Floats, ranks: Floats) -> Measurement:
    """The AUC on rows that were trained on; no surer than so many groups that agree could make it."""
    read, flagged = rows.read, rows.flagged[rows.read]
    value, (low, high) = rank_share(risk[read], flagged), percentiles(ranks, CONFIDENCE)
    fewest = min(len(np.unique(rows.group[read][flagged])), len(np.unique(rows.group[read][~flagged])))
    least, most = wilson(value, fewest)
    return Measurement(value=value, low=max(0.0, min(low, least, value)), high=min(1.0, max(high, most, value)))


def _unread_share(rows: _Rows, risk: Floats, ratios: Floats) -> Measurement:
    """What is predicted of the unread tokens, times what was flagged of the read ones for each that was predicted. Uncertain is
    which groups were read, and which of the unread ones are flagged in truth."""
    read, unread = rows.read, ~rows.read
    held = rows.tokens * risk
    total, predicted = rows.tokens[unread].sum(), held[unread].sum() / max(1.0, rows.tokens[unread].sum())
    ratio = rows.tokens[rows.flagged & read].sum() / held[read].sum()
    value = min(1.0, predicted * ratio)
    _, member = np.unique(rows.group[unread], return_inverse=True)
    size = np.bincount(member, weights=rows.tokens[unread])
    chance = np.minimum(1.0, ratio * np.bincount(member, weights=held[unread]) / np.maximum(1.0, size))
    spread = 1.96 * np.sqrt((size**2 * chance * (1 - chance)).sum()) / max(1.0, total)
    low, high = (predicted * end for end in percentiles(ratios, CONFIDENCE))
    low, high = combined(value, (low, high), (value - spread, value + spread))
    return Measurement(value=value, low=min(low, value), high=max(high, value))


def _section(
    rows: _Rows, risk: Floats, reasons: list[str | None], auc: Measurement, share: Measurement | None
) -> Section:
    read = rows.read
    told = f"{number(auc.value)} ({number(auc.low)} to {number(auc.high)})"
    if share is None:
        headline = f"all rows were trained on; their text alone tells those that are flagged with an AUC of {told}"
    else:
        ends = f"{percent(share.low)} to {percent(share.high)}"
        unread = percent(rows.tokens[~read].sum() / rows.tokens.sum())
        told_of = f"of the {unread} of the tokens that were not trained on"
        headline = f"{told_of}, about {percent(share.value)} ({ends}) would be flagged"
    facts = [
        ("AUC on rows of groups that the regression did not see", told),
        ("flagged of the tokens that were trained on", percent(_share(rows.flagged[read], rows.tokens[read]))),
        (
            "rows that taught it",
            f"{plural(int(read.sum()), 'row')}, {int((read & rows.flagged).sum()):,} of them flagged",
        ),
    ]
    return Section(
        headline=headline,
        paragraph="Copies, runs of words that other rows hold, surprise, compression and the like are counted in every row. A "
        "regression learns from the rows that were trained on which of that goes with a flag, and says it of the others. "
        "It predicts what this audit would find, not what a larger model memorizes.",
        facts=tuple(facts),
        figures=(_figure(rows.tokens * risk, reasons),),
    )


def _figure(held: Floats, reasons: list[str | None]) -> Bars:
    """Of all tokens that are predicted to be flagged, which share lies in rows for which a feature speaks most."""
    named = np.array([reason or "nothing in particular" for reason in reasons], dtype=object)
    names, member = np.unique(named.astype(str), return_inverse=True)
    share = np.bincount(member, weights=held) / max(1e-12, float(held.sum()))
    order = np.argsort(-share, kind="stable")[:_BARS]
    bars = tuple(Bar(label=str(names[k]), value=float(min(1.0, share[k]))) for k in order)
    return Bars(title="Tokens predicted to be flagged, by what speaks most for it", unit="share", bars=bars)


def _share(which: Flags, tokens: Floats) -> float:
    return float(tokens[which].sum() / max(1.0, tokens.sum()))


def _nothing_learned(rows: _Rows) -> LensResult:
    """Where no row was trained on, or hardly one is flagged or hardly one is not."""
    flagged = int((rows.read & rows.flagged).sum())
    groups = len(np.unique(rows.group[rows.read & rows.flagged]))
    of_rows = f"{flagged:,} of {plural(int(rows.read.sum()), 'row')} that were trained on"
    headline = f"too little to learn from: {of_rows} are flagged, in {plural(groups, 'group')} of kin"
    facts = (("not trained on", f"{percent(_share(~rows.read, rows.tokens))} of the tokens"),)
    return LensResult(metrics={}, section=Section(headline=headline, facts=facts))
