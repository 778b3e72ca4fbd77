"""Azure Blob Storage. It knows no SHA-256, so what arrives directly waits, is read, and is copied to its place."""

from __future__ import annotations

import time
from base64 import b64encode
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote, urlsplit, urlunsplit

from azure.core import MatchConditions
from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError
from azure.storage.blob import (
    BlobBlock,
    BlobSasPermissions,
    BlobServiceClient,
    ExponentialRetry,
    generate_blob_sas,
)
from django.utils import timezone
from storages.backends.azure_storage import AzureStorage

from models_app.registry.errors import Unavailable

from .base import (
    ANSWER_SECONDS,
    ATTEMPTS,
    CONNECT_SECONDS,
    PIECE,
    DirectStore,
    Kept,
    Part,
    Pieces,
    Readable,
    StoredBytes,
    Target,
    cold_class_of,
    failed,
    refused,
    silent,
    unsigned,
)

# Blocks that another has joined, and taken away.
GONE = {"InvalidBlockList"}
MOST_BLOCKS = 50_000
SIDE_BY_SIDE = 3
# Copies within an account are nearly always done at once.
COPY_SECONDS = 600
CREDENTIALS = "a key, SAS token or connection string of the account, or an identity"


class AzureStore(AzureStorage, DirectStore):
    """A container, or what begins with `location` in it. `public_url` is where clients reach it, if not as we do."""

    tells_tags = False
    token_credential: Any

    cold_classes = ("Cool", "Cold")

    def __init__(self, *, public_url: str = "", cold_class: str = "", **options: Any) -> None:
        super().__init__(**options)
        self.cold_class = cold_class_of(cold_class, AzureStore)
        self.public_url = public_url

    def _get_service_client(self) -> BlobServiceClient:
        options: dict[str, Any] = {
            "connection_timeout": CONNECT_SECONDS,
            "read_timeout": ANSWER_SECONDS,
            "retry_policy": ExponentialRetry(
                initial_backoff=1, increment_base=1, retry_total=ATTEMPTS - 1, random_jitter_range=1
            ),
            "max_single_put_size": PIECE,
            "max_block_size": PIECE,
            "max_single_get_size": PIECE,
            "max_chunk_get_size": PIECE,
            **self.client_options,
        }
        if self.connection_string:
            return BlobServiceClient.from_connection_string(self.connection_string, **options)
        address = f"https://{self.account_name}.blob.{self.endpoint_suffix}"
        return BlobServiceClient(address, credential=self._credential(), **options)

    def _credential(self) -> Any:
        if self.account_key:
            return {"account_name": self.account_name, "account_key": self.account_key}
        if self.sas_token:
            return self.sas_token
        if self.token_credential is None:
            # Only where nothing else was given: the role of the machine, or what its variables say.
            self.token_credential = import_module("azure.identity").DefaultAzureCredential()
        return self.token_credential

    def _blob(self, key: str) -> Any:
        with self._asking():
            return self.client.get_blob_client(f"{self.location.strip('/')}/{key}".lstrip("/"))

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Say in our words what goes wrong."""
        called = f"The container {self.azure_container}"
        try:
            yield
        except HttpResponseError as error:
            if isinstance(error, ClientAuthenticationError) and error.status_code is None:
                raise unsigned(called, CREDENTIALS) from error
            status, code = error.status_code or 0, getattr(error, "error_code", None)
            said = str(getattr(code, "value", code) or status or type(error).__name__)
            if said in GONE or status in (412, 416) or (status == 404 and said != "ContainerNotFound"):
                raise FileNotFoundError(said) from error
            raise failed(
                called, said, status=status, headers=getattr(error.response, "headers", None)
            ) from error
        except AzureError as error:
            raise silent(called, type(error).__name__) from error
        except (ImportError, ValueError) as error:
            raise refused(called, str(error)) from error

    # --- As every store ---------------------------------------------------------------------------------------

    def _send(self, path: Path, key: str, stored: StoredBytes) -> None:
        """In blocks, each with a checksum that the store compares; there are no blocks at all before all are there."""
        blob, block = self._blob(key), max(2 * PIECE, -(-stored.size // MOST_BLOCKS))

        def send(start: int) -> str:
            with path.open("rb") as file, self._asking():
                file.seek(start)
                name = _block(start // block)
                blob.stage_block(name, file.read(block), validate_content=True)
            return name

        with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
            names = list(pool.map(send, range(0, stored.size, block)))
        try:
            with self._asking():
                blob.commit_block_list(
                    [BlobBlock(name) for name in names], match_condition=MatchConditions.IfMissing
                )
        except (FileNotFoundError, Unavailable):
            # Somebody else may have stored the same bytes meanwhile.
            if self.measure(key) != stored.size:
                raise

    def bring(self, source: BinaryIO, key: str, stored: StoredBytes) -> None:
        block = max(2 * PIECE, -(-stored.size // MOST_BLOCKS))
        blob = self._blob(key)
        names: list[str] = []
        while piece := source.read(block):
            names.append(_block(len(names)))
            with self._asking():
                blob.stage_block(names[-1], piece, validate_content=True)
        with self._asking():
            blob.commit_block_list([BlobBlock(name) for name in names])

    def measure(self, key: str) -> int | None:
        found = self.state(key)
        return found.size if found else None

    def read_from(self, key: str, *, start: int, length: int) -> Readable:
        blob = self._blob(key)

        def fetch(at: int, size: int) -> bytes:
            with self._asking():
                return bytes(blob.download_blob(offset=at, length=size).readall())

        # Its library takes ten times a piece to get it.
        return Pieces(fetch, start=start, length=length, piece=2 << 20)

    def remove(self, key: str) -> None:
        try:
            with self._asking():
                self._blob(key).delete_blob()
        except FileNotFoundError:
            pass

    @property
    def cold_place(self) -> str:
        if not self.cold_class:
            return ""
        where = f"{self.account_name or ''}/{self.azure_container}/{self.location.strip('/')}"
        return f"azure://{where} {self.cold_class}"

    def set_class(self, key: str, *, cold: bool) -> None:
        with self._asking():
            self._blob(key).set_standard_blob_tier(self.cold_class if cold else "Hot")

    def walk(self, prefix: str) -> Iterator[Kept]:
        start = f"{self.location.strip('/')}/".lstrip("/")
        with self._asking():
            for found in self.client.list_blobs(name_starts_with=start + prefix):
                yield Kept(found.name[len(start) :], found.size, found.last_modified)

    # --- Directly ---------------------------------------------------------------------------------------------

    def signs(self) -> bool:
        # Who has a signature only cannot make others.
        return not self.sas_token or bool(self.account_key)

    def _signed(self, key: str, permission: BlobSasPermissions, valid: timedelta, **headers: Any) -> str:
        blob, until = self._blob(key), timezone.now() + valid
        with self._asking():
            delegated = None
            if not self.account_key:
                delegated = self.get_user_delegation_key(until.replace(tzinfo=None))
            signature = generate_blob_sas(
                blob.account_name,
                blob.container_name,
                blob.blob_name,
                account_key=self.account_key,
                user_delegation_key=delegated,
                permission=permission,
                expiry=until,
                **headers,
            )
        return f"{blob.url}?{signature}"

    def _public(self, url: str) -> str:
        if not self.public_url:
            return url
        known = urlsplit(self.public_url)
        return urlunsplit(urlsplit(url)._replace(scheme=known.scheme, netloc=known.netloc))

    def address(self, key: str, *, disposition: str, media_type: str, valid: timedelta) -> str:
        url = self._signed(
            key,
            BlobSasPermissions(read=True),
            valid,
            content_disposition=disposition,
            content_type=media_type,
            cache_control="private, no-cache",
        )
        return self._public(url)

    def begin_parts(self, key: str) -> str:
        return "blocks"

    def part_target(
        self, key: str, upload: str, number: int, *, size: int | None, valid: timedelta
    ) -> Target:
        url = self._signed(key, BlobSasPermissions(create=True, write=True), valid)
        block = quote(b64encode(_block(number).encode()).decode(), safe="")
        return Target(self._public(f"{url}&comp=block&blockid={block}"))

    def parts(self, key: str, upload: str) -> list[tuple[int, Part]]:
        try:
            with self._asking():
                _, waiting = self._blob(key).get_block_list("uncommitted")
        except FileNotFoundError:
            return []
        return [(int(block.id), Part(block.size, block.id)) for block in waiting if block.id.isdigit()]

    def join_parts(self, key: str, upload: str, tags: Sequence[str]) -> None:
        with self._asking():
            self._blob(key).commit_block_list([BlobBlock(tag) for tag in tags])

    def drop_parts(self, key: str, upload: str) -> None:
        # Blocks that wait go away with the blob that they were meant for.
        with self._asking():
            self._blob(key).commit_block_list([])
        self.remove(key)

    def drop_old_parts(self, prefix: str, before: datetime) -> int:
        return 0  # Azure itself forgets blocks after a week.

    def state(self, key: str) -> Part | None:
        try:
            with self._asking():
                found = self._blob(key).get_blob_properties()
        except FileNotFoundError:
            return None
        if found.copy.status not in (None, "success"):
            return None
        return Part(found.size, found.etag)

    def copy(self, source: str, key: str, *, tag: str) -> None:
        # The address of who has a signature only says it already.
        address = (
            self._signed(source, BlobSasPermissions(read=True), timedelta(hours=1))
            if self.signs()
            else self._blob(source).url
        )
        target = self._blob(key)
        with self._asking():
            target.start_copy_from_url(
                address, source_etag=tag, source_match_condition=MatchConditions.IfNotModified
            )
            end = time.monotonic() + COPY_SECONDS
            while (copied := target.get_blob_properties().copy).status == "pending":
                if time.monotonic() > end:
                    target.abort_copy(copied.id)
                    raise silent(f"The container {self.azure_container}", "a copy takes too long")
                time.sleep(0.2)
        if copied.status != "success":
            self.remove(key)
            raise silent(f"The container {self.azure_container}", f"a copy {copied.status}")

    def write(self, key: str, content: bytes) -> None:
        with self._asking():
            self._blob(key).upload_blob(content, overwrite=True)


def _block(number: int) -> str:
    """What a part is called: all names have one length."""
    return f"{number:06d}"
