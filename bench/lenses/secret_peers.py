"""Other finders of secrets, where they are installed: kingfisher-secret-scanner and detect-secrets. None asks anything online."""

import tempfile
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

Spans = list[tuple[int, int]]


def _module(name: str) -> Any:
    try:
        return import_module(name)
    except ModuleNotFoundError:
        raise SystemExit(
            f"{name}: not installed; it is a peer, not a dependency. Install it or leave out --peers"
        ) from None


def open_kingfisher() -> Callable[[str], Spans]:
    """Its scanner in this process, with all its rules, also those of low confidence, and without its cache of rules on disk."""
    kingfisher = _module("kingfisher_sdk")
    scanner = kingfisher.Scanner(kingfisher.Rules(cache=False, confidence="low"))

    def find(text: str) -> Spans:
        data = text.encode("utf-8", "replace")
        found = []
        for one in scanner.scan(data):
            if one.visible:
                at = text.find(one.secret)
                found.append((at, at + len(one.secret)) if at >= 0 else (0, 0))
        return sorted(set(found))

    return find


def open_detect_secrets() -> Callable[[str], Spans]:
    """Its plugins and filters with their own settings, a file for each text as its command reads them; nothing is verified."""
    known = _module("detect_secrets.core.plugins.util").get_mapping_from_secret_type_to_class()
    plugins = [{"name": plugin.__name__} for plugin in known.values()]
    _module("detect_secrets.settings").configure_settings_from_baseline({"plugins_used": plugins})
    scan_file = _module("detect_secrets.core.scan").scan_file

    def find(text: str) -> Spans:
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", errors="replace", suffix=".txt") as file:
            file.write(text)
            file.flush()
            found = list(scan_file(file.name))
        spans = set[tuple[int, int]]()
        for one in found:
            secret = one.secret_value or ""
            at = text.find(secret)
            spans.add((at, at + len(secret)) if at >= 0 else (0, 0))
        return sorted(spans)

    return find


PEERS: Mapping[str, Callable[[], Callable[[str], Spans]]] = {
    "kingfisher": open_kingfisher,
    "detect-secrets": open_detect_secrets,
}
