"""Another MLflow server as somebody who moves away from it reads it: its REST calls, page by page, and its files.

An operator names the address, so private ones may be called too. Works with servers from 2.0 on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar
from urllib.parse import quote, unquote, urlsplit

import httpx

from .locations import SCHEME

API = "/api/2.0/mlflow"
PROXY = "/api/2.0/mlflow-artifacts/artifacts"
PAGE = 200
HISTORY_PAGE = 25_000
PROMPTS = "tags.`mlflow.prompt.is_prompt` = 'true'"
MAX_PATH = 2000
# After 0.5, 1, 2, … seconds: about a minute in all.
ATTEMPTS = 7
_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})

Row = dict[str, Any]


class SourceError(Exception):
    """The source refused one call, or answered what makes no sense."""

    def __init__(self, why: str, *, status: int = 0) -> None:
        super().__init__(why)
        self.status = status


class SourceGone(SourceError):
    """The source does not answer any more, or lets nobody in: there is no point in going on."""


class NoFiles(SourceError):
    """Files of which the source only knows where they are, or which are gone."""


@dataclass(frozen=True, slots=True)
class Remote:
    """A file there: its path below what was listed, its size if the source says so, and how to ask for it."""

    path: str
    size: int | None
    address: str
    query: dict[str, str] = field(default_factory=dict)


class Sink(Protocol):
    """What takes the bytes of a file."""

    size: int

    def write(self, chunk: bytes, /) -> None: ...

    def discard(self) -> None: ...


S = TypeVar("S", bound=Sink)


class Source:
    """`uri` is what clients have in MLFLOW_TRACKING_URI: a path prefix and user:password in it are understood."""

    def __init__(
        self,
        uri: str,
        *,
        token: str = "",
        user: str = "",
        password: str = "",
        transport: httpx.BaseTransport | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        parts = urlsplit(uri)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise SourceError("The address of an MLflow server begins with http:// or https://.")
        if parts.username:
            user, password = unquote(parts.username), unquote(parts.password or "")
        netloc = parts.netloc.rpartition("@")[2]
        # What may be shown and kept: no credentials.
        self.origin = f"{parts.scheme}://{netloc}{parts.path.rstrip('/')}"
        # As the clients have it: a name wins over a token.
        headers = {"Authorization": f"Bearer {token}"} if token and not user else {}
        self._client = httpx.Client(
            headers={"User-Agent": "modelry-import", **headers},
            auth=httpx.BasicAuth(user, password) if user else None,
            timeout=httpx.Timeout(120, connect=15),
            follow_redirects=True,
            transport=transport,
        )
        self._pause = pause
        self.received = 0

    def close(self) -> None:
        self._client.close()

    # --- calls ----------------------------------------------------------------------------------------------

    def version(self) -> str:
        """What the server says it is; raises SourceGone unless something answers there."""
        try:
            return self._send("GET", "/version").text.strip()[:50]
        except SourceGone:
            raise
        except SourceError:
            return ""

    def _get(self, path: str, /, **query: Any) -> Row:
        return self._json("GET", f"{API}/{path}", params=query)

    def _post(self, path: str, /, **body: Any) -> Row:
        return self._json("POST", f"{API}/{path}", json=body)

    def _json(self, method: str, path: str, **what: Any) -> Row:
        answer = self._send(method, path, **what)
        try:
            found = answer.json()
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise SourceError(f"{path} did not answer with JSON. Is this an MLflow server?")
        return found

    def _send(self, method: str, path: str, **what: Any) -> httpx.Response:
        failures = 0
        while True:
            try:
                answer = self._client.request(method, self.origin + path, **what)
            except httpx.TransportError as error:
                failures = self._failed(failures, error)
                continue
            if answer.status_code in _AGAIN and failures + 1 < _tries(answer):
                failures = self._pause_for(failures, answer)
                continue
            self._check(answer, path)
            return answer

    def _failed(self, failures: int, error: httpx.TransportError) -> int:
        """Wait before the next try. Raises SourceGone when there is nobody, SourceError when it broke off too often."""
        if failures + 1 < ATTEMPTS:
            self._pause(0.5 * 2**failures)
            return failures + 1
        why = f"{self.origin} does not answer: {error or type(error).__name__}"
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
            raise SourceGone(why) from error
        raise SourceError(why) from error

    def _pause_for(self, failures: int, answer: httpx.Response) -> int:
        said = answer.headers.get("Retry-After", "")
        asked = int(said) if said.isascii() and said.isdigit() and len(said) < 6 else 0
        self._pause(min(max(0.5 * 2**failures, asked), 60))
        return failures + 1

    def _check(self, answer: httpx.Response, path: str) -> None:
        if answer.status_code in (200, 206):
            return
        try:
            said = answer.json()["message"]
        except (ValueError, KeyError, TypeError):
            said = ""
        why = f"{path} answered {answer.status_code}{f': {said[:300]}' if isinstance(said, str) and said else ''}"
        if answer.status_code == 401:
            raise SourceGone(f"{why}. Give a user and password, or a token.", status=401)
        raise SourceError(why, status=answer.status_code)

    def _pages(self, ask: Callable[[str], Row], name: str) -> Iterator[Row]:
        token, seen = "", set()
        while True:
            answer = ask(token)
            yield from _rows(answer.get(name))
            token = answer.get("next_page_token") or ""
            if not token or token in seen:
                return
            seen.add(token)

    # --- what was tracked -----------------------------------------------------------------------------------

    def experiments(self, *, deleted: bool) -> Iterator[Row]:
        view = "ALL" if deleted else "ACTIVE_ONLY"
        return self._pages(
            lambda token: self._post("experiments/search", max_results=PAGE, view_type=view, **_token(token)),
            "experiments",
        )

    def experiment(self, experiment_id: str) -> Row:
        return _row(self._get("experiments/get", experiment_id=experiment_id), "experiment")

    def runs(self, experiment_id: str, *, deleted: bool) -> Iterator[Row]:
        """Oldest first, so that new ones do not move the pages."""
        view = "ALL" if deleted else "ACTIVE_ONLY"
        body = {
            "experiment_ids": [experiment_id],
            "run_view_type": view,
            "max_results": PAGE,
            "order_by": ["attributes.start_time ASC"],
        }
        return self._pages(lambda token: self._post("runs/search", **body, **_token(token)), "runs")

    def run(self, run_id: str) -> Row:
        return _row(self._get("runs/get", run_id=run_id, run_uuid=run_id), "run")

    def history(self, run_id: str, key: str) -> list[Row]:
        """Every point of a metric."""
        asked = {"run_id": run_id, "run_uuid": run_id, "metric_key": key, "max_results": HISTORY_PAGE}
        pages = self._pages(
            lambda token: self._get("metrics/get-history", **asked, **_token(token)), "metrics"
        )
        return list(pages)

    def logged_models(self, experiment_id: str) -> Iterator[Row]:
        """None on servers before 3.0, which have no such call."""
        body = {
            "experiment_ids": [experiment_id],
            "max_results": 50,
            "order_by": [{"field_name": "creation_timestamp", "ascending": True}],
        }
        try:
            yield from self._pages(
                lambda token: self._post("logged-models/search", **body, **_token(token)), "models"
            )
        except SourceError as error:
            if error.status not in (404, 405, 501):
                raise

    def logged_model(self, model_id: str) -> Row:
        return _row(self._get(f"logged-models/{quote(model_id, safe='')}"), "model")

    # --- the registry ---------------------------------------------------------------------------------------

    def models(self) -> Iterator[Row]:
        """Registered models, prompts too."""
        seen = set()
        for only in ({}, {"filter": PROMPTS}):
            found = self._pages(
                lambda token, only=only: self._get(
                    "registered-models/search", max_results=PAGE, **only, **_token(token)
                ),
                "registered_models",
            )
            for row in found:
                if row.get("name") not in seen:
                    seen.add(row.get("name"))
                    yield row

    def versions(self, name: str) -> list[Row]:
        """The versions of a model or prompt, by number."""
        mark = "'" if "'" not in name else '"'
        # A name with both quotes cannot be written in a filter: then all versions are looked through.
        conditions = [] if mark in name else [f"name = {mark}{name}{mark}"]
        found: dict[str, Row] = {}
        for more in ([], [PROMPTS]):
            query = {"filter": " AND ".join([*conditions, *more])} if conditions or more else {}
            pages = self._pages(
                lambda token, query=query: self._get(
                    "model-versions/search", max_results=PAGE, **query, **_token(token)
                ),
                "model_versions",
            )
            found |= {str(row.get("version")): row for row in pages if row.get("name") == name}
        return sorted(found.values(), key=lambda row: int(row["version"]))

    # --- files ----------------------------------------------------------------------------------------------

    def files_of_run(self, run_id: str, uri: str, folder: str = "") -> list[Remote]:
        """What a run wrote. Raises SourceError."""
        if uri.startswith(SCHEME):
            return self.files_at(f"{uri.rstrip('/')}/{folder}" if folder else uri)
        base = f"{folder}/" if folder else ""
        asked = {"run_id": run_id, "run_uuid": run_id}

        def listed(path: str) -> Iterator[Row]:
            within = (base + path).rstrip("/")
            query = asked | ({"path": within} if within else {})
            return self._pages(lambda token: self._get("artifacts/list", **query, **_token(token)), "files")

        return self._walk(listed, lambda path: ("/get-artifact", asked | {"path": base + path}))

    def files_of_logged_model(self, model_id: str, uri: str) -> list[Remote]:
        """What is in a logged model. Raises SourceError."""
        if uri.startswith(SCHEME):
            return self.files_at(uri)
        where = f"logged-models/{quote(model_id, safe='')}/artifacts"
        return self._walk(
            lambda path: self._pages(
                lambda token: self._get(
                    f"{where}/directories",
                    **({"artifact_directory_path": path} if path else {}),
                    **_token(token),
                ),
                "files",
            ),
            lambda path: (f"/ajax-api/2.0/mlflow/{where}/files", {"artifact_file_path": path}),
        )

    def location(self, name: str, number: str) -> str:
        """Where a version's files are, in the words of the source."""
        return str(
            self._get("model-versions/get-download-uri", name=name, version=number).get("artifact_uri") or ""
        )

    def files_of_version(self, name: str, number: str, uri: str, *, run_id: str, source: str) -> list[Remote]:
        """What a version was registered with, `uri` being its location. Raises NoFiles, SourceError."""
        if uri.startswith(SCHEME):
            found = self.files_at(uri)
        elif source.startswith("models:/m-"):
            found = self.files_of_logged_model(source.removeprefix("models:/").strip("/"), uri)
        else:
            found = self._files_within_run(name, number, uri, run_id)
        if not found:
            raise NoFiles(f"there is nothing at {uri}")
        return found

    def _files_within_run(self, name: str, number: str, uri: str, run_id: str) -> list[Remote]:
        root = str(self.run(run_id)["info"].get("artifact_uri") or "") if run_id else ""
        if not root or not f"{uri}/".startswith(f"{root.rstrip('/')}/"):
            raise NoFiles(f"the source does not hand out what is at {uri}")
        files = self.files_of_run(run_id, root, uri[len(root.rstrip("/")) :].strip("/"))
        address = "/model-versions/get-artifact"
        return [
            Remote(file.path, file.size, address, {"name": name, "version": number, "path": file.path})
            for file in files
        ]

    def files_at(self, uri: str) -> list[Remote]:
        """What is at a place that the source proxies; a single file is one of its own name."""
        root = place(uri)
        found = self._walk(
            lambda path: _rows(self._listed(f"{root}/{path}".rstrip("/")).get("files")),
            lambda path: (f"{PROXY}/{quote(f'{root}/{path}')}", {}),
        )
        if found:
            return found
        folder, _, name = root.rpartition("/")
        rows = _rows(self._listed(folder).get("files")) if folder else []
        alone = [row for row in rows if _last(row) == name and not row.get("is_dir")]
        return [Remote(name, _size(row), f"{PROXY}/{quote(root)}") for row in alone]

    def _listed(self, path: str) -> Row:
        return self._json("GET", PROXY, params={"path": path})

    def _walk(
        self, ask: Callable[[str], Any], address: Callable[[str], tuple[str, dict[str, str]]]
    ) -> list[Remote]:
        waiting, found = [""], []
        while waiting:
            folder = waiting.pop()
            for row in ask(folder):
                # Servers list a folder's files by name, or by path from the root.
                path = f"{folder}/{_last(row)}" if folder else _last(row)
                if len(path) > MAX_PATH:
                    raise SourceError("its folders do not end")
                if row.get("is_dir"):
                    waiting.append(path)
                else:
                    found.append(Remote(path, _size(row), *address(path)))
        return sorted(found, key=lambda file: file.path)

    def fetch(self, file: Remote, open_sink: Callable[[], S]) -> S:
        """The bytes of a file in a sink. What broke off goes on from there where it can. Raises SourceError."""
        sink, mark, failures = open_sink(), "", 0
        try:
            while True:
                headers = {"Accept-Encoding": "identity"}
                start = sink.size
                if start and mark:
                    headers |= {"Range": f"bytes={start}-", "If-Range": mark}
                try:
                    with self._client.stream(
                        "GET", self.origin + file.address, params=file.query or None, headers=headers
                    ) as answer:
                        if answer.status_code in _AGAIN and failures + 1 < _tries(answer):
                            failures = self._pause_for(failures, answer)
                            continue
                        if answer.status_code not in (200, 206):
                            answer.read()
                        self._check(answer, file.address)
                        if start and not _goes_on(answer, start):
                            sink.discard()
                            sink = open_sink()
                        mark = _mark(answer)
                        for chunk in answer.iter_bytes():
                            sink.write(chunk)
                            self.received += len(chunk)
                    return sink
                except httpx.TransportError as error:
                    failures = self._failed(0 if start < sink.size else failures, error)
        except BaseException:
            sink.discard()
            raise


def place(uri: str) -> str:
    """The path of a proxied location; a host that may stand in it is the source itself."""
    rest = uri[len(SCHEME) :]
    if rest.startswith("/"):
        rest = rest[1:].partition("/")[2]
    return rest.strip("/")


def _tries(answer: httpx.Response) -> int:
    """How often it is worth asking: a server that fails by itself mostly fails again."""
    return 3 if answer.status_code == 500 else ATTEMPTS


def _goes_on(answer: httpx.Response, start: int) -> bool:
    return answer.status_code == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {start}-")


def _mark(answer: httpx.Response) -> str:
    """What says that a file is still the same: its ETag, unless that is a weak one or the bytes came packed."""
    mark = answer.headers.get("ETag", "")
    packed = answer.headers.get("Content-Encoding", "identity") != "identity"
    return "" if mark.startswith("W/") or packed else mark


def _token(token: str) -> dict[str, str]:
    return {"page_token": token} if token else {}


def _rows(value: Any) -> list[Row]:
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def _row(answer: Row, name: str) -> Row:
    found = answer.get(name)
    if not isinstance(found, dict):
        raise SourceError(f"The source answered without “{name}”.")
    return found


def _last(row: Row) -> str:
    return str(row.get("path") or "").rstrip("/").rpartition("/")[2]


def _size(row: Row) -> int | None:
    try:
        return int(row["file_size"])
    except (KeyError, TypeError, ValueError):
        return None
