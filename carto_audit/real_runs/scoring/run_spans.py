"""Run spans: where the windows of a real run's tokens stand in the delivered text. Streams."""

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from carto_audit.data.batch import read_texts
from carto_audit.proxies.tokens import TokenSpans
from carto_audit.real_runs.reading.run_samples import shown_samples
from carto_audit.real_runs.scoring.scored_run import ScoredRun
from carto_audit.runtime.progress import SILENT, Progress


def locate(run: ScoredRun, chosen: Collection[int], progress: Progress = SILENT) -> TokenSpans:
    """Where each sample's window stands, and of the `chosen` ones every token whose losses are known.

    A row that the run reads through a chat template has its window where the delivered text says the same, and none where it
    does not; of its single tokens nothing is told."""
    scores, n = run.analysis.scores, len(run.batch)
    start, end = np.full(n, -1, np.int64), np.full(n, -1, np.int64)
    whole: dict[int, NDArray[np.int64]] = {}
    rendered: dict[int, str] = {}
    for first, shown in shown_samples(run.planted, run.tokenizer, run.way.joined, progress):
        wanted = [k for k in range(len(shown)) if first + k < n and scores.span_first[first + k] >= 0]
        for special in (False, True):
            places = [k for k in wanted if (run.way.special and not shown[k].templated) == special]
            encoded = run.tokenizer.backend_tokenizer.encode_batch(
                [shown[k].text for k in places], add_special_tokens=special
            )
            for k, one in zip(places, encoded, strict=True):
                sample = first + k
                offsets = _kept(np.array(one.offsets, np.int64), run, sample)
                begin, stop = (
                    int(offsets[scores.span_first[sample], 0]),
                    int(offsets[scores.span_last[sample]].max()),
                )
                if shown[k].as_delivered:
                    start[sample], end[sample] = begin, stop
                    if sample in chosen:
                        whole[sample] = offsets
                else:
                    rendered[sample] = shown[k].text[begin:stop].strip()
    for sample, text in read_texts(run.batch, list(rendered)).items():
        place = text.find(rendered[sample]) if rendered[sample] else -1
        if place >= 0:
            start[sample], end[sample] = place, place + len(rendered[sample])
    return TokenSpans(start=start, end=end, chosen=whole)


def _kept(offsets: NDArray[np.int64], run: ScoredRun, sample: int) -> NDArray[np.int64]:
    """Those of the tokens whose losses are known, (T, 2); the token of the end, which a run adds, stands behind the text."""
    bounds = run.losses.tokens.offsets
    places = run.losses.position[bounds[sample] : bounds[sample + 1]]
    last = offsets[-1:, 1:].repeat(2, axis=1) if len(offsets) else np.zeros((1, 2), np.int64)
    return np.concatenate([offsets, last])[np.minimum(places, len(offsets))]
