import io
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse
from django.utils import timezone

from models_app.demo import artifacts, loader
from models_app.demo.logins import LOGINS, PASSWORD
from models_app.demo.story import STORIES
from models_app.models import (
    Delivery,
    Deployment,
    DeploymentLine,
    ModelVersion,
    OutboxEvent,
    RegisteredModel,
    Role,
    StageTransition,
    Team,
    User,
    Webhook,
)
from models_app.registry import catalog, deliveries, deployment_views, requirements
from models_app.registry.access import Actor
from models_app.registry.people import find_token

pytestmark = [pytest.mark.django_db, pytest.mark.sqlite_is_enough, pytest.mark.long]


def test_the_company_is_believable_and_loaded_once(client, capsys, monkeypatch):
    monkeypatch.setattr("models_app.outbound._addresses", lambda url: pytest.fail("The demo calls out."))
    call_command("seed_demo", verbosity=0)
    assert RegisteredModel.objects.count() == 30
    assert ModelVersion.objects.count() >= 145
    assert Team.objects.count() == 5
    assert StageTransition.objects.filter(kind="rollback").exists()
    assert RegisteredModel.objects.filter(visibility="team").exists()
    versions = ModelVersion.objects.select_related("owner").prefetch_related("metrics")
    lacking = [
        v for v in versions if any(not item.met for item in requirements.requirements(v, to="production"))
    ]
    assert 3 <= len(lacking) <= 40
    assert not [version for version in lacking if version.stage == "production"]
    # Nothing is on its way: nobody is there to report, and time would run out.
    there = {"live", "queued", "failed", "rolled_back", "superseded"}
    assert {row.state for row in Deployment.objects.all()} == there
    admin = Actor.of(User.objects.get(username="admin"), door="shell")
    assert deployment_views.drifting(by=admin).count() == 1
    # What is told of the past bears its times, and nothing of it is still to be sent.
    assert not OutboxEvent.objects.filter(
        created_at__date=timezone.now().date(), name="model.registered"
    ).exists()
    assert {row.state for row in Delivery.objects.all()} == {"delivered", "failed", "waiting"}
    assert Delivery.objects.filter(state="delivered", attempts=3).exists()
    Webhook.objects.update(hold_until=None)
    assert deliveries.take(limit=10) == []
    lines = DeploymentLine.objects.filter(at__gt=timezone.now() - timedelta(hours=12))
    assert not lines.exists()
    assert loader.is_loaded()
    call_command("seed_demo", verbosity=1)
    assert RegisteredModel.objects.count() == 30

    client.force_login(User.objects.get(username="admin"))
    for model in RegisteredModel.objects.all():
        assert client.get(reverse("web:model", args=[model.name])).status_code == 200, model.name
    newest = RegisteredModel.objects.get(name="risk/fraud-detector").newest
    assert client.get(reverse("web:version", args=["risk/fraud-detector", newest.number])).status_code == 200
    dead = Delivery.objects.filter(state="failed").select_related("webhook").latest("attempts")
    shown = client.get(reverse("web:webhook_delivery", args=[dead.webhook.uid, dead.uid]))
    assert b"earlier attempts" in shown.content

    # The first lines of a tutorial work as they stand.
    for username in ("contributor", "owner", "admin"):
        actor = Actor.of(User.objects.get(username=username), door="shell")
        catalog.register_model(f"plain_{username}", by=actor)

    for login in LOGINS:
        assert (
            client.post("/login/", {"username": login["username"], "password": PASSWORD}).status_code == 302
        )
        client.post("/logout/")
    capsys.readouterr()
    call_command("create_token", "approver", "--scopes", "read,promote", "--days", "3")
    printed = capsys.readouterr().out
    assert find_token(printed.strip()).user.username == "approver"
    assert printed.count("\n") == 1


def test_not_in_production(settings):
    settings.PRODUCTION = True
    with pytest.raises(CommandError, match="known password"):
        call_command("seed_demo")


@pytest.mark.parametrize(
    "arguments",
    [["ghost"], ["root", "--scopes", "everything"], ["root", "--scopes", ""], ["root", "--days", "-1"]],
)
def test_create_token_refuses(people, arguments):
    with pytest.raises(CommandError):
        call_command("create_token", *arguments)


def test_create_user(people, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("correct horse 99\n"))
    call_command("create_user", "boss", "--site-admin", "--role", "risk:owner", verbosity=0)
    boss = User.objects.get(username="boss")
    assert boss.is_superuser
    assert boss.check_password("correct horse 99")
    assert boss.memberships.get().role == Role.OWNER
    with pytest.raises(CommandError):
        call_command("create_user", "boss")
    with pytest.raises(CommandError):
        call_command("create_user", "x", "--role", "nowhere:owner")


def test_the_same_story_gives_the_same_bytes():
    story = STORIES[0]
    first, again = (artifacts.files(story, 1, {"f1": 0.9}, [1.0, 0.5, 0.3]) for _ in range(2))
    assert first == again
    assert first["evaluation/loss.png"].startswith(b"\x89PNG")
    assert first != artifacts.files(story, 2, {"f1": 0.9}, [1.0, 0.5, 0.3])
