"""Plant facts: the sealed table of what was planted, and the statement about it that quotes nothing of it."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from carto_audit import __version__
from carto_audit.controls.controls import PROVING_SECRETS
from carto_audit.controls.run_secrets import RunSecrets
from carto_audit.controls.sealed import CONTROLS, SCHEMA
from carto_audit.data.batch import Batch
from carto_audit.data.segments import read_values_of
from carto_audit.real_runs.chosen_rows import LEAST_HELD_OUT, ChosenRows
from carto_audit.real_runs.options import PlantOptions
from carto_audit.real_runs.placing import Placed
from carto_audit.real_runs.planted_batch import BATCH, KEY, STATEMENT
from carto_audit.real_runs.preflight import LOSSES, Seen
from carto_audit.runtime.files import name_text
from carto_audit.text.untrusted import safe_inline


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFacts:
    """A file as it was planted: both names, rows that were delivered, kept and planted, and how it was written."""

    file: str
    delivered: str
    rows: int
    kept_rows: int
    planted_rows: int
    byte_for_byte: bool
    converted: bool
    json_columns: tuple[str, ...]


Stand = Mapping[int, tuple[str, int]]
"""Where each planted copy stands, by its number among all copies: a file of the planted batch, and a row of it."""


def sealed_table(
    batch: Batch, secrets: RunSecrets[Placed], stands: Stand, chosen: ChosenRows, seen: Sequence[Seen] | None
) -> pa.Table:
    """A row per planted copy, twin, held-out row and lent row. `seen` are the copies and the twins, in this order."""
    rows = [*_secret_rows(secrets, stands, seen), *_batch_rows(batch, chosen)]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def _secret_rows(secrets: RunSecrets[Placed], stands: Stand, seen: Sequence[Seen] | None) -> Iterator[dict[str, Any]]:
    number = 0
    for secret, written in enumerate([*secrets.planted, *secrets.twins]):
        for copy in written.copies:
            row, look = copy.row, seen[number] if seen is not None else None
            free = row.free_end > row.free_start
            yield {
                "role": "planted" if written.dose else "twin",
                "secret": secret,
                "kind": written.kind,
                "form": written.form,
                "dose": written.dose,
                "edited": row.edited,
                "text": row.text,
                "secret_start": row.start,
                "secret_end": row.end,
                "free_start": row.free_start if free else None,
                "free_end": row.free_end if free else None,
                "file": stands[number][0] if written.dose else None,
                "row": stands[number][1] if written.dose else None,
                "values": json.dumps(row.values, default=str),
                **_token_columns(look),
            }
            number += 1


def _token_columns(look: Seen | None) -> dict[str, Any]:
    if look is None:
        return {}
    return {
        "tokens": look.tokens,
        "first_secret_token": look.secret[0],
        "last_secret_token": look.secret[1],
        "first_free_token": look.free[0],
        "last_free_token": look.free[1],
        "lost_to": look.lost_to,
    }


def _batch_rows(batch: Batch, chosen: ChosenRows) -> Iterator[dict[str, Any]]:
    starts = np.concatenate([[0], np.cumsum(batch.file_rows)])
    values = read_values_of(batch, [*chosen.held_out.tolist(), *chosen.lent.tolist()])
    for role, samples in (("held_out", chosen.held_out), ("lent", chosen.lent)):
        for sample in np.sort(samples).tolist():
            row = int(batch.row[sample])
            file = int(np.searchsorted(starts, row, side="right")) - 1
            yield {
                "role": role,
                "dose": 0,
                "edited": False,
                "text": chosen.texts[sample],
                "file": batch.file_names[file],
                "row": row - int(starts[file]),
                "values": json.dumps(values[sample], default=str),
            }


def secret_counts(secrets: RunSecrets[Placed], seen: Sequence[Seen] | None) -> list[dict[str, Any]]:
    """Planted secrets by kind, form and dose: how many, in how many copies, and how many survive with all of their copies, None
    where nobody looked; and what lost copies are lost to."""
    found: dict[tuple[str, str, int], dict[str, Any]] = {}
    number = 0
    for written in secrets.planted:
        looks = [] if seen is None else seen[number : number + len(written.copies)]
        number += len(written.copies)
        counts = found.setdefault(
            (written.kind, written.form, written.dose),
            {
                "kind": written.kind,
                "form": written.form,
                "dose": written.dose,
                "secrets": 0,
                "copies": 0,
                "surviving": None if seen is None else 0,
                "lost_to": {},
            },
        )
        counts["secrets"] += 1
        counts["copies"] += len(written.copies)
        if seen is not None:
            lost = [look.lost_to for look in looks if look.lost_to is not None]
            counts["surviving"] += not lost
            for reason in lost:
                counts["lost_to"][reason] = counts["lost_to"].get(reason, 0) + 1
    return [found[cell] for cell in sorted(found)]


def surviving_at(counts: Iterable[Mapping[str, Any]], dose: int) -> int:
    """Secrets of a dose that survive, or that were planted where nobody looked."""
    return sum(
        one["secrets"] if one["surviving"] is None else one["surviving"] for one in counts if one["dose"] == dose
    )


def warnings_of(
    counts: Sequence[Mapping[str, Any]], demanded: int, options: PlantOptions, missing: int, held_out: int
) -> list[str]:
    """What the proof of this run will lack, and what would help; one line each."""
    found = []
    if held_out < LEAST_HELD_OUT:
        found.append(
            f"only {held_out} rows are held out, and drift is told by {LEAST_HELD_OUT} or more that share no passage with "
            "others: hold out more, or plant in a larger batch"
        )
    surviving = surviving_at(counts, demanded)
    if surviving >= PROVING_SECRETS:
        return found
    lost: dict[str, int] = {}
    for one in counts:
        for reason, copies in one["lost_to"].items() if one["dose"] == demanded else ():
            lost[reason] = lost.get(reason, 0) + copies
    worst = max(lost, key=lambda reason: lost[reason], default="")
    helps = {
        "tokenizer": "name the tokenizer and the chat template that the run uses",
        "truncation": f"raise the longest length above {options.max_length}",
        "packing": "use packing bfd, which keeps samples whole",
        "masking": "train on all of a sample, or deliver the answers in a column that trainers learn",
    }.get(worst) or f"plant in a batch of {missing:,} more tokens, or raise the share"
    why = f"; {LOSSES[worst]}" if worst else ""
    happened = "survive" if any(one["surviving"] is not None for one in counts) else "are planted"
    found.append(
        f"only {surviving} secrets at dose {demanded} {happened}, and a proof takes {PROVING_SECRETS}{why}: {helps}"
    )
    return found


def statement(
    batch: Batch,
    planted: Batch,
    *,
    secrets: RunSecrets[Placed],
    counts: Sequence[Mapping[str, Any]],
    chosen: ChosenRows,
    files: Sequence[FileFacts],
    commitment: str,
    tokens: Mapping[str, Any],
    demanded: int,
    doses: Sequence[int],
    options: PlantOptions,
    looked: bool,
) -> dict[str, Any]:
    """`plant.json`. It quotes no text of the batch and no secret."""
    return {
        "schema_version": 1,
        "tool": {"name": "carto-audit", "version": __version__},
        "batch": {"sha256": batch.sha256, "rows": batch.rows, "layout": batch.layout.name, "columns": _safe(batch)},
        "planted": {"folder": BATCH, "sha256": planted.sha256, "rows": planted.rows},
        "controls": {"file": CONTROLS, "commitment": commitment},
        "key": KEY,
        "tokens": dict(tokens),
        "seeded": options.seed is not None,
        "dose": demanded,
        "doses": list(doses),
        "secrets": [dict(one) for one in counts],
        "surviving_secrets": surviving_at(counts, demanded) if looked else None,
        "proving_secrets": PROVING_SECRETS,
        "twins": len(secrets.twins),
        "held_out_rows": len(chosen.held_out),
        "lent_rows": len(chosen.lent),
        "preflight": _preflight(options) if looked else None,
        "warnings": warnings_of(counts, demanded, options, int(tokens["missing"]), len(chosen.held_out)),
        "files": [asdict(one) for one in files],
    }


def _preflight(options: PlantOptions) -> dict[str, Any]:
    return {
        "tokenizer": safe_inline(str(options.tokenizer), 400),
        "max_length": options.max_length,
        "packing": options.packing,
        "loss_on": options.loss_on,
    }


def _safe(batch: Batch) -> list[str]:
    return [safe_inline(name, 120) for name in batch.layout.columns]


def is_plant(folder: Path) -> bool:
    """Whether a folder holds what was planted and nothing else, so that it may be replaced."""
    try:
        facts = json.loads((folder / STATEMENT).read_text(encoding="utf-8"))
        listed = {f"{BATCH}/{one['file']}" for one in facts["files"]}
        found = {
            name_text(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir() or path.is_symlink()
        }
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return found <= {*listed, STATEMENT, CONTROLS, KEY}
