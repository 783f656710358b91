"""A Hugging Face hub on loopback, with data sets that answer well, badly or not at all. Nothing outside is reached."""

import base64
import hashlib
import json
import re
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import unquote, urlsplit

COMMIT = "a" * 40
OTHER = "b" * 40
_API = re.compile(r"/api/datasets/([^/]+/[^/]+)(?:/(revision|tree|paths-info|preupload|commit)/([^/]+))?(?:/(.*))?")
_FILE = re.compile(r"/datasets/([^/]+/[^/]+)/resolve/([^/]+)/(.*)")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def end_headers(self):
        """Every answer ends its connection, so that no client meets one that is being closed."""
        self.send_header("Connection", "close")
        super().end_headers()

    def log_message(self, *arguments):
        """Stays silent."""

    def do_GET(self):
        self.answer()

    def do_HEAD(self):
        self.answer()

    def do_POST(self):
        self.answer()

    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = unquote(urlsplit(self.path).path)
        self.server.asked.append(f"{self.command} {path}")
        refused = next((answer for part, answer in self.server.refusals.items() if part in path), None)
        if refused is not None:
            self.raw(refused[1], refused[0], length=refused[2] if len(refused) > 2 else None)
        elif path == "/api/validate-yaml":
            self.send(200, {"errors": [], "warnings": [{"message": "an unknown key"}]})
        elif found := _API.fullmatch(path):
            self.api(*found.groups(), body)
        elif found := _FILE.fullmatch(path):
            self.file(*found.groups())
        else:
            self.send(404, {"error": "not found"}, error_code="RepoNotFound")

    def api(self, name, what, revision, rest, body):
        files = self.repository(name)
        if files is None:
            return
        if revision not in (None, "main", COMMIT):
            self.send(404, {"error": "Invalid rev id"}, error_code="RevisionNotFound")
        elif what == "tree":
            entries = self.tree(
                files, f"{rest}/" if rest else "", "recursive=true" in urlsplit(self.path).query.lower()
            )
            self.send(200, entries) if entries or not rest else self.send(404, {}, error_code="EntryNotFound")
        elif what == "preupload":
            modes = {"uploadMode": "regular", "shouldIgnore": False, "oid": None}
            self.send(200, {"files": [{"path": entry["path"], **modes} for entry in json.loads(body)["files"]]})
        elif what == "commit":
            self.commit(name, [json.loads(line) for line in body.splitlines()])
        elif what == "paths-info":
            wanted = (
                json.loads(body)["paths"] if body[:1] == b"{" else re.findall(r"paths=([^&]+)", unquote(body.decode()))
            )
            self.send(200, [self.entry(f, files[f]) for f in wanted if f in files])
        else:
            base = {"_id": "1", "id": name, "sha": COMMIT, "private": False, "gated": False, "disabled": False}
            dates = {"lastModified": "2026-01-01T00:00:00.000Z", "createdAt": "2026-01-01T00:00:00.000Z"}
            self.send(200, base | dates | {"tags": [], "siblings": [{"rfilename": f} for f in files]})

    def commit(self, name, lines):
        """Keeps what was committed; the data set itself stays as it is, as with a pull request."""
        header = lines[0]["value"]
        added = {line["value"]["path"]: base64.b64decode(line["value"]["content"]) for line in lines[1:]}
        query = urlsplit(self.path).query
        self.server.commits.append({"name": name, "query": query, "parent": header.get("parentCommit"), "files": added})
        here = f"http://127.0.0.1:{self.server.server_port}/datasets/{name}"
        urls = {"commitUrl": f"{here}/commit/{OTHER}", "pullRequestUrl": f"{here}/discussions/7"}
        self.send(200, {"success": True, "commitOid": OTHER, "hookOutput": "", **urls})

    def file(self, name, revision, path):
        files = self.repository(name)
        if files is None:
            return
        if path not in files:
            self.send(404, {"error": "not found"}, error_code="EntryNotFound")
            return
        data = files[path]
        first, last = 0, len(data) - 1
        if found := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or ""):
            first, last = int(found[1]), min(int(found[2] or last), last)
        part = data[first : last + 1]
        self.send_response(206 if "Range" in self.headers else 200)
        self.send_header("ETag", f'"{hashlib.sha1(data).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        if self.command != "HEAD":
            half = name.endswith("/half") and path.endswith(".parquet")
            self.wfile.write(part[: len(part) // 2] if half else part)
        self.close_connection = True

    def repository(self, name):
        """The files of a data set; answers by itself and returns None for one that refuses, breaks off or is not there."""
        if name.endswith("/private"):
            self.send(401, {"error": "Invalid credentials"}, error_code="GatedRepo")
        elif name.endswith("/broken"):
            self.send(503, {"error": "down"})
        elif name.endswith("/nothing"):
            self.close_connection = True
        elif name.endswith("/noise"):
            self.raw(b"<html>\x1b[31m not a hub")
        elif name in self.server.repositories:
            return self.server.repositories[name]
        else:
            self.send(404, {"error": "Repository not found"}, error_code="RepoNotFound")
        return None

    def tree(self, files, below, recursive):
        """The files below a folder, and the folders; without `recursive` only what lies in it directly."""
        inside = [path for path in files if path.startswith(below)]
        above = {
            path[: path.index("/", k)]
            for path in inside
            for k in range(len(below), len(path))
            if path[k - 1 : k] != "/" and "/" in path[k:]
        }
        folders = [{"type": "directory", "oid": "0" * 40, "size": 0, "path": folder} for folder in sorted(above)]
        entries = folders + [self.entry(path, files[path]) for path in inside]
        return [e for e in entries if recursive or "/" not in e["path"][len(below) :]]

    def entry(self, path, data):
        return {"type": "file", "oid": hashlib.sha1(data).hexdigest(), "size": len(data), "path": path}

    def send(self, status, value, error_code=None):
        self.raw(json.dumps(value).encode(), status, error_code)

    def raw(self, data, status=200, error_code=None, length=None):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(length or len(data)))
        if error_code:
            self.send_header("X-Error-Code", error_code)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)
        self.close_connection = length is not None


@contextmanager
def fake_hub(repositories, commits=None, refusals=None):
    """A hub with these data sets, {name: {path: bytes}}: yields its address and the list of what it was asked.

    Commits are appended to `commits`. `refusals` maps part of a path to the status and body that answer it, and, for an
    answer that breaks off, the length that it promises.
    """
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.repositories = repositories
    server.asked = []
    server.commits = [] if commits is None else commits
    server.refusals = refusals or {}
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", server.asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def environment(address, home):
    """The variables under which the hub's own libraries speak to this one only."""
    return {
        "HF_ENDPOINT": address,
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1",
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_DATASETS_DISABLE_TELEMETRY": "1",
        "DO_NOT_TRACK": "1",
        "HF_HUB_DOWNLOAD_TIMEOUT": "5",
        "HF_HUB_ETAG_TIMEOUT": "5",
    }
