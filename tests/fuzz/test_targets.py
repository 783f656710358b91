"""What fuzzing starts from is read or refused, and what is meant to be read is."""

import copy
import importlib.util
import subprocess
import sys

import pytest

from tests.fuzz import targets
from tests.fuzz.run import NAMES, SEEDS
from tests.support.repository import ROOT

READ = {
    "batch": (
        "parquet",
        "arrow-file",
        "arrow-stream",
        "jsonl",
        "json-inside",
        "csv-bom16",
        "tsv",
        "jsonl-gz",
        "json-zst",
        "tsv-xz",
    ),
    "index": ("as-made",),
    "envelope": ("as-made",),
    "policy": ("whole", "waiver"),
    "report": ("as-made",),
    "card": ("splits", "none"),
}
"""Seeds that are no damage: were they refused, nothing behind the refusal would be tried."""


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", NAMES)
def test_every_seed_is_read_or_refused(name):
    seeds = sorted((SEEDS / name).iterdir())
    assert len(seeds) >= 5
    for seed in seeds:
        targets.run(name, seed.read_bytes())
        assert seed.stat().st_size < 8192


@pytest.mark.parametrize(("name", "seed"), [(name, seed) for name, seeds in READ.items() for seed in seeds])
def test_what_is_no_damage_is_read(name, seed, monkeypatch):
    monkeypatch.setattr(targets, "CartoError", GeneratorExit)  # which nothing raises
    targets.run(name, (SEEDS / name / seed).read_bytes())


def test_what_comes_out_but_a_refusal_is_a_finding(monkeypatch):
    def falls_over(data, folder):
        raise KeyError(data)

    monkeypatch.setitem(targets.TARGETS, "policy", falls_over)
    with pytest.raises(KeyError):
        targets.run("policy", b"x")


def test_an_edit_replaces_or_leaves_out_values_at_any_depth():
    whole = {"a": [1, {"b": 2}], "c": 3}
    made = {
        str(targets.edited(copy.deepcopy(whole), bytes([0, place, value]))) for place in range(5) for value in (0, 255)
    }
    assert len(made) == 10
    assert "{'a': [1, {}], 'c': 3}" in made
    assert "{'a': None, 'c': 3}" in made
    assert targets.edited(whole, b"\0") == whole


def test_each_target_has_seeds_and_is_run():
    assert list(targets.TARGETS) == list(NAMES) == list(READ)
    assert {folder.name for folder in SEEDS.iterdir()} == set(NAMES)


@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris is not installed")
def test_fuzzing_starts_and_ends(tmp_path):
    command = [sys.executable, "-m", "tests.fuzz.run", "card", "--seconds", "1", "--corpus", str(tmp_path)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert "card" in {path.name for path in tmp_path.iterdir()}
