"""What a model's name can do to the addresses of an environment: nothing but stand in them."""

from __future__ import annotations

import shlex

import pytest
from httpx import URL

from models_app import outbound
from models_app.models import Environment, ModelVersion, RegisteredModel, Team
from models_app.registry import (
    catalog,
    deployment_claims,
    deployment_events,
    environments,
)
from models_app.registry.address_templates import CannotFill, fill
from models_app.registry.errors import Invalid
from models_app.registry.names import check_model_name
from models_app.tasks.deployments import keep_up
from tests import builders
from tests.registry.test_deployments import eu, newest, promote, report, states


@pytest.fixture
def model(people):
    return builders.model(by=people.alice, owner="alice")


HOSTILE = (
    "127.0.0.1#z",
    "127.0.0.1?z",
    "127.0.0.1",
    "evil.example#",
    "a%2F..%2Fb",
    "x&admin=1",
    "u p",
    "{digest}",
    "{0.__class__}",
    "...",
    "-a",
    "a-",
    "ünder",
    "a\u3002evil",
    "a;b,c=d+e",
    "[0]",
    "a|b^c`d\"e'f<g>",
)
IN_PATH = "https://models.example.com:8443/{team}/{name}/v{version}?model={model}&x=1"
IN_HOST = "https://{name}.eu.example.com/health/{version}"


def version_of(name, team="risk"):
    check_model_name(name)
    return ModelVersion(model=RegisteredModel(name=name, team=Team(slug=team)), number=7)


def filled(template, name, **more):
    return fill(template, version_of(name), Environment(name="eu"), **more)


@pytest.mark.sqlite_is_enough
@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_changes_nothing_of_an_address(name):
    url, plain = URL(filled(IN_PATH, f"risk/{name}")), URL(filled(IN_PATH, "risk/fraud"))
    assert (url.scheme, url.host, url.port, url.userinfo) == ("https", "models.example.com", 8443, b"")
    assert url.raw_path.count(b"/") == plain.raw_path.count(b"/")
    assert dict(url.params) == {"model": f"risk--{name}", "x": "1"}
    assert url.path.split("/")[2] == name
    assert not url.fragment
    with pytest.raises(CannotFill, match="cannot stand in the name of a host") as refused:
        filled(IN_HOST, f"risk/{name}")
    assert refused.value.next_step == "Rename the model, or have the address in eu changed."


@pytest.mark.sqlite_is_enough
def test_what_stands_where():
    assert filled(IN_HOST, "risk/fraud") == "https://fraud.eu.example.com/health/7"
    assert filled("https://{team}.example.com/{environment}", "plain") == "https://risk.example.com/eu"
    behind = "{address}/health?of={name}"
    assert filled(behind, "a&b", address="https://x.example/a/") == "https://x.example/a/health?of=a%26b"
    assert filled("", "a") == ""
    for name, template, more, why in (
        ("a", behind, {"address": ""}, "nobody said yet"),
        ("a", behind, {"address": "https://x.example/?a=b"}, "with a query"),
        ("a", "{address}", {"address": "https://u:p@x.example/"}, "Credentials"),
        ("a", "https://x.example/{digest}", {}, "no digest"),
        ("é" * 256, "https://x.example/{name}", {}, "longer than 500"),
        # Made before templates were looked at as closely.
        ("a", "https://{name}", {}, "has to be fixed"),
        ("a", "https://x.example:80{version}/", {}, "a port of digits"),
    ):
        with pytest.raises(CannotFill, match=why):
            filled(template, name, **more)


@pytest.mark.parametrize(
    ("field", "template", "why"),
    [
        ("serving_address", "{address}", "not “{address}”"),
        ("serving_address", "{name}", "Begins with https"),
        ("serving_address", "https://{name}", "has to be fixed"),
        ("serving_address", "https://{name}-models/", "has to be fixed"),
        ("serving_address", "http://10.0.0.{version}/", "has to be fixed"),
        ("serving_address", "https://{name}.com@evil.example/", "Credentials"),
        ("serving_address", "https://{name}@models.example.com/", "Credentials"),
        ("serving_address", "https://models.example.com:{version}/", "a port of digits"),
        ("serving_address", "https://models.example.com\\{name}", "no backslash"),
        ("serving_address", "https://{digest}.example.com/", "cannot stand"),
        ("serving_address", "http://169.254.169.254/{name}", "Nothing serves at"),
        ("health_check", "{address}.evil.example/", "comes a path"),
        ("health_check", "https://x.example/{address}", "only be the beginning"),
        ("health_check", "http://{name}.example.com/", "begins with https"),
        ("health_check", "https://u:p@example.com/", "Credentials"),
        ("health_check", "https://169.254.169.254/", "not a public address"),
        ("health_check", "https://2130706433/", "no way to write"),
        ("health_check", "https://inside.example/", "not a public address"),
    ],
)
def test_templates_that_are_refused(people, monkeypatch, field, template, why):
    known = {"inside.example": [outbound.ipaddress.ip_address("10.0.0.1")]}
    monkeypatch.setattr(outbound, "resolve", lambda host: known[host])
    with pytest.raises(Invalid, match=why) as refused:
        environments.set_up("eu", by=people.root, **{field: template})
    assert [problem.field for problem in refused.value.problems] == [field]


def test_who_calls_decides_what_may_be_called(people, monkeypatch):
    def unknown(host):
        raise outbound.Unreachable(f"Cannot find {host}.")

    monkeypatch.setattr(outbound, "resolve", unknown)
    near = {
        "health_check": "http://127.0.0.1:8080/health/{version}",
        "serving_address": "http://10.1.2.3/{name}",
    }
    agents = environments.set_up("edge", by=people.root, kind="agent", **near)
    with pytest.raises(Invalid, match="health_check"):
        environments.change(agents, kind="webhook", by=people.root)
    with pytest.raises(Invalid, match="begins with https"):
        environments.set_up("eu", by=people.root, **{**near, "health_check": "{address}/health"})
    # A name may come to be known later.
    environments.set_up("eu", by=people.root, health_check="https://models.example.com/health")


# --- what deployments make of it -----------------------------------------------------------------------------------


def test_what_no_address_can_be_made_for_fails_and_says_so(people, model):
    plain = {"serving_address": ""}
    told, asking = eu(people, **plain), eu(people, "edge", kind="agent", **plain)
    v1 = promote(model, people)
    deployment_claims.claim(asking, agent="a", by=people.root)
    for one in (told, asking):
        report(one, "live", people, agent=newest(one).holder)
        environments.change(one, by=people.root, serving_address="https://{name}.example.com")
    v2 = promote(catalog.rename_model(model, to="risk/127.0.0.1#z", by=people.alice), people)
    assert deployment_claims.claim(asking, agent="a", by=people.root) is None
    assert keep_up() == 1
    # What never began has no way to go back; elsewhere it waits no more once the stage is taken back.
    assert states(told) == [(1, "live"), (2, "failed")]
    assert states(asking)[:2] == [(1, "live"), (2, "superseded")]
    assert "the name “127.0.0.1#z” cannot stand in the name of a host" in newest(told).failure
    assert newest(told).endpoint == ""
    v1.refresh_from_db()
    v2.refresh_from_db()
    assert (v1.stage, v2.stage) == ("production", "archived")


def test_nobody_is_asked_where_no_address_comes_of_what_was_reported(people, model):
    environment = eu(people, health_check="{address}/health")
    promote(model, people)
    report(environment, "live", people, endpoint="https://x.example/?a=b")
    keep_up()
    assert states(environment) == [(1, "failed")]
    assert "an address with a query" in newest(environment).failure


@pytest.mark.sqlite_is_enough
def test_commands_are_quoted_for_a_shell():
    told = {"name": "risk/w-$(touch pwned);`id`", "flat_name": "w", "version": 1, "deployment": 1}
    pull = deployment_events.tell(told, deployment_events.FIELDS)["pull"]
    assert shlex.split(pull) == ["modelry", "pull", "risk/w-$(touch pwned);`id`@1"]
    assert pull.endswith("'risk/w-$(touch pwned);`id`@1'")
    option = deployment_events.tell({**told, "name": "-o"}, deployment_events.FIELDS)
    assert option["pull"] == "modelry pull -- -o@1"
