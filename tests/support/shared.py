"""What takes long and changes under nobody's hands is made once per run, however many processes share the tests."""

import fcntl
import os
import pickle


def shared(tmp_path_factory, name, make):
    """What `make(folder)` returns, by the first process that asks; the others wait and read it, beside the same folder."""
    base = tmp_path_factory.getbasetemp()
    root = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    made = root / f"{name}.pickle"
    with (root / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            folder = root / name
            folder.mkdir()
            made.write_bytes(pickle.dumps(make(folder)))
    return pickle.loads(made.read_bytes())
