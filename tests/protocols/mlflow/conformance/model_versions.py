"""Versions: create, get, update, delete, download addresses, copies, and which sources are taken."""

from __future__ import annotations

from .case import (
    ABSENT,
    BLANK,
    EXPERIMENT,
    INVALID,
    LOGGED,
    LOGGED_RUN,
    MODEL,
    OTHER,
    REFUSED,
    RUN,
    TEXT,
    TIME,
    UNKNOWN,
    VERSION,
    VERSIONED,
    Call,
    Case,
    Expected,
    delete,
    get,
    patch,
    post,
)

CREATE = "model-versions/create"
GET = "model-versions/get"
UPDATE = "model-versions/update"
DELETE = "model-versions/delete"
URI = "model-versions/get-download-uri"
START = (*LOGGED_RUN, MODEL)
READY = Call("PATCH", "logged-models/{lm}", {"model_id": "{lm}", "status": "LOGGED_MODEL_READY"})
LOGGED_FILE = Call(
    "PUT", "/api/2.0/mlflow-artifacts/artifacts/{exp}/models/{lm}/artifacts/MLmodel", raw=b"flavors: {}\n"
)
FINISHED = (*LOGGED_RUN, LOGGED, LOGGED_FILE, READY, MODEL)


def create(**more):
    return post(CREATE, **{"name": "{m}", "source": "{root}/model", "run_id": "{run}", **more})


def from_source(source, **more):
    return post(CREATE, **{"name": "{m}", "source": source, **more})


CASES = [
    # --- create ---
    Case(
        "create answers the version",
        create(),
        given=START,
        body={
            "model_version": {
                "name": "{m}",
                "version": "1",
                "creation_timestamp": TIME,
                "last_updated_timestamp": TIME,
                "current_stage": "None",
                "description": BLANK,
                "source": TEXT,
                "run_id": "{run}",
                "status": "READY",
                "tags": ABSENT,
                "aliases": ABSENT,
            }
        },
    ),
    Case("create numbers on", create(), given=VERSIONED, body={"model_version": {"version": "2"}}),
    Case(
        "create with description, tags and link",
        create(description="d", run_link="http://x/1", tags=[{"key": "a", "value": "1"}]),
        given=START,
        body={
            "model_version": {
                "description": "d",
                "run_link": "http://x/1",
                "tags": [{"key": "a", "value": "1"}],
            }
        },
    ),
    Case("create of an unknown model", create(), given=LOGGED_RUN, **UNKNOWN),
    Case("create without name", post(CREATE, source="{root}/model", run_id="{run}"), given=START, **INVALID),
    Case("create without source", post(CREATE, name="{m}", run_id="{run}"), given=START, **INVALID),
    Case("create with an empty source", create(source=""), given=START, **INVALID),
    Case("create with a source that is a number", create(source=1), given=START, **INVALID),
    Case("create with a run that is a number", create(run_id=1), given=START, **INVALID),
    Case("create with tags that are an object", create(tags={"a": "1"}), given=START, **INVALID),
    Case(
        "create with a tag over 100 000",
        create(tags=[{"key": "a", "value": "x" * 100_001}]),
        given=START,
        **INVALID,
    ),
    Case(
        "create with a tag key of 251",
        create(tags=[{"key": "k" * 251, "value": "x"}]),
        given=START,
        **INVALID,
    ),
    Case(
        "create with null fields",
        create(description=None, tags=None, run_link=None, model_id=None),
        given=START,
        body={"model_version": {"version": "1", "description": BLANK}},
    ),
    Case(
        "a new version moves the model's time",
        get("registered-models/get", name="{m}"),
        given=VERSIONED,
        body={
            "registered_model": {
                "last_updated_timestamp": TIME,
                "latest_versions": [{"version": "1", "run_id": "{run}"}],
            }
        },
    ),
    # --- sources ---
    Case(
        "a run's folder as runs:/",
        create(source="runs:/{run}/model"),
        given=START,
        body={"model_version": {"version": "1"}},
    ),
    Case(
        "a logged model",
        from_source("models:/{lm}", model_id="{lm}"),
        given=FINISHED,
        body={"model_version": {"version": "1", "run_id": "{run}"}},
    ),
    Case(
        "a logged model of another id",
        from_source("models:/{lm}", model_id="m-" + "0" * 32),
        given=FINISHED,
        **INVALID,
    ),
    Case(
        "a logged model without its id",
        from_source("models:/{lm}"),
        given=FINISHED,
        **INVALID,
        differs="sources",
        ours=Expected(200, body={"model_version": {"version": "1"}}),
    ),
    Case(
        "an unknown logged model",
        from_source("models:/m-{none}", model_id="m-{none}"),
        given=START,
        status=500,
        differs="no 500",
        ours=Expected(**UNKNOWN),
    ),
    Case(
        "another version",
        from_source("models:/{m}/1"),
        given=VERSIONED,
        body={"model_version": {"version": "2"}},
    ),
    Case(
        "a version of another model",
        from_source("models:/{m}/1", name="{m2}"),
        given=(*VERSIONED, OTHER),
        body={"model_version": {"name": "{m2}", "version": "1"}},
    ),
    Case("a version that is not there", from_source("models:/{m}/9"), given=VERSIONED, **UNKNOWN),
    Case("a local path", from_source("/etc/passwd"), given=START, **INVALID),
    Case("a local path and a run", create(source="/etc/passwd"), given=START, **INVALID),
    Case("a file: address", from_source("file:///etc/passwd"), given=START, **INVALID),
    Case("a file: address and a run", create(source="file:///etc/passwd"), given=START, **INVALID),
    Case("a relative path", from_source("models/here"), given=START, **INVALID),
    Case("dots in a source", create(source="{root}/../../x"), given=START, **INVALID),
    Case("coded dots in a source", create(source="{root}/%2e%2e/%2e%2e/x"), given=START, **INVALID),
    Case("twice coded dots in a source", create(source="{root}/%252e%252e/x"), given=START, **INVALID),
    Case(
        "a fragment in a source",
        create(source="{root}/model#x"),
        given=START,
        body={"model_version": {"version": "1"}},
        differs="sources",
        ours=REFUSED,
    ),
    Case(
        "a query in a source",
        create(source="{root}/model?x=1"),
        given=START,
        body={"model_version": {"version": "1"}},
        differs="sources",
        ours=REFUSED,
    ),
    Case(
        "another run's folder",
        create(source="mlflow-artifacts:/{exp}/{none}/artifacts/model"),
        given=START,
        **INVALID,
    ),
    Case(
        "a run's folder and no run",
        from_source("{root}/model"),
        given=START,
        **INVALID,
        differs="sources",
        ours=Expected(200, body={"model_version": {"version": "1"}}),
    ),
    Case("a folder of an unknown run", create(run_id="{none}"), given=START, **INVALID),
    Case("dots in an s3: source", from_source("s3://bucket/../x"), given=START, **INVALID),
    Case(
        "an s3: source",
        from_source("s3://bucket/model"),
        given=START,
        body={"model_version": {"source": "s3://bucket/model"}},
    ),
    Case(
        "an http: source",
        from_source("http://example.com/model"),
        given=START,
        **INVALID,
        differs="sources",
        ours=Expected(200, body={"model_version": {"version": "1"}}),
    ),
    Case(
        "an unknown scheme",
        from_source("gopher://example.com/model"),
        given=START,
        body={"model_version": {"version": "1"}},
    ),
    # --- get ---
    Case(
        "get",
        get(GET, name="{m}", version="1"),
        given=VERSIONED,
        body={"model_version": {"name": "{m}", "version": "1", "status": "READY"}},
    ),
    Case("get an unknown version", get(GET, name="{m}", version="2"), given=VERSIONED, **UNKNOWN),
    Case("get of an unknown model", get(GET, name="{m}", version="1"), **UNKNOWN),
    Case("get version 0", get(GET, name="{m}", version="0"), given=VERSIONED, **UNKNOWN),
    Case("get a negative version", get(GET, name="{m}", version="-1"), given=VERSIONED, **UNKNOWN),
    Case("get a version that is no number", get(GET, name="{m}", version="one"), given=VERSIONED, **INVALID),
    Case("get a version that is a fraction", get(GET, name="{m}", version="1.5"), given=VERSIONED, **INVALID),
    Case(
        "get a version beyond 64 bits",
        get(GET, name="{m}", version="9" * 30),
        given=VERSIONED,
        status=500,
        differs="no 500",
        ours=Expected(**UNKNOWN),
    ),
    Case(
        "get a version with leading zeros",
        get(GET, name="{m}", version="01"),
        given=VERSIONED,
        body={"model_version": {"version": "1"}},
    ),
    Case("get without version", get(GET, name="{m}"), given=VERSIONED, **INVALID, says="'version'"),
    Case("get without name", get(GET, version="1"), **INVALID, says="'name'"),
    # --- update ---
    Case(
        "update the description",
        patch(UPDATE, name="{m}", version="1", description="new"),
        given=VERSIONED,
        body={"model_version": {"description": "new", "version": "1"}},
    ),
    Case(
        "update the description to nothing",
        patch(UPDATE, name="{m}", version="1", description=""),
        given=(*VERSIONED, patch(UPDATE, name="{m}", version="1", description="x")),
        body={"model_version": {"description": BLANK}},
    ),
    Case(
        "update without description",
        patch(UPDATE, name="{m}", version="1"),
        given=VERSIONED,
        body={"model_version": {"version": "1"}},
    ),
    Case(
        "update an unknown version",
        patch(UPDATE, name="{m}", version="2", description="x"),
        given=VERSIONED,
        **UNKNOWN,
    ),
    Case(
        "update with a number",
        patch(UPDATE, name="{m}", version="1", description=1),
        given=VERSIONED,
        **INVALID,
    ),
    Case(
        "update with a version that is a JSON number",
        patch(UPDATE, name="{m}", version=1, description="x"),
        given=VERSIONED,
        **INVALID,
        differs="numbers as texts",
        ours=Expected(200, body={"model_version": {"version": "1"}}),
    ),
    Case("update without version", patch(UPDATE, name="{m}", description="x"), given=VERSIONED, **INVALID),
    # --- delete ---
    Case("delete", delete(DELETE, name="{m}", version="1"), given=VERSIONED, body={}),
    Case(
        "a deleted version is gone",
        get(GET, name="{m}", version="1"),
        given=(*VERSIONED, delete(DELETE, name="{m}", version="1")),
        **UNKNOWN,
    ),
    Case(
        "a deleted number is not given again",
        create(),
        given=(*VERSIONED, VERSION, delete(DELETE, name="{m}", version="1")),
        body={"model_version": {"version": "3"}},
    ),
    Case("delete an unknown version", delete(DELETE, name="{m}", version="7"), given=VERSIONED, **UNKNOWN),
    Case("delete of an unknown model", delete(DELETE, name="{m}", version="1"), **UNKNOWN),
    Case("delete without version", delete(DELETE, name="{m}"), given=VERSIONED, **INVALID),
    Case(
        "delete a version that is no number",
        delete(DELETE, name="{m}", version="x"),
        given=VERSIONED,
        **INVALID,
    ),
    # --- download addresses ---
    Case(
        "where to download", get(URI, name="{m}", version="1"), given=VERSIONED, body={"artifact_uri": TEXT}
    ),
    Case(
        "where to download a copy",
        get(URI, name="{m2}", version="1"),
        given=(*VERSIONED, OTHER, from_source("models:/{m}/1", name="{m2}")),
        body={"artifact_uri": TEXT},
    ),
    Case(
        "where to download a logged model",
        get(URI, name="{m}", version="1"),
        given=(*FINISHED, from_source("models:/{lm}", model_id="{lm}")),
        body={"artifact_uri": TEXT},
    ),
    Case(
        "where to download an unknown version", get(URI, name="{m}", version="2"), given=VERSIONED, **UNKNOWN
    ),
    Case("where to download without version", get(URI, name="{m}"), given=VERSIONED, **INVALID),
    # --- unset run ---
    Case(
        "a version of a run without files",
        create(source="{root}/nothing"),
        given=(EXPERIMENT, RUN, MODEL),
        body={"model_version": {"version": "1"}},
        differs="sources",
        ours=REFUSED,
    ),
]
