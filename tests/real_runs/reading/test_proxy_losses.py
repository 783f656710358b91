"""Two proxies know every row unseen: copies of a secret and kin lie on one side, and what was planted often stands out best."""

import json

import numpy as np
from transformers import PreTrainedTokenizerFast

from carto_audit.proxies.folds import assign_folds
from carto_audit.real_runs.reading.planted_run import open_planted
from carto_audit.real_runs.reading.proxy_losses import _groups, _seed, _store, spec_for
from carto_audit.real_runs.reading.run_samples import WAYS, read_samples
from carto_audit.runtime.progress import SILENT


def test_all_copies_of_a_secret_lie_on_the_same_side(scored, tmp_path):
    planted = open_planted(scored.run.planted)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(scored.run.last)
    samples = read_samples(planted, tokenizer, WAYS[0])
    store = _store(samples, spec_for(planted, len(tokenizer), "cpu"), tmp_path)
    learnable = np.arange(len(samples)) < len(planted.batch)
    group = _groups(planted, store, tokenizer, learnable, tmp_path, SILENT)
    fold = assign_folds(group, store.n_tokens * learnable, 2, _seed(planted))
    secret = planted.controls["secret"].to_pylist()
    sides = {}
    for sample in np.flatnonzero(planted.is_copy):
        sides.setdefault(secret[planted.copy[sample]], set()).add(int(fold[sample]))
    assert len(sides) > 30
    assert {len(side) for side in sides.values()} == {1}
    assert {side for one in sides.values() for side in one} == {0, 1}


def test_a_run_is_scored_by_what_proxies_make_of_unread_rows(scored, carto, tmp_path):
    out = tmp_path / "proxies.parquet"
    read = ("trace", "proxies", scored.run.planted, "--tokenizer", scored.run.last, "--trace", scored.run.trace)
    ended = carto(*read, "--epochs", 3, "--out", out)
    assert ended.code == 0
    assert "Two proxies of" in ended.out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["proxies.parquet"]
    how = ("--base", out, "--late", scored.late, "--policy", scored.policy, "--out", tmp_path / "s")
    ended = carto("score", scored.run.trace, scored.run.planted, *how)
    facts = json.loads((tmp_path / "s" / "report.json").read_text())
    assert facts["real_run"]["unseen"] == "two proxies, each row by the one that never read it"
    assert facts["real_run"]["sight"]["4"]["auc_ordinary"] > 0.9
    assert facts["real_run"]["sight"]["4"]["auc_twins"] > 0.8
    assert ended.code == facts["verdict"]["exit_code"]
