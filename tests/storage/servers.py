"""What stands in for the clouds: SeaweedFS for S3, Azurite for Azure, an emulator for Google. They listen on loopback,
keep their data in a folder of this run's own, and end with it even when it is killed.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth.credentials import AnonymousCredentials, Signing
from google.auth.crypt import RSASigner

from tests.originals import environment

BIN = Path(sys.executable).parent
# The account that Azurite has, as its papers print it.
AZURE_ACCOUNT = "devstoreaccount1"
AZURE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
ADMIN, OWNER, STRANGER = (
    ("admin", "makes-the-bucket"),
    ("owner", "of-the-bucket-1"),
    ("stranger", "of-another-bucket"),
)
BUCKET = "models"


def free_ports(count: int) -> list[int]:
    """Ports that are free now, each with room for a second one 10 000 above."""
    found: list[socket.socket] = []
    while len(found) < count:
        probe = socket.socket()
        probe.bind(("127.0.0.1", 0))
        found.append(probe)
    ports = [probe.getsockname()[1] for probe in found]
    for probe in found:
        probe.close()
    return ports


class Server:
    """A process that answers at `url` while it runs."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    port: int

    def command(self) -> list[str]:
        raise NotImplementedError

    def is_up(self) -> bool:
        with suppress(httpx.TransportError):
            return httpx.get(self.url, timeout=5).status_code < 500
        return False

    def start(self) -> None:
        log = self.folder / "log"
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                self.command(),
                cwd=self.folder,
                stdout=out,
                stderr=out,
                start_new_session=True,
                preexec_fn=_end_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509
            )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self._process.poll() is None:
            if self.is_up():
                return
            time.sleep(0.05)
        self.stop()
        raise RuntimeError(f"{self.command()[0]} did not start:\n{log.read_text()[-3000:]}")

    def stop(self) -> None:
        """At once: nothing it holds is needed any more, or it is to be seen to have lost it."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


class SeaweedFS(Server):
    """S3 with three accounts: who made the bucket; Modelry's own, with the least; one that may not look in."""

    def __init__(self, folder: Path, *, volume_mb: int = 64) -> None:
        super().__init__(folder)
        self._volume_mb = volume_mb
        self.port, *self._others = free_ports(8)
        accounts = [
            _account(ADMIN, ["Admin"]),
            _account(OWNER, [f"{right}:{BUCKET}" for right in ("Read", "Write", "List")]),
            _account(STRANGER, ["Read:elsewhere", "List:elsewhere"]),
        ]
        (folder / "s3.json").write_text(json.dumps({"identities": accounts}))

    def command(self) -> list[str]:
        names = ("s3.port.grpc", "master.port", "master.port.grpc", "volume.port", "volume.port.grpc")
        ports = [
            f"-{name}={port}"
            for name, port in zip((*names, "filer.port", "filer.port.grpc"), self._others, strict=True)
        ]
        # Small volumes, made one at a time: each is a file that is laid out in full.
        return [
            str(BIN / "weed"),
            "server",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            f"-dir={self.folder}",
            "-s3",
            f"-s3.port={self.port}",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-master.electionTimeout=1s",
            "-master.telemetry=false",
            f"-s3.config={self.folder / 's3.json'}",
            "-filer",
            f"-master.volumeSizeLimitMB={self._volume_mb}",
            "-volume.max=40",
            *ports,
        ]

    def start(self) -> None:
        super().start()
        import boto3
        from botocore.config import Config

        once = Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1})
        client = boto3.client("s3", **self.keys(), config=once)
        deadline = time.monotonic() + 30
        while True:
            # It listens before it knows its volumes.
            try:
                with suppress(
                    client.exceptions.BucketAlreadyExists, client.exceptions.BucketAlreadyOwnedByYou
                ):
                    client.create_bucket(Bucket=BUCKET)
                client.put_object(Bucket=BUCKET, Key="started", Body=b"yes")
                client.get_object(Bucket=BUCKET, Key="started")["Body"].read()
                return
            except Exception:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def stop(self) -> None:
        super().stop()
        for port in (self.port, *self._others):
            for path in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
                path.unlink(missing_ok=True)

    def keys(self) -> dict[str, str]:
        return {
            "endpoint_url": self.url,
            "region_name": "us-east-1",
            "aws_access_key_id": ADMIN[0],
            "aws_secret_access_key": ADMIN[1],
        }

    def storage(self, prefix: str, account: tuple[str, str] = OWNER) -> dict[str, object]:
        return s3_at(self.url, prefix, account)

    def settings(self, prefix: str) -> dict[str, str]:
        """The environment of a server that keeps its artifacts there."""
        return {
            "MODELRY_ARTIFACTS": f"s3://{BUCKET}/{prefix}?endpoint_url={self.url}&region=us-east-1&addressing_style=path",
            "AWS_ACCESS_KEY_ID": OWNER[0],
            "AWS_SECRET_ACCESS_KEY": OWNER[1],
        }


def s3_at(url: str, prefix: str = "", account: tuple[str, str] = OWNER) -> dict[str, object]:
    """An entry of STORAGES."""
    options = {
        "bucket_name": BUCKET,
        "location": prefix,
        "endpoint_url": url,
        "region_name": "us-east-1",
        "addressing_style": "path",
        "access_key": account[0],
        "secret_key": account[1],
    }
    return {"BACKEND": "models_app.registry.artifacts.stores.s3.S3Store", "OPTIONS": options}


def _account(keys: tuple[str, str], actions: list[str]) -> dict[str, object]:
    credentials = [{"accessKey": keys[0], "secretKey": keys[1]}]
    return {"name": keys[0], "credentials": credentials, "actions": actions}


class Azurite(Server):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        (self.port,) = free_ports(1)
        self._home = environment("azurite")

    def command(self) -> list[str]:
        main = self._home / "node_modules/azurite/dist/src/blob/main.js"
        where = ["--blobHost", "127.0.0.1", "--blobPort", str(self.port), "--location", str(self.folder)]
        quiet = ["--silent", "--disableTelemetry", "--skipApiVersionCheck"]
        return [str(self._home / "bin/node"), str(main), *where, *quiet]

    def start(self) -> None:
        super().start()
        from azure.storage.blob import BlobServiceClient

        with BlobServiceClient.from_connection_string(azure_connection(self.url)) as client:
            client.create_container(BUCKET)

    def storage(self, prefix: str) -> dict[str, object]:
        return azure_at(self.url, prefix)


def azure_connection(url: str) -> str:
    return f"AccountName={AZURE_ACCOUNT};AccountKey={AZURE_KEY};BlobEndpoint={url}/{AZURE_ACCOUNT};"


def azure_at(url: str, prefix: str = "") -> dict[str, object]:
    """An entry of STORAGES."""
    options = {"azure_container": BUCKET, "location": prefix, "connection_string": azure_connection(url)}
    return {"BACKEND": "models_app.registry.artifacts.stores.azure.AzureStore", "OPTIONS": options}


class AccountThatSigns(AnonymousCredentials, Signing):
    """Signs as an account with a key does. The emulator asks nobody who he is and looks at no signature."""

    def __init__(self) -> None:
        super().__init__()
        key = rsa.generate_private_key(65537, 2048).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        self._signer = RSASigner.from_string(key)

    signer_email = "modelry@example.iam.gserviceaccount.com"

    @property
    def signer(self) -> RSASigner:
        return self._signer

    def sign_bytes(self, message: bytes) -> bytes:
        return self._signer.sign(message)


class GoogleEmulator(Server):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        (self.port,) = free_ports(1)

    def command(self) -> list[str]:
        where = ["--host=127.0.0.1", f"--port={self.port}", f"--default-bucket={BUCKET}"]
        return [str(BIN / "gcp-storage-emulator"), "start", *where, "--in-memory", "--quiet"]

    def storage(self, prefix: str) -> dict[str, object]:
        return google_at(self.url, prefix)


@cache
def _account_that_signs() -> AccountThatSigns:
    return AccountThatSigns()


def google_at(url: str, prefix: str = "") -> dict[str, object]:
    """An entry of STORAGES."""
    options = {
        "bucket_name": BUCKET,
        "location": prefix,
        "endpoint_url": url,
        "credentials": _account_that_signs(),
        "project_id": "tests",
    }
    return {"BACKEND": "models_app.registry.artifacts.stores.google.GoogleStore", "OPTIONS": options}


class Servers:
    """Each started when a test first asks for it, all stopped at the end."""

    KINDS = {"s3": SeaweedFS, "azure": Azurite, "gs": GoogleEmulator}

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: dict[str, Server] = {}

    def __getitem__(self, kind: str) -> Server:
        if kind not in self._running:
            server = self.KINDS[kind](self._folder / kind)
            server.start()
            self._running[kind] = server
        return self._running[kind]

    def close(self) -> None:
        for server in self._running.values():
            server.stop()
            shutil.rmtree(server.folder, ignore_errors=True)


class Refusing:
    """Answers everything with one status, as a bucket does that denies, or a store in trouble."""

    def __init__(self, status: int) -> None:
        self.asked = asked = set[str]()

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.add(urlsplit(self.path).path)
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_HEAD = do_PUT = do_POST = do_DELETE = do_GET

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Refusing:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
