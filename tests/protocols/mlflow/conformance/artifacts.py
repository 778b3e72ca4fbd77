"""Files: put, get, list, delete, in parts, by signed addresses."""

from __future__ import annotations

from .case import (
    ABSENT,
    INVALID,
    LOGGED_RUN,
    REFUSED,
    TEXT,
    UNKNOWN,
    VERSIONED,
    Call,
    Case,
    Expected,
    get,
    post,
)

FILES = "/api/2.0/mlflow-artifacts/artifacts"
HERE = "{exp}/{run}/artifacts"


def put(path, content=b"x"):
    return Call("PUT", f"{FILES}/{HERE}/{path}", raw=content, content_type="application/octet-stream")


def fetch(path):
    return Call("GET", f"{FILES}/{HERE}/{path}")


def listing(path):
    return get(FILES, path=path)


CASES = [
    # --- files ---
    Case("put a file", put("a.txt"), given=LOGGED_RUN, status=200),
    Case("get a file", fetch("a.txt"), given=(*LOGGED_RUN, put("a.txt", b"hello")), body="hello"),
    Case(
        "put a file again",
        fetch("a.txt"),
        given=(*LOGGED_RUN, put("a.txt", b"hello"), put("a.txt", b"again")),
        body="again",
    ),
    Case("put an empty file", fetch("a.txt"), given=(*LOGGED_RUN, put("a.txt", b"")), body=""),
    Case(
        "a file with a space and an umlaut",
        fetch("a%20b/%C3%A4.txt"),
        given=(*LOGGED_RUN, put("a%20b/%C3%A4.txt", b"hello")),
        body="hello",
    ),
    Case("get a missing file", fetch("nothing.txt"), given=LOGGED_RUN, **UNKNOWN),
    Case(
        "get a folder as a file",
        fetch("model"),
        given=LOGGED_RUN,
        status=400,
        body={"detail": TEXT},
        differs="folders",
        ours=Expected(**UNKNOWN),
    ),
    Case("get a file of an unknown run", Call("GET", FILES + "/0/{none}/artifacts/a.txt"), **UNKNOWN),
    Case("get with dots", fetch("%2e%2e/%2e%2e/x"), given=LOGGED_RUN, **INVALID),
    Case("get with twice coded dots", fetch("%252e%252e/x"), given=LOGGED_RUN, **INVALID),
    Case(
        "get with backslashes",
        fetch("..%5C..%5Cx"),
        given=LOGGED_RUN,
        **UNKNOWN,
        differs="backslashes",
        ours=REFUSED,
    ),
    Case("put with dots", put("%2e%2e/x"), given=LOGGED_RUN, **INVALID),
    Case("list", listing(HERE), given=LOGGED_RUN, body={"files": [{"path": "model", "is_dir": True}]}),
    Case(
        "list a folder",
        listing(HERE + "/model"),
        given=LOGGED_RUN,
        body={"files": [{"path": "MLmodel", "is_dir": False, "file_size": 12}]},
    ),
    Case(
        "list a folder that is not there",
        listing(HERE + "/nothing"),
        given=LOGGED_RUN,
        body={"files": ABSENT},
    ),
    Case("list a file", listing(HERE + "/model/MLmodel"), given=LOGGED_RUN, body={"files": ABSENT}),
    Case("list with dots", listing(HERE + "/../.."), given=LOGGED_RUN, **INVALID),
    Case("list with coded dots", listing(HERE + "/%2e%2e"), given=LOGGED_RUN, **INVALID),
    Case("list an absolute path", listing("/etc"), **INVALID),
    Case("list a file: address", listing("file:///etc"), **INVALID),
    Case("delete a file", Call("DELETE", f"{FILES}/{HERE}/model/MLmodel"), given=LOGGED_RUN, body={}),
    Case(
        "delete a folder",
        listing(HERE),
        given=(*LOGGED_RUN, Call("DELETE", f"{FILES}/{HERE}/model")),
        body={"files": ABSENT},
    ),
    Case("delete with dots", Call("DELETE", f"{FILES}/{HERE}/%2e%2e/x"), given=LOGGED_RUN, **INVALID),
    Case(
        "list over REST",
        get("artifacts/list", run_id="{run}"),
        given=LOGGED_RUN,
        body={"root_uri": "{root}", "files": [{"path": "model", "is_dir": True}]},
    ),
    Case(
        "list a folder over REST",
        get("artifacts/list", run_id="{run}", path="model"),
        given=LOGGED_RUN,
        body={"root_uri": "{root}", "files": [{"path": "model/MLmodel", "is_dir": False, "file_size": 12}]},
    ),
    Case(
        "list over REST with dots",
        get("artifacts/list", run_id="{run}", path="../x"),
        given=LOGGED_RUN,
        **INVALID,
    ),
    Case("list over REST of an unknown run", get("artifacts/list", run_id="{none}"), **UNKNOWN),
    Case(
        "a browser gets a file",
        get("/get-artifact", run_id="{run}", path="model/MLmodel"),
        given=LOGGED_RUN,
        body="flavors: {}\n",
    ),
    Case(
        "a browser gets a version's file",
        get("/model-versions/get-artifact", name="{m}", version="1", path="MLmodel"),
        given=VERSIONED,
        body="flavors: {}\n",
    ),
    Case(
        "a browser gets with dots",
        get("/get-artifact", run_id="{run}", path="../../x"),
        given=LOGGED_RUN,
        **INVALID,
    ),
    # --- in parts ---
    Case(
        "begin an upload in parts",
        post("/api/2.0/mlflow-artifacts/mpu/create/" + HERE + "/big", path="b.bin", num_parts=2),
        given=LOGGED_RUN,
        status=501,
        code="NOT_IMPLEMENTED",
        says="Multipart upload is not supported for the current artifact repository",
        differs="in parts",
        ours=Expected(
            200,
            body={
                "upload_id": TEXT,
                "credentials": [{"part_number": 1, "url": TEXT}, {"part_number": 2, "url": TEXT}],
            },
        ),
    ),
    Case(
        "ask for a signed address",
        get("/api/2.0/mlflow-artifacts/presigned/" + HERE + "/model/MLmodel"),
        given=LOGGED_RUN,
        status=501,
        code="NOT_IMPLEMENTED",
        differs="in parts",
        ours=Expected(200, body={"url": TEXT, "file_size": 12}),
    ),
]
