"""The webhook calls, as the client sends them and as others might."""

from __future__ import annotations

import pytest

from models_app.models import Webhook
from models_app.registry import hook_events
from tests.receiver import raw, receiver

pytestmark = pytest.mark.django_db
ROOT = "/api/2.0/mlflow/webhooks"
CREATED = {"entity": "REGISTERED_MODEL", "action": "CREATED"}
STAGE = {"entity": "MODEL_VERSION_STAGE", "action": "TRANSITIONED"}


@pytest.fixture(autouse=True)
def _loopback(settings):
    settings.OUTBOUND_ALLOW = ["127.0.0.1"]
    settings.WEBHOOK_SCHEMES = ["https", "http"]


def create(client, **fields):
    fields = {"name": "hook", "url": "https://127.0.0.1/x", "events": [CREATED], **fields}
    return client.post(ROOT, fields)


def made(client, **fields):
    answer = create(client, **fields)
    assert answer.status_code == 200, answer.content
    return answer.json()["webhook"]


def refusal(answer):
    return answer.status_code, answer.json()["error_code"]


def test_life_of_a_webhook(api):
    hook = made(api.root, description="tells the chat", secret="s3cret")
    assert hook == {
        "webhook_id": hook["webhook_id"],
        "name": "hook",
        "description": "tells the chat",
        "url": "https://127.0.0.1/x",
        "events": [CREATED],
        "status": "ACTIVE",
        "creation_timestamp": hook["creation_timestamp"],
        "last_updated_timestamp": hook["creation_timestamp"],
    }
    assert isinstance(hook["creation_timestamp"], int)
    one = f"{ROOT}/{hook['webhook_id']}"
    assert api.root.get(one).json() == {"webhook": hook}
    assert api.root.get(ROOT).json() == {"webhooks": [hook]}
    events = [{"entity": "PROMPT_TAG", "action": "SET"}, {"entity": "prompt_tag", "action": "deleted"}]
    changed = api.root.patch(one, {"name": "other", "events": events, "status": "DISABLED"}).json()["webhook"]
    assert (changed["name"], changed["status"], changed["url"]) == ("other", "DISABLED", hook["url"])
    assert changed["events"] == [events[0], {"entity": "PROMPT_TAG", "action": "DELETED"}]
    assert changed["last_updated_timestamp"] >= hook["last_updated_timestamp"]
    assert api.root.patch(one, {"name": "", "url": "", "events": [], "description": None}).json() == {
        "webhook": changed
    }
    assert "description" not in api.root.patch(one, {"description": ""}).json()["webhook"]
    assert Webhook.objects.get().secret != ""
    api.root.patch(one, {"secret": ""})
    assert Webhook.objects.get().secret == ""
    answer = api.root.delete(one)
    assert (answer.status_code, answer.json()) == (200, {})
    assert refusal(api.root.get(one)) == (404, "RESOURCE_DOES_NOT_EXIST")
    assert refusal(api.root.delete(one)) == (404, "RESOURCE_DOES_NOT_EXIST")
    assert api.root.get(ROOT).json() == {}


def test_other_languages_address(api):
    assert (
        api.root.post("/ajax-api/2.0/mlflow/webhooks", {}).json()["error_code"] == "INVALID_PARAMETER_VALUE"
    )


@pytest.mark.parametrize("event", [name for name in hook_events.EXAMPLES if name != hook_events.STAGE_MOVED])
def test_every_pair_of_the_original_is_taken(api, event):
    entity, action = event.upper().split(".")
    assert made(api.root, events=[{"entity": entity, "action": action}])["events"] == [
        {"entity": entity, "action": action}
    ]


@pytest.mark.parametrize(
    "fields, said",
    [
        ({"name": ""}, "Missing value for required parameter 'name'"),
        ({"url": ""}, "Missing value for required parameter 'url'"),
        ({"name": "-x"}, "name: 1 to 63"),
        ({"name": "x" * 64}, "name: 1 to 63"),
        ({"name": 5}, "Invalid value 5 for parameter 'name'"),
        ({"events": []}, "events: A webhook needs at least one event"),
        ({"events": "MODEL_VERSION"}, "parameter 'events'"),
        ({"events": [{"entity": "MODEL_VERSION"}]}, "Missing value"),
        ({"events": [{"entity": "MODEL_VERSION", "action": "UPDATED"}]}, "no event “model_version.updated”"),
        ({"events": [{"entity": "PROMPT", "action": "SET"}]}, "no event “prompt.set”"),
        ({"status": "PAUSED"}, "status: One of"),
        ({"secret": "\ud800"}, ""),
        ({"url": "ftp://127.0.0.1/"}, "begins with https:// or http://"),
        ({"url": "https://10.0.0.1/"}, "not a public address"),
        ({"url": "https://169.254.169.254/latest/"}, "not a public address"),
        ({"url": "https://[::1]/"}, "not a public address"),
        ({"url": "https://u:p@127.0.0.1/"}, "Credentials"),
        ({"url": "https://nowhere.invalid/"}, "Cannot find nowhere.invalid"),
        ({"url": "https://x/" + "a" * 2000}, "url: "),
        ({"url": "https://127.0.0.1/\u0000"}, "NUL"),
        ({"url": "https://127.0.0.1/\u0001"}, "url: "),
    ],
)
def test_wrong_fields(api, fields, said):
    answer = create(api.root, **fields)
    assert refusal(answer) == (400, "INVALID_PARAMETER_VALUE")
    assert said in answer.json()["message"]
    assert Webhook.objects.count() == 0


def test_who_may(api):
    hook = made(api.root)
    one = f"{ROOT}/{hook['webhook_id']}"
    for stranger in (api.alice, api.bob):
        for answer in (
            create(stranger),
            stranger.get(ROOT),
            stranger.get(one),
            stranger.patch(one, {"name": "x"}),
            stranger.delete(one),
            stranger.post(f"{one}/test", {}),
        ):
            assert refusal(answer) == (403, "PERMISSION_DENIED")
    theirs = made(api.erin)
    assert api.erin.get(ROOT).json()["webhooks"] == [theirs]
    for answer in (api.erin.get(one), api.erin.delete(one), api.erin.post(f"{one}/test", {})):
        assert refusal(answer) == (404, "RESOURCE_DOES_NOT_EXIST")
    assert refusal(api.anonymous.get(ROOT)) == (401, "UNAUTHENTICATED")


def test_a_token_to_read_may_look(api, people):
    hook = made(api.erin)
    reader = api.client(people.erin, "read")
    assert reader.get(ROOT).json()["webhooks"] == [hook]
    assert refusal(create(reader)) == (403, "PERMISSION_DENIED")
    assert refusal(reader.post(f"{ROOT}/{hook['webhook_id']}/test", {})) == (403, "PERMISSION_DENIED")


def test_pages(api):
    names = [made(api.root, name=f"h{n}")["name"] for n in range(5)]
    found, token = [], ""
    while True:
        answer = api.root.get(ROOT, {"max_results": "2", "page_token": token}).json()
        found += [hook["name"] for hook in answer["webhooks"]]
        if not (token := answer.get("next_page_token", "")):
            break
    assert found == names[::-1]
    for query in ({"max_results": "-1"}, {"max_results": "1001"}, {"max_results": "x"}, {"page_token": "x"}):
        assert refusal(api.root.get(ROOT, query)) == (400, "INVALID_PARAMETER_VALUE")
    assert len(api.root.get(ROOT, {"max_results": "0"}).json()["webhooks"]) == 5


def test_a_list_costs_the_same_whatever_its_length(api, django_assert_num_queries):
    for n in range(3):
        made(api.root, name=f"h{n}")
    api.root.get(ROOT)
    with django_assert_num_queries(2):
        api.root.get(ROOT)


def test_stage_moves_are_ours_and_hidden_from_the_client_that_would_fail(api):
    both, only = made(api.root, events=[STAGE, CREATED]), made(api.root, name="only", events=[STAGE])
    assert (both["events"], only["events"]) == ([STAGE, CREATED], [STAGE])
    python = {"HTTP_USER_AGENT": "mlflow-python-client/3.17.2"}
    assert [hook["events"] for hook in api.root.get(ROOT, **python).json()["webhooks"]] == [[CREATED]]
    assert refusal(api.root.get(f"{ROOT}/{only['webhook_id']}", **python)) == (400, "INVALID_PARAMETER_VALUE")


def test_the_test_call_sends_the_example(api):
    with receiver() as told:
        hook = made(api.root, url=told.url, events=[{"entity": "MODEL_VERSION_ALIAS", "action": "CREATED"}])
        test = f"{ROOT}/{hook['webhook_id']}/test"
        answer = api.root.post(test, {})
        told.answer(418, b"teapot")
        failed = api.root.post(test, {"event": CREATED})
        unknown = api.root.post(test, {"event": {"entity": "MODEL_VERSION", "action": "UPDATED"}})
    assert answer.json() == {"result": {"success": True, "response_status": 200, "response_body": "thanks"}}
    assert failed.status_code == 200
    assert failed.json() == {
        "result": {
            "success": False,
            "response_status": 418,
            "response_body": "teapot",
            "error_message": "Answered with status 418.",
        }
    }
    assert refusal(unknown) == (400, "INVALID_PARAMETER_VALUE")
    first, second = (got.json for got in told.received)
    assert (first["entity"], first["action"]) == ("model_version_alias", "created")
    assert first["data"] == {"name": "example_model", "alias": "example_alias", "version": "1"}
    assert second["data"]["tags"] == {"example_key": "example_value"}
    assert set(first) == {"entity", "action", "timestamp", "data"}


def test_the_test_call_of_a_receiver_that_is_away_or_was_forbidden_meanwhile(api, settings):
    with raw(lambda connection: None) as port:
        hook = made(api.root, url=f"http://127.0.0.1:{port}/")
    test = f"{ROOT}/{hook['webhook_id']}/test"
    for word in ("Cannot connect", "not a public address"):
        answer = api.root.post(test, {})
        assert answer.status_code == 200
        result = answer.json()["result"]
        assert result["success"] is False
        assert word in result["error_message"]
        assert "response_status" not in result
        settings.OUTBOUND_ALLOW = []
