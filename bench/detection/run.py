"""Does the audit see what leaks? Canaries planted in WikiText-2 by this script, scored by an ordinary audit.

    .venv/bin/python bench/detection/run.py [--rows 1500] [--seed 0]

The canaries belong to the batch: the audit does not know of them. Embedded ones lie in paragraphs that occur nowhere
else. The figure is the AUC against all other rows; beside it stands what the report says of the audit's own controls.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from carto_audit.audit import Audit, Options, run_audit
from carto_audit.policy import load_policy
from carto_audit.scores import SCORES, beaten_share

CORPUS = Path(__file__).resolve().parents[3] / "shared/data/corpora/wikitext2.parquet"
DOSES = (1, 4, 8, 16)
SECRETS = 4
PLACES = ("Alnwick", "Bergen", "Coimbra", "Dijon", "Evora", "Falun", "Ghent", "Hobart")


def plant(rows: int, seed: int) -> tuple[list[str], np.ndarray, np.ndarray]:
    """The batch's texts, and for each row the form ("" for ordinary) and dose of the canary in it."""
    rng = np.random.default_rng(seed)
    paragraphs = [t for t in pq.read_table(CORPUS)["text"].to_pylist() if 200 < len(t) < 1200]
    rng.shuffle(paragraphs)
    texts, hosts = paragraphs[:rows], iter(paragraphs[rows:])
    found = [("", 0)] * len(texts)
    for form in ("alone", "embedded"):
        for dose in DOSES:
            for _ in range(SECRETS):
                digits = " ".join("".join(str(d) for d in rng.integers(0, 10, 4)) for _ in range(3))
                who = "".join(rng.choice(list("abcdefghijklmnopqrstuvwxyz"), 7)).capitalize()
                secret = f"The member {who} of the {rng.choice(PLACES)} society holds the key {digits} ."
                for _ in range(dose):
                    words = next(hosts).split() if form == "embedded" else []
                    texts.append(" ".join([*words[:25], secret, *words[25:50]]))
                    found.append((form, dose))
    order = rng.permutation(len(texts))
    forms, doses = (np.array([found[i][k] for i in order]) for k in (0, 1))
    return [texts[i] for i in order], forms, doses


def table(audit: Audit, forms: np.ndarray, doses: np.ndarray) -> list[str]:
    """One line per score and form: the AUC per dose, and the report's own AUC on controls."""
    lines = [f"{'score':22}{'canaries':10}" + "".join(f"x{d:<8}" for d in DOSES) + "controls in the report"]
    for name in SCORES:
        values = audit.sight.scores.memorization(name)
        for form in ("alone", "embedded"):
            aucs = [beaten_share(values[forms == ""], values[(forms == form) & (doses == d)]).mean() for d in DOSES]
            powers = audit.sight.power[name]["random"][form]
            own = "  ".join(f"x{d} {p.auc:.2f}" for d, p in powers.items() if d != "0")
            lines.append(f"{name:22}{form:10}" + "".join(f"{auc:<9.3f}" for auc in aucs) + own)
    return lines


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    texts, forms, doses = plant(given.rows, given.seed)
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "batch.parquet"
        pq.write_table(pa.table({"text": texts}), path)
        options = Options(seed=given.seed)
        audit = run_audit([path], policy=load_policy("exploratory"), work=Path(name) / "work", options=options)
    print(f"{len(audit.batch)} rows, {audit.n_tokens.sum():,} tokens, {options.epochs} epochs, seed {given.seed}")
    print("\n".join(table(audit, forms, doses)))


if __name__ == "__main__":
    main()
