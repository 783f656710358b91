"""A setting as a file: what all shards of a stage need is on disk once, and its arrays are in memory once, whoever maps them."""

import mmap
import pickle
from pathlib import Path
from typing import Any

from carto_audit.runtime.files import writing

_ALIGNED = 64  # bytes, so that arrays in the file begin where processors like it


def write_setting(path: Path, setting: Any) -> None:
    """Pickles any value, its arrays behind it where they can be mapped. Raises AuditError on a full disk."""
    buffers: list[pickle.PickleBuffer] = []
    head = pickle.dumps(setting, protocol=5, buffer_callback=buffers.append)
    arrays = [buffer.raw() for buffer in buffers]
    with writing(path), path.open("wb") as stream:
        pickle.dump((head, [array.nbytes for array in arrays]), stream)
        for array in arrays:
            stream.write(bytes(-stream.tell() % _ALIGNED))
            stream.write(array)


def read_setting(path: Path) -> Any:
    """What `write_setting` wrote in this run; its arrays cannot be written to, and all readers share their memory."""
    with path.open("rb") as stream:
        head, sizes = pickle.load(stream)
        place = stream.tell()
        mapped = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
    arrays = []
    for size in sizes:
        place += -place % _ALIGNED
        arrays.append(mapped[place : place + size])
        place += size
    return pickle.loads(head, buffers=arrays)
