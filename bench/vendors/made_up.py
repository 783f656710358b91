"""Made-up audits for a ledger: as many figures as a real one leaves, drifting a little, a few of them rejected."""

import hashlib
import random
from collections.abc import Iterator
from datetime import datetime, timedelta

from carto_audit.artifacts.audit_record import ACCEPTED
from carto_audit.artifacts.earlier_audits import Fingerprints
from carto_audit.ledger.entry import Draft
from carto_audit.ledger.kin.table import SCHEME, digest_of
from carto_audit.policy.metrics import METRICS

VENDORS = ("acme", "globex", "initech", "umbrella", "hooli", "vandelay", "stark", "wayne")
_BEGIN = datetime.fromisoformat("2026-01-01T08:00:00+00:00")
_MAP = {"difficulty": {"threshold": {"percentile": 75.0}, "burn_in_share": 0.2}, "memorization": {"score": "memorized"}}


def made_up(count: int, *, seed: int = 0, vendors: tuple[str, ...] = VENDORS, first: int = 0) -> Iterator[Draft]:
    """So many audits, in turn of each vendor; `first` is the number of the first of them, so that others can follow."""
    luck = random.Random(seed)
    for number in range(first, first + count):
        yield made_up_audit(number, vendors[number % len(vendors)], luck)


def made_up_audit(number: int, vendor: str, luck: random.Random) -> Draft:
    """One audit. Its digests are those of its number, its figures luck."""
    share = min(0.2, max(0.0, luck.gauss(0.03 + 0.000002 * number, 0.008)))
    rejected, waived = share > 0.05, luck.random() < 0.05
    status = "accepted_with_warnings" if rejected and waived else "rejected" if rejected else "accepted"
    rule = {"rule": "memorized-mass", "metric": "memorized.token_share", "bound": "max", "limit": 0.05}
    outcome = "passed" if not rejected else "waived" if waived else "failed"
    waiver = {"rule": "memorized-mass", "owner": "ana", "reason": "a known licence text", "expires": "2027-01-01"}
    return {
        "schema_version": 1,
        "vendor": vendor,
        "audit": _digest("audit", number),
        "audited_at": (_BEGIN + timedelta(hours=3 * number)).isoformat(),
        "tool": "0.1.0",
        "batch": {
            "names": [f"{vendor}-{number:05}.parquet"],
            "files": 1,
            "sha256": _digest("batch", number),
            "rows": 20_000,
            "samples": 19_950,
            "tokens": 4_000_000 + luck.randrange(500_000),
        },
        "policy": {"name": "default", "sha256": "ab" * 32, "treatment_sha256": "cd" * 32, "map": _MAP},
        "run": {"proxy": "nano", "epochs": 8, "folds": 2, "repeats": 1, "confidence": 0.975},
        "benchmarks": [["gsm8k_test", "12" * 32], ["mmlu_test", "34" * 32]],
        "verdict": {"status": status, "exit_code": int(status == "rejected")},
        "metrics": {
            name: _figure(name, share, luck) for name in METRICS if not name.startswith(("redteam.", "vendor."))
        },
        "rules": [
            {**rule, "severity": "reject", "outcome": outcome, "observed": round(1.2 * share, 6)},
            *_passed(share),
        ],
        "waivers": [waiver] if outcome == "waived" else [],
        "report_sha256": _digest("report", number),
    }


def made_up_fingerprints(draft: Draft, count: int) -> dict[str, Fingerprints]:
    """As many fingerprints of its batch, by audit; none where the audit was not accepted. They follow from its digest."""
    if draft["verdict"]["status"] not in ACCEPTED:
        return {}
    luck = random.Random(draft["audit"])
    rows = [(one, luck.randint(1, 3), 0) for one in sorted({luck.getrandbits(64) - (1 << 63) for _ in range(count)})]
    about = {
        "scheme": SCHEME,
        "hashes": "made up",
        "run_words": 8,
        "window": 4,
        "key_letters": 12,
        "key": "0" * 16,
        "rate": 1.0,
        "boilerplate_cap": 32,
        "fingerprints": len(rows),
        "sha256": digest_of(rows),
    }
    return {draft["audit"]: Fingerprints(about=about, rows=rows)}


def _passed(share: float) -> list[dict[str, object]]:
    rule = {"metric": "memorized.token_share", "bound": "max", "limit": 0.5, "severity": "warn", "outcome": "passed"}
    return [{**rule, "rule": f"other-{k}", "observed": share} for k in range(14)]


def _figure(name: str, share: float, luck: random.Random) -> list[float]:
    if name.startswith(("memorized.", "hotspot_memorized.", "noisy_outlier.")) and name.endswith("_share"):
        value = share if name.startswith("memorized.") else share / 2
        return [round(value, 6), round(0.85 * value, 6), round(1.2 * value, 6)]
    if METRICS[name].unit in ("share", "AUC", "change"):
        value = round(luck.random() / 10, 6)
        return [value, value, value]
    count = float(luck.randrange(3) if name.startswith("contamination.") else luck.randrange(1000))
    return [count, count, count]


def _digest(what: str, number: int) -> str:
    return hashlib.sha256(f"{what} {number}".encode()).hexdigest()
