"""Small deliveries as a ledger sees them, and a ledger in memory that they are held against."""

import sqlite3
from contextlib import closing

import numpy as np

from carto_audit.artifacts.earlier_audits import Delivered
from carto_audit.ledger.kin.overlap import EarlierSketch, hold_against
from carto_audit.ledger.kin.secret import LedgerKey
from carto_audit.ledger.kin.sketch import make_sketch

KEY = LedgerKey(b"k" * 32)


def delivered(texts, sha256="9" * 64, *, cap=32, dose=4, chunk=7):
    """A delivery of these texts, which are read in chunks; a token is four letters."""
    first = {}
    original = np.array([first.setdefault(text, k) for k, text in enumerate(texts)], dtype=np.int64)
    return Delivered(
        batch_sha256=sha256,
        texts=lambda: ((k, texts[k : k + chunk]) for k in range(0, len(texts), chunk)),
        row=np.arange(len(texts)),
        copies=np.bincount(original, minlength=len(texts))[original],
        exact=original != np.arange(len(texts)),
        n_tokens=np.array([max(1, len(text) // 4) for text in texts], dtype=np.int64),
        cap=cap,
        dose=dose,
    )


def as_version_1(path):
    """Makes a ledger what it was before there were fingerprints."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("DROP TABLE passages")
        connection.execute("PRAGMA user_version = 1")


class Shelf:
    """Deliveries that were accepted, one after the other."""

    def __init__(self, key=KEY):
        self.key, self.known, self.rows = key, [], {}

    def compare(self, delivery, most=1 << 18, others=None):
        """Measurements and facts of a delivery beside all that were put here, and its sketch."""
        sketch = make_sketch(delivery, self.key, most)
        known = [one for one in self.known if one.batch_sha256 != delivery.batch_sha256]
        asked = [(f, *hit) for f in sketch.fingerprint.tolist() for hit in self.rows.get(f, ())]
        return *hold_against(sketch, delivery, known, others or {}, lambda fingerprints: asked), sketch

    def put(self, delivery, *, same_vendor=True, most=1 << 18):
        """Accepts a delivery."""
        sketch, number = make_sketch(delivery, self.key, most), len(self.known) + 1
        for fingerprint, count, common in sketch.kept(self.key, delivery.cap).rows:
            self.rows.setdefault(fingerprint, []).append((number, count, common))
        self.known.append(
            EarlierSketch(
                entry=number,
                batch_sha256=delivery.batch_sha256,
                day=f"2026-01-{number:02}",
                same_vendor=same_vendor,
                rate=sketch.rate,
            )
        )
        return sketch
