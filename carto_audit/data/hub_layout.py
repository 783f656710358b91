"""Hub layout: the files of one configuration and split of a data set folder, by the rules of the `datasets` library itself."""

import re
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from glob import has_magic
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import Any

from ruamel.yaml import YAML

from carto_audit.runtime.errors import AuditError, UsageError, option
from carto_audit.runtime.files import read_regular, shown_path
from carto_audit.runtime.located_yaml import yaml_excess
from carto_audit.runtime.strict_model import nearest
from carto_audit.text.untrusted import safe_inline

CARD = "README.md"
LARGEST_CARD, LARGEST_MATTER = 1 << 20, 256 << 10
"""Bytes of a data set card, and characters of the YAML in front of it, of which a parser reads about 100,000 a second."""

MOST_STARS = 4
"""In a part of a pattern: the time to match a long name grows with its length to that power."""

_FRONT_MATTER = re.compile(r"\A---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(\r?\n|\Z)", re.DOTALL)
_USED = ("config_name", "data_files", "data_dir", "default")
"""What a configuration says of its files. What it says of their columns is not asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HubChoice:
    """What an auditor reads of data set folders: a configuration, by default the folder's own default, and a split, by default
    all of them."""

    config: str | None
    split: str | None


def chosen_files(folder: Path, names: Collection[str], choice: HubChoice) -> frozenset[str]:
    """Of the files of a folder, by their names in it, those of the choice.

    The library matches names in an empty copy of the folder: no pattern leads out of it, no link is followed, nothing is
    fetched. Raises UsageError for a configuration or split that is not there, AuditError for a card that it refuses, both in
    one line that says the way out."""
    shown = shown_path(folder)
    rules = _library(shown)
    try:
        with tempfile.TemporaryDirectory(prefix="carto-audit-") as empty:
            _copy_names(Path(empty), names)
            return _chosen(rules, folder, Path(empty), choice, shown)
    except (UsageError, AuditError, MemoryError):
        raise
    except Exception as error:  # the library lets ValueError, TypeError, FileNotFoundError and others through
        detail = safe_inline(str(error).split("\n")[0], 160) or type(error).__name__
        raise AuditError(f"{shown}: datasets cannot tell its configurations ({detail}); {_way_out()}") from error


def _library(shown: str) -> Any:
    try:
        return import_module("datasets.data_files"), import_module("datasets.utils.metadata").MetadataConfigs
    except ImportError as error:
        way_out = "pip install 'carto-audit[hub]', or name the files"
        flags = f"{option('config')} and {option('split')}"
        raise AuditError(f"{shown}: {flags} need the datasets library; {way_out}") from error


def _way_out() -> str:
    return f"name the files, or leave out {option('config')} and {option('split')}"


def _copy_names(empty: Path, names: Collection[str]) -> None:
    for name in names:
        place = empty / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()


def _chosen(rules: Any, folder: Path, empty: Path, choice: HubChoice, shown: str) -> frozenset[str]:
    files, kind = rules
    configs = kind.from_dataset_card_data(_card(folder, shown)) or kind({"default": {}})
    default = configs.get_default_config_name() if choice.config is None else choice.config
    config = configs[_one(configs, default, shown, "configuration", "config")]
    base = empty / _inside(config.get("data_dir") or ".", shown)
    declared = config.get("data_files")
    splits = files.get_data_patterns(str(base)) if declared is None else files.sanitize_patterns(declared)
    wanted = splits if choice.split is None else [_one(splits, choice.split, shown, "split", "split")]
    patterns = [_inside(pattern, shown) for split in wanted for pattern in splits[split]]
    found = {place for pattern in patterns for place in _matching(files, pattern, base, shown)}
    if not found:
        raise AuditError(f"{shown}: no data file is of what was chosen; {_way_out()}")
    return frozenset(Path(place).relative_to(empty).as_posix() for place in found)


def _matching(files: Any, pattern: str, base: Path, shown: str) -> list[str]:
    """The files that a pattern names. Raises AuditError for a name without wildcards that no file has."""
    try:
        return list(files.resolve_pattern(pattern, str(base)))
    except FileNotFoundError as error:
        if has_magic(pattern):
            return []
        said = safe_inline(pattern, 80)
        raise AuditError(f'{shown}: {CARD} names "{said}", which is no data file here; {_way_out()}') from error


def _inside(pattern: Any, shown: str) -> str:
    """A pattern that stays in the folder. Raises AuditError for any other, which the library would follow anywhere."""
    text = str(pattern)
    if "://" in text or "::" in text or PurePosixPath(text).is_absolute() or ".." in PurePosixPath(text).parts:
        said = safe_inline(text, 80)
        raise AuditError(f'{shown}: {CARD} names files outside the folder ("{said}"); {_way_out()}')
    if max(part.count("*") for part in text.split("/")) > MOST_STARS or text.count("**") > MOST_STARS:
        raise AuditError(
            f'{shown}: {CARD} has a pattern of too many wildcards ("{safe_inline(text, 80)}"); {_way_out()}'
        )
    return text


def _one(known: Mapping[str, Any], wanted: str | None, shown: str, what: str, flag: str) -> str:
    if wanted in known:
        return str(wanted)
    names = ", ".join(safe_inline(str(name), 40) for name in list(known)[:20])
    if wanted is None:
        raise UsageError(f"{shown}: has several {what}s; choose one with {option(flag)}: {names}")
    hint = nearest(wanted, [str(name) for name in known]) or f"; it has {names}"
    raise UsageError(f'{shown}: no {what} is called "{safe_inline(wanted, 60)}"{hint}')


def front_matter(text: str, shown: str, way_out: str) -> Any:
    """The values of the YAML in front of a card; None where there is none. Raises AuditError where it stands for more than can
    be held, or read in time, and what ruamel raises where it is no YAML."""
    matter = _FRONT_MATTER.match(text.removeprefix("\ufeff"))
    if matter is None:
        return None
    if len(matter[1]) > LARGEST_MATTER:
        raise AuditError(f"{shown}: {CARD} has more than {LARGEST_MATTER >> 10} KB of YAML; {way_out}")
    if excess := yaml_excess(matter[1]):
        raise AuditError(f"{shown}: {CARD} {excess}; {way_out}")
    return YAML(typ="safe", pure=True).load(matter[1])


def _card(folder: Path, shown: str) -> dict[str, Any]:
    """What the card says of configurations; nothing where there is no card, or none that says anything. Raises AuditError."""
    try:
        text = read_regular(folder / CARD, LARGEST_CARD).decode("utf-8", "replace")
    except FileNotFoundError:
        return {}
    values = front_matter(text, shown, _way_out())
    configs = values.get("configs") if isinstance(values, dict) else None
    if not isinstance(configs, list):
        return {} if configs is None else {"configs": configs}
    kept = [{name: one[name] for name in _USED if name in one} if isinstance(one, dict) else one for one in configs]
    return {"configs": kept}
