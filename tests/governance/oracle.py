"""What must hold whatever anybody did, told by the audit alone: its records are replayed by rules written anew here."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from unittest import mock

from models_app.models import (
    AuditEvent,
    ModelVersion,
    PromotionRequest,
    RegisteredModel,
    StageTransition,
)
from models_app.registry import audit_chain
from tests.people import RISK

PROMOTERS = {"approver", "admin"}
DEMANDED = ("dataset_version", "license", "owner")


@dataclass
class Version:
    """What the records tell of a version."""

    author: str
    facts: dict[str, Any]
    changes: int = 0
    stage: str = "dev"
    was_in_production: bool = False
    checks: dict[str, str] = field(default_factory=dict)


@dataclass
class Asked:
    """What the records tell of a request: who says what, and of which state of things."""

    version: int
    by: str
    to: str
    state: str = "open"
    says: dict[str, tuple[str, Any]] = field(default_factory=dict)


class Oracle:
    """Follows the records. `problems` says where something came into production that should not have."""

    def __init__(self) -> None:
        self.last = 0
        self.roles: dict[str, str] = {name: role.value for name, role in RISK.items()}
        self.policies: dict[int | None, tuple[int, dict[str, Any]]] = {}
        self.risks: dict[int, str] = {}
        self.versions: dict[tuple[int, int], Version] = {}
        self.requests: dict[int, Asked] = {}
        # Model → numbers in production, the one let in last at the end.
        self.production: dict[int, list[int]] = {}
        self.problems: list[str] = []
        self.promotions = 0

    def follow(self) -> None:
        """Read on. The records of one model stand in the order in which its lock was held."""
        records = list(AuditEvent.objects.filter(id__gt=self.last, refused=False).order_by("id"))
        by_model: dict[int | None, list[AuditEvent]] = {}
        for record in records:
            by_model.setdefault(record.model_ref, []).append(record)
            self.last = record.id
        # Roles and the site's policies first: whoever changes them does nothing else at the same time.
        for record in by_model.pop(None, []):
            self._take(record, [])
        for told in by_model.values():
            for at, record in enumerate(told):
                self._take(record, told[at + 1 :])

    def _take(self, record: AuditEvent, following: list[AuditEvent]) -> None:
        noun, _, verb = record.verb.partition(".")
        after = record.after
        if record.verb == "team.role_set" and record.subject.startswith("risk/"):
            self.roles[record.subject.partition("/")[2]] = after["role"]
        elif record.verb == "policy.set":
            self.policies[record.model_ref] = (after["number"], after["rules"] if after["active"] else {})
        elif record.verb == "model.updated" and "risk_level" in {*record.before, *after}:
            self.risks[record.model_ref] = after.get("risk_level", "")
        elif noun == "version":
            self._of_version(record, verb, following)
        elif record.verb == "check.reported":
            self._version(record).checks |= after
        elif noun == "promotion" and "request" in after:
            self._of_request(record, verb)

    def _version(self, record: AuditEvent) -> Version:
        return self.versions[record.model_ref, self._number(record)]

    @staticmethod
    def _number(record: AuditEvent) -> int:
        return int(record.subject.rpartition("@")[2])

    def _of_version(self, record: AuditEvent, verb: str, following: list[AuditEvent]) -> None:
        key = (record.model_ref, self._number(record))
        if verb == "registered":
            self.versions[key] = Version(author=record.actor_name, facts=dict(record.after))
        elif verb == "updated":
            version = self.versions[key]
            version.changes += 1
            version.facts |= {name: record.after.get(name) for name in {*record.before, *record.after}}
        elif verb in ("moved", "rolled_back"):
            self._moved(record, verb, following)

    def _of_request(self, record: AuditEvent, verb: str) -> None:
        number, after = record.after["request"], record.after
        if verb in ("requested", "emergency"):
            self.requests[number] = Asked(
                self._number(record), record.actor_name, after["to"], after["state"]
            )
        asked = self.requests[number]
        asked.state = after["state"]
        if verb == "reviewed":
            verdict = record.reason.partition(":")[0].strip()
            asked.says[record.actor_name] = (verdict, self._looks(record.model_ref, asked.version))

    def _looks(self, model: int, number: int) -> Any:
        """What somebody who decides on a version looks at: another value, another decision."""
        version = self.versions[model, number]
        others = [one for one in self.production.get(model, []) if one != number]
        rules = [self.policies.get(scope, (0, {}))[0] for scope in (None, model)]
        return version.changes, self.risks.get(model, ""), others[-1:], rules

    # --- Into production

    def _moved(self, record: AuditEvent, verb: str, following: list[AuditEvent]) -> None:
        model, number = record.model_ref, self._number(record)
        version, to = self.versions[model, number], record.after["stage"]
        if record.before["stage"] != version.stage:
            self._blame(record, f"it was in {version.stage}, not in {record.before['stage']}")
        version.stage = to
        there = self.production.setdefault(model, [])
        if number in there:
            there.remove(number)
        if to != "production":
            return
        self.promotions += 1
        if verb == "rolled_back":
            if not version.was_in_production:
                self._blame(record, "rolled back to what never was in production")
        else:
            self._let_in(record, self._decision(record, following))
        version.was_in_production = True
        there.append(number)

    @staticmethod
    def _decision(record: AuditEvent, following: list[AuditEvent]) -> AuditEvent | None:
        """The request that the move was decided in: told by the same call, behind the moves it brought about."""
        for one in following:
            if (one.actor_name, one.request_id) != (record.actor_name, record.request_id):
                continue  # Who comments on a request waits for nobody.
            if one.verb == "version.moved" and one.after["stage"] == "archived":
                continue
            if one.verb == "promotion.withdrawn":
                # An emergency overtakes what was asked for.
                continue
            told = one.verb in ("promotion.promoted", "promotion.emergency")
            return one if told and one.subject == record.subject else None
        return None

    def _let_in(self, record: AuditEvent, decision: AuditEvent | None) -> None:
        if decision is not None and decision.verb == "promotion.emergency":
            if self._role(record.actor_name) != "admin":
                self._blame(record, "an emergency by somebody who is no admin")
            if not record.reason.removeprefix("Emergency:").strip():
                self._blame(record, "an emergency without a reason")
            return
        asked = self.requests[decision.after["request"]] if decision is not None else None
        for missing in self._missing(record, asked):
            self._blame(record, missing)

    def _missing(self, record: AuditEvent, asked: Asked | None) -> list[str]:
        model, number = record.model_ref, self._number(record)
        version = self.versions[model, number]
        found = []
        if ModelVersion.objects.filter(model=model, number=number, manifest=None).exists():
            found.append("without content")
        site = self.policies.get(None)
        demanded = DEMANDED if site is None else site[1].get("fields", [])
        rules = [one[1] for one in (site, self.policies.get(model)) if one]
        demanded = {*demanded, *(name for one in rules for name in one.get("fields", []))} - {"metrics"}
        found += [f"without {name}" for name in sorted(demanded) if not version.facts.get(name)]
        checks = {name for one in rules for name in one.get("checks", [])}
        found += [f"without the check {name}" for name in checks if version.checks.get(name) != "success"]
        looks = self._looks(model, number)
        yes = self._yes(asked, looks)
        mine = {version.author, asked.by} if asked else {version.author}
        counted = False
        for wanted in (one["approvals"] for one in rules if one.get("approvals", {}).get("count")):
            counted = True
            roles = set(wanted.get("roles") or ["approver"])
            given = {name for name in yes - mine if self._role(name) in roles}
            if len(given) < wanted["count"]:
                found.append(f"{len(given)} of {wanted['count']} approvals")
        promoted_by_right = self._role(record.actor_name) in PROMOTERS and record.door != "task"
        by_another = {name for name in yes - mine if self._role(name) in PROMOTERS}
        if not counted and not promoted_by_right and not by_another:
            found.append("nobody who may promote said yes")
        if asked and any(
            verdict == "asked for changes" and at == looks for verdict, at in asked.says.values()
        ):
            found.append("somebody asked for changes")
        return found

    @staticmethod
    def _yes(asked: Asked | None, looks: Any) -> set[str]:
        """Whose newest word is yes, of just what is promoted."""
        if asked is None:
            return set()
        return {name for name, (verdict, at) in asked.says.items() if verdict == "approved" and at == looks}

    def _role(self, name: str) -> str:
        return "admin" if name == "root" else self.roles.get(name, "")

    def _blame(self, record: AuditEvent, why: str) -> None:
        self.problems.append(f"{record.id} {record.verb} {record.subject} by {record.actor_name}: {why}")


def check(oracle: Oracle) -> None:
    """Rows and records say the same, and nothing is in production that should not be."""
    oracle.follow()
    assert not oracle.problems, "\n".join(oracle.problems)
    stages = {
        (model, number): stage
        for model, number, stage in ModelVersion.objects.values_list("model_id", "number", "stage")
    }
    told = {key: oracle.versions[key].stage for key in stages}
    assert stages == told, "a version is where no record says that it went"
    moves = AuditEvent.objects.filter(verb__in=["version.moved", "version.rolled_back"]).count()
    gone = AuditEvent.objects.filter(verb="version.deleted").exists()
    assert gone or StageTransition.objects.count() == moves, "a move without its record, or a record without"
    for model in RegisteredModel.objects.all():
        newest = model.versions.filter(stage="production").order_by("-number").first()
        assert model.newest_production_id == (newest.pk if newest else None)
    for request in PromotionRequest.objects.select_related("transition"):
        asked = oracle.requests[request.pk]
        assert request.state == asked.state
        assert (request.state == "promoted") == (request.transition is not None)
        if request.transition is not None:
            assert (request.transition.version_id, request.transition.to_stage) == (
                request.version_id,
                request.to_stage,
            )


def check_chain() -> None:
    """The whole audit can be sealed, and holds."""
    with mock.patch.object(audit_chain, "SETTLED", timedelta(minutes=-1)):
        while audit_chain.seal():
            pass
    verdict = audit_chain.verify()
    assert (verdict.problem, verdict.waiting) == ("", 0)
