"""The check of a vendor's summary: commit, challenge, recompute. It is read before the audit, and held against it after."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

from carto_audit.artifacts.vendor_facts import (
    VendorFacts,
    VendorFound,
    VendorMassFacts,
    VendorRecomputeFacts,
    VendorTestFacts,
)
from carto_audit.cartography.quadrants import MEMORIZED, UNMAPPED
from carto_audit.pipeline.options import AuditOptions
from carto_audit.pipeline.result import ScoredRows, VendorCheck
from carto_audit.policy.metrics import Measurement
from carto_audit.policy.vendor_metrics import AGE, MISSING, POWER, UNDERSTATED, UNSIGNED
from carto_audit.runtime.errors import UsageError, option
from carto_audit.runtime.progress import SILENT, Progress
from carto_audit.text.untrusted import safe_inline
from carto_audit.vendors.agreement import Sides, Tested, compare_sides, power_of_check, powers, understated
from carto_audit.vendors.challenge import Held, hold, new_nonce
from carto_audit.vendors.reading import Summary, read_summary
from carto_audit.vendors.rows import bools, floats, read_salt
from carto_audit.vendors.summary import salt_beside
from carto_audit.vendors.words import differences, unchecked

MOST_EXAMPLES = 10
CLOCKS_DIFFER = timedelta(days=1)
"""By so much a vendor's clock may be ahead of ours."""


def vendor_check(options: AuditOptions, progress: Progress = SILENT) -> VendorCheck | None:
    """What holds the summary that the options name against an audit; None where they name none.

    Reads it, its salt and the key first: raises UsageError and AuditError in one line before anything is trained.
    """
    from carto_audit.attestation.dsse import load_public_key

    if options.vendor_summary is None:
        return None
    folder = Path(options.vendor_summary)
    key = load_public_key(Path(options.vendor_key)) if options.vendor_key is not None else None
    summary = read_summary(folder, key)
    salt = read_salt(Path(options.vendor_salt) if options.vendor_salt is not None else salt_beside(folder))
    nonce = new_nonce()
    return lambda scored: check(summary, scored, salt, nonce, progress)


def check(summary: Summary, scored: ScoredRows, salt: bytes, nonce: str, progress: Progress = SILENT) -> VendorFound:
    """Holds a summary against the batch and against what our audit says of it. Raises UsageError where the vendor read other
    columns of the batch."""
    _check_text(summary, scored)
    held = hold(summary, scored.batch, salt, nonce, progress=progress)
    sides = align(summary.table, scored)
    whole = summary.predicate.recipe.max_tokens is None
    tests = compare_sides(sides, whole=whole)
    again: VendorRecomputeFacts | None = None
    if scored.options.vendor_recompute:
        from carto_audit.vendors.recompute import recompute  # loads torch

        again, test = recompute(summary, scored, held, progress)
        tests += [test] if test else []
    found = {
        UNSIGNED: float(summary.unsigned),
        MISSING: held.missing_share,
        UNDERSTATED: understated(tests),
        POWER: power_of_check(sides, whole=whole),
        AGE: _age(summary.predicate.audit.started_at),
    }
    return VendorFound(
        measurements={name: Measurement.exact(value) for name, value in found.items() if value is not None},
        facts=_facts(summary, scored, held, sides, tests, again),
    )


def align(table: pa.Table, scored: ScoredRows) -> Sides:
    """What both sides say of the rows that our audit mapped. A row that the summary does not have counts as not flagged: whoever
    leaves it out hides it."""
    ours = scored.quadrant != UNMAPPED
    row = scored.batch.row[ours]
    there = row < table.num_rows
    place = np.where(there, row, 0)
    trained = bools(table, "trained")[place]
    return Sides(
        n_tokens=scored.n_tokens[ours],
        our_flags=np.isin(scored.quadrant[ours], MEMORIZED),
        our_memorization=scored.memorization[ours],
        our_loss=scored.loss_in[ours],
        their_loss=np.where(there & trained, floats(table, "loss_in")[place], np.nan),
        their_flags=bools(table, "flagged")[place] & there,
        their_memorization=np.where(
            there & trained, floats(table, "memorization")[place], np.where(there, np.nan, 0.0)
        ),
        their_trained=trained | ~there,
    )


def _age(started_at: str) -> float | None:
    """Days since then, in whole ones; None for a moment to come, which some clock is wrong about."""
    age = datetime.now(UTC) - datetime.fromisoformat(started_at)
    return float(max(0, age.days)) if age > -CLOCKS_DIFFER else None


def _check_text(summary: Summary, scored: ScoredRows) -> None:
    theirs, ours = summary.predicate.batch.text, safe_inline(scored.batch.text_column, 300)
    if theirs != ours:
        words = f'the vendor read "{safe_inline(theirs, 60)}" of each row, this audit reads "{safe_inline(ours, 60)}"'
        raise UsageError(f"{summary.shown}: {words}; name the vendor's columns with {option('text_column')}")


def _facts(
    summary: Summary,
    scored: ScoredRows,
    held: Held,
    sides: Sides,
    tests: list[Tested],
    again: VendorRecomputeFacts | None,
) -> VendorFacts:
    predicate, recipe = summary.predicate, summary.predicate.recipe
    flagged = tests[0].among
    facts: VendorFacts = {
        "statement_sha256": summary.statement_sha256,
        "root": predicate.rows.root,
        "nonce": held.nonce,
        "recipe": {
            "version": safe_inline(predicate.tool.version, 40),
            "policy": safe_inline(recipe.policy, 80),
            "seed": recipe.seed,
            "epochs": recipe.epochs,
            "folds": recipe.folds,
            "repeats": recipe.repeats,
            "proxy": safe_inline(recipe.proxy.name, 80),
            "started_at": predicate.audit.started_at,
            "differences": differences(predicate, scored),
        },
        "signature": {
            "fingerprint": summary.signer,
            "signatures": summary.signatures,
            "problem": summary.problem,
        },
        "rows": {
            "rows": held.rows,
            "same_batch": predicate.batch.sha256 == scored.batch.sha256,
            "foreign": len(held.foreign) + held.absent,
            "examples": held.foreign[:MOST_EXAMPLES].tolist(),
            "challenged": len(held.challenged),
            "unproved": held.unproved,
        },
        "compared": int((sides.their_trained & np.isfinite(sides.our_memorization)).sum()),
        "flagged": flagged,
        "tests": [_test_facts(test) for test in tests],
        "mass": _mass(summary, scored, sides),
        "power": [{"hidden_share": share, "chance": chance} for share, chance in powers(flagged).items()],
        "unchecked": unchecked(summary, scored, again, rehearsed=scored.options.rehearsable),
    }
    if again is not None:
        facts["recomputed"] = again
    return facts


def _test_facts(test: Tested) -> VendorTestFacts:
    return {
        "name": test.name,
        "seen": test.seen,
        "among": test.among,
        "honest": test.honest,
        "chance": test.chance,
        "share": test.share,
        "at_least": test.at_least,
        "at_most": test.at_most,
        "failed": test.failed,
    }


def _mass(summary: Summary, scored: ScoredRows, sides: Sides) -> VendorMassFacts:
    """The flagged mass, as shares of the tokens of rows that both sides mapped; as stated it is of the vendor's own."""
    tokens = scored.n_tokens[scored.quadrant != UNMAPPED]
    both = sides.their_trained
    total = max(1, int(tokens[both].sum()))
    return {
        "stated": summary.predicate.masses["memorized"].token_share,
        "by_their_flags": float(tokens[both & sides.their_flags].sum() / total),
        "ours": float(tokens[both & sides.our_flags].sum() / total),
    }
