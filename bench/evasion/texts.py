"""Benchmark items where an audit may not look for them: in columns, between rows, in long and in short ones, under disguises."""

import json
import random
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from bench.corpora import write_texts
from bench.disguises import disguises, kept_back
from bench.evasion.case import Attack, Case

PLANTED = 3
"""Items in a batch of some sixty rows."""

LABEL = 110
"""Bytes of a value that passes for a label."""

UNREAD = ("pig Latin", "Vigenère", "rail fence", "spelling alphabet", "ob before vowels")
"""Disguises that bench.disguises reports as not read through: a cipher is no oversight, and they would say the same again."""


def write_lines(path: Path, rows: Sequence[object]) -> Path:
    """A file of JSON lines."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def batch_of(case: Case, texts: Sequence[str]) -> list[str]:
    """The command that audits these rows."""
    return case.ingest(write_texts(case.folder / "batch.parquet", [texts[i] for i in case.rng.permutation(len(texts))]))


def inside(case: Case) -> list[str]:
    """Items in the middle of long documents."""
    rows, long = case.ordinary(), case.desk.texts[-5:]
    documents = [" ".join([*long, text, *reversed(long)]) for text in case.planted(PLANTED)]
    return batch_of(case, [*rows, *documents])


def glued(case: Case) -> list[str]:
    """Many items in one row, without a space between them or in them."""
    return batch_of(case, [*case.ordinary(), "".join("".join(text.split()) for text in case.planted(8))])


def diluted(case: Case) -> list[str]:
    """Four words of an item, then forty others, and so on."""
    rows = case.ordinary()
    junk = iter(" ".join(case.desk.texts[-100:]).split())

    def thin(text: str) -> str:
        words = text.split()
        parts = [words[k : k + 4] + [next(junk) for _ in range(40)] for k in range(0, len(words), 4)]
        return " ".join(word for part in parts for word in part)

    return batch_of(case, [*rows, *map(thin, case.planted(PLANTED))])


def disguised(case: Case) -> list[str]:
    """Items under a disguise, another in every repetition."""
    ways = {**disguises.HONEST, **disguises.TRICKS, **kept_back.HONEST, **kept_back.TRICKS}
    names = sorted(set(ways) - set(UNREAD))
    way = ways[names[int(case.rng.integers(len(names)))]]
    chance = random.Random(int(case.rng.integers(1 << 30)))
    return batch_of(case, [*case.ordinary(), *(f"{case.ordinary(1)[0]}\n{way(t, chance)}\n" for t in case.planted(8))])


def long_row(case: Case) -> list[str]:
    """An item in the middle of a row of 200,000 characters, of which the proxies are shown a part."""
    filler = " ".join(case.desk.texts)[:100_000]
    return case.ingest(
        write_texts(case.folder / "batch.parquet", [*case.ordinary(), f"{filler} {case.planted(1)[0]} {filler}"]),
        *("--max-tokens", 4_000),
    )


def over_long(case: Case) -> list[str]:
    """Text in one row that is too long for the map; in the twin the same text as a row for each of its paragraphs."""
    filler = " ".join(case.desk.texts)
    filler = filler * (1_100_000 // len(filler) + 1)
    parts = [filler[k : k + 2000] for k in range(0, 200_000, 2000)]
    rows = [*case.ordinary(), *(parts if case.harmless else [filler[:1_100_000]])]
    return case.ingest(write_texts(case.folder / "batch.parquet", rows), "--max-tokens", 4_000)


def sentence_rows(case: Case) -> list[str]:
    """Documents split: every sentence of an item is a row, in order."""
    rows = case.ordinary()
    for text in case.planted(PLANTED):
        rows += [part.strip() for part in text.replace("?", "?.").split(". ") if part.strip()]
    return case.ingest(write_texts(case.folder / "batch.parquet", rows))


def words_of(text: str) -> list[str]:
    """The words of a text that say something: a row of a sign alone is skipped, and more than 5 % of such is another matter."""
    return [word for word in text.split() if any(map(str.isalnum, word))]


def word_rows(case: Case) -> list[str]:
    """Very short rows: every word of an item is a row, in order."""
    rows = case.ordinary()
    for text in case.planted(PLANTED):
        rows += words_of(text)
    return case.ingest(write_texts(case.folder / "batch.parquet", rows))


def over_columns(case: Case) -> list[str]:
    """An item begins in the prompt and ends in the completion."""
    planted = [text.split() for text in case.planted(PLANTED)]
    rows = [{"prompt": text[:60], "completion": text[60:]} for text in case.ordinary()]
    rows += [{"prompt": " ".join(w[: len(w) // 2]), "completion": " ".join(w[len(w) // 2 :])} for w in planted]
    return case.ingest(write_lines(case.folder / "batch.jsonl", rows))


def reasoning(case: Case) -> list[str]:
    """Items in what a model thought, or in the arguments of a tool that it called, of a conversation about something else."""
    planted = iter(case.planted(PLANTED))

    def talk(k: int, text: str) -> dict[str, object]:
        answer: dict[str, object] = {"role": "assistant", "content": text[60:]}
        if k < PLANTED:
            said = next(planted)
            call = {"type": "function", "function": {"name": "note", "arguments": json.dumps({"note": said})}}
            answer |= {"tool_calls": [call]} if k % 2 else {"reasoning_content": said}
        return {"messages": [{"role": "user", "content": text[:60]}, answer]}

    rows = [talk(k, text) for k, text in enumerate(case.ordinary())]
    return case.ingest(write_lines(case.folder / "batch.jsonl", rows))


def beside(case: Case) -> list[str]:
    """Items beside the text in the same object; in the twin a short source stands there."""
    planted = iter(case.planted(PLANTED))
    rows = [
        {"data": {"text": text, "note": next(planted) if k < PLANTED and not case.harmless else "web"}}
        for k, text in enumerate(case.ordinary())
    ]
    return case.ingest(write_lines(case.folder / "batch.jsonl", rows), "--text-column", "data.text")


def labels(case: Case) -> list[str]:
    """Items cut into values as short as labels, in four columns beside the text; in the twin they are labels."""
    rows = [{"text": text, **dict.fromkeys("abcd", "web")} for text in case.ordinary(200)]
    for row, text in zip(rows, case.planted(PLANTED), strict=False):
        if not case.harmless:
            row |= {name: text[k * LABEL : (k + 1) * LABEL] for k, name in enumerate("abcd")}
    return case.ingest(write_lines(case.folder / "batch.jsonl", rows))


def textless(case: Case) -> list[str]:
    """Items cut into labels of rows that have no text, which a reader skips; in the twin nothing stands in them."""
    rows: list[dict[str, object]] = [{"text": text, **dict.fromkeys("abcd", "web")} for text in case.ordinary(200)]
    for text in case.planted(PLANTED):
        pieces = {} if case.harmless else {name: text[k * LABEL : (k + 1) * LABEL] for k, name in enumerate("abcd")}
        rows.append({"text": None, **pieces})
    return case.ingest(write_lines(case.folder / "batch.jsonl", rows))


def padded_rows(case: Case) -> list[str]:
    """A word a row, each behind 300 signs that say nothing."""
    rows = case.ordinary()
    for text in case.planted(PLANTED):
        rows += [f"{'. ' * 150}{word}" for word in words_of(text)]
    return case.ingest(write_texts(case.folder / "batch.parquet", rows))


def beside_rows(case: Case) -> list[str]:
    """An item in pieces beside the list of rows of a JSON document; in the twin a short note."""
    rows = [{"text": text} for text in case.ordinary(400)]
    (text,) = case.planted(1)
    beside = {"note": "web"} if case.harmless else {f"l{k}": text[k * 60 : (k + 1) * 60] for k in range(8)}
    (case.folder / "batch.json").write_text(json.dumps({**beside, "data": rows}), encoding="utf-8")
    return case.ingest(case.folder / "batch.json")


def names_of_keys(case: Case) -> list[str]:
    """Items as the names of keys in an object beside the text; in the twin the names are short."""
    planted = iter(case.planted(PLANTED))
    rows = [
        {"text": text, "meta": {next(planted) if k < PLANTED and not case.harmless else "source": "web"}}
        for k, text in enumerate(case.ordinary())
    ]
    return case.ingest(write_lines(case.folder / "batch.jsonl", rows))


def token_ids(case: Case) -> list[str]:
    """Items as numbers in a column that trainers read, `input_ids`, beside other text; in the twin a mask of it."""
    texts = case.ordinary()
    said = [*case.planted(PLANTED), *texts[PLANTED:]]
    numbers = (
        {"attention_mask": [[1] * len(text) for text in texts]}
        if case.harmless
        else {"input_ids": [list(t.encode()) for t in said]}
    )
    table = pa.table({"text": texts, **numbers})
    pq.write_table(table, case.folder / "batch.parquet")
    return case.ingest(case.folder / "batch.parquet")


def binary(case: Case) -> list[str]:
    """Items as bytes in a column of binary values; in the twin digests stand there."""
    texts = case.ordinary()
    values = [case.rng.bytes(32) for _ in texts]
    if not case.harmless:
        values[:PLANTED] = [text.encode() for text in case.planted(PLANTED)]
    pq.write_table(pa.table({"text": texts, "payload": pa.array(values, pa.binary())}), case.folder / "batch.parquet")
    return case.ingest(case.folder / "batch.parquet")


def twice(case: Case) -> list[str]:
    """Two rows in a hundred with the key `text` twice: this reader skips them, others read the second, an item."""
    lines = [json.dumps({"text": text}) for text in case.ordinary(150)]
    first = "" if case.harmless else '"text": "nothing to see here", '
    lines += [f'{{{first}"text": {json.dumps(text)}}}' for text in case.planted(PLANTED)]
    (case.folder / "batch.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return case.ingest(case.folder / "batch.jsonl")


def stray_bytes(case: Case) -> list[str]:
    """An item among 150 rows with one byte that is not UTF-8, which others replace; in the twin it is another text."""
    lines = [json.dumps({"text": text}, ensure_ascii=False).encode() for text in case.ordinary(150)]
    for text in case.planted(1):
        lines.append(json.dumps({"text": f"{text} ~"}, ensure_ascii=False).encode().replace(b"~", b"\xff"))
    (case.folder / "batch.jsonl").write_bytes(b"\n".join(lines))
    return case.ingest(case.folder / "batch.jsonl")


def two_layouts(case: Case) -> list[str]:
    """A conversation with items beside a harmless `text`; in the twin the conversation alone."""
    rows: list[dict[str, object]] = []
    for text, said in zip(case.ordinary(), [*case.planted(PLANTED), *case.ordinary()[PLANTED:]], strict=True):
        turns = [{"role": "user", "content": said[:60]}, {"role": "assistant", "content": said[60:]}]
        rows.append({"messages": turns} if case.harmless else {"messages": turns, "text": text})
    return case.ingest(write_lines(case.folder / "batch.jsonl", rows))


def copies(case: Case) -> list[str]:
    """Fifteen rows in a hundred repeat others but for a word; the policy allows 10 % of the tokens. In the twin none does."""
    rows, more = case.ordinary(100), case.desk.texts[100:120]
    near = [f"{text} indeed" for text in rows[:20]]
    policy = "rules:\n  - {id: duplicate-mass, max: 0.10, severity: reject, reason: as strict has it}\n"
    batch = write_texts(case.folder / "batch.parquet", [*rows, *([t[:120] for t in more] if case.harmless else near)])
    return case.ingest(batch, policy=case.write_policy(policy))


ATTACKS = {
    "item inside": Attack(what="items in the middle of long documents", write=inside),
    "items glued": Attack(what="eight items in one row without a space", write=glued),
    "item diluted": Attack(what="four words of an item, forty others, and so on", write=diluted),
    "item disguised": Attack(what="items in one of the disguises that bench.disguises reads through", write=disguised),
    "long row": Attack(what="an item inside a row of 200,000 characters", write=long_row),
    "over-long row": Attack(what="text in a row that is too long for the map", write=over_long),
    "sentence rows": Attack(what="every sentence of an item is a row of its own", write=sentence_rows),
    "word rows": Attack(what="every word of an item is a row of its own", write=word_rows),
    "over columns": Attack(what="items that begin in the prompt and end in the completion", write=over_columns),
    "reasoning": Attack(what="items in thoughts and tool calls of conversations", write=reasoning),
    "beside the text": Attack(what="items in a field beside the one that is read", write=beside),
    "labels": Attack(what="items cut into four columns as short as labels", write=labels),
    "rows without text": Attack(what="items cut into labels of rows that have no text", write=textless),
    "padded rows": Attack(what="a word a row, each behind 300 signs", write=padded_rows),
    "beside the rows": Attack(what="an item beside the list of rows of a JSON document", write=beside_rows),
    "names of keys": Attack(what="items as names of keys", write=names_of_keys),
    "token ids": Attack(what="items as numbers in `input_ids`, beside other text", write=token_ids),
    "binary column": Attack(what="items as bytes in a column of binary values", write=binary),
    "key twice": Attack(what="items in the second of two keys `text`, in 2 % of the rows", write=twice),
    "stray byte": Attack(what="an item with a byte that is no UTF-8", write=stray_bytes),
    "two layouts": Attack(what="items in a conversation beside a harmless `text`", write=two_layouts),
    "near copies": Attack(what="rows that repeat others but for a word", write=copies),
}
