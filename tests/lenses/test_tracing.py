"""Tracing: a run of twelve tokens is traced to the rows that hold it, unless rows that the proxy did not read hold it too."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers

from carto_audit.lenses.calls import lens_calls
from carto_audit.lenses.declared.tracing import TRACING, TracingOptions
from carto_audit.lenses.host import look_through
from carto_audit.lenses.planting import TrainedPlants
from carto_audit.lenses.plants import Plants, Room
from carto_audit.lenses.readers import GENERATED, UNREAD, Proxies, Readers
from carto_audit.lenses.shipped import tracing
from carto_audit.lenses.shipped.tracing import LENGTH, TracingLens
from carto_audit.lenses.shipped.verbatim import PLACES, WINDOW, ReadTokens, find_runs
from carto_audit.lenses.testing import run_here, subject_of
from carto_audit.lenses.view import LensView, Offered, RowTexts
from carto_audit.proxies.model import build_proxy
from carto_audit.proxies.tokens import Encoder
from tests.support import tiny

WORDS = [f"w{k}" for k in range(1, 400)]
NOISE = 380
"""From this word on they stand in outputs alone."""


@pytest.fixture(scope="module")
def encoder():
    """A token per word."""
    tokenizer = Tokenizer(models.WordLevel({word: k for k, word in enumerate(["?", *WORDS])}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return Encoder(tokenizer=tokenizer, bos=0, vocab_size=len(WORDS) + 1, checkpoint=None)


def words(first, count=WINDOW):
    return " ".join(f"w{k}" for k in range(first, first + count))


def output(encoder, *parts):
    """What a proxy says: these parts, and a word of no row between them and up to the end."""
    noise = iter(range(LENGTH))
    ids = []
    for part in parts:
        ids += [*encoder.tokenizer.encode(part).ids, NOISE + next(noise) % 15]
    return np.array((ids + [NOISE + k % 15 for k in range(LENGTH)])[:LENGTH])


@pytest.fixture
def say(encoder, monkeypatch):
    """Proxies that say what a test wants, each its own, and noise otherwise."""

    def saying(*said):
        outputs = [[output(encoder, *parts) for parts in one] for one in said]

        def sample(proxy, prompts, length, count, seed):
            assert [len(prompt) for prompt in prompts] == [0]
            drawn, outputs[proxy] = outputs[proxy][:count], outputs[proxy][count:]
            rest = [output(encoder)] * (count - len(drawn))
            return [np.stack([*drawn, *rest])]

        monkeypatch.setattr(Readers, "_proxy", lambda self, index: index)
        monkeypatch.setattr("carto_audit.proxies.generation.sample", sample)

    return saying


def proxies_of(encoder, side, budget=10**9):
    spec = replace(tiny.SPEC, context=256)
    return Proxies(spec=spec, encoder=encoder, folder=None, device="cpu", side=np.array(side, np.int8), budget=budget)


@pytest.fixture
def look(encoder):
    """Looks at texts, of which `side` says who read them."""

    def through(texts, side, budget=10**9):
        chunks = iter([RowTexts(start=0, texts=texts[:1]), RowTexts(start=1, texts=texts[1:]), None])
        offered = Offered(n_tokens=np.ones(len(texts), np.int64), proxies=proxies_of(encoder, side, budget))
        lens, options = TracingLens(), TracingOptions()
        looked = lens.look(LensView(offered, TRACING.needs, 3, lambda question: next(chunks)), options)
        return looked, lens.sum_up(LensView(offered, TRACING.needs, 3), looked, options)

    return through


def test_what_a_proxy_says_is_traced_to_the_row_that_it_read(look, say):
    say([], [[words(100, 15)], [words(40, 12)]])  # proxy 1 has read side 0
    texts = ["w7 w7 " + words(100, 20), words(40, 11) + " w9 " + words(200, 30), "w1 w2", words(300, 30)]
    looked, result = look(texts, [0, 0, 0, 1])
    assert looked.columns["times_traced"].to_pylist() == [1, 0, 0, 0]
    assert looked.columns["traced_tokens"].to_pylist() == [15, 0, 0, 0]
    assert looked.found.tolist() == [1, 0, 0, 0]
    (span,) = looked.spans.to_pylist()
    assert (span["row"], span["tokens"]) == (0, 15)
    assert texts[0][span["start"] : span["end"]] == words(100, 15)
    share = result.metrics["unprompted_verbatim_share"]
    assert share.value == 15 / (1200 * LENGTH)
    assert share.low < share.value < share.high < 0.005
    assert result.metrics["distinct_sources"].value == result.metrics["distinct_sources"].high == 1
    assert "verbatim in 1 row" in result.section.headline
    assert not result.warnings


def test_what_the_other_proxy_read_is_traced_to_nothing(look, say):
    say([[words(100, 20)]], [])  # proxy 0 has read side 1
    looked, result = look([words(100, 20), words(200, 20)], [0, 1])
    assert looked.columns["times_traced"].to_pylist() == [0, 0]
    bars = {bar.label: bar.value for bar in result.section.figures[0].bars}
    assert bars == {"that was read": 0, "that was not read": 1 / 1200, "that was read, and of no other": 0}


def test_common_text_counts_for_nothing_and_the_rest_of_a_run_for_what_it_is(look, say):
    say([], [[words(100, 40)], [words(200, 30)]])
    texts = [words(100, 40), words(200, 30), words(100, 15), words(195, 30)]
    looked, result = look(texts, [0, 0, 1, 1])
    (span,) = looked.spans.to_pylist()  # of the second no twelve are left that no other row holds
    assert texts[span["row"]][span["start"] : span["end"]] == words(115, 25)
    assert [bar.value * 1200 for bar in result.section.figures[0].bars] == pytest.approx([2, 2, 1])


def test_what_both_proxies_say_is_common(look, say):
    say([[words(110, 14)]], [[words(100, 40)]])
    looked, _ = look([words(100, 40), words(1, 20)], [0, 1])
    (span,) = looked.spans.to_pylist()
    assert span["tokens"] == 16  # behind what the other says


def test_a_run_ends_with_its_row(look, say):
    say([], [[words(100, 22)]])
    looked, _ = look([words(100, 11), words(111, 11)], [0, 0])
    assert not len(looked.spans)


def test_all_copies_are_sources_and_what_is_said_is_counted_once(look, say):
    say([], [[words(100, 20)], [words(105, 12)]])
    texts = [words(100, 20)] * 3 + ["w1"] + [words(100, 20) + " " + words(100, 20)]
    looked, result = look(texts, [0, 0, UNREAD, 1, 0])
    assert looked.columns["times_traced"].to_pylist() == [2, 2, None, 0, 2]
    assert looked.columns["traced_tokens"].to_pylist() == [20, 20, None, 0, 40]
    assert result.metrics["unprompted_verbatim_share"].value == 32 / (1200 * LENGTH)
    assert result.metrics["distinct_sources"].value == 3


def test_fewer_outputs_leave_room_for_more_sources(look, say):
    say([], [[words(100, 20)]])
    texts = [words(100, 20)] * 2 + [f"w{k}" for k in range(1, 99)]
    _, result = look(texts, [0] * 100, budget=2 * 590 * GENERATED * LENGTH)
    assert result.metrics["distinct_sources"].high == 2 + 20 * 2
    assert result.warnings[0].startswith("time for 1,180 of 1,200 outputs")
    looked, nothing = look(texts, [0] * 100, budget=2 * GENERATED * LENGTH - 1)
    assert nothing.metrics == {}
    assert looked.columns["times_traced"].null_count == 100


def test_where_a_run_stands_in_too_many_places_every_row_may_be_a_source(look, say):
    say([], [[words(100, 20)]])
    rows = PLACES + 7
    looked, result = look([words(100, 20)] * rows + ["w1"], [0] * rows + [1])
    assert int(looked.found.sum()) == PLACES
    assert result.metrics["distinct_sources"].high == rows + 1
    assert "more sources" in result.warnings[0]


def test_plants_are_passages_that_stand_alone_and_twins_stand_once():
    text = " ".join(f"word{k}" for k in range(200))
    plants = TracingLens().plant(Room(texts=(text, text), seed=4), TracingOptions())
    assert {one.dose for one in plants.examples} == {16}
    assert all(len(set(one.texts)) == 1 for one in plants.examples)
    passages = [*(one.texts[0] for one in plants.examples), *plants.twins]
    assert len(set(passages)) == len(passages)
    assert all(len(passage.split()) >= WINDOW for passage in passages)
    assert TracingLens().plant(Room(texts=("only a few words here",), seed=4), TracingOptions()) == Plants()


def test_the_host_counts_what_was_traced_to_plants_and_sums_up_without_them(encoder, say, tmp_path):
    room = Room(texts=(" ".join(f"w{k}" for k in range(100, 370)),), seed=4)
    plants = TracingLens().plant(room, TracingOptions())
    plants = Plants(examples=plants.examples[:3], twins=plants.twins[:4])
    planted = [*(text for one in plants.examples for text in one.texts), *plants.twins]
    texts = [words(10, 20), words(40, 20), words(70, 20)]
    say([], [[plants.examples[0].texts[0]], [plants.examples[2].texts[0]], [plants.twins[1]], [texts[1]]])
    side = [0, 0, 1] + [0] * len(planted)
    subject = replace(subject_of(texts, tmp_path), proxies=proxies_of(encoder, side))
    known = TrainedPlants(plants={"tracing": plants}, first={"tracing": 0}, texts=tuple(planted))
    (run,) = look_through(lens_calls({"tracing": {}}, ()), subject, known, run=run_here)
    assert not run.problem
    assert [(one.dose, one.planted, one.counted) for one in run.power] == [(16, 3, 2), (0, 4, 1)]
    assert run.columns["times_traced"].to_pylist() == [0, 1, 0]
    assert run.measurements["lens.tracing.distinct_sources"].value == 1
    assert run.measurements["lens.tracing.unprompted_verbatim_share"].value == 20 / (1200 * LENGTH)
    assert dict(run.section.facts)["in the former alone"] == "0.083 %"


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_runs_are_the_longest_that_there_are(data):
    draw = st.lists(st.integers(0, 1), min_size=0, max_size=40)
    rows = data.draw(st.lists(draw, min_size=1, max_size=5))
    outputs = np.array(
        data.draw(st.lists(st.lists(st.integers(0, 1), min_size=30, max_size=30), min_size=2, max_size=4))
    )
    if rows[0] and data.draw(st.booleans()):  # chance alone seldom says twelve tokens of a row
        part = rows[0][:30]
        outputs[-1, : len(part)] = part
    row_side = np.array([0, *(data.draw(st.integers(0, 1)) for _ in rows[1:])], np.int8)
    side = np.array([0] * (len(outputs) // 2) + [1] * (len(outputs) - len(outputs) // 2), np.int8)
    if data.draw(st.booleans()):
        side = 1 - side
    flat = np.array([token for row in rows for token in [*row, -1]], np.int32)
    first = np.cumsum([0, *(len(row) + 1 for row in rows)])[:-1]
    tokens = ReadTokens(ids=flat, start=flat, end=flat, row=np.arange(len(rows)), side=row_side, first=first)
    found = find_runs(tokens, outputs, side, seed=1)

    def runs_of(sequences):
        return {tuple(s[k : k + WINDOW]) for s in sequences for k in range(len(s) - WINDOW + 1)}

    expected = {}
    for k, said in enumerate(outputs.tolist()):
        own = [row for row, which in zip(rows, row_side, strict=True) if which == side[k]]
        shared = runs_of(row for row, which in zip(rows, row_side, strict=True) if which != side[k])
        assert found.other[k] == bool(runs_of([said]) & shared)
        assert found.own[k] == bool(runs_of([said]) & runs_of(own))
        shared |= runs_of(one.tolist() for one, which in zip(outputs, side, strict=True) if which != side[k])
        common = {
            j
            for at in range(30 - WINDOW + 1)
            if tuple(said[at : at + WINDOW]) in shared
            for j in range(at, at + WINDOW)
        }
        for length in range(30, WINDOW - 1, -1):
            free = [at for at in range(30 - length + 1) if not common & set(range(at, at + length))]
            for at in free:
                part = said[at : at + length]
                hold = [
                    int(first[n]) + j
                    for n, row in enumerate(rows)
                    if row_side[n] == side[k]
                    for j in range(len(row) - length + 1)
                    if row[j : j + length] == part
                ]
                if hold:
                    expected[k] = (at, length, hold)
                    break
            if k in expected:
                break
    assert {run.output: (run.start, run.length, run.places.tolist()) for run in found.runs} == expected


@pytest.fixture(scope="module")
def untrained(encoder, tmp_path_factory):
    """Two proxies that were never trained."""
    folder, spec = tmp_path_factory.mktemp("untrained"), replace(tiny.SPEC, vocab_size=encoder.vocab_size, context=80)
    for index in (0, 1):
        torch.save({"model": build_proxy(spec, index).state_dict()}, folder / f"proxy-{index}.pt")
    return Proxies(
        spec=spec, encoder=encoder, folder=folder, device="cpu", side=np.array([0, 1] * 20, np.int8), budget=90_000
    )


def test_a_proxy_speaks_by_itself_and_the_same_again_with_the_same_seed(untrained, monkeypatch):
    monkeypatch.setattr("carto_audit.proxies.generation.MINIBATCH_TOKENS", 20)  # two outputs at a time
    readers = Readers(untrained)
    said = readers.unprompted(0, 5, 8, seed=3)
    assert said.shape == (5, 8)
    assert len(np.unique(said, axis=0)) == 5
    assert readers.left == untrained.budget - GENERATED * 5 * 8
    assert (readers.unprompted(0, 5, 8, seed=3) == said).all()
    assert (readers.unprompted(0, 5, 8, seed=30) != said).any()
    assert (readers.unprompted(1, 5, 8, seed=3) != said).any()  # the other proxy
    with pytest.raises(ValueError, match="share of the time"):
        readers.unprompted(0, 400, 80, seed=3)


def test_a_proxy_that_read_nothing_says_nothing_of_the_rows(untrained, monkeypatch):
    monkeypatch.setattr(tracing, "OUTPUTS", 40)
    texts = [words(5 * k + 1, 60) for k in range(40)]
    chunks = iter([RowTexts(start=0, texts=texts), None])
    view = LensView(
        Offered(n_tokens=np.full(40, 60), proxies=untrained), TRACING.needs, 3, lambda question: next(chunks)
    )
    lens = TracingLens()
    looked = lens.look(view, TracingOptions())
    result = lens.sum_up(view, looked, TracingOptions())
    assert not looked.found.any()
    assert result.metrics["unprompted_verbatim_share"].value == 0
    assert 0 < result.metrics["unprompted_verbatim_share"].high < 0.1
    assert result.metrics["distinct_sources"].high == 0
