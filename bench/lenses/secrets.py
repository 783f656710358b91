"""Secrets: recall of planted keys by kind, false alarms in five corpora and look-alikes, and speed, beside other finders.

python -m bench.lenses.secrets --data DATA            # 100 keys of each kind in code, and as many in prose
python -m bench.lenses.secrets --data DATA --peers    # kingfisher-secret-scanner and detect-secrets as well, where installed
python -m bench.lenses.secrets --data DATA --show     # the lines that ours gets wrong as well
"""

import argparse
import itertools
import sysconfig
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from bench.corpora import Corpora, docstrings, library_sources, open_corpora, parser_of
from bench.lenses.secret_peers import PEERS
from carto_audit.lenses.keys.finder import find_keys
from carto_audit.lenses.keys.planted import KINDS, in_code, in_prose, look_alike, write_key
from carto_audit.text.redaction import labelled_spans

KEYS, SMOKE_KEYS = 100, 3
"""Of each kind, in code and again in prose."""
LOOK_ALIKES, SMOKE_TEXTS = 2000, 200

Spans = list[tuple[int, int]]
Finder = Callable[[str], Spans]


def ours(text: str) -> Spans:
    """What the lens finds."""
    return [(value.start, value.end) for value in find_keys(text)]


def mask(text: str) -> Spans:
    """What is masked as a key in excerpts."""
    labels = ("[private key]", "[token]", "[key]", "[secret]")
    return [(start, end) for start, end, label in labelled_spans(text) if label in labels]


def recall(finder: Finder, kind: str, count: int, seed: int) -> tuple[tuple[float, float], list[str]]:
    """The share of keys that are found in code and in prose, at least half of each; and the lines where none was. Of private keys
    it is enough to find the marker, as others do."""
    shares, missed = [], []
    for place, around in enumerate((in_code, in_prose)):
        rng, right = np.random.default_rng([seed, KINDS.index(kind), place]), 0
        for _ in range(count):
            key = write_key(kind, rng)
            line = around(key, kind, rng)
            start = line.index(key)
            covered = sum(max(0, min(end, start + len(key)) - max(low, start)) for low, end in finder(line))
            hit = 2 * covered >= len(key) or (kind == "private_key" and bool(finder(line)))
            right += hit
            missed += [line] * (not hit)
        shares.append(right / count)
    return (shares[0], shares[1]), missed


def clean_texts(corpora: Corpora, smoke: bool) -> Iterator[tuple[str, list[str]]]:
    """Corpora in which nothing is known to be secret. Patterns were tuned on the first two."""
    wikitext, *others = [(name, corpora.texts(name)) for name in ("wikitext", "gsm8k", "shakespeare")]
    yield "docstrings", list(itertools.islice(docstrings(), SMOKE_TEXTS if smoke else None))
    yield wikitext
    yield "sources of the library", list(itertools.islice(_sources(), 10 if smoke else None))
    yield from others


def _sources() -> Iterator[str]:
    root = Path(sysconfig.get_path("stdlib"))
    return ((root / name).read_text(encoding="utf-8") for name, _ in library_sources())


def false_alarms(finder: Finder, texts: Sequence[str]) -> tuple[list[str], float]:
    """What is found, and MB of UTF-8 a CPU second."""
    begin = time.process_time()
    found = [(text, span) for text in texts for span in finder(text)]
    seconds = time.process_time() - begin
    return [text[slice(*span)] for text, span in found], sum(len(text.encode()) for text in texts) / 1e6 / seconds


def main(arguments: list[str] | None = None) -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--peers", action="store_true", help="other finders as well, where they are installed")
    parser.add_argument("--show", action="store_true", help="print what ours gets wrong")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    finders: dict[str, Finder] = {"ours": ours, "mask": mask}
    for name, open_peer in PEERS.items() if given.peers else ():
        finders[name] = open_peer()
    with open_corpora(given) as corpora:
        _print_clean(finders, corpora, given)
    _print_recall(finders, given)
    _print_look_alikes(finders, given)


def _print_recall(finders: Mapping[str, Finder], given: argparse.Namespace) -> None:
    count = SMOKE_KEYS if given.smoke else KEYS
    print(f"\n{count} keys of each kind in code, {count} in prose: the shares that are found.\n")
    _row("kind", *finders)
    _row(*["---"] * (1 + len(finders)))
    missed = list[str]()
    for kind in KINDS:
        cells = []
        for name, finder in finders.items():
            shares, lines = recall(finder, kind, count, given.seed)
            cells.append(f"{shares[0]:.2f} / {shares[1]:.2f}")
            missed += lines if name == "ours" else []
        _row(f"`{kind}`", *cells)
    for line in missed if given.show else ():
        print(repr(line))


def _print_look_alikes(finders: Mapping[str, Finder], given: argparse.Namespace) -> None:
    rng = np.random.default_rng(given.seed)
    lines = [look_alike(rng) for _ in range(SMOKE_TEXTS if given.smoke else LOOK_ALIKES)]
    print(f"\nOf {len(lines)} lines in which something only looks like a key this share is left alone.\n")
    _row("finder", "left alone")
    _row("---", "---")
    for name, finder in finders.items():
        _row(name, f"{sum(not finder(line) for line in lines) / len(lines):.3f}")


def _print_clean(finders: Mapping[str, Finder], corpora: Corpora, given: argparse.Namespace) -> None:
    print("False alarms in 100,000 tokens (split at white space), how many these are, and speed in MB a CPU second.\n")
    _row("corpus", "tokens", *finders)
    _row(*["---"] * (2 + len(finders)))
    for corpus, texts in clean_texts(corpora, given.smoke):
        tokens = sum(len(text.split()) for text in texts)
        cells = list[str]()
        shown = list[str]()
        for name, finder in finders.items():
            found, rate = false_alarms(finder, texts)
            cells.append(f"{1e5 * len(found) / tokens:.2f} ({len(found)}), {rate:.{0 if rate >= 10 else 2}f} MB/s")
            shown += found if name == "ours" else []
        _row(corpus, f"{tokens:,}", *cells)
        for line in shown if given.show else ():
            print(repr(line))


def _row(*cells: str) -> None:
    print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
