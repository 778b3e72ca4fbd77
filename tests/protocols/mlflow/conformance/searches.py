"""What searches of models and versions find, in which order."""

from __future__ import annotations

from .case import (
    ABSENT,
    INVALID,
    MODEL,
    OTHER,
    REFUSED,
    VERSION,
    VERSIONED,
    AnyOrder,
    Call,
    Case,
    Expected,
    get,
    post,
)


def models(filter="", **more):
    return get("registered-models/search", filter=filter, **more)


def versions(filter="", **more):
    return get("model-versions/search", filter=filter, **more)


TAGGED = (
    post(
        "registered-models/create",
        name="{m}",
        tags=[{"key": "t{u}", "value": "Gold"}, {"key": "a b", "value": "x"}],
    ),
    OTHER,
)
NAMES = {"registered_models": [{"name": "{m}"}]}
NOTHING = {"registered_models": ABSENT}


CASES = [
    # --- registered models: what is found ---
    Case("models: by name", models("name = '{m}'"), given=TAGGED, body=NAMES),
    Case("models: by attribute.name", models("attribute.name = '{m}'"), given=TAGGED, body=NAMES),
    Case("models: by name in double quotes", models('name = "{m}"'), given=TAGGED, body=NAMES),
    Case("models: no spaces", models("name='{m}'"), given=TAGGED, body=NAMES),
    Case("models: like", models("name LIKE 'm-{u}%'"), given=TAGGED, body=NAMES),
    Case("models: like in lower letters", models("name like 'm-{u}%'"), given=TAGGED, body=NAMES),
    Case("models: like is told apart by case", models("name LIKE 'M-{u}%'"), given=TAGGED, body=NOTHING),
    Case("models: ilike is not", models("name ILIKE 'M-{u}%'"), given=TAGGED, body=NAMES),
    Case(
        "models: like with underscore",
        models("name LIKE '_-{u}'"),
        given=TAGGED,
        body={"registered_models": AnyOrder(({"name": "{m}"}, {"name": "{m2}"}))},
    ),
    Case("models: like is the whole", models("name LIKE '{u}'"), given=TAGGED, body=NOTHING),
    Case("models: in", models("name IN ('{m}', 'x')"), given=TAGGED, body=NAMES),
    Case("models: not in", models("name NOT IN ('{m2}') AND name LIKE '%{u}'"), given=TAGGED, body=NAMES),
    Case("models: and", models("name != '{m2}' AND name LIKE '%-{u}'"), given=TAGGED, body=NAMES),
    Case(
        "models: and in lower letters",
        models("name != '{m2}' and name LIKE '%-{u}'"),
        given=TAGGED,
        body=NAMES,
    ),
    Case("models: by tag", models("tags.t{u} = 'Gold'"), given=TAGGED, body=NAMES),
    Case("models: by tag in another case", models("tags.t{u} = 'gold'"), given=TAGGED, body=NOTHING),
    Case("models: by tag like", models("tags.t{u} LIKE 'Go%'"), given=TAGGED, body=NAMES),
    Case("models: by tag ilike", models("tags.t{u} ILIKE 'go%'"), given=TAGGED, body=NAMES),
    Case(
        "models: by tag unequal finds those with the tag",
        models("tags.t{u} != 'Silver'"),
        given=TAGGED,
        body=NAMES,
    ),
    Case(
        "models: by tag with backticks", models("tags.`a b` = 'x' AND name = '{m}'"), given=TAGGED, body=NAMES
    ),
    Case(
        "models: by tag with double quotes",
        models("tags.\"a b\" = 'x' AND name = '{m}'"),
        given=TAGGED,
        body=NAMES,
    ),
    Case(
        "models: two conditions on one tag",
        models("tags.t{u} = 'Gold' AND tags.t{u} != 'Silver'"),
        given=TAGGED,
        body=NAMES,
    ),
    Case("models: two tags", models("tags.t{u} = 'Gold' AND tags.`a b` = 'x'"), given=TAGGED, body=NAMES),
    Case(
        "models: as clients from 2.21 on ask",
        models("name LIKE 'm-{u}' AND tag.`mlflow.prompt.is_prompt` != 'true'"),
        given=TAGGED,
        body=NAMES,
    ),
    Case(
        "models: prompts stay out",
        models("name = '{m}'"),
        given=(
            post(
                "registered-models/create",
                name="{m}",
                tags=[{"key": "mlflow.prompt.is_prompt", "value": "true"}],
            ),
        ),
        body=NOTHING,
    ),
    Case(
        "models: prompts when asked for",
        models("name = '{m}' AND tags.`mlflow.prompt.is_prompt` = 'true'"),
        given=(
            post(
                "registered-models/create",
                name="{m}",
                tags=[{"key": "mlflow.prompt.is_prompt", "value": "true"}],
            ),
        ),
        body=NAMES,
    ),
    Case("models: a trailing AND", models("name = '{m}' AND"), given=TAGGED, body=NAMES),
    Case("models: quotes are not undone", models("name = 'it''s'"), body=NOTHING),
    Case(
        "models: an empty result",
        models("name = '{m}'"),
        body={"registered_models": ABSENT, "next_page_token": ABSENT},
    ),
    # --- versions: what is found ---
    Case(
        "versions: of a model",
        versions("name = '{m}'"),
        given=(*VERSIONED, VERSION),
        body={"model_versions": AnyOrder(({"version": "1"}, {"version": "2"}))},
    ),
    Case(
        "versions: by run",
        versions("run_id = '{run}'"),
        given=VERSIONED,
        body={"model_versions": [{"name": "{m}", "version": "1", "run_id": "{run}"}]},
    ),
    Case(
        "versions: by runs",
        versions("run_id IN ('{run}', 'x')"),
        given=VERSIONED,
        body={"model_versions": [{"version": "1"}]},
    ),
    Case(
        "versions: by number",
        versions("name = '{m}' AND version_number = 2"),
        given=(*VERSIONED, VERSION),
        body={"model_versions": [{"version": "2"}]},
    ),
    Case(
        "versions: by number in quotes",
        versions("name = '{m}' AND version_number = '2'"),
        given=(*VERSIONED, VERSION),
        body={"model_versions": [{"version": "2"}]},
    ),
    Case(
        "versions: above a number",
        versions("name = '{m}' AND version_number > 1"),
        given=(*VERSIONED, VERSION),
        body={"model_versions": [{"version": "2"}]},
    ),
    Case(
        "versions: by source",
        versions("source_path LIKE '%{run}%'"),
        given=VERSIONED,
        body={"model_versions": [{"version": "1"}]},
    ),
    Case(
        "versions: by tag",
        versions("tags.k{u} = 'v'"),
        given=(*VERSIONED, post("model-versions/set-tag", name="{m}", version="1", key="k{u}", value="v")),
        body={"model_versions": [{"version": "1", "tags": [{"key": "k{u}", "value": "v"}]}]},
    ),
    Case(
        "versions: by tag and name",
        versions("name = '{m}' AND tags.k = 'v'"),
        given=VERSIONED,
        body={"model_versions": ABSENT},
    ),
    Case(
        "versions: ordered",
        versions("name = '{m}'", order_by=["version_number ASC"]),
        given=(*VERSIONED, VERSION),
        body={"model_versions": [{"version": "1"}, {"version": "2"}]},
    ),
    Case(
        "versions: ordered down",
        versions("name = '{m}'", order_by=["version_number DESC"]),
        given=(*VERSIONED, VERSION),
        body={"model_versions": [{"version": "2"}, {"version": "1"}]},
    ),
    Case(
        "versions: deleted ones stay out",
        versions("name = '{m}'"),
        given=(*VERSIONED, VERSION, Call("DELETE", "model-versions/delete", {"name": "{m}", "version": "1"})),
        body={"model_versions": [{"version": "2"}]},
    ),
    # --- order of models ---
    Case(
        "models: ordered down",
        models("name LIKE '%-{u}'", order_by=["name DESC"]),
        given=(MODEL, OTHER),
        body={"registered_models": [{"name": "{m2}"}, {"name": "{m}"}]},
    ),
    Case(
        "models: ordered by name unless asked",
        models("name LIKE '%-{u}'"),
        given=(OTHER, MODEL),
        body={"registered_models": [{"name": "{m}"}, {"name": "{m2}"}]},
    ),
    *(
        Case(
            f"models: ordered by {text}", models("name = '{m}'", order_by=[text]), given=(MODEL,), body=NAMES
        )
        for text in (
            "name",
            "name asc",
            "`name` DESC",
            "timestamp",
            "last_updated_timestamp DESC",
            "timestamp   DESC",
        )
    ),
    Case(
        "models: ordered by creation",
        models("name = '{m}'", order_by=["creation_timestamp"]),
        given=(MODEL,),
        **INVALID,
        differs="more filters",
        ours=Expected(200, body=NAMES),
    ),
    *(
        Case(f"models: refuse order by {text}", models(order_by=[text]), **INVALID)
        for text in (
            "NAME",
            "tags.x",
            "name SIDEWAYS",
            "",
            "description",
            "name DESC, timestamp",
        )
    ),
    Case(
        "models: refuse the same order twice",
        models(order_by=["name", "name DESC"]),
        status=500,
        differs="no 500",
        ours=REFUSED,
    ),
    *(
        Case(
            f"versions: ordered by {text}",
            versions("name = '{m}'", order_by=[text]),
            given=VERSIONED,
            body={"model_versions": [{"version": "1"}]},
        )
        for text in (
            "name",
            "version_number",
            "creation_timestamp DESC",
            "last_updated_timestamp",
        )
    ),
    *(
        Case(f"versions: refuse order by {text}", versions(order_by=[text]), **INVALID)
        for text in ("timestamp", "run_id", "stage", "tags.x")
    ),
]
