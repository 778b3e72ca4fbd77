"""Pages of searches, what this server is, and what is no call at all."""

from __future__ import annotations

from .case import (
    ABSENT,
    INVALID,
    MODEL,
    OTHER,
    REFUSED,
    TEXT,
    VERSION,
    VERSIONED,
    Call,
    Case,
    Expected,
    get,
    post,
)


def page(search, **more):
    return get(f"{search}/search", **more)


CASES = [
    # --- pages of searches ---
    Case(
        "a page of models",
        page("registered-models", filter="name LIKE '%-{u}'", max_results=1),
        given=(MODEL, OTHER),
        body={"registered_models": [{"name": "{m}"}], "next_page_token": TEXT},
    ),
    Case(
        "the next page of models",
        page("registered-models", filter="name LIKE '%-{u}'", max_results=1, page_token="{page}"),
        given=(
            MODEL,
            OTHER,
            Call(
                "GET",
                "registered-models/search",
                {"filter": "name LIKE '%-{u}'", "max_results": 1},
                keep={"page": "next_page_token"},
            ),
        ),
        body={"registered_models": [{"name": "{m2}"}], "next_page_token": ABSENT},
    ),
    Case(
        "a page of versions",
        page("model-versions", filter="name = '{m}'", max_results=1, order_by=["version_number DESC"]),
        given=(*VERSIONED, VERSION),
        body={"model_versions": [{"version": "2"}], "next_page_token": TEXT},
    ),
    Case(
        "the next page of versions",
        page(
            "model-versions",
            filter="name = '{m}'",
            max_results=1,
            order_by=["version_number DESC"],
            page_token="{page}",
        ),
        given=(
            *VERSIONED,
            VERSION,
            Call(
                "GET",
                "model-versions/search",
                {"filter": "name = '{m}'", "max_results": 1, "order_by": ["version_number DESC"]},
                keep={"page": "next_page_token"},
            ),
        ),
        body={"model_versions": [{"version": "1"}], "next_page_token": ABSENT},
    ),
    *(
        Case(f"{search}: a page of {size}", page(search, max_results=size), **INVALID)
        for search, most in (("registered-models", 1000), ("model-versions", 200_000))
        for size in (most + 1, "x", "1.5")
    ),
    *(
        Case(
            f"registered-models: a page of {size}",
            page("registered-models", max_results=size),
            differs="strict words",
            ours=REFUSED,
        )
        for size in (0, -1)
    ),
    *(
        Case(f"model-versions: a page of {size}", page("model-versions", max_results=size), **INVALID)
        for size in (0, -1)
    ),
    *(
        Case(f"{search}: a page of {most}", page(search, max_results=most, filter="name = '{m}'"), status=200)
        for search, most in (("registered-models", 1000), ("model-versions", 200_000))
    ),
    *(
        Case(f"{search}: the token {token!r}", page(search, page_token=token), **INVALID)
        for search in ("registered-models", "model-versions")
        for token in ("nonsense!", "%%%", "bm90IGpzb24=", "e30=")
    ),
    Case(
        "an empty token is none",
        page("registered-models", filter="name = '{m}'", page_token=""),
        given=(MODEL,),
        body={"registered_models": [{"name": "{m}"}]},
    ),
    # --- what this server is ---
    Case("health", Call("GET", "/health"), body="OK"),
    Case("version", Call("GET", "/version"), body="3.17.2"),
    Case(
        "server-info",
        Call("GET", "/api/3.0/mlflow/server-info"),
        body={"store_type": "SqlStore", "workspaces_enabled": False},
    ),
    Case(
        "server-info below /ajax-api",
        Call("GET", "/ajax-api/3.0/mlflow/server-info"),
        body={"workspaces_enabled": False},
    ),
    Case(
        "update by POST",
        post("registered-models/update", name="{m}", description="d"),
        given=(MODEL,),
        status=405,
        differs="methods",
        ours=Expected(200, body={"registered_model": {"description": "d"}}),
    ),
    *(
        Case(
            f"no call: {method} {path}",
            Call(method, path, body),
            status=status,
            differs="no call",
            ours=Expected(status, "ENDPOINT_NOT_FOUND"),
        )
        for method, path, body, status in (
            ("GET", "no/such/call", None, 404),
            ("POST", "no/such/call", {}, 404),
            ("GET", "registered-models", None, 404),
            ("GET", "registered-models/get/", None, 404),
            ("PUT", "registered-models/create", {"name": "x"}, 405),
            ("GET", "registered-models/create", None, 405),
            ("DELETE", "runs/get", {}, 405),
        )
    ),
]
