"""What the matrix is tried on: models in every state, and whatever else there is a verb for. Made once per door."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any
from unittest import mock

from django.apps import apps
from django.test import Client

from models_app.models import (
    ApiToken,
    AuditEvent,
    Delivery,
    DeliveryState,
    OutboxEvent,
    RegisteredModel,
    Stage,
    User,
    UserSession,
    Visibility,
    WebhookScheme,
)
from models_app.registry import (
    audit_chain,
    datasets,
    experiments,
    lifecycle,
    logged_models,
    policies,
    promotions,
    quotas,
    retention,
    runs,
    service_accounts,
    tags,
    webhooks,
)
from models_app.registry import people as verbs
from models_app.registry.access import Actor
from models_app.registry.artifacts import trees
from tests import builders
from tests.people import People, token

MODEL, PRIVATE = "risk/fraud-detector", "risk/secret"
DOORS = ["pages", "REST", "MLflow", "admin"]
KNOWN = ["alice", "bob", "carol", "dave", "erin", "charlie", "root"]


class World:
    """The data, the ids that calls name (`ids[model]`), and a client per person and door."""

    def __init__(self, people: People) -> None:
        self.people = people
        # The admin door opens for staff only; nothing else asks for the flag.
        User.objects.update(is_staff=True)
        shared = self._tracked()
        self.ids = {name: shared | self._lived(name) for name in (MODEL, PRIVATE)}
        with mock.patch.object(audit_chain, "SETTLED", timedelta(minutes=-1)):
            audit_chain.seal()
        audit_chain.checkpoint()
        self.tokens = {name: token(getattr(people, name)) for name in KNOWN}
        mine = ApiToken.objects.get(user=people.bob.user, name="tests")
        for ids in self.ids.values():
            ids["token"] = mine.pk
        # Before any cell: what happens in one is undone, sessions too.
        self._clients = {
            (door, who): self._client(door, who) for door in DOORS for who in [*KNOWN, "anonymous"]
        }

    def _lived(self, name: str) -> dict[str, Any]:
        """v1 archived, v2 in production, v3 alice's with bob's open request, v4 bare, v5 in staging by an emergency,
        v6 complete, v7 with a request by erin.
        """
        people = self.people
        hidden = Visibility.TEAM if name == PRIVATE else Visibility.INTERNAL
        model = builders.model(name, by=people.alice, visibility=hidden, owner="alice", tags={"old": "1"})
        for _ in range(2):
            builders.promoted(model, by=people.alice, approver=people.carol)
        v3 = builders.complete_version(model, by=people.alice)
        builders.version(model, by=people.bob)
        v5 = builders.complete_version(model, by=people.bob)
        builders.complete_version(model, by=people.alice)
        v7 = builders.complete_version(model, by=people.alice)
        asked = promotions.ask(v3, to=Stage.PRODUCTION, by=people.bob)
        others = promotions.ask(v7, to=Stage.PRODUCTION, by=people.erin)
        lifecycle.set_alias(model, name="there", version=v3, by=people.bob)
        tags.set_version_tag(v3, key="old", value="1", by=people.bob)
        emergency = promotions.break_glass(v5, to=Stage.STAGING, by=people.erin, reason="It burns.")
        policy = policies.set_policy(stage=Stage.STAGING, rules={}, model=model, by=people.erin)
        numbers = {version.number: version.pk for version in model.versions.all()}
        return {
            "model": name,
            "flat": name.replace("/", "--"),
            "pk": model.pk,
            "request": asked.pk,
            "evidence": asked.evidence,
            "erins": others.pk,
            "erins_evidence": others.evidence,
            "emergency": emergency.pk,
            "policy": policy.pk,
            **{f"v{number}": pk for number, pk in numbers.items()},
        }

    def _tracked(self) -> dict[str, Any]:
        people = self.people
        fraud = experiments.create_experiment("fraud", team=people.risk, by=people.alice, tags={"old": "1"})
        gone = experiments.create_experiment("gone", team=people.risk, by=people.alice)
        experiments.delete_experiment(gone, by=people.alice)
        run = runs.create_run(experiment=fraud, by=people.bob, tags={"old": "1"}, metrics={"f1": 0.5})
        lost = runs.create_run(experiment=fraud, by=people.bob)
        runs.delete_run(lost, by=people.bob)
        trees.put(run, [builders.stored("model/model.bin", b"of the run")], by=people.bob)
        logged = logged_models.create_logged_model(fraud, by=people.bob, tags={"old": "1"}, source_run=run)
        dataset = datasets.register_dataset("transactions", version="7", by=people.bob)
        # An address, so that no name is looked up; nothing is sent to it.
        hook = webhooks.create_webhook(
            "ours", url="https://93.184.215.14/", events=["registered_model.created"], by=people.erin
        )
        signed = webhooks.create_webhook(
            "signed",
            url="https://93.184.215.14/",
            events=["promotion.requested"],
            scheme=WebhookScheme.STANDARD,
            by=people.erin,
        )
        delivery = Delivery.objects.create(
            webhook=hook, uid="d-1", name="registered_model.created", event=OutboxEvent.objects.first()
        )
        Delivery.objects.create(
            webhook=signed, uid="d-2", name="promotion.requested", body="{}", state=DeliveryState.FAILED
        )
        paused = webhooks.create_webhook(
            "paused", url="https://93.184.215.14/", events=["registered_model.created"], by=people.erin
        )
        webhooks.update_webhook(paused, by=people.erin, status="paused")
        kept = retention.set_policy(
            stage=Stage.STAGING, team=people.risk, keep_last=5, then="archive", by=people.erin
        )
        usual = retention.set_policy(stage=Stage.STAGING, by=people.root)
        quota, own_quota = (
            quotas.set_quota(team, soft=None, hard=9 << 40, by=people.root) for team in (None, people.risk)
        )
        bot = service_accounts.create_account("bot", roles={people.risk: "contributor"}, by=people.erin)
        bots, _ = verbs.create_token(user=bot, name="bot", scopes=["write"], by=people.erin)
        return {
            "bots_token": bots.pk,
            "kept": kept.pk,
            "usual": usual.pk,
            "quota": quota.pk,
            "own_quota": own_quota.pk,
            "experiment": fraud.pk,
            "gone": gone.pk,
            "run": run.uid,
            "lost": lost.uid,
            "logged": logged.uid,
            "dataset": dataset.pk,
            "hook": hook.uid,
            "signed": signed.uid,
            "hook_pk": hook.pk,
            "paused_pk": paused.pk,
            "signed_pk": signed.pk,
            "delivery": delivery.pk,
            "team": people.risk.pk,
            "daves": people.risk.memberships.get(user=people.dave.user).pk,
            "dave": people.dave.user.pk,
            "charlie": people.charlie.user.pk,
        }

    def _client(self, door: str, who: str) -> Client:
        if who == "anonymous":
            return Client()
        if door in ("REST", "MLflow"):
            return Client(headers={"Authorization": f"Bearer {self.tokens[who]}"})
        client = Client()
        client.force_login(self.user(who))
        return client

    def narrow(self, who: str, scope: str) -> Client:
        """A program with a token of that person which has one scope."""
        if (who, scope) not in self._clients:
            secret = token(getattr(self.people, who), scope)
            self._clients[who, scope] = Client(headers={"Authorization": f"Bearer {secret}"})
        return self._clients[who, scope]

    def client(self, door: str, who: str) -> Client:
        """Logged in where the door is for people, with a token of all scopes where it is for programs."""
        return self._clients[door, who]

    def user(self, who: str) -> User:
        return getattr(self.people, who).user

    def registered(self, ids: dict[str, Any]) -> RegisteredModel:
        return RegisteredModel.objects.select_related("team").get(pk=ids["pk"])

    @property
    def root(self) -> Actor:
        return self.people.root


def fingerprint() -> dict[str, str]:
    """Table → digest of everything in it but what looking may leave: audit, sessions, times of last use."""
    found = {}
    for model in apps.get_app_config("models_app").get_models():
        if model in (AuditEvent, UserSession):
            continue
        columns = [
            field.attname
            for field in model._meta.concrete_fields
            if field.name not in ("last_used_at", "last_login")
        ]
        rows = list(model._base_manager.order_by("pk").values_list(*columns))
        found[model.__name__] = hashlib.sha256(repr(rows).encode()).hexdigest()
    return found
