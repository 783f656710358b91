"""Side files: what writers leave beside their data, by its name and, where that is one of data too, by its content."""

import json
from fnmatch import fnmatchcase
from pathlib import Path

from carto_audit.data.formats.json_rows import holds_prose
from carto_audit.data.formats.opened import COMPRESSED
from carto_audit.runtime.files import read_regular

SIDE_FILES = (
    *("_success", "_metadata", "_common_metadata", "_committed_*", "_started_*"),
    *("readme", "readme.md", "readme.rst", "readme.txt", "changelog.md", "contributing.md", "citation.cff"),
    *("license*", "licence*", "notice", "notice.txt", "notice.md", "copying"),
    *(".gitattributes", ".gitignore", ".gitkeep", ".ds_store", "thumbs.db", "desktop.ini"),
    *("*.crc", "*.md5", "*.sha1", "*.sha256", "*.sha512", "md5sums", "sha1sums", "sha256sums", "sha512sums"),
    *("*.metadata", "*.lock"),
)
"""Names, in lower case, of what writers leave beside their data. None of them with a suffix that readers know."""

SIDE_DOCUMENTS = (
    *("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"),
    *("manifest.json", "croissant.json", "datapackage.json"),
)
"""Names of JSON documents about the data. Only where the file is one JSON object without rows of prose; others are data."""

LARGEST_DOCUMENT = 16 << 20
"""Bytes. A larger file about the data is taken for data."""


PACKED = (*COMPRESSED, ".zip", ".7z", ".rar", ".tar", ".tgz", ".tbz2", ".txz")
"""Suffixes of files that hold others, or text that has to be expanded."""


def has_side_name(path: Path) -> bool:
    """Whether a file is about the data by its name alone. What is packed may be anything."""
    return not is_packed(path) and any(fnmatchcase(path.name.lower(), known) for known in SIDE_FILES)


def is_packed(path: Path) -> bool:
    """Whether a file holds others, or text that has to be expanded, by its suffix."""
    return path.suffix.lower() in PACKED


def is_document(path: Path) -> bool:
    """Whether a file of such a name is one JSON object about the data."""
    try:
        document = json.loads(read_regular(path, LARGEST_DOCUMENT, follow=True))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(document, dict) and not holds_prose(document)
