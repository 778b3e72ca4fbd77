"""Google Cloud Storage. It knows no SHA-256, so what arrives directly waits, is read, and is copied to its place.

Parts are objects of their own that the store composes into one, 32 at a time.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

from google.api_core import exceptions as core
from google.api_core.exceptions import GoogleAPIError
from google.auth.credentials import Signing
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError
from requests.exceptions import RequestException
from storages.backends.gcloud import GoogleCloudStorage

from .base import (
    ANSWER_SECONDS,
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
    refused,
    silent,
    unsigned,
)

TIMEOUT = (CONNECT_SECONDS, ANSWER_SECONDS)
AGAIN_SECONDS = 10
CREDENTIALS = "GOOGLE_APPLICATION_CREDENTIALS, or the account of a machine"
COMPOSED_AT_ONCE = 32


class GoogleStore(GoogleCloudStorage, DirectStore):
    """A bucket, or what begins with `location` in it. `public_url` is where clients reach it, if not as we do;
    `endpoint_url` where we do. Without a key of its own the machine's account signs (`sa_email`, or its own name).
    """

    # It does, but buckets with keys of their own have other ones.
    tells_tags = False
    credentials: Any
    project_id: Any

    cold_classes = ("NEARLINE", "COLDLINE", "ARCHIVE")

    def __init__(
        self, *, public_url: str = "", endpoint_url: str = "", cold_class: str = "", **options: Any
    ) -> None:
        if options.get("sa_email"):
            options["iam_sign_blob"] = True
        super().__init__(**options)
        self.public_url, self.endpoint_url = public_url, endpoint_url
        self.cold_class = cold_class_of(cold_class, GoogleStore)

    @cached_property
    def client(self) -> Any:
        from google.auth import default
        from google.cloud.storage import Client  # type: ignore[import-untyped]

        if self.credentials is None:
            self.credentials, found = default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
            self.project_id = self.project_id or found
        options = {"api_endpoint": self.endpoint_url} if self.endpoint_url else None
        return Client(project=self.project_id, credentials=self.credentials, client_options=options)

    @cached_property
    def _calls(self) -> dict[str, Any]:
        """How every call is made."""
        from google.cloud.storage.retry import DEFAULT_RETRY  # type: ignore[import-untyped]

        return {"timeout": TIMEOUT, "retry": DEFAULT_RETRY.with_timeout(AGAIN_SECONDS)}

    def _blob(self, key: str) -> Any:
        with self._asking():
            return self.bucket.blob(self._named(key), chunk_size=2 * PIECE)

    def _named(self, key: str) -> str:
        return f"{self.location.strip('/')}/{key}".lstrip("/")

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Say in our words what goes wrong."""
        called = f"The bucket {self.bucket_name}"
        try:
            yield
        except (core.NotFound, core.PreconditionFailed, core.RequestRangeNotSatisfiable) as error:
            if "bucket" in str(error.message).lower():
                raise refused(called, "no such bucket") from error
            raise FileNotFoundError(str(error.code)) from error
        except core.ClientError as error:
            headers = getattr(error.response, "headers", None)
            raise refused(called, f"{error.code} {type(error).__name__}", headers=headers) from error
        except DefaultCredentialsError as error:
            raise unsigned(called, CREDENTIALS) from error
        except GoogleAuthError as error:
            raise (silent if error.retryable else refused)(called, type(error).__name__) from error
        except (GoogleAPIError, RequestException) as error:
            raise silent(called, type(error).__name__) from error

    def credentials_missing(self) -> str:
        try:
            self.client  # noqa: B018
        except DefaultCredentialsError:
            return CREDENTIALS
        except GoogleAuthError:
            return ""
        return ""

    # --- As every store ---------------------------------------------------------------------------------------

    def _send(self, path: Path, key: str, stored: StoredBytes) -> None:
        blob = self._blob(key)
        with self._asking():
            try:
                blob.upload_from_filename(
                    str(path),
                    content_type="application/octet-stream",
                    if_generation_match=0,
                    checksum="crc32c",
                    **self._calls,
                )
            except core.PreconditionFailed:
                return  # Somebody else stored the same bytes meanwhile.

    def bring(self, source: BinaryIO, key: str, stored: StoredBytes) -> None:
        blob = self._blob(key)
        with self._asking():
            blob.upload_from_file(
                source,
                size=stored.size,
                content_type="application/octet-stream",
                checksum="crc32c",
                **self._calls,
            )

    def measure(self, key: str) -> int | None:
        found = self.state(key)
        return found.size if found else None

    def read_from(self, key: str, *, start: int, length: int) -> Readable:
        blob = self._blob(key)

        def fetch(at: int, size: int) -> bytes:
            with self._asking():
                return bytes(
                    blob.download_as_bytes(
                        start=at, end=at + size - 1, raw_download=True, checksum=None, **self._calls
                    )
                )

        return Pieces(fetch, start=start, length=length)

    def remove(self, key: str) -> None:
        try:
            with self._asking():
                self._blob(key).delete(**self._calls)
        except FileNotFoundError:
            pass

    @property
    def cold_place(self) -> str:
        return f"gs://{self.bucket_name}/{self._named('')} {self.cold_class}" if self.cold_class else ""

    def set_class(self, key: str, *, cold: bool) -> None:
        blob = self._blob(key)
        with self._asking():
            blob.reload(**self._calls)
            blob.update_storage_class(
                self.cold_class if cold else "STANDARD",
                if_source_generation_match=blob.generation,
                **self._calls,
            )

    def walk(self, prefix: str) -> Iterator[Kept]:
        skip = len(self._named(""))
        with self._asking():
            for found in self.client.list_blobs(
                self.bucket_name, prefix=self._named(prefix), page_size=1000, **self._calls
            ):
                yield Kept(found.name[skip:], int(found.size), found.updated)

    # --- Directly ---------------------------------------------------------------------------------------------

    def signs(self) -> bool:
        with self._asking():
            client = self.client
        return self.iam_sign_blob or isinstance(self.credentials or client._credentials, Signing)

    def _signed(self, key: str, valid: timedelta, **wanted: Any) -> str:
        blob = self._blob(key)
        with self._asking():
            if self.iam_sign_blob:
                account, token = self._get_iam_sign_blob_params()
                wanted |= {"service_account_email": account, "access_token": token}
            url = blob.generate_signed_url(
                version="v4",
                expiration=valid,
                api_access_endpoint=self.public_url or self.endpoint_url or None,
                **wanted,
            )
        return str(url)

    def address(self, key: str, *, disposition: str, media_type: str, valid: timedelta) -> str:
        return self._signed(
            key, valid, method="GET", response_disposition=disposition, response_type=media_type
        )

    def begin_parts(self, key: str) -> str:
        return "objects"

    def part_target(
        self, key: str, upload: str, number: int, *, size: int | None, valid: timedelta
    ) -> Target:
        headers = {} if size is None else {"x-goog-content-length-range": f"{size},{size}"}
        # The library writes into the headers that it is given.
        url = self._signed(_part(key, number), valid, method="PUT", headers=dict(headers))
        return Target(url, headers)

    def parts(self, key: str, upload: str) -> list[tuple[int, Part]]:
        found = []
        with self._asking():
            for blob in self.client.list_blobs(
                self.bucket_name, prefix=self._named(f"{key}.part-"), **self._calls
            ):
                number = int(blob.name.rpartition("-")[2])
                found.append((number, Part(int(blob.size), _etag(blob.md5_hash))))
        return found

    def join_parts(self, key: str, upload: str, tags: Sequence[str]) -> None:
        keys = [_part(key, number) for number in range(1, len(tags) + 1)]
        made: list[str] = []
        sources, level = keys, 0
        while len(sources) > COMPOSED_AT_ONCE:
            level += 1
            groups = range(0, len(sources), COMPOSED_AT_ONCE)
            targets = [f"{key}.joined-{level}-{at}" for at in groups]
            for target, at in zip(targets, groups, strict=True):
                self._compose(target, sources[at : at + COMPOSED_AT_ONCE])
            made += targets
            sources = targets
        self._compose(key, sources)
        for done in [*keys, *made]:
            self.remove(done)

    def _compose(self, key: str, sources: Sequence[str]) -> None:
        target, blobs = self._blob(key), [self._blob(source) for source in sources]
        target.content_type = "application/octet-stream"
        with self._asking():
            target.compose(blobs, **self._calls)

    def drop_parts(self, key: str, upload: str) -> None:
        for found in list(self.walk(f"{key}.")):
            self.remove(found.key)

    def drop_old_parts(self, prefix: str, before: datetime) -> int:
        return 0  # They are objects like any others.

    def state(self, key: str) -> Part | None:
        with self._asking():
            found = self.bucket.get_blob(self._named(key), **self._calls)
        return Part(int(found.size), str(found.generation)) if found else None

    def copy(self, source: str, key: str, *, tag: str) -> None:
        origin, target, token = self._blob(source), self._blob(key), None
        with self._asking():
            while True:
                token, _, _ = target.rewrite(
                    origin, token=token, if_source_generation_match=int(tag), **self._calls
                )
                if token is None:
                    return

    def write(self, key: str, content: bytes) -> None:
        with self._asking():
            self._blob(key).upload_from_string(content, **self._calls)


def _part(key: str, number: int) -> str:
    return f"{key}.part-{number:06d}"


def _etag(md5_hash: str) -> str:
    """As the store's answer to a PUT has it."""
    return b64decode(md5_hash or "").hex()
