"""A local Hugging Face data set folder, as the hub or `save_to_disk` lays it out. Read by its rules, without a library."""

import re
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from carto_audit.data.hub_layout import CARD, LARGEST_CARD, front_matter
from carto_audit.data.readers import KNOWN_FORMATS, format_of
from carto_audit.runtime.errors import AuditError, option
from carto_audit.runtime.strict_model import nearest
from carto_audit.text.untrusted import safe_inline

_SPLIT_NAMES = {
    "test": ("test", "testing", "eval", "evaluation"),
    "validation": ("validation", "valid", "val", "dev"),
    "train": ("train", "training"),
}

Splits = dict[str, list[Path]]


def split_files(folder: Path, config: str | None, split: str) -> tuple[str, list[Path]]:
    """What was chosen, as `config/split`, and its files in order.

    The card's own `configs` count first, then file and folder names. Raises AuditError in one line, naming what there
    is, when the configuration or the split is not there or several could be meant.
    """
    shown = safe_inline(str(folder), 160)
    try:
        configs = _declared(folder, shown) or _by_name(folder)
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


def _declared(folder: Path, shown: str) -> dict[str, Splits]:
    """The configurations that the card in README.md declares, by name; none when it declares none."""
    found: dict[str, Splits] = {}
    names = {path.relative_to(folder).as_posix(): path for path in _data_files(folder)}
    for entry in _card(folder, shown).get("configs") or ():
        if not isinstance(entry, dict):
            continue
        files = entry.get("data_files")
        parts = files if isinstance(files, list) else [files]
        splits: Splits = {}
        for part in parts:
            if isinstance(part, dict) and "path" in part:
                splits[str(part.get("split", "train"))] = list(_matching(names, part["path"]))
            elif isinstance(part, dict):
                splits |= {str(name): list(_matching(names, patterns)) for name, patterns in part.items()}
            elif isinstance(part, str):
                splits.setdefault("", []).extend(_matching(names, part))
        found[str(entry.get("config_name", "default"))] = {name: paths for name, paths in splits.items() if paths}
    return {name: splits for name, splits in found.items() if splits}


def _card(folder: Path, shown: str) -> dict[str, Any]:
    """The card's front matter; what is no YAML declares nothing, as on the hub. Raises AuditError where it stands for more
    than can be held, or read in time."""
    card = folder / CARD
    if not card.is_file():
        return {}
    with card.open("rb") as stream:
        text = stream.read(LARGEST_CARD).decode("utf-8", "replace")
    try:
        values = front_matter(text, shown, "name the files")
    except AuditError:
        raise
    except Exception:  # ruamel lets ValueError, TypeError and others through on odd scalars
        return {}
    return dict(values) if isinstance(values, dict) and isinstance(values.get("configs"), list) else {}


def _matching(names: Mapping[str, Path], patterns: Any) -> Iterator[Path]:
    """Of the folder's files, by their path in it, those that a pattern names. Nothing outside it is ever looked at."""
    wanted = [str(pattern).removeprefix("./") for pattern in (patterns if isinstance(patterns, list) else [patterns])]
    for name, path in names.items():
        if any(name == pattern or fnmatch(name, pattern.replace("**/", "*")) for pattern in wanted):
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
