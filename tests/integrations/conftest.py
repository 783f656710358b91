"""A real S3 server on loopback, in this process, and commands in processes of their own, with credentials of nobody."""

import logging
import os
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.support.audits import run_process

SECRET = "wJalrXUtnFEMIbPxRfiCYEXAMPLEKEY"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
    "AWS_SECRET_ACCESS_KEY": SECRET,
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}


@dataclass(kw_only=True)
class Store:
    """The server's address, and a client of another library that puts objects there."""

    address: str
    client: object

    def put(self, key, data, bucket="vendor"):
        self.client.put_object(Bucket=bucket, Key=key, Body=data)


@pytest.fixture(scope="session")
def server():
    """moto's S3, without any check of credentials."""
    boto3 = pytest.importorskip("boto3")
    moto = pytest.importorskip("moto.server")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    running = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    address = f"http://127.0.0.1:{running.get_host_and_port()[1]}"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in CREDENTIALS.items():
            patch.setenv(name, value)
        client = boto3.client("s3", region_name="us-east-1", endpoint_url=address)
        yield Store(address=address, client=client)
    running.stop()


@pytest.fixture
def store(server):
    """The same, emptied, with one bucket."""
    for bucket in server.client.list_buckets()["Buckets"]:
        for page in server.client.get_paginator("list_objects_v2").paginate(Bucket=bucket["Name"]):
            for one in page.get("Contents", ()):
                server.client.delete_object(Bucket=bucket["Name"], Key=one["Key"])
        server.client.delete_bucket(Bucket=bucket["Name"])
    server.client.create_bucket(Bucket="vendor")
    return server


@pytest.fixture
def command(tmp_path, monkeypatch, server):
    """Runs `carto-audit` in a process of its own against the server, or against another address."""

    def run(*arguments, address=None, **variables):
        for name, value in {**CREDENTIALS, "CARTO_AUDIT_SPOOL": str(tmp_path / "spool"), **variables}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", address or server.address)
        return run_process(*arguments, cwd=tmp_path)

    return run


class _Broken(BaseHTTPRequestHandler):
    """Answers every request as the server is told to."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        """Stays silent."""

    def do_HEAD(self):
        self.server.answer(self)

    def do_GET(self):
        self.server.answer(self)


@pytest.fixture
def broken():
    """Starts a server that answers every request by a function of the handler, and gives its address."""
    servers = []

    def start(answer):
        server = ThreadingHTTPServer(("127.0.0.1", 0), _Broken)
        server.daemon_threads, server.answer = True, answer
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in Path(item.path).parents:
            item.add_marker(pytest.mark.integration)
            item.add_marker(pytest.mark.enable_socket)
