"""S3 and what speaks like it. Digests are the store's to check, where it does: it is asked once per process."""

from __future__ import annotations

import threading
from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

from boto3.exceptions import Boto3Error
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
)
from storages.backends.s3 import S3Storage
from urllib3.exceptions import HTTPError

from models_app.registry.errors import Invalid

from .base import (
    ANSWER_SECONDS,
    ATTEMPTS,
    CONNECT_SECONDS,
    DirectStore,
    Kept,
    Part,
    Readable,
    StoredBytes,
    Target,
    cold_class_of,
    failed,
    unsigned,
)

# Up to here a file goes in one request, with its digest as we know it; above, in parts that each have one.
ONE_REQUEST = 64 << 20
SMALL = 8 << 20
MOST_PARTS = 9_000
GONE = {"NoSuchKey", "NoSuchUpload", "NotFound", "404", "InvalidRange", "416", "412"}
THERE_ALREADY = {"PreconditionFailed", "412", "ConditionalRequestConflict"}
BAD_PARTS = {"EntityTooSmall", "InvalidPart", "InvalidPartOrder"}
NO_CREDENTIALS = (NoCredentialsError, PartialCredentialsError, ProfileNotFound)
CREDENTIALS = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or a role of the machine"
WRONG_DIGEST = {"BadDigest", "InvalidDigest", "XAmzContentChecksumMismatch"}


class S3Store(S3Storage, DirectStore):
    """A bucket, or what begins with `location` in it. `public_url` is where clients reach it, if not as we do."""

    cold_classes = ("STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR")

    def __init__(self, *, public_url: str = "", cold_class: str = "", **options: Any) -> None:
        super().__init__(**options)
        self.cold_class = cold_class_of(cold_class, S3Store)
        self.public_url = public_url
        self._lock = threading.Lock()
        self._checks: bool | None = None
        self._copying = TransferConfig(
            multipart_threshold=256 << 20, multipart_chunksize=128 << 20, max_concurrency=8
        )
        self._transfer = TransferConfig(
            multipart_threshold=ONE_REQUEST, multipart_chunksize=16 << 20, max_concurrency=4
        )

    # One for all threads, which boto3's clients bear: making one takes long, and memory.
    @cached_property
    def client(self) -> Any:
        with self._lock:
            return self._client(self.endpoint_url)

    @cached_property
    def signer(self) -> Any:
        """Signs addresses as clients know them."""
        return self._client(self.public_url) if self.public_url else self.client

    def _client(self, endpoint: str | None) -> Any:
        config = Config(
            signature_version="s3v4",
            s3={"addressing_style": self.addressing_style},
            connect_timeout=CONNECT_SECONDS,
            read_timeout=ANSWER_SECONDS,
            retries={"total_max_attempts": ATTEMPTS, "mode": "standard"},
            max_pool_connections=32,
            # What others than AWS do not understand, and addresses cannot carry.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        return self._create_session().client(
            "s3", region_name=self.region_name, endpoint_url=endpoint, verify=self.verify, config=config
        )

    def _at(self, key: str) -> dict[str, str]:
        return {"Bucket": self.bucket_name, "Key": self._named(key)}

    def _named(self, key: str) -> str:
        return f"{self.location.strip('/')}/{key}".lstrip("/")

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Say in our words what goes wrong."""
        called = f"The bucket {self.bucket_name}"
        try:
            yield
        except FileNotFoundError:
            raise
        except (ClientError, BotoCoreError, Boto3Error, HTTPError, OSError) as error:
            code, answer = _said(error)
            if code in GONE:
                raise FileNotFoundError(code) from error
            if any(isinstance(one, NO_CREDENTIALS) for one in (error, error.__cause__, error.__context__)):
                raise unsigned(called, CREDENTIALS) from error
            status, headers = answer.get("HTTPStatusCode", 0), answer.get("HTTPHeaders")
            raise failed(called, code, status=int(status), headers=headers) from error

    def credentials_missing(self) -> str:
        try:
            return "" if self._create_session().get_credentials() else CREDENTIALS
        except BotoCoreError:
            return CREDENTIALS

    # --- As every store ---------------------------------------------------------------------------------------

    def _send(self, path: Path, key: str, stored: StoredBytes) -> None:
        with self._asking():
            if stored.size > ONE_REQUEST:
                self.client.upload_file(
                    str(path),
                    self.bucket_name,
                    self._named(key),
                    ExtraArgs={"ChecksumAlgorithm": "SHA256"},
                    Config=self._transfer,
                )
                return
            digest = _base64(stored.sha256)
            with path.open("rb") as body:
                try:
                    self.client.put_object(**self._at(key), Body=body, ChecksumSHA256=digest, IfNoneMatch="*")
                except ClientError as error:
                    # Somebody else may have stored the same bytes meanwhile.
                    if _said(error)[0] not in THERE_ALREADY:
                        raise

    def bring(self, source: BinaryIO, key: str, stored: StoredBytes) -> None:
        if stored.size <= SMALL:
            body, digest = source.read(), _base64(stored.sha256)
            with self._asking():
                self.client.put_object(**self._at(key), Body=body, ChecksumSHA256=digest)
            return
        piece = max(SMALL, -(-stored.size // MOST_PARTS))
        config = TransferConfig(multipart_threshold=SMALL, multipart_chunksize=piece, max_concurrency=2)
        # Else it would hold ten of them.
        config.max_in_memory_upload_chunks = 2
        with self._asking():
            self.client.upload_fileobj(
                source,
                self.bucket_name,
                self._named(key),
                ExtraArgs={"ChecksumAlgorithm": "SHA256"},
                Config=config,
            )

    def measure(self, key: str) -> int | None:
        found = self.state(key)
        return found.size if found else None

    def read_from(self, key: str, *, start: int, length: int) -> Readable:
        with self._asking():
            found = self.client.get_object(**self._at(key), Range=f"bytes={start}-{start + length - 1}")
        return _Body(self, found["Body"])

    def remove(self, key: str) -> None:
        with self._asking():
            self.client.delete_object(**self._at(key))

    @property
    def cold_place(self) -> str:
        return f"s3://{self.bucket_name}/{self._named('')} {self.cold_class}" if self.cold_class else ""

    def set_class(self, key: str, *, cold: bool) -> None:
        found = self.state(key)
        if found is None:
            raise FileNotFoundError(key)
        with self._asking():
            # A copy onto itself, whole or not at all, in parts side by side where it is large.
            self.client.copy(
                self._at(key),
                self.bucket_name,
                self._named(key),
                ExtraArgs={
                    "CopySourceIfMatch": found.tag,
                    "MetadataDirective": "REPLACE",
                    "StorageClass": self.cold_class if cold else "STANDARD",
                },
                Config=self._copying,
            )

    def walk(self, prefix: str) -> Iterator[Kept]:
        skip = len(self._named(""))
        pages = self.client.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket_name, Prefix=self._named(prefix)
        )
        with self._asking():
            for page in pages:
                for found in page.get("Contents", ()):
                    yield Kept(found["Key"][skip:], found["Size"], found["LastModified"])

    # --- Directly ---------------------------------------------------------------------------------------------

    def address(self, key: str, *, disposition: str, media_type: str, valid: timedelta) -> str:
        wanted = {
            **self._at(key),
            "ResponseContentDisposition": disposition,
            "ResponseContentType": media_type,
            "ResponseCacheControl": "private, no-cache",
        }
        return self._signed("get_object", wanted, valid)

    def _signed(self, call: str, parameters: dict[str, Any], valid: timedelta) -> str:
        with self._asking():
            return str(
                self.signer.generate_presigned_url(
                    call, Params=parameters, ExpiresIn=int(valid.total_seconds())
                )
            )

    def checks_digests(self) -> bool:
        if self._checks is None:
            self._checks = self._refuses_wrong_digests()
        return self._checks

    def _refuses_wrong_digests(self) -> bool:
        probe = self._at("incoming/probe")
        with self._asking():
            try:
                self.client.put_object(**probe, Body=b"probe", ChecksumSHA256=_base64("0" * 64))
            except ClientError as error:
                if _said(error)[0] not in WRONG_DIGEST:
                    raise
                return True
            self.client.delete_object(**probe)
            return False

    def put_target(self, key: str, *, stored: StoredBytes, valid: timedelta) -> Target:
        digest = _base64(stored.sha256)
        wanted = {**self._at(key), "ContentLength": stored.size, "ChecksumSHA256": digest}
        url = self._signed("put_object", wanted, valid)
        return Target(url, {"x-amz-checksum-sha256": digest})

    def digest(self, key: str, *, tag: str) -> str:
        try:
            with self._asking():
                found = self.client.head_object(**self._at(key), ChecksumMode="ENABLED")
        except FileNotFoundError:
            return ""
        said = str(found.get("ChecksumSHA256", ""))
        # That of a file in parts is made of theirs, and ends with their number.
        whole = found.get("ChecksumType", "FULL_OBJECT") == "FULL_OBJECT" and "-" not in said
        return b64decode(said).hex() if said and whole and found["ETag"] == tag else ""

    def begin_parts(self, key: str) -> str:
        with self._asking():
            return str(self.client.create_multipart_upload(**self._at(key))["UploadId"])

    def part_target(
        self, key: str, upload: str, number: int, *, size: int | None, valid: timedelta
    ) -> Target:
        wanted: dict[str, Any] = {**self._at(key), "UploadId": upload, "PartNumber": number}
        if size is not None:
            wanted["ContentLength"] = size
        return Target(self._signed("upload_part", wanted, valid))

    def parts(self, key: str, upload: str) -> list[tuple[int, Part]]:
        pages = self.client.get_paginator("list_parts").paginate(**self._at(key), UploadId=upload)
        with self._asking():
            return [
                (part["PartNumber"], Part(part["Size"], part["ETag"].strip('"')))
                for page in pages
                for part in page.get("Parts", ())
            ]

    def join_parts(self, key: str, upload: str, tags: Sequence[str]) -> None:
        listed = [{"PartNumber": number, "ETag": f'"{tag}"'} for number, tag in enumerate(tags, start=1)]
        with self._asking():
            try:
                self.client.complete_multipart_upload(
                    **self._at(key), UploadId=upload, MultipartUpload={"Parts": listed}
                )
            except ClientError as error:
                if _said(error)[0] not in BAD_PARTS:
                    raise
                raise Invalid(
                    "parts", "All parts but the last need 5 MiB or more.", next_step="Send larger parts."
                ) from error

    def drop_parts(self, key: str, upload: str) -> None:
        try:
            with self._asking():
                self.client.abort_multipart_upload(**self._at(key), UploadId=upload)
        except FileNotFoundError:
            pass

    def drop_old_parts(self, prefix: str, before: datetime) -> int:
        removed, skip = 0, len(self._named(""))
        pages = self.client.get_paginator("list_multipart_uploads").paginate(
            Bucket=self.bucket_name, Prefix=self._named(prefix)
        )
        with self._asking():
            old = [
                found for page in pages for found in page.get("Uploads", ()) if found["Initiated"] < before
            ]
        for found in old:
            self.drop_parts(found["Key"][skip:], found["UploadId"])
            removed += 1
        return removed

    def state(self, key: str) -> Part | None:
        try:
            with self._asking():
                found = self.client.head_object(**self._at(key))
        except FileNotFoundError:
            return None
        return Part(int(found["ContentLength"]), found["ETag"])

    def copy(self, source: str, key: str, *, tag: str) -> None:
        with self._asking():
            # In parts side by side where it is large: one call would take long, and copies 5 GiB at most.
            self.client.copy(
                self._at(source),
                self.bucket_name,
                self._named(key),
                ExtraArgs={"CopySourceIfMatch": tag},
                Config=self._copying,
            )

    def write(self, key: str, content: bytes) -> None:
        with self._asking():
            self.client.put_object(**self._at(key), Body=content)


class _Body:
    """What the store sends, errors said in our words."""

    def __init__(self, store: S3Store, body: Any) -> None:
        self._store, self._body = store, body

    def read(self, size: int, /) -> bytes:
        with self._store._asking():
            return bytes(self._body.read(size))

    def close(self) -> None:
        self._body.close()


def _said(error: BaseException) -> tuple[str, dict[str, Any]]:
    """The store's own code and what came with it; the error's name and nothing when it did not answer."""
    for one in (error, error.__cause__, error.__context__):
        if isinstance(one, ClientError):
            answer: dict[str, Any] = dict(one.response.get("ResponseMetadata", {}))
            return str(one.response.get("Error", {}).get("Code", answer.get("HTTPStatusCode", 0))), answer
    return type(error).__name__, {}


def _base64(sha256: str) -> str:
    return b64encode(bytes.fromhex(sha256)).decode()
