"""Registered models: create, get, rename, update, delete, their tags."""

from __future__ import annotations

from .case import (
    ABSENT,
    BLANK,
    EXISTS,
    INVALID,
    MODEL,
    OTHER,
    REFUSED,
    TIME,
    UNKNOWN,
    VERSION,
    VERSIONED,
    AnyOrder,
    Call,
    Case,
    Expected,
    delete,
    get,
    patch,
    post,
)

CREATE = "registered-models/create"
GET = "registered-models/get"
RENAME = "registered-models/rename"
UPDATE = "registered-models/update"
DELETE = "registered-models/delete"
SET_TAG = "registered-models/set-tag"
DELETE_TAG = "registered-models/delete-tag"

CASES = [
    # --- create ---
    Case(
        "create answers the model",
        post(CREATE, name="{m}"),
        body={
            "registered_model": {
                "name": "{m}",
                "creation_timestamp": TIME,
                "last_updated_timestamp": TIME,
                "latest_versions": ABSENT,
                "tags": ABSENT,
                "aliases": ABSENT,
                "description": BLANK,
            }
        },
    ),
    Case(
        "create with description and tags",
        post(CREATE, name="{m}", description="d", tags=[{"key": "a", "value": "1"}]),
        body={"registered_model": {"description": "d", "tags": [{"key": "a", "value": "1"}]}},
    ),
    Case(
        "create with an empty description",
        post(CREATE, name="{m}", description=""),
        body={"registered_model": {"name": "{m}", "description": BLANK}},
    ),
    Case(
        "create with null fields is as without",
        post(CREATE, name="{m}", description=None, tags=None),
        body={"registered_model": {"name": "{m}", "description": BLANK, "tags": ABSENT}},
    ),
    Case(
        "create with an unknown field",
        post(CREATE, name="{m}", colour="blue"),
        body={"registered_model": {"name": "{m}"}},
    ),
    Case("create twice", post(CREATE, name="{m}"), **EXISTS, given=(MODEL,)),
    Case("create without name", post(CREATE), **INVALID, says="Missing value for required parameter 'name'"),
    Case(
        "create with a null name",
        post(CREATE, name=None),
        **INVALID,
        says="Missing value for required parameter 'name'",
    ),
    Case("create with an empty name", post(CREATE, name=""), **INVALID),
    Case("create with a name that is a number", post(CREATE, name=17), **INVALID, says="'name'"),
    Case("create with a name that is a list", post(CREATE, name=["{m}"]), **INVALID, says="'name'"),
    Case("create with a name that is an object", post(CREATE, name={"a": 1}), **INVALID, says="'name'"),
    Case("create with a name that is true", post(CREATE, name=True), **INVALID, says="'name'"),
    Case("create with a slash in the name", post(CREATE, name="a/{m}"), **INVALID),
    Case("create with a colon in the name", post(CREATE, name="a:{m}"), **INVALID),
    Case(
        "create with spaces within the name",
        post(CREATE, name="my {m} model"),
        body={"registered_model": {"name": "my {m} model"}},
    ),
    Case(
        "create with letters of the world",
        post(CREATE, name="модель-{m}-ü"),
        body={"registered_model": {"name": "модель-{m}-ü"}},
    ),
    Case(
        "create with dots in the name",
        post(CREATE, name="a.b.{m}"),
        body={"registered_model": {"name": "a.b.{m}"}},
    ),
    Case(
        "create with a quote in the name",
        post(CREATE, name="o'{m}"),
        body={"registered_model": {"name": "o'{m}"}},
    ),
    Case("create with 256 characters", post(CREATE, name="{u}" + "x" * 240), status=200),
    Case("create with 300 characters", post(CREATE, name="{u}" + "x" * 292), differs="names", ours=REFUSED),
    Case(
        "names differ by case",
        post(CREATE, name="M-{u}"),
        given=(MODEL,),
        body={"registered_model": {"name": "M-{u}"}},
    ),
    Case(
        "create with tags that are an object",
        post(CREATE, name="{m}", tags={"a": "1"}),
        **INVALID,
        says="'tags'",
    ),
    Case("create with tags that are text", post(CREATE, name="{m}", tags="a"), **INVALID, says="'tags'"),
    Case(
        "create with no tags", post(CREATE, name="{m}", tags=[]), body={"registered_model": {"tags": ABSENT}}
    ),
    Case(
        "create with a tag of 100 000", post(CREATE, name="{m}", tags=[{"key": "a", "value": "x" * 100_000}])
    ),
    Case(
        "create with a tag over 100 000",
        post(CREATE, name="{m}", tags=[{"key": "a", "value": "x" * 100_001}]),
        **INVALID,
    ),
    Case("create with a tag key of 250", post(CREATE, name="{m}", tags=[{"key": "k" * 250, "value": "x"}])),
    Case(
        "create with a tag key of 251",
        post(CREATE, name="{m}", tags=[{"key": "k" * 251, "value": "x"}]),
        **INVALID,
    ),
    Case("create with a tag without key", post(CREATE, name="{m}", tags=[{"value": "x"}]), **INVALID),
    Case("create with a tag that is a number", post(CREATE, name="{m}", tags=[1]), **INVALID),
    Case(
        "create with a tag twice",
        post(CREATE, name="{m}", tags=[{"key": "a", "value": "1"}, {"key": "a", "value": "2"}]),
        body={"registered_model": {"tags": [{"key": "a", "value": "2"}]}},
    ),
    Case(
        "create with a body that is a list",
        Call("POST", CREATE, raw=b"[1]"),
        status=500,
        differs="no 500",
        ours=REFUSED,
    ),
    Case(
        "create with a body that is no JSON",
        Call("POST", CREATE, raw=b"{no"),
        **INVALID,
        says="Missing value for required parameter 'name'",
    ),
    Case("create with a body that is no UTF-8", Call("POST", CREATE, raw=b'{"name": "\xff"}'), **INVALID),
    Case("create with an empty body", Call("POST", CREATE, raw=b""), **INVALID),
    Case(
        "create with another content type",
        Call("POST", CREATE, raw=b'{"name": "a"}', content_type="text/plain"),
        **INVALID,
        says="application/json",
    ),
    Case(
        "create with a form",
        Call("POST", CREATE, raw=b"name=a", content_type="application/x-www-form-urlencoded"),
        **INVALID,
    ),
    Case(
        "create with a charset",
        Call("POST", CREATE, {"name": "{m}"}, content_type="application/json; charset=utf-8"),
        body={"registered_model": {"name": "{m}"}},
    ),
    Case("create with a null byte in the name", post(CREATE, name="a\x00{m}"), differs="names", ours=REFUSED),
    Case(
        "create below /ajax-api",
        post("/ajax-api/2.0/mlflow/registered-models/create", name="{m}"),
        body={"registered_model": {"name": "{m}"}},
    ),
    # --- get ---
    Case(
        "get",
        get(GET, name="{m}"),
        given=(MODEL,),
        body={"registered_model": {"name": "{m}", "creation_timestamp": TIME}},
    ),
    Case("get an unknown one", get(GET, name="{m}"), **UNKNOWN),
    Case("get without name", get(GET), **INVALID, says="Missing value for required parameter 'name'"),
    Case("get with an empty name", get(GET, name=""), **INVALID),
    Case("get in another case", get(GET, name="M-{u}"), given=(MODEL,), **UNKNOWN),
    Case(
        "get with a body instead of a query", Call("POST", GET, {"name": "{m}"}), given=(MODEL,), status=405
    ),
    Case(
        "get a name with spaces",
        get(GET, name="a {m}"),
        given=(post(CREATE, name="a {m}"),),
        body={"registered_model": {"name": "a {m}"}},
    ),
    Case("get a name that is SQL", get(GET, name="'; DROP TABLE models; --"), **UNKNOWN),
    Case(
        "get shows the newest of each stage",
        get(GET, name="{m}"),
        given=(*VERSIONED, VERSION),
        body={
            "registered_model": {
                "latest_versions": [{"version": "2", "current_stage": "None", "name": "{m}"}]
            }
        },
    ),
    # --- rename ---
    Case(
        "rename",
        post(RENAME, name="{m}", new_name="{m2}"),
        given=(MODEL,),
        body={"registered_model": {"name": "{m2}"}},
    ),
    Case(
        "rename takes versions along",
        get("model-versions/get", name="{m2}", version="1"),
        given=(*VERSIONED, post(RENAME, name="{m}", new_name="{m2}")),
        body={"model_version": {"name": "{m2}", "version": "1"}},
    ),
    Case("rename an unknown one", post(RENAME, name="{m}", new_name="{m2}"), **UNKNOWN),
    Case(
        "rename to a name that is taken",
        post(RENAME, name="{m}", new_name="{m2}"),
        given=(MODEL, OTHER),
        **EXISTS,
    ),
    Case("rename to a bad name", post(RENAME, name="{m}", new_name="a/b:c"), given=(MODEL,), **INVALID),
    Case("rename to nothing", post(RENAME, name="{m}", new_name=""), given=(MODEL,), **INVALID),
    Case("rename without new name", post(RENAME, name="{m}"), given=(MODEL,), **INVALID),
    Case("rename without name", post(RENAME, new_name="{m2}"), **INVALID),
    Case("rename to a number", post(RENAME, name="{m}", new_name=5), given=(MODEL,), **INVALID),
    Case(
        "get by the former name",
        get(GET, name="{m}"),
        given=(MODEL, post(RENAME, name="{m}", new_name="{m2}")),
        **UNKNOWN,
        differs="former names",
        ours=Expected(200, body={"registered_model": {"name": "{m2}"}}),
    ),
    # --- update ---
    Case(
        "update the description",
        patch(UPDATE, name="{m}", description="new"),
        given=(MODEL,),
        body={"registered_model": {"name": "{m}", "description": "new"}},
    ),
    Case(
        "update the description to nothing",
        patch(UPDATE, name="{m}", description=""),
        given=(post(CREATE, name="{m}", description="old"),),
        body={"registered_model": {"description": BLANK}},
    ),
    Case(
        "update to letters of the world",
        patch(UPDATE, name="{m}", description="Größe 漢字 🙂"),
        given=(MODEL,),
        body={"registered_model": {"description": "Größe 漢字 🙂"}},
    ),
    Case("update an unknown one", patch(UPDATE, name="{m}", description="new"), **UNKNOWN),
    Case("update without name", patch(UPDATE, description="new"), **INVALID),
    Case("update with a number", patch(UPDATE, name="{m}", description=3), given=(MODEL,), **INVALID),
    Case(
        "update without anything",
        patch(UPDATE, name="{m}"),
        given=(post(CREATE, name="{m}", description="old"),),
        status=200,
    ),
    # --- delete ---
    Case("delete has a body", delete(DELETE, name="{m}"), given=(MODEL,), body={}),
    Case(
        "delete takes versions along",
        get("model-versions/get", name="{m}", version="1"),
        given=(*VERSIONED, delete(DELETE, name="{m}")),
        **UNKNOWN,
    ),
    Case("delete an unknown one", delete(DELETE, name="{m}"), **UNKNOWN),
    Case("delete twice", delete(DELETE, name="{m}"), given=(MODEL, delete(DELETE, name="{m}")), **UNKNOWN),
    Case("delete without name", delete(DELETE), **INVALID),
    Case("delete without body", Call("DELETE", DELETE), **INVALID),
    Case(
        "a deleted name can be had again",
        post(CREATE, name="{m}"),
        given=(MODEL, delete(DELETE, name="{m}")),
        body={"registered_model": {"name": "{m}"}},
    ),
    # --- tags ---
    Case("set a tag", post(SET_TAG, name="{m}", key="a", value="1"), given=(MODEL,), body={}),
    Case(
        "a tag is shown",
        get(GET, name="{m}"),
        given=(MODEL, post(SET_TAG, name="{m}", key="a", value="1")),
        body={"registered_model": {"tags": [{"key": "a", "value": "1"}]}},
    ),
    Case(
        "a tag set twice has the later value",
        get(GET, name="{m}"),
        given=(
            MODEL,
            post(SET_TAG, name="{m}", key="a", value="1"),
            post(SET_TAG, name="{m}", key="a", value="2"),
        ),
        body={"registered_model": {"tags": [{"key": "a", "value": "2"}]}},
    ),
    Case(
        "tags are told apart by case",
        get(GET, name="{m}"),
        given=(
            MODEL,
            post(SET_TAG, name="{m}", key="a", value="1"),
            post(SET_TAG, name="{m}", key="A", value="2"),
        ),
        body={
            "registered_model": {"tags": AnyOrder(({"key": "a", "value": "1"}, {"key": "A", "value": "2"}))}
        },
    ),
    Case(
        "a tag's value may be empty", post(SET_TAG, name="{m}", key="a", value=""), given=(MODEL,), status=200
    ),
    Case("a tag without value", post(SET_TAG, name="{m}", key="a"), given=(MODEL,), status=200),
    Case("a tag with a number", post(SET_TAG, name="{m}", key="a", value=1), given=(MODEL,), **INVALID),
    Case("a tag without key", post(SET_TAG, name="{m}", value="1"), given=(MODEL,), **INVALID),
    Case("a tag with an empty key", post(SET_TAG, name="{m}", key="", value="1"), given=(MODEL,), **INVALID),
    Case(
        "a tag with spaces and quotes in its key",
        post(SET_TAG, name="{m}", key="a b-c.d_e/f", value="1"),
        given=(MODEL,),
        body={},
    ),
    Case(
        "a tag of 100 000", post(SET_TAG, name="{m}", key="a", value="x" * 100_000), given=(MODEL,), body={}
    ),
    Case(
        "a tag over 100 000",
        post(SET_TAG, name="{m}", key="a", value="x" * 100_001),
        given=(MODEL,),
        **INVALID,
    ),
    Case("a tag of an unknown model", post(SET_TAG, name="{m}", key="a", value="1"), **UNKNOWN),
    Case("a tag without model", post(SET_TAG, key="a", value="1"), **INVALID),
    Case(
        "delete a tag",
        delete(DELETE_TAG, name="{m}", key="a"),
        given=(MODEL, post(SET_TAG, name="{m}", key="a", value="1")),
        body={},
    ),
    Case(
        "a deleted tag is gone",
        get(GET, name="{m}"),
        given=(MODEL, post(SET_TAG, name="{m}", key="a", value="1"), delete(DELETE_TAG, name="{m}", key="a")),
        body={"registered_model": {"tags": ABSENT}},
    ),
    Case("delete a tag that is not there", delete(DELETE_TAG, name="{m}", key="a"), given=(MODEL,), body={}),
    Case("delete a tag of an unknown model", delete(DELETE_TAG, name="{m}", key="a"), **UNKNOWN),
    Case("delete a tag without key", delete(DELETE_TAG, name="{m}"), given=(MODEL,), **INVALID),
]
