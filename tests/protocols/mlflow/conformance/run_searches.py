"""What searches of runs, experiments and logged models find, in which order."""

from __future__ import annotations

from .case import (
    ABSENT,
    EXPERIMENT,
    INVALID,
    LOGGED,
    REFUSED,
    RUN,
    Case,
    post,
)


def runs(filter="", **more):
    return post("runs/search", **{"experiment_ids": ["{exp}"], "filter": filter, **more})


def experiments(filter="", **more):
    return post("experiments/search", **{"filter": filter, "max_results": 10, **more})


def logged(filter="", **more):
    return post("logged-models/search", **{"experiment_ids": ["{exp}"], "filter": filter, **more})


TAGGED_RUN = (
    EXPERIMENT,
    RUN,
    post("runs/log-parameter", run_id="{run}", key="depth", value="5"),
    post("runs/log-metric", run_id="{run}", key="f1", value=0.9, timestamp=1, step=0),
    post("runs/set-tag", run_id="{run}", key="team", value="Risk"),
)
RUNS = {"runs": [{"info": {"run_id": "{run}"}}]}
NO_RUNS = {"runs": ABSENT}


CASES = [
    # --- runs: what is found ---
    *(
        Case(f"runs: found by {text}", runs(text), given=TAGGED_RUN, body=RUNS)
        for text in (
            "",
            "metrics.f1 > 0.5",
            "metric.f1 = 0.9",
            "metrics.f1 >= 9e-1",
            "metrics.`f1` > 0.5",
            "params.depth = '5'",
            "param.depth LIKE '%'",
            "parameters.depth ILIKE '5'",
            "parameter.depth != '6'",
            "tags.team = 'Risk'",
            "tag.team ILIKE 'risk'",
            "attributes.status = 'RUNNING'",
            "attribute.status = 'RUNNING'",
            "attr.status = 'RUNNING'",
            "run.status = 'RUNNING'",
            "status != 'FINISHED'",
            "run_id = '{run}'",
            "attributes.run_id IN ('{run}')",
            "run_id NOT IN ('x')",
            "run_name = 'first'",
            "`run name` = 'first'",
            "attributes.`Run name` = 'first'",
            "start_time = 1700000000000",
            "created > 0",
            "user_id = 'ann'",
            "artifact_uri LIKE '%{run}%'",
            "metrics.f1 > 0.5 AND params.depth = '5' AND tags.team = 'Risk'",
            "tags.team IS NOT NULL",
            "tags.none IS NULL",
            "params.depth IS NOT NULL",
            "params.none IS NULL",
        )
    ),
    *(
        Case(f"runs: not found by {text}", runs(text), given=TAGGED_RUN, body=NO_RUNS)
        for text in (
            "metrics.f1 > 0.95",
            "metrics.other > 0",
            "metrics.other != 0",
            "params.depth = '6'",
            "params.other != '6'",
            "tags.team = 'risk'",
            "tags.team IS NULL",
            "status = 'running'",
            "run_id = 'x'",
            "dataset.name = 'x'",
        )
    ),
    *(
        Case(f"runs: refuse {text}", runs(text), given=(EXPERIMENT,), **INVALID)
        for text in (
            "metrics.f1 > 'x'",
            "metrics.f1 LIKE '1'",
            "metrics.f1 IN (1)",
            "metrics.f1 > '0.5'",
            "params.depth = 5",
            "params.depth > '5'",
            "tags.team = 5",
            "f1 > 0.5",
            "unknown.f1 > 0.5",
            "start_time = 'x'",
            "status > 'A'",
            "metrics.f1 > 0.5 OR metrics.f1 < 0.1",
            "(metrics.f1 > 0.5)",
            "metrics.f1",
            "params.depth IN ('5')",
            "datasets.unknown = 'x'",
            "metrics.f1 > 0.5;",
            "metrics.f1 IS NULL",
        )
    ),
    *(
        Case(f"runs: ordered by {text}", runs(order_by=[text]), given=TAGGED_RUN, body=RUNS)
        for text in (
            "start_time",
            "attributes.start_time DESC",
            "metrics.f1 ASC",
            "metrics.`f1` desc",
            "params.depth",
            "tags.team DESC",
            "run_id",
            "status",
            "end_time",
            "created",
        )
    ),
    *(
        Case(f"runs: refuse order by {text}", runs(order_by=[text]), given=(EXPERIMENT,), **INVALID)
        for text in (
            "unknown",
            "metrics.f1 SIDEWAYS",
            "metrics",
            "",
            "unknown.f1",
            "start_time, run_id",
        )
    ),
    # --- experiments ---
    Case(
        "experiments: by name",
        experiments("name = '{e}'"),
        given=(EXPERIMENT,),
        body={"experiments": [{"experiment_id": "{exp}", "name": "{e}"}]},
    ),
    Case(
        "experiments: like",
        experiments("name ILIKE 'E-{u}'"),
        given=(EXPERIMENT,),
        body={"experiments": [{"name": "{e}"}]},
    ),
    Case(
        "experiments: by attribute.name",
        experiments("attribute.name = '{e}'"),
        given=(EXPERIMENT,),
        body={"experiments": [{"name": "{e}"}]},
    ),
    Case(
        "experiments: by tag",
        experiments("tags.k{u} = 'v'"),
        given=(
            EXPERIMENT,
            post("experiments/set-experiment-tag", experiment_id="{exp}", key="k{u}", value="v"),
        ),
        body={"experiments": [{"name": "{e}", "tags": [{"key": "k{u}", "value": "v"}]}]},
    ),
    Case(
        "experiments: by creation",
        experiments("name = '{e}' AND creation_time > 0 AND last_update_time > 0"),
        given=(EXPERIMENT,),
        body={"experiments": [{"name": "{e}"}]},
    ),
    Case(
        "experiments: ordered",
        experiments("name LIKE '%-{u}'", order_by=["name DESC"]),
        given=(EXPERIMENT,),
        body={"experiments": [{"name": "{e}"}]},
    ),
    Case("experiments: refuse order", experiments(order_by=["colour"]), **INVALID),
    *(
        Case(f"experiments: refuse {text}", experiments(text), **INVALID)
        for text in (
            "name = 1",
            "name > 'a'",
            "colour = 'a'",
            "name = 'a' OR name = 'b'",
            "creation_time = 'x'",
            "metrics.x > 1",
        )
    ),
    # --- logged models ---
    *(
        Case(
            f"logged models: found by {text}",
            logged(text),
            given=(EXPERIMENT, RUN, LOGGED),
            body={"models": [{"info": {"model_id": "{lm}"}}]},
        )
        for text in (
            "",
            "name = 'lm'",
            "attributes.name = 'lm'",
            "name LIKE 'l%'",
            "name ILIKE 'LM'",
            "name IN ('lm')",
            "model_id = '{lm}'",
            "source_run_id = '{run}'",
            "status != 'READY'",
            "creation_timestamp > 0",
            "creation_time > 0",
            "last_updated_timestamp > 0",
        )
    ),
    *(
        Case(f"logged models: refuse {text}", logged(text), given=(EXPERIMENT,), **INVALID)
        for text in (
            "tag.x = 'a'",
            "metric.x > 1",
            "name = 'a' OR name = 'b'",
            "name > 1",
        )
    ),
    *(
        Case(
            f"logged models: refuse {text}",
            logged(text),
            given=(EXPERIMENT,),
            status=500,
            differs="no 500",
            ours=REFUSED,
        )
        for text in (
            "colour = 'a'",
            "metrics.x > 'a'",
        )
    ),
]
