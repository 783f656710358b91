"""Baselines: the audit of the last accepted batch, relied upon only where its files are those of its statement."""

from pathlib import Path

from carto_audit.artifacts.audit_record import Record, read_baseline
from carto_audit.attestation.dsse import load_public_key
from carto_audit.attestation.verify import check_intact
from carto_audit.runtime.errors import UsageError, option


def trusted_baseline(folder: str | Path | None, key: str | Path | None = None) -> Record | None:
    """The record of an accepted audit whose files are those of its statement, which `key` signed where one is given; None where
    none is named. Raises UsageError where it accepted nothing or the key has no audit, AuditError where its files are others."""
    if folder is None and key is not None:
        raise UsageError(f"{option('baseline_key')} says who signed the audit that {option('baseline')} names; name it")
    if folder is None:
        return None
    record = read_baseline(Path(folder))
    check_intact(Path(folder), load_public_key(Path(key)) if key is not None else None)
    return record
