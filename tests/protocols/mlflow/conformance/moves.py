"""Stages, aliases, tags of versions, and the newest version of each stage."""

from __future__ import annotations

from .case import (
    ABSENT,
    BLANK,
    INVALID,
    MODEL,
    REFUSED,
    UNKNOWN,
    VERSION,
    VERSIONED,
    AnyOrder,
    Case,
    Expected,
    delete,
    get,
    post,
)

MOVE = "model-versions/transition-stage"
LATEST = "registered-models/get-latest-versions"
ALIAS = "registered-models/alias"
SET_TAG = "model-versions/set-tag"
DELETE_TAG = "model-versions/delete-tag"
TWO = (*VERSIONED, VERSION)
GET = "registered-models/get"


def move(stage, version="1", archive=False, **more):
    return post(
        MOVE,
        **{"name": "{m}", "version": version, "stage": stage, "archive_existing_versions": archive, **more},
    )


def alias(name="champion", version="1"):
    return post(ALIAS, name="{m}", alias=name, version=version)


def tag(key="a", value="1", version="1"):
    return post(SET_TAG, name="{m}", version=version, key=key, value=value)


def staged(stage):
    return {"model_version": {"current_stage": stage, "version": "1"}}


CASES = [
    # --- stages ---
    Case("move to Staging", move("Staging"), given=VERSIONED, body=staged("Staging")),
    Case("move to staging", move("staging"), given=VERSIONED, body=staged("Staging")),
    Case("move to STAGING", move("STAGING"), given=VERSIONED, body=staged("Staging")),
    Case("move to Archived", move("Archived"), given=VERSIONED, body=staged("Archived")),
    Case("move to None", move("None"), given=(*VERSIONED, move("Staging")), body=staged("None")),
    Case("move to none", move("none"), given=(*VERSIONED, move("Staging")), body=staged("None")),
    Case("move to where it is", move("Staging"), given=(*VERSIONED, move("Staging")), body=staged("Staging")),
    Case("move to an unknown stage", move("Sandbox"), given=VERSIONED, **INVALID),
    Case("move to a stage with a space", move(" Staging"), given=VERSIONED, **INVALID),
    Case("move to nothing", move(""), given=VERSIONED, **INVALID),
    Case("move to null", move(None), given=VERSIONED, **INVALID),
    Case("move to a number", move(1), given=VERSIONED, **INVALID),
    Case(
        "move without saying what becomes of others",
        post(MOVE, name="{m}", version="1", stage="Staging"),
        given=VERSIONED,
        body=staged("Staging"),
    ),
    Case("move with a text for true", move("Staging", archive="yes"), given=VERSIONED, **INVALID),
    Case(
        "move with a text true",
        move("Staging", archive="true"),
        given=VERSIONED,
        **INVALID,
        differs="numbers as texts",
        ours=Expected(200, body=staged("Staging")),
    ),
    Case("move an unknown version", move("Staging", version="9"), given=VERSIONED, **UNKNOWN),
    Case("move a version of an unknown model", move("Staging"), **UNKNOWN),
    Case("move a version that is no number", move("Staging", version="x"), given=VERSIONED, **INVALID),
    Case(
        "move without version",
        post(MOVE, name="{m}", stage="Staging", archive_existing_versions=False),
        given=VERSIONED,
        **INVALID,
    ),
    Case(
        "move without name",
        post(MOVE, version="1", stage="Staging", archive_existing_versions=False),
        **INVALID,
    ),
    Case(
        "two in Staging",
        get("model-versions/get", name="{m}", version="1"),
        given=(*TWO, move("Staging"), move("Staging", "2")),
        body=staged("Staging"),
    ),
    Case(
        "archive others",
        get("model-versions/get", name="{m}", version="1"),
        given=(*TWO, move("Staging"), move("Staging", "2", archive=True)),
        body=staged("Archived"),
    ),
    Case(
        "archive others when going to None",
        move("None", archive=True),
        given=VERSIONED,
        status=500,
        differs="no 500",
        ours=REFUSED,
    ),
    Case(
        "archive others when going to Archived",
        move("Archived", archive=True),
        given=VERSIONED,
        status=500,
        differs="no 500",
        ours=REFUSED,
    ),
    # --- newest of each stage ---
    Case(
        "latest of all stages",
        post(LATEST, name="{m}"),
        given=(*TWO, move("Staging")),
        body={
            "model_versions": AnyOrder(
                ({"version": "1", "current_stage": "Staging"}, {"version": "2", "current_stage": "None"})
            )
        },
    ),
    Case(
        "latest by GET", get(LATEST, name="{m}"), given=VERSIONED, body={"model_versions": [{"version": "1"}]}
    ),
    Case(
        "latest of some",
        post(LATEST, name="{m}", stages=["None"]),
        given=TWO,
        body={"model_versions": [{"version": "2"}]},
    ),
    Case(
        "latest of some in another case",
        post(LATEST, name="{m}", stages=["staging"]),
        given=(*TWO, move("Staging")),
        body={"model_versions": [{"version": "1"}]},
    ),
    Case(
        "latest by GET of some",
        get(LATEST, name="{m}", stages=["None", "Staging"]),
        given=(*TWO, move("Staging")),
        body={"model_versions": AnyOrder(({"version": "1"}, {"version": "2"}))},
    ),
    Case(
        "latest of an empty stage",
        post(LATEST, name="{m}", stages=["Production"]),
        given=VERSIONED,
        body={"model_versions": ABSENT},
    ),
    Case("latest of no versions", post(LATEST, name="{m}"), given=(MODEL,), body={"model_versions": ABSENT}),
    Case(
        "latest of an unknown stage", post(LATEST, name="{m}", stages=["Sandbox"]), given=VERSIONED, **INVALID
    ),
    Case("latest with a text as list", post(LATEST, name="{m}", stages="None"), given=VERSIONED, **INVALID),
    Case("latest with numbers", post(LATEST, name="{m}", stages=[1]), given=VERSIONED, **INVALID),
    Case("latest of an unknown model", post(LATEST, name="{m}"), **UNKNOWN),
    Case("latest without name", post(LATEST), **INVALID),
    # --- aliases ---
    Case("set an alias", alias(), given=VERSIONED, body={}),
    Case(
        "get by alias",
        get(ALIAS, name="{m}", alias="champion"),
        given=(*VERSIONED, alias()),
        body={"model_version": {"version": "1", "aliases": ["champion"]}},
    ),
    Case(
        "get by alias in another case",
        get(ALIAS, name="{m}", alias="Champion"),
        given=(*VERSIONED, alias()),
        **INVALID,
    ),
    Case("get by an unknown alias", get(ALIAS, name="{m}", alias="champion"), given=VERSIONED, **INVALID),
    Case("get by alias of an unknown model", get(ALIAS, name="{m}", alias="champion"), **UNKNOWN),
    Case("get by alias without alias", get(ALIAS, name="{m}"), given=VERSIONED, **INVALID),
    Case(
        "aliases of a model",
        get(GET, name="{m}"),
        given=(*VERSIONED, alias(), alias("b")),
        body={
            "registered_model": {
                "aliases": AnyOrder(({"alias": "champion", "version": "1"}, {"alias": "b", "version": "1"}))
            }
        },
    ),
    Case(
        "aliases of a version",
        get("model-versions/get", name="{m}", version="1"),
        given=(*VERSIONED, alias(), alias("b")),
        body={"model_version": {"aliases": AnyOrder(("champion", "b"))}},
    ),
    Case(
        "an alias moves",
        get(ALIAS, name="{m}", alias="champion"),
        given=(*TWO, alias(), alias(version="2")),
        body={"model_version": {"version": "2"}},
    ),
    Case("an alias of an unknown version", alias(version="9"), given=VERSIONED, **UNKNOWN),
    Case("an alias of an unknown model", alias(), **UNKNOWN),
    Case("an alias of a version that is no number", alias(version="x"), given=VERSIONED, **INVALID),
    Case("an alias called latest", alias("latest"), given=VERSIONED, **INVALID),
    Case("an alias called Latest", alias("Latest"), given=VERSIONED, **INVALID),
    Case("an alias called v1", alias("v1"), given=VERSIONED, **INVALID),
    Case("an alias called V12", alias("V12"), given=VERSIONED, **INVALID),
    Case("an alias called v1a", alias("v1a"), given=VERSIONED, body={}),
    Case("an alias of all letters", alias("Ab_9-z"), given=VERSIONED, body={}),
    Case("an alias with a space", alias("a b"), given=VERSIONED, **INVALID),
    Case("an alias with a slash", alias("a/b"), given=VERSIONED, **INVALID),
    Case("an alias with an umlaut", alias("ä"), given=VERSIONED, body={}, differs="aliases", ours=REFUSED),
    Case(
        "an alias with a dot", alias("a.b"), given=VERSIONED, **INVALID, differs="aliases", ours=Expected(200)
    ),
    Case("an alias that is a number", alias("12"), given=VERSIONED, body={}, differs="aliases", ours=REFUSED),
    Case(
        "an alias that is a stage",
        alias("Production"),
        given=VERSIONED,
        body={},
        differs="aliases",
        ours=REFUSED,
    ),
    Case("an alias of 255", alias("a" * 255), given=VERSIONED, body={}),
    Case("an alias of 256", alias("a" * 256), given=VERSIONED, **INVALID),
    Case("an empty alias", alias(""), given=VERSIONED, **INVALID),
    Case("an alias that is null", alias(None), given=VERSIONED, **INVALID),
    Case(
        "delete an alias", delete(ALIAS, name="{m}", alias="champion"), given=(*VERSIONED, alias()), body={}
    ),
    Case(
        "delete an alias that is not there",
        delete(ALIAS, name="{m}", alias="champion"),
        given=VERSIONED,
        body={},
    ),
    Case("delete an alias of an unknown model", delete(ALIAS, name="{m}", alias="champion"), **UNKNOWN),
    Case("delete an alias without alias", delete(ALIAS, name="{m}"), given=VERSIONED, **INVALID),
    Case(
        "delete a version that an alias points at",
        delete("model-versions/delete", name="{m}", version="1"),
        given=(*VERSIONED, alias()),
        body={},
        differs="still needed",
        ours=Expected(409, "RESOURCE_CONFLICT"),
    ),
    # --- tags ---
    Case("tag a version", tag(), given=VERSIONED, body={}),
    Case(
        "a version's tag is shown",
        get("model-versions/get", name="{m}", version="1"),
        given=(*VERSIONED, tag(), tag("b", "")),
        body={
            "model_version": {"tags": AnyOrder(({"key": "a", "value": "1"}, {"key": "b", "value": BLANK}))}
        },
    ),
    Case(
        "a version's tag is replaced",
        get("model-versions/get", name="{m}", version="1"),
        given=(*VERSIONED, tag(), tag(value="2")),
        body={"model_version": {"tags": [{"key": "a", "value": "2"}]}},
    ),
    Case("tag an unknown version", tag(version="9"), given=VERSIONED, **UNKNOWN),
    Case("tag a version that is no number", tag(version="x"), given=VERSIONED, **INVALID),
    Case("tag without key", post(SET_TAG, name="{m}", version="1", value="x"), given=VERSIONED, **INVALID),
    Case("tag without version", post(SET_TAG, name="{m}", key="a", value="x"), given=VERSIONED, **INVALID),
    Case("tag without value", post(SET_TAG, name="{m}", version="1", key="a"), given=VERSIONED, status=200),
    Case("tag with a key of 251", tag("k" * 251), given=VERSIONED, **INVALID),
    Case("tag with a value over 100 000", tag(value="x" * 100_001), given=VERSIONED, **INVALID),
    Case(
        "delete a version's tag",
        delete(DELETE_TAG, name="{m}", version="1", key="a"),
        given=(*VERSIONED, tag()),
        body={},
    ),
    Case(
        "delete a version's tag that is not there",
        delete(DELETE_TAG, name="{m}", version="1", key="a"),
        given=VERSIONED,
        body={},
    ),
    Case(
        "delete a tag of an unknown version",
        delete(DELETE_TAG, name="{m}", version="9", key="a"),
        given=VERSIONED,
        **UNKNOWN,
    ),
]
