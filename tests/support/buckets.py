"""A bucket in memory behind Arrow's own interface: objects of any name, in any state of repair."""

import io

import pyarrow as pa
from pyarrow.fs import FileInfo, FileSystemHandler, FileType, PyFileSystem


class _Stream(io.BytesIO):
    """An object that says when its bytes are read, and breaks where it is told to."""

    def __init__(self, bucket, path, data):
        super().__init__(data)
        self._bucket, self._path = bucket, path

    def read(self, size=-1):
        self._bucket.reads.append(self._path)
        if fault := self._bucket.faults.get(self._path):
            return fault(super().read(size))
        return super().read(size)


class Bucket(FileSystemHandler):
    """`objects` by key, below the bucket `vendor`; `faults` say what becomes of what is read, `refusal` of every request."""

    def __init__(self, objects):
        self.objects = {f"vendor/{key}": data for key, data in objects.items()}
        self.changes = dict.fromkeys(self.objects, 1)
        self.faults, self.reads, self.refusal = {}, [], None

    def opened(self, uri):
        """As Arrow sees it, for any URI."""
        return PyFileSystem(self)

    def put(self, key, data):
        """Another object of the same name."""
        self.objects[f"vendor/{key}"] = data
        self.changes[f"vendor/{key}"] = self.changes.get(f"vendor/{key}", 1) + 1

    def _info(self, path):
        if self.refusal:
            raise self.refusal
        if path in self.objects:
            size = len(self.objects[path])
            return FileInfo(path, FileType.File, size=size, mtime_ns=self.changes[path])
        below = any(name.startswith(f"{path}/") for name in self.objects)
        return FileInfo(path, FileType.Directory if below else FileType.NotFound)

    def get_type_name(self):
        return "bucket"

    def normalize_path(self, path):
        return path

    def get_file_info(self, paths):
        return [self._info(path) for path in paths]

    def get_file_info_selector(self, selector):
        below = f"{selector.base_dir}/"
        return [self._info(path) for path in self.objects if path.startswith(below)]

    def open_input_file(self, path):
        if path not in self.objects:
            raise FileNotFoundError(path)
        return pa.PythonFile(_Stream(self, path, self.objects[path]), "r")

    open_input_stream = open_input_file

    def _never(self, *arguments, **options):
        raise AssertionError("nothing is ever written to a bucket")

    create_dir = delete_dir = delete_dir_contents = delete_root_dir_contents = delete_file = _never
    move = copy_file = open_output_stream = open_append_stream = _never
