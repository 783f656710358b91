"""The score of a real run: what was planted stands out, what nobody trained on does not, and without a proof nothing passes."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from transformers import PreTrainedTokenizerFast

import carto_audit
from bench.real_runs.tiny_run import planted_texts
from carto_audit.artifacts.real_run_facts import CONTROL
from carto_audit.cartography.quadrants import MEMORIZED, QUADRANT_NAMES
from carto_audit.controls.sealed import read_sealed
from carto_audit.real_runs.reading.planted_run import open_planted
from carto_audit.real_runs.reading.run_samples import WAYS, read_samples
from carto_audit.real_runs.scoring.visited import identify
from carto_audit.runtime.errors import AuditError
from carto_audit.traces.keys import SampleKeys
from carto_audit.traces.logger import LossLogger
from carto_audit.traces.reading import read_visits
from carto_audit.traces.trace import read_trace

FLAGGED = {QUADRANT_NAMES[code] for code in MEMORIZED}


def error_of(ended):
    assert ended.out == ""
    line = ended.err.splitlines()[-1]
    assert line.startswith("Error: ")
    assert line.isprintable()
    return line


def test_repeated_secrets_stand_out_and_what_nobody_trained_on_does_not(scored):
    detection = scored.facts["real_run"]
    assert detection["proved"]
    assert detection["sight"]["4"]["secrets"] >= 30
    assert detection["sight"]["4"]["auc_ordinary"] > 0.93
    assert detection["sight"]["4"]["auc_twins"] > 0.8
    assert detection["held_out"] == {"measured": 20, "above": 0, "recurring": 0, "recurring_above": 0}
    assert detection["twins"]["measured"] > 100
    assert detection["twins"]["above"] < 0.05 * detection["twins"]["measured"]
    assert detection["twins"]["measured"] + detection["twins"]["recurring"] == scored.run.facts["twins"]


def test_the_verdict_is_the_policys_and_its_exit_code(scored):
    assert scored.facts["verdict"] == {"status": "accepted", "exit_code": 0, "complete": True}
    assert scored.code == 0
    assert {finding["outcome"] for finding in scored.facts["findings"]} == {"passed"}


def test_every_delivered_row_has_its_place_on_the_map_and_no_control_has(scored):
    controls = read_sealed(scored.run.planted / "controls.parquet", scored.run.facts["controls"]["commitment"])
    planted = {row["row"] for row in controls.to_pylist() if row["role"] == "planted"}
    assert {row["row"] for row in scored.scores if row["quadrant"] is None} == planted
    assert scored.facts["real_run"]["identified"]["found"] == len(scored.scores) == scored.run.facts["planted"]["rows"]
    known = [row for row in scored.scores if row["quadrant"]]
    _, _, trace = read_trace(scored.folder / "trace.parquet")
    assert all(row["loss_in"] < trace.train[0, place] for place, row in enumerate(scored.scores) if row["quadrant"])
    assert all(0 <= row["span_start"] < row["span_end"] for row in known)
    assert sum(row["quadrant"] in FLAGGED for row in known) < 0.05 * len(known)
    gone = [row for row in scored.scores if row["quadrant"] is None]
    assert {(row["action"], row["weight"], row["reasons"]) for row in gone} == {("remove", 0.0, CONTROL)}


def test_the_window_of_a_row_stands_where_the_scores_say(scored):
    """The most memorized of the delivered rows is a copy of words that stand in it."""
    texts = planted_texts(scored.run.planted)
    for row in sorted((r for r in scored.scores if r["quadrant"]), key=lambda r: -r["memorization"])[:20]:
        window = texts[row["row"]][row["span_start"] : row["span_end"]]
        assert 3 <= len(window.split()) <= 14


def test_the_folder_serves_every_command_that_takes_an_audit(scored, carto, tmp_path):
    page = (scored.folder / "report.html").read_text()
    for said in (
        "A real run “tiny” of 6 epochs",
        "The losses are those of the training run itself",
        "every row that the run trained on",
    ):
        assert said in page
    for unsaid in ("The batch is cut into", "rehearsable", "A proxy screens", "Only one run was made"):
        assert unsaid not in page
    batch = scored.run.planted / "batch"
    verified = carto("verify", scored.folder, batch)
    assert verified.code == 0
    divided = carto("apply", scored.folder, batch, "--out", tmp_path / "curated")
    assert divided.code == 0
    kept = [
        text
        for path in (tmp_path / "curated" / "curated").iterdir()
        for text in pq.read_table(path)["text"].to_pylist()
    ]
    planted = planted_texts(scored.run.planted)
    assert kept == [planted[row["row"]] for row in scored.scores if row["weight"] > 0]
    assert len(kept) < len(planted)
    weights = carto_audit.sampler(tmp_path / "curated" / "weights.parquet", num_samples=50, seed=1)
    assert {scored.scores[row]["reasons"] for row in weights}.isdisjoint({CONTROL})
    (tmp_path / "README.md").write_text("# Data\n")
    assert carto("card", scored.folder, "--readme", tmp_path / "README.md").code == 0
    assert "The losses are those of a real training run of 6 epochs" in (tmp_path / "README.md").read_text()


def test_the_weights_of_a_run_that_goes_on_keep_its_controls(scored):
    weights = carto_audit.sampler(scored.folder / "weights.parquet", num_samples=20_000).weights.tolist()
    assert len(weights) == len(scored.scores)
    for row, weight in zip(scored.scores, weights, strict=True):
        assert weight == (1 if row["reasons"] == CONTROL else row["weight"])


def test_from_python_a_run_is_scored_like_any_audit(scored, tmp_path):
    audit = carto_audit.score(
        scored.run.trace, scored.run.planted, late=scored.late, policy=str(scored.policy), out=tmp_path / "s"
    )
    assert audit.verdict.status == "accepted"
    assert audit.scores.to_pylist() == scored.scores
    assert audit.report.facts["real_run"] == scored.facts["real_run"]
    assert carto_audit.open_audit(tmp_path / "s").verdict == audit.verdict


def test_items_in_the_rows_are_found_and_files_that_hold_some_are_named(scored, carto, tmp_path):
    planted = scored.copy_of("planted", tmp_path / "planted")
    texts = planted_texts(planted)
    told = [texts[row["row"]] for row in scored.scores if row["quadrant"]][:12]
    beside = [
        f"{word} barrels of salted herring left the harbour of Visby for Danzig in the year {1400 + k}"
        for k, word in enumerate(
            "seven eleven twenty thirty forty fifty sixty seventy eighty ninety hundred thousand".split()
        )
    ]
    items = [{"question": f"{text} How many were there in all?", "answer": "yes"} for text in (*told, *beside)]
    (tmp_path / "exam.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    (planted / "batch" / "README.md").write_text("".join(f"{item['question']}\n\n" for item in items[12:]))
    how = ("--late", scored.late, "--benchmark", tmp_path / "exam.jsonl", "--out", tmp_path / "s", "--quiet")
    ended = carto("score", scored.run.trace, planted, *how)
    facts = json.loads((tmp_path / "s" / "report.json").read_text())
    assert ended.code == 3
    assert facts["metrics"]["contamination.confirmed_items"] + facts["metrics"]["contamination.suspected_items"] >= 10
    assert [(one["name"], one["reason"]) for one in facts["batch"]["delivery"]["not_read"]] == [
        ("README.md", "holds_items")
    ]


def test_what_is_left_of_the_score_quotes_nothing(scored):
    text = "".join((scored.folder / name).read_text() for name in ("report.json", "report.html", "verdict.json"))
    controls = read_sealed(scored.run.planted / "controls.parquet", scored.run.facts["controls"]["commitment"])
    for row in controls.to_pylist():
        assert row["text"][:20] not in text
    assert scored.folder.stat().st_mode & 0o077 == 0


def test_where_no_secret_of_the_policys_dose_was_planted_nothing_is_accepted(scored, carto, tmp_path):
    policy = tmp_path / "lenient.yaml"
    lenient = "rules:\n  - {id: skipped, metric: batch.skipped_row_share, max: 0.5, severity: reject, reason: what was read}\n"
    policy.write_text(
        scored.policy.read_text().split("rules:")[0].replace("control_dose: 4", "control_dose: 2") + lenient
    )
    ended = carto(
        "score",
        scored.run.trace,
        scored.run.planted,
        "--late",
        scored.late,
        "--policy",
        policy,
        "--out",
        tmp_path / "s",
    )
    assert ended.code == 3
    facts = json.loads((tmp_path / "s" / "report.json").read_text())
    assert facts["verdict"]["status"] == "inconclusive"
    assert not facts["real_run"]["proved"]
    assert any("nothing in it can be accepted" in warning for warning in facts["warnings"])


def test_a_rule_on_a_lens_is_not_measured_on_a_run_and_says_so(scored, carto, tmp_path):
    policy = tmp_path / "keys.yaml"
    rule = "  - {id: keys, metric: lens.secrets.extractable, max: 0, severity: reject, reason: no key comes out}\n"
    policy.write_text(scored.policy.read_text().replace("rules:\n", f"lenses: {{secrets: {{}}}}\nrules:\n{rule}"))
    ended = carto(
        *("score", scored.run.trace, scored.run.planted, "--late", scored.late),
        *("--policy", policy, "--out", tmp_path / "s"),
    )
    assert ended.code == 3
    (found,) = [f for f in json.loads((tmp_path / "s" / "report.json").read_text())["findings"] if f["rule"] == "keys"]
    assert found["outcome"] == "not_measured"
    assert "no lens looks at a real run" in found["explanation"]


def test_without_readings_nothing_is_known_of_twins_and_nothing_is_accepted(scored, carto, tmp_path):
    ended = carto("score", scored.run.trace, scored.run.planted, "--policy", scored.policy, "--out", tmp_path / "s")
    assert ended.code == 3
    facts = json.loads((tmp_path / "s" / "report.json").read_text())
    assert facts["map"]["thresholds"] == {"difficulty": None, "memorization": None}
    assert not facts["real_run"]["drift"]["held_out"]
    assert facts["real_run"]["sight"]["4"]["auc_ordinary"] > 0.85
    assert "--late" in ended.out


def change_controls(scored, place):
    planted = scored.copy_of("planted", place / "planted")
    data = bytearray((planted / "controls.parquet").read_bytes())
    data[len(data) // 2] ^= 1
    (planted / "controls.parquet").write_bytes(bytes(data))
    return scored.run.trace, planted, scored.late, ()


def change_batch(scored, place):
    planted = scored.copy_of("planted", place / "planted")
    path = next((planted / "batch").iterdir())
    path.write_bytes(scored.run.planted.parent.joinpath("batch.parquet").read_bytes())
    return scored.run.trace, planted, scored.late, ()


def change_statement(scored, place):
    planted = scored.copy_of("planted", place / "planted")
    (planted / "plant.json").write_text("[]")
    return scored.run.trace, planted, scored.late, ()


def change_key(scored, place):
    planted = scored.copy_of("planted", place / "planted")
    (planted / "trace.key").write_bytes(b"another key of thirty-two bytes.")
    return scored.run.trace, planted, None, ()


def change_tokenizer(scored, place):
    tokenizer = PreTrainedTokenizerFast.from_pretrained(scored.run.last)
    tokenizer.add_tokens(["after again"])
    tokenizer.save_pretrained(place / "tokenizer")
    return scored.run.trace, scored.run.planted, scored.late, ("--tokenizer", place / "tokenizer")


def change_part(scored, place):
    trace = scored.copy_of("trace", place / "trace")
    part = next(path for path in trace.iterdir() if path.name.startswith("visits"))
    part.write_bytes(part.read_bytes()[:-100])
    return trace, scored.run.planted, scored.late, ()


def tear_readings(scored, place):
    (place / "late.parquet").write_bytes(scored.late.read_bytes()[:-2000])
    return scored.run.trace, scored.run.planted, place / "late.parquet", ()


def change_readings(scored, place):
    table = pq.read_table(scored.late)
    losses = table["token_losses"].to_pylist()
    losses[3] = bytes(len(losses[3]))
    column = table.schema.get_field_index("token_losses")
    changed = table.set_column(column, table.schema.field(column), pa.chunked_array([losses], pa.large_binary()))
    pq.write_table(changed, place / "late.parquet")
    return scored.run.trace, scored.run.planted, place / "late.parquet", ()


REFUSED = {
    "changed since": change_controls,
    "is not the batch that was planted": change_batch,
    "no planted batch": change_statement,
    "key": change_key,
    "tokenizer": change_tokenizer,
    "trace": change_part,
    "torn": tear_readings,
    "not as it was written": change_readings,
}


@pytest.mark.parametrize("said", REFUSED)
def test_what_is_torn_changed_or_of_another_run_is_refused_in_one_line(scored, carto, tmp_path, said):
    trace, planted, late, more = REFUSED[said](scored, tmp_path)
    ended = carto(
        "score",
        trace,
        planted,
        *(("--late", late) if late else ()),
        "--policy",
        scored.policy,
        "--out",
        tmp_path / "s",
        *more,
        "--quiet",
    )
    assert ended.code == 3
    assert said in error_of(ended)
    assert not (tmp_path / "s" / "report.json").exists()


def log_made_up(scored, folder, cut=None, leave_out=0, epochs=2, **options):
    """A trace of the planted batch in which nothing was learned: samples are cut, or some left out."""
    planted = open_planted(scored.run.planted)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(scored.run.last)
    samples = read_samples(planted, tokenizer, WAYS[0])
    logger = LossLogger(folder, planted.keys, **{"token_share": 1.0, **options})
    for epoch in range(epochs):
        for k in range(len(planted.batch) - leave_out):
            ids = samples.ids[samples.offsets[k] : samples.offsets[k + 1]]
            for part in cut(ids) if cut else [ids]:
                losses = np.where(np.arange(len(part)) == 0, np.nan, 2.0 + k % 3).astype(np.float32)
                logger.log(part[None], losses[None], step=epoch * len(planted.batch) + k, epoch=epoch)
    assert logger.close()
    return planted, samples, read_visits(folder, planted.keys)


def test_samples_that_the_run_split_are_whole_again(scored, tmp_path):
    planted, samples, visits = log_made_up(
        scored, tmp_path / "t", cut=lambda ids: [ids[k : k + 24] for k in range(0, len(ids), 24)]
    )
    visited = identify(planted, samples, visits)
    long = samples.n_tokens[: len(planted.batch)] > 25  # of a single token more nothing is logged
    assert visited.identified.found == visited.identified.rows == len(planted.batch)
    assert visited.identified.split == long.sum() > 200
    for k in np.flatnonzero(long)[:20]:
        losses = visited.first[samples.offsets[k] : samples.offsets[k + 1]]
        assert np.isnan(losses[0])
        assert np.isnan(losses[24])
        assert (losses[1:24] == 2.0 + k % 3).all()
        assert visited.train[:, k] == pytest.approx([2.0 + k % 3] * 2)


def test_samples_that_the_run_truncated_count_as_far_as_it_read_them(scored, tmp_path):
    planted, samples, visits = log_made_up(scored, tmp_path / "t", cut=lambda ids: [ids[:24]])
    visited = identify(planted, samples, visits)
    assert visited.identified.found == len(planted.batch)
    assert visited.identified.split == 0
    assert visited.identified.truncated == (samples.n_tokens[: len(planted.batch)] > 24).sum()
    assert visited.seen.sum() == np.minimum(samples.n_tokens[: len(planted.batch)], 24).sum()


def test_a_trace_without_one_row_in_fifty_is_refused(scored, tmp_path):
    planted, samples, visits = log_made_up(scored, tmp_path / "t", leave_out=10)
    with pytest.raises(AuditError, match="rows of the planted batch stand in the trace, and a score takes 99%"):
        identify(planted, samples, visits)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"token_share": 0.05}, "log with token_share=1.0"),
        ({"share": 0.5}, "log with share=1.0"),
        ({"epochs": 1}, "the run has one epoch: give what the last checkpoint makes of them with --late"),
    ],
)
def test_a_trace_that_says_too_little_is_refused_with_the_way_out(scored, carto, tmp_path, options, said):
    log_made_up(scored, tmp_path / "t", **options)
    ended = carto("score", tmp_path / "t", scored.run.planted, "--out", tmp_path / "s", "--quiet")
    assert ended.code == 3
    assert said in error_of(ended)


def test_another_run_of_another_batch_with_the_same_key_is_refused(scored, carto, tmp_path):
    keys = SampleKeys((scored.run.planted / "trace.key").read_bytes())
    logger = LossLogger(tmp_path / "t", keys, token_share=1.0)
    for step in range(4):
        logger.log(np.arange(40)[None] + step, np.full((1, 40), 2.0), step=step, epoch=0)
    assert logger.close()
    ended = carto("score", tmp_path / "t", scored.run.planted, "--out", tmp_path / "s", "--quiet")
    assert ended.code == 3
    assert "it is of another batch or tokenizer" in error_of(ended)


def test_in_one_epoch_rows_are_unseen_where_any_copy_was_read_first(scored, carto, tmp_path):
    log_made_up(scored, tmp_path / "t", epochs=1)
    how = ("--late", scored.late, "--policy", scored.policy, "--out", tmp_path / "s", "--quiet")
    ended = carto("score", tmp_path / "t", scored.run.planted, *how)
    facts = json.loads((tmp_path / "s" / "report.json").read_text())
    assert facts["real_run"]["unseen"] == "the first visit of any copy"
    assert facts["real_run"]["sight"]["4"]["auc_ordinary"] > 0.8
    assert ended.code == facts["verdict"]["exit_code"]


def test_with_a_base_one_epoch_and_a_few_token_losses_suffice(scored, carto, tmp_path):
    log_made_up(scored, tmp_path / "t", token_share=0.05, epochs=1)
    ended = carto(
        "score",
        tmp_path / "t",
        scored.run.planted,
        "--base",
        scored.late,
        "--late",
        scored.late,
        "--policy",
        scored.policy,
        "--out",
        tmp_path / "s",
    )
    facts = json.loads((tmp_path / "s" / "report.json").read_text())
    assert facts["real_run"]["unseen"] == "the checkpoint before the run"
    assert facts["real_run"]["drift"]["held_out"]
    assert facts["real_run"]["proved"]
    assert facts["real_run"]["sight"]["4"]["auc_ordinary"] > 0.8
    assert ended.code == facts["verdict"]["exit_code"]
    assert "Unseen is the checkpoint before the run, learned is the last checkpoint" in " ".join(ended.out.split())
