"""Local disks: whether a file lies on one, as far as the system tells. What is not known to be local counts as a network."""

import re
from pathlib import Path

LOCAL = frozenset("ext2 ext3 ext4 xfs btrfs zfs f2fs bcachefs jfs reiserfs tmpfs ramfs overlay".split())
_MOUNTS = Path("/proc/self/mountinfo")
_OCTAL = re.compile(r"\\([0-7]{3})")


def is_local_disk(path: Path) -> bool:
    """Whether a file, or the folder where it will lie, is on a file system of this machine alone."""
    try:
        lines = _MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:  # no Linux
        return False
    place = path.parent.resolve()
    best, kind = -1, ""
    for line in lines:
        before, _, after = line.partition(" - ")
        fields = before.split(" ")
        if len(fields) < 5 or not after:
            continue
        mounted = Path(_OCTAL.sub(lambda found: chr(int(found[1], 8)), fields[4]))
        if place.is_relative_to(mounted) and len(mounted.parts) >= best:
            best, kind = len(mounted.parts), after.split(" ")[0]
    return kind in LOCAL
