"""A local Hugging Face data set folder, as the hub or `save_to_disk` lays it out. Read by its rules, without a library."""

import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from carto_audit.data.readers import KNOWN_FORMATS, format_of
from carto_audit.runtime.errors import AuditError, option
from carto_audit.runtime.strict_model import nearest
from carto_audit.text.untrusted import safe_inline

_SPLIT_NAMES = {
    "test": ("test", "testing", "eval", "evaluation"),
    "validation": ("validation", "valid", "val", "dev"),
    "train": ("train", "training"),
}
_FRONT_MATTER = re.compile(r"\A---\r?\n(.*?)\r?\n---", re.DOTALL)
_CARD_LIMIT = 1 << 20  # bytes of a data set card that are looked at

Splits = dict[str, list[Path]]


def split_files(folder: Path, config: str | None, split: str) -> tuple[str, list[Path]]:
    """What was chosen, as `config/split`, and its files in order.

    The card's own `configs` count first, then file and folder names. Raises AuditError in one line, naming what there
    is, when the configuration or the split is not there or several could be meant.
    """
    shown = safe_inline(str(folder), 160)
    try:
        configs = _declared(folder) or _by_name(folder)
    except OSError as error:
        raise AuditError(f"{shown}: cannot read this folder: {error.strerror}") from error
    configs = {name: splits for name, splits in configs.items() if any(splits.values())}
    if not configs:
        raise AuditError(f"{shown}: no {KNOWN_FORMATS} file in this folder")
    chosen = _one(configs, config, shown, "configuration", option("config"))
    splits = configs[chosen]
    if split not in splits and list(splits) == [""]:
        return chosen, splits[""]  # files that say nothing of splits
    part = _one(splits, split, shown, "split", option("split"))
    return f"{chosen}/{part}" if chosen else part, splits[part]


def _one(known: Sequence[str] | dict[str, Any], wanted: str | None, shown: str, what: str, flag: str) -> str:
    if wanted in known:
        return str(wanted)
    names = ", ".join(safe_inline(name, 40) or "(unnamed)" for name in list(known)[:20])
    if wanted is not None:
        hint = nearest(wanted, known) or f"; it has {names}"
        raise AuditError(f'{shown}: no {what} is called "{safe_inline(wanted, 60)}"{hint}; choose one with {flag}')
    for usual in ("", "default", "main"):
        if usual in known:
            return usual
    if len(known) > 1:
        raise AuditError(f"{shown}: has several {what}s; choose one with {flag}: {names}")
    return next(iter(known))


def _declared(folder: Path) -> dict[str, Splits]:
    """The configurations that the card in README.md declares, by name; none when it declares none."""
    found: dict[str, Splits] = {}
    for entry in _card(folder).get("configs") or ():
        if not isinstance(entry, dict):
            continue
        files = entry.get("data_files")
        parts = files if isinstance(files, list) else [files]
        splits: Splits = {}
        for part in parts:
            if isinstance(part, dict) and "path" in part:
                splits[str(part.get("split", "train"))] = list(_matching(folder, part["path"]))
            elif isinstance(part, dict):
                splits |= {str(name): list(_matching(folder, patterns)) for name, patterns in part.items()}
            elif isinstance(part, str):
                splits.setdefault("", []).extend(_matching(folder, part))
        found[str(entry.get("config_name", "default"))] = {name: paths for name, paths in splits.items() if paths}
    return {name: splits for name, splits in found.items() if splits}


def _card(folder: Path) -> dict[str, Any]:
    """The card's front matter; an unreadable card declares nothing, as on the hub."""
    card = folder / "README.md"
    if not card.is_file():
        return {}
    with card.open("rb") as stream:
        matter = _FRONT_MATTER.match(stream.read(_CARD_LIMIT).decode("utf-8", "replace"))
    if matter is None:
        return {}
    try:
        values = YAML(typ="safe", pure=True).load(matter[1])
    except Exception:  # ruamel lets ValueError, TypeError and others through on odd scalars
        return {}
    return dict(values) if isinstance(values, dict) and isinstance(values.get("configs"), list) else {}


def _matching(folder: Path, patterns: Any) -> Iterator[Path]:
    """Files below the folder whose relative path one of the patterns names. Nothing outside it is ever looked at."""
    wanted = [str(pattern).removeprefix("./") for pattern in (patterns if isinstance(patterns, list) else [patterns])]
    for path in _data_files(folder):
        relative = path.relative_to(folder).as_posix()
        if any(relative == pattern or fnmatch(relative, pattern.replace("**/", "*")) for pattern in wanted):
            yield path


def _data_files(folder: Path) -> list[Path]:
    visible = (p for p in folder.rglob("*") if not any(part.startswith(".") for part in p.relative_to(folder).parts))
    beside = ("dataset_info.json", "state.json", "dataset_dict.json", "dataset_infos.json")
    return sorted(p for p in visible if p.is_file() and format_of(p) and p.name not in beside)


def _by_name(folder: Path) -> dict[str, Splits]:
    """Without a card: `config/split-00000-of-00001.parquet`, `data/split.jsonl`, `split/data-*.arrow`, `config/split/…`."""
    found: dict[str, Splits] = {}
    for path in _data_files(folder):
        *above, name = path.relative_to(folder).parts
        split, depth = _split_in(name), len(above)
        if not split:
            depth = next((k for k in reversed(range(len(above))) if _split_in(above[k], whole=True)), len(above))
            split = _split_in(above[depth], whole=True) if depth < len(above) else ""
        config = "/".join(part for part in above[:depth] if part != "data")
        found.setdefault(config, {}).setdefault(split, []).append(path)
    return found


def _split_in(name: str, whole: bool = False) -> str:
    """The split that a file name says by one of its words; of a folder's name, by all of it."""
    words = [name.lower()] if whole else re.split(r"[^a-z]+", name.lower())
    return next((split for split, names in _SPLIT_NAMES.items() if any(known in words for known in names)), "")
