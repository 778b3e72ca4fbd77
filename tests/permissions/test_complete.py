"""No address of any door is without a row in docs/permissions.md, but for those that say why."""

from __future__ import annotations

import re

import pytest
from django.contrib import admin
from django.test import Client, RequestFactory
from django.urls import URLPattern, URLResolver, get_resolver, resolve

from models_app.admin.base import RegistryAdmin

from .calls import CALLS

pytestmark = [pytest.mark.sqlite_is_enough, pytest.mark.django_db]

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
# Addresses (by how they begin) and methods that no row is about, and why.
WITHOUT_A_ROW = {
    "healthz": "says that the server lives",
    "readyz": "says that the server is ready",
    "health": "says that the server lives, to MLflow's clients",
    "version": "which version MLflow's clients talk to",
    "api/3.0/mlflow/server-info": "which version MLflow's clients talk to",
    "login/": "for whoever is not logged in yet",
    "logout/": "ends one's own session",
    "client.py": "the command-line client; the same for everyone",
    "help/clients/": "how clients are set up; the same for everyone",
    "account/second-factor/": "one's own, and asks for it: see tests/web/test_second_factor.py",
    "account/password/": "one's own, and asks for it",
    "account/sessions/": "one's own: see tests/web/test_login.py",
    "account/theme/": "a cookie, and one's own profile where somebody is logged in",
    "api/docs/": "about the API; the same for everyone",
    "api/v1/schema": "about the API; the same for everyone",
    "api/2.0/mlflow/model-versions/stages": "the names of stages; the same for everyone",
    "api/2.0/mlflow/artifacts/presigned-upload-url": "always refused",
    "api/v1/uploads/": "a session is its maker's alone; beginning one is in the row “register a version”",
    "api/2.0/mlflow-artifacts/mpu/part/": "signed: whoever may create the upload was given the address",
    "api/2.0/mlflow-artifacts/mpu/complete/": "as creating the upload, which the row “log to a run” is about",
    "api/2.0/mlflow-artifacts/mpu/abort/": "as creating the upload, which the row “log to a run” is about",
    "api/2.0/mlflow-artifacts/signed/": "signed: whoever may read the file was given the address",
}
ACTIONS = {"add", "change", "delete"}


def patterns(resolver: URLResolver, prefix: str = ""):
    """Route and view of every address but Django's own admin and what answers all that is unknown."""
    for entry in resolver.url_patterns:
        route = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            if route != "admin/":
                yield from patterns(entry, route)
        elif isinstance(entry, URLPattern) and not re.search(
            "nothing_here|not_spoken", entry.callback.__name__
        ):
            yield route.removeprefix("ajax-"), entry.callback


def taken(route: str, view) -> set[str]:
    """The methods that an address takes."""
    if hasattr(view, "cls"):
        return {method for method in METHODS if hasattr(view.cls, method.lower())}
    kwargs = dict.fromkeys(re.findall(r"<(?:\w+:)?(\w+)>", route), "1")
    if view.__module__.startswith("models_app.protocols"):
        asked = {method: view(RequestFactory().generic(method, "/"), **kwargs) for method in METHODS}
        return {method for method, answer in asked.items() if answer.status_code != 405}
    path = re.sub(r"<(?:\w+:)?(\w+)>", "1", route)
    allowed = Client().options(f"/{path}").get("Allow", "GET")
    return set(METHODS) & {method.strip() for method in allowed.split(",")}


def tried() -> set[tuple[str, str]]:
    """Route and method of every call that the tables are tried with."""
    ids = {"model": "risk/x", "flat": "risk--x"}
    calls = [call for doors in CALLS.values() for calls in doors.values() for call in calls]
    found = set()
    for call in calls:
        path = re.sub(r"\{(\w+)\}", lambda name: ids.get(name[1], "1"), call.path).partition("?")[0]
        found.add((resolve(path).route, call.method))
    return found


def is_told_by_another(route: str, method: str, view, known: set[tuple[str, str]]) -> bool:
    """Old and new clients of MLflow say the same call with one or another method; a page's form opens with GET."""
    if view.__module__.startswith("models_app.protocols"):
        return view.__name__ != "chosen" and any((route, other) in known for other in METHODS)
    return method == "GET" and not route.startswith("api/") and (route, "POST") in known


def test_every_address_is_in_the_table():
    known = tried()
    missing = sorted(
        (route, method)
        for route, view in set(patterns(get_resolver()))
        if not any(route.startswith(begin) for begin in WITHOUT_A_ROW)
        for method in taken(route, view)
        if (route, method) not in known and not is_told_by_another(route, method, view, known)
    )
    assert not missing, "\n".join(map(" ".join, missing))


def test_what_needs_no_row_is_still_there():
    routes = [route for route, _ in patterns(get_resolver())]
    assert [begin for begin in WITHOUT_A_ROW if not any(route.startswith(begin) for route in routes)] == []


def test_every_change_in_the_admin_is_in_the_table():
    calls = [call for doors in CALLS.values() for call in doors.get("admin", []) if call.method == "POST"]
    known = set()
    for call in calls:
        table, *rest = call.path.removeprefix("/admin/models_app/").strip("/").split("/")
        known.add((table, rest[-1] if rest else call.body["action"]))
    offered = set()
    for model, registered in admin.site._registry.items():
        table = model._meta.model_name
        own = {one for one in ACTIONS if f"has_{one}_permission" in vars(type(registered))}
        # A change that nobody may make is none.
        offered |= {(table, one) for one in own | set(registered.actions)}
        assert isinstance(registered, RegistryAdmin), table
    assert sorted(offered - known) == []
