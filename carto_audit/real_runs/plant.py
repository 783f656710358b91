"""Planting: the batch of a real run with controls in it, before the run begins. Everything is written, or nothing."""

import math
import secrets as system
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carto_audit.controls.canary_writer import NoTextLeftError
from carto_audit.controls.controls import PROVING_SECRETS
from carto_audit.controls.run_choices import MOST_SHARE, TOKEN_SHARE
from carto_audit.controls.run_secrets import (
    LENT_SHARE,
    MOST_LENT,
    RunSecrets,
    missing_tokens,
    plan_secrets,
    secret_writer,
)
from carto_audit.controls.sealed import CONTROLS, write_sealed
from carto_audit.curation.division import is_plain_lines
from carto_audit.data.batch import Batch, read_batch, read_texts
from carto_audit.data.readers import bare_name
from carto_audit.policy.model import Policy
from carto_audit.proxies.tokens import load_tokenizer
from carto_audit.real_runs.beside_values import Ids
from carto_audit.real_runs.chosen_rows import ChosenRows, choose_rows, rows_held_out
from carto_audit.real_runs.donors import new_lines, new_records
from carto_audit.real_runs.options import PlantOptions
from carto_audit.real_runs.placing import Placed, Placing
from carto_audit.real_runs.plant_facts import (
    FileFacts,
    is_plant,
    sealed_table,
    secret_counts,
    statement,
)
from carto_audit.real_runs.planted_batch import BATCH, KEY, STATEMENT
from carto_audit.real_runs.planted_files import Changes, planted_suffix, write_planted
from carto_audit.real_runs.preflight import look_ahead
from carto_audit.real_runs.token_count import TokenCount, count_batch
from carto_audit.runtime.errors import AuditError, UsageError, option
from carto_audit.runtime.files import atomic_folder, name_text, path_of, write_json
from carto_audit.runtime.progress import SILENT, Progress
from carto_audit.runtime.sealed_path import LIMITS, check_seals
from carto_audit.text.numbers import percent
from carto_audit.text.untrusted import safe_inline
from carto_audit.traces.keys import keep_sample_keys

LENDING_ROWS, LONGEST_LENDING = 1000, 20_000
"""Rows that lend single words, and the bytes of the longest of them."""


def plant_batch(
    inputs: Sequence[str | Path],
    out: Path,
    *,
    policy: Policy,
    options: PlantOptions | None = None,
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """Makes the folder `out` of the planted batch, the sealed controls, the key of the samples and `plant.json`, whose content is
    returned. A folder that was planted before is replaced as a whole.

    Raises UsageError for a folder that holds anything else; AuditError where the share of the tokens leaves no room for a proof,
    and where files cannot be read or written.
    """
    options = options or PlantOptions()
    check_free(out, inputs)
    if options.tokenizer is not None:
        load_tokenizer(Path(options.tokenizer))  # refused before anything is read
    batch = read_batch(
        inputs,
        text_column=options.text_column,
        layout=options.layout,
        id_column=options.id_column,
        reading=options.reading,
        choice=options.choice,
        limits=policy.limits or LIMITS,
        progress=progress,
    )
    rng = np.random.default_rng(system.randbits(256) if options.seed is None else options.seed)
    count = count_batch(batch, options.tokenizer, rng, progress)
    chosen = _choose(batch, count, options, rng, progress)
    placing = Placing(batch, chosen.asked, count, rng)
    planned = _plan(batch, chosen, placing, count, policy.demanded_dose, options, rng)
    tokens = _check_room(planned, count, policy.demanded_dose, options, chosen.starved)
    copies = [copy for secret in planned.planted for copy in secret.copies]
    twins = [copy for secret in planned.twins for copy in secret.copies]
    rows = [one.row for one in (*copies, *twins)]
    seen = look_ahead(rows, batch.layout, options) if options.tokenizer is not None else None
    counts = secret_counts(planned, seen)
    with atomic_folder(out.resolve()) as folder:
        files, stands = _write_files(batch, chosen, copies, placing, folder / BATCH, rng, progress)
        planted = _rehearse(batch, folder / BATCH, copies, stands, progress)
        facts = statement(
            batch,
            planted,
            secrets=planned,
            counts=counts,
            chosen=chosen,
            files=files,
            commitment=write_sealed(folder / CONTROLS, sealed_table(batch, planned, stands, chosen, seen)),
            tokens=tokens,
            demanded=policy.demanded_dose,
            doses=sorted({policy.demanded_dose, *options.doses}),
            options=options,
            looked=seen is not None,
        )
        keep_sample_keys(folder / KEY)
        write_json(folder / STATEMENT, facts)
        check_seals(batch.paths)
    return facts


def check_free(out: Path, inputs: Sequence[str | Path]) -> None:
    """Raises UsageError unless the folder is new, empty or one of ours, and apart from the batch."""
    where, place = safe_inline(str(out), 160), out.resolve()
    for given in (Path(name).resolve() for name in inputs):
        matched = any(one.match(str(given)) for one in (place, *place.parents)) and any(c in given.name for c in "*?[")
        if given.is_relative_to(place) or matched or (given.is_dir() and place.is_relative_to(given)):
            raise UsageError(f"{where}: the batch itself lies there; choose another {option('out')}")
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not is_plant(out))):
        raise UsageError(f"{where}: exists and is not a planted batch; choose another {option('out')}")


def _choose(
    batch: Batch, count: TokenCount, options: PlantOptions, rng: np.random.Generator, progress: Progress
) -> ChosenRows:
    trainable = int(batch.trainable.sum())
    held_out = rows_held_out(trainable) if options.hold_out is None else options.hold_out
    if held_out > trainable // 2:
        raise UsageError(
            f"{option('hold_out', held_out)}: more than half of the {trainable:,} rows that can be trained on"
        )
    lent = min(LENT_SHARE * options.token_share * count.total, MOST_LENT) / max(count.per_byte, 1e-9)
    return choose_rows(batch, held_out, lent, rng, progress)


def _plan(
    batch: Batch,
    chosen: ChosenRows,
    placing: Placing,
    count: TokenCount,
    demanded: int,
    options: PlantOptions,
    rng: np.random.Generator,
) -> RunSecrets[Placed]:
    lending = np.setdiff1d(
        np.flatnonzero(batch.trainable & (batch.n_bytes <= LONGEST_LENDING)), [*chosen.held_out, *chosen.lent]
    )
    words_of = read_texts(batch, rng.permutation(lending)[:LENDING_ROWS].tolist())
    try:
        around = placing.around()
    except NoTextLeftError as error:
        raise AuditError(
            f"{safe_inline(batch.names[0], 160)}: no row of this layout ({batch.text_column}) can hold a control; name the "
            f"column that is learned with {option('text_column')}"
        ) from error
    return plan_secrets(
        secret_writer(chosen.said, [words_of[k] for k in sorted(words_of)], rng),
        placing.place,
        room=options.token_share * count.total,
        around=around,
        tokens_per_byte=count.per_byte,
        doses=options.doses,
        demanded=demanded,
        rng=rng,
    )


def _check_room(
    planned: RunSecrets[Placed], count: TokenCount, demanded: int, options: PlantOptions, starved: bool
) -> dict[str, Any]:
    """What is planted in tokens. Raises AuditError where nothing can be proved, unless a share was asked for that is above the
    usual one."""
    found, share = planned.secrets_at(demanded), options.token_share
    missing = missing_tokens(planned, demanded, share, count.total)
    if found < (1 if share > TOKEN_SHARE else PROVING_SECRETS):
        room = f"{percent(share)} of {count.total:,.0f} tokens has room for {found} secrets at dose {demanded}"
        if starved:
            raise AuditError(
                f"{room}, and a proof takes {PROVING_SECRETS}: too few rows share no passage with others, and secrets are made "
                "of such; plant in a batch with fewer copies"
            )
        needed = math.ceil(100 * share * (count.total + missing) / count.total) / 100
        above = f", or raise the share: {option('share', f'{needed:g}')}" if needed <= MOST_SHARE else ""
        raise AuditError(
            f"{room}, and a proof takes {PROVING_SECRETS}: about {missing:,} tokens are missing; plant in a larger batch{above}"
        )
    return {
        "total": round(count.total),
        "exact": count.exact,
        "planted": round(planned.spent),
        "share": planned.spent / max(1.0, count.total),
        "allowed_share": share,
        "missing": missing_tokens(planned, demanded, TOKEN_SHARE, count.total),
        "tokenizer": "own" if options.tokenizer is None else "run",
    }


def _write_files(
    batch: Batch,
    chosen: ChosenRows,
    copies: Sequence[Placed],
    placing: Placing,
    place: Path,
    rng: np.random.Generator,
    progress: Progress,
) -> tuple[list[FileFacts], dict[int, tuple[str, int]]]:
    """Writes every file, and says where each copy stands."""
    removed: NDArray[np.bool_] = np.zeros(batch.rows, dtype=bool)
    removed[batch.row[chosen.held_out]] = removed[batch.row[chosen.lent]] = True
    ids = Ids(batch.sample_id.to_pylist() if batch.id_column else (), rng)
    names, files = _names(batch), []
    stands: dict[int, tuple[str, int]] = {}
    with progress.task("Planting", batch.rows, "rows") as advance:
        for file, (path, name) in enumerate(zip(batch.paths, names, strict=True)):
            mine = rng.permutation([k for k, copy in enumerate(copies) if copy.file == file]).astype(np.int64)
            mine = mine[np.argsort([copies[k].before for k in mine], kind="stable")]
            made = [(copies[k].donor, copies[k].row) for k in mine]
            lines = is_plain_lines(path, batch.reading)
            donors, like = placing.donors(file), (made, batch.id_column, ids, rng)
            changes = Changes(
                removed=removed[placing.rows_of(file)],
                before=np.array([copies[k].before for k in mine], np.int64),
                lines=new_lines(donors, *like) if lines else (),
                records=None if lines else new_records(donors, *like),
            )
            written = write_planted(path, batch.reading, changes, place / path_of(name), advance)
            stands |= {int(k): (name, int(row)) for k, row in zip(mine, changes.places(), strict=True)}
            files.append(
                FileFacts(
                    file=name,
                    delivered=safe_inline(batch.file_names[file], 400),
                    rows=batch.file_rows[file],
                    kept_rows=int((~changes.removed).sum()),
                    planted_rows=len(mine),
                    byte_for_byte=written.copied,
                    converted=written.converted,
                    json_columns=tuple(safe_inline(column, 120) for column in written.json_columns),
                )
            )
    return files, stands


def _names(batch: Batch) -> list[str]:
    """A name for each planted file: its own, below the same folders; numbered where two would be the same."""
    names: list[str] = []
    for number, (path, name) in enumerate(zip(batch.paths, batch.file_names, strict=True)):
        folders = [safe_inline(part, 80).lstrip(".") or "_" for part in name.split("/")[:-1]]
        stem = safe_inline(bare_name(path), 120).replace("/", "_").lstrip(".") or "_"
        suffix = planted_suffix(path, batch.reading) or ".jsonl"
        made = "/".join([*folders, f"{stem}{suffix}"])
        taken = {one.casefold() for one in names}
        names.append(made if made.casefold() not in taken else "/".join([*folders, f"{number:05d}-{stem}{suffix}"]))
    return names


def _rehearse(
    batch: Batch, place: Path, copies: Sequence[Placed], stands: dict[int, tuple[str, int]], progress: Progress
) -> Batch:
    """The planted batch as a run would read it. Raises AuditError unless every control stands as it should, where it should."""
    planted = read_batch(
        [place], layout=batch.layout, id_column=batch.id_column, reading=batch.reading, progress=progress
    )
    starts = np.concatenate([[0], np.cumsum(planted.file_rows)])
    first = {name_text(path.relative_to(place)): int(start) for path, start in zip(planted.paths, starts, strict=False)}
    rows = {k: first[name] + row if name in first else -1 for k, (name, row) in stands.items()}
    samples = {k: int(np.searchsorted(planted.row, row)) for k, row in rows.items()}
    found = read_texts(planted, list(samples.values()))
    for k, sample in samples.items():
        if planted.row[min(sample, len(planted) - 1)] != rows[k] or found.get(sample) != copies[k].row.text:
            raise AuditError(
                f"{safe_inline(stands[k][0], 160)}: a control, read again, is not what was planted: this file cannot be written "
                "in its own format; deliver it as JSON lines or Parquet"
            )
    return planted
