"""Rows of every layout are found in a trace, whichever of the usual ways the run reads them in."""

import numpy as np
import pytest
from transformers import PreTrainedTokenizerFast

from bench.real_runs.tiny_run import END, make_tokenizer
from carto_audit.data.batch import read_texts
from carto_audit.data.segments import read_values_of
from carto_audit.real_runs.reading.planted_run import open_planted
from carto_audit.real_runs.reading.run_samples import Way, cut, find_way, read_samples
from carto_audit.real_runs.scoring.visited import identify
from carto_audit.traces.logger import LossLogger
from carto_audit.traces.reading import read_visits
from tests.real_runs.conftest import SAID

TEMPLATE = "{% for message in messages %}<{{ message['role'] }}>{{ message['content'] }}\n{% endfor %}"


def texts_of_a_trainer(planted):
    """What TRL's trainer makes of a row: a chat through the template, a prompt and its completion in one, other text as it is."""
    values = read_values_of(planted.batch, range(len(planted.batch)))
    texts = read_texts(planted.batch, range(len(planted.batch)))
    for k in range(len(planted.batch)):
        row = values[k]
        if "messages" in row:
            yield "".join(f"<{turn['role']}>{turn['content']}\n" for turn in row["messages"])
        else:
            yield row["prompt"] + row["completion"] if "prompt" in row else texts[k]


def test_every_layout_is_found_as_a_trainer_reads_it(planted, tmp_path):
    tokenizer = make_tokenizer(SAID[:50], tmp_path / "tokenizer")
    tokenizer.chat_template = TEMPLATE
    run = open_planted(planted.out)
    roles = [row["role"] for row in planted.controls]
    assert run.is_copy.sum() == roles.count("planted")
    assert len(run.held_out) == roles.count("held_out") == 30
    samples = [[*tokenizer(text)["input_ids"], tokenizer.eos_token_id] for text in texts_of_a_trainer(run)]
    logger = LossLogger(tmp_path / "trace", run.keys, token_share=0)
    for k, ids in enumerate(samples):
        logger.log(np.array([ids]), np.full((1, len(ids)), 2.0), step=k, epoch=0)
    assert logger.close()
    visits = read_visits(tmp_path / "trace", run.keys)
    longest = int(visits.rows.length.max())
    way = find_way(run, tokenizer, np.unique(visits.rows.key), longest)
    assert way == Way(ends=True, joined=planted.path.name == "prompts.parquet")
    read = read_samples(run, tokenizer, way)
    assert [read.ids[read.offsets[k] : read.offsets[k + 1]].tolist() for k in range(len(samples))] == samples
    assert len(read) == len(samples) + len(run.twins) + 30
    visited = identify(run, read, visits)
    assert visited.known.all()
    assert not visited.kept


def test_a_tokenizer_that_adds_its_own_tokens_is_read_as_it_is_and_without_them(planted, tmp_path):
    if planted.path.name != "text.jsonl":
        pytest.skip("one layout is enough")
    from tokenizers.processors import TemplateProcessing

    plain = make_tokenizer(SAID[:50], tmp_path / "tokenizer")
    plain.backend_tokenizer.post_processor = TemplateProcessing(single=f"{END} $A", special_tokens=[(END, 0)])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=plain.backend_tokenizer, eos_token=END)
    run = open_planted(planted.out)
    usual, bare = (read_samples(run, tokenizer, Way(special=special)) for special in (True, False))
    assert (usual.n_tokens == bare.n_tokens + 1).all()
    assert (usual.ids[usual.offsets[:-1]] == tokenizer.eos_token_id).all()
    for samples, way in ((usual, Way()), (bare, Way(special=False))):
        known = np.unique(run.keys.keys_of_runs(samples.ids, cut(samples, None).bounds))
        assert find_way(run, tokenizer, known, int(samples.n_tokens.max())) == way
