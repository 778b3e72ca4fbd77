"""People who try whatever comes to mind on a few models, through every door. Nothing here expects success."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from random import Random
from typing import Any

from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from models_app.models import OPEN_STATES, PromotionRequest, RegisteredModel, Stage
from models_app.registry import catalog, policies, promotions, reviews, sources
from tests import builders
from tests.people import NAMES, People, token

# What production demands of each model beside what the site does.
MODELS: dict[str, dict[str, Any]] = {
    "risk/free": {},
    "risk/four-eyes": {"approvals": {"count": 1, "roles": ["approver", "admin"]}},
    "risk/checked": {"checks": ["ci"]},
    "risk/strict": {"approvals": {"count": 2, "roles": ["approver", "admin"]}},
}
RULES = [
    {},
    {"approvals": {"count": 1, "roles": ["approver"]}},
    {"approvals": {"count": 2, "roles": ["approver", "admin", "owner"]}},
    {"checks": ["ci"]},
    {"fields": ["license", "metrics"], "approvals": {"count": 1, "roles": ["admin"]}, "checks": ["ci"]},
]
MOST_VERSIONS = 6
DOORS = ["pages", "REST", "MLflow"]
FILLED = {"dataset_name": "transactions", "dataset_version": "7", "license": "MIT", "owner": "alice"}


@dataclass(frozen=True)
class Try:
    """One attempt: what, by whom, on which version of which model, through which door; `how` picks the details."""

    what: str
    who: str
    model: str
    number: int
    door: str
    how: int


class Company:
    """The people, logged in and with tokens, and the models they quarrel about."""

    def __init__(self, people: People) -> None:
        self.people = people
        self.programs = {name: token(getattr(people, name)) for name in NAMES}
        self.sessions: dict[str, str] = {}
        for name in NAMES:
            client = Client()
            client.force_login(getattr(people, name).user)
            self.sessions[name] = client.cookies[settings.SESSION_COOKIE_NAME].value
        self.unique = itertools.count(1)
        self.models = {}
        for name, rules in MODELS.items():
            model = builders.model(name, by=people.alice)
            self.models[name] = model.pk
            for author in (people.bob, people.alice, people.erin):
                builders.complete_version(model, by=author)
            builders.version(model, by=people.bob)
            pointer = sources.register_version(model, source="s3://bucket/model", by=people.bob)
            catalog.update_version(pointer, metadata=FILLED | {"metrics": {"f1": 1}}, by=people.bob)
            if rules:
                policies.set_policy(stage=Stage.PRODUCTION, model=model, rules=rules, by=people.root)

    def attempt(self, one: Try) -> None:
        """Do it. Whatever is answered is right by itself, as long as it is an answer."""
        answer = ACTS[one.what](self, one)
        status = getattr(answer, "status_code", 200)
        assert status < 500, (one, answer.content[:500])

    # --- Doors

    def page(self, one: Try, path: str, **fields: Any) -> Any:
        client = Client()
        client.cookies[settings.SESSION_COOKIE_NAME] = self.sessions[one.who]
        return client.post(path, fields)

    def program(self, one: Try, method: str, path: str, **body: Any) -> Any:
        client = Client(headers={"Authorization": f"Bearer {self.programs[one.who]}"})
        return client.generic(method, path, json.dumps(body), content_type="application/json")

    def rest(self, one: Try, method: str, path: str, **body: Any) -> Any:
        return self.program(one, method, f"/api/v1/{path}", **body)

    def mlflow(self, one: Try, method: str, path: str, **body: Any) -> Any:
        named = {"name": one.model.replace("/", "--"), **body}
        return self.program(one, method, f"/api/2.0/mlflow/{path}", **named)

    def request(self, one: Try) -> PromotionRequest | None:
        """The open request for the version; else the newest about the model: what is over gets tried as well."""
        rows = PromotionRequest.objects.filter(model=self.models[one.model]).order_by("-id")
        is_open = rows.filter(version__number=one.number, state__in=OPEN_STATES).first()
        return is_open or rows.filter(state__in=OPEN_STATES).first() or rows.first()


def _v(one: Try) -> str:
    return f"models/{one.model}/versions/{one.number}"


def _page(one: Try) -> str:
    return f"/models/{one.model}@{one.number}/"


def register(company: Company, one: Try) -> Any:
    if RegisteredModel.objects.get(pk=company.models[one.model]).last_number >= MOST_VERSIONS:
        return None
    if one.door == "MLflow":
        return company.mlflow(
            one, "POST", "model-versions/create", source=f"s3://bucket/{next(company.unique)}"
        )
    file = SimpleUploadedFile("model.bin", f"weights {next(company.unique)}".encode())
    if one.door == "pages":
        return company.page(one, f"/models/{one.model}/upload/", file=file)
    metadata = builders.COMPLETE | {"owner": "alice"} if one.how % 2 else {}
    client = Client(headers={"Authorization": f"Bearer {company.programs[one.who]}"})
    return client.post(
        f"/api/v1/models/{one.model}/versions", {"metadata": json.dumps(metadata), "file": file}
    )


def edit(company: Company, one: Try) -> Any:
    text = f"text {next(company.unique)}"
    if one.door == "MLflow":
        return company.mlflow(
            one, "PATCH", "model-versions/update", version=str(one.number), description=text
        )
    if one.door == "pages":
        # A form that lacks the rest empties what may be emptied: the license goes, too.
        return company.page(one, _page(one) + "edit/", description=text)
    if one.how % 3 == 0:
        return company.rest(one, "POST", _v(one) + "/metrics", metrics={text: 1})
    more = FILLED if one.how % 3 == 1 else {"license": ["MIT", "Apache-2.0"][one.how % 2]}
    return company.rest(one, "PATCH", _v(one), description=text, **more)


def tag(company: Company, one: Try) -> Any:
    return company.mlflow(one, "POST", "model-versions/set-tag", version=str(one.number), key="k", value="v")


def card(company: Company, one: Try) -> Any:
    text = f"# Card {next(company.unique)}"
    if one.door == "MLflow":
        return company.mlflow(one, "PATCH", "registered-models/update", description=text)
    risk = ["", "low", "high"][one.how % 3]
    return company.rest(one, "PATCH", f"models/{one.model}", card=text, risk_level=risk)


def check(company: Company, one: Try) -> Any:
    state = ["success", "success", "failure", "pending"][one.how % 4]
    return company.rest(one, "POST", _v(one) + "/checks", name="ci", state=state)


def ask(company: Company, one: Try) -> Any:
    if one.door == "pages":
        return company.page(one, _page(one) + "request/", reason="Better.")
    return company.rest(one, "POST", _v(one) + "/requests", keep_former=bool(one.how % 2))


def review(company: Company, one: Try) -> Any:
    request = company.request(one)
    if request is None or request.state not in OPEN_STATES:
        ask(company, one)
    if request is None:
        return None
    verdict = ["approved", "approved", "approved", "changes_requested", "approved", "rejected"][one.how % 6]
    evidence = "0" * 64 if one.how == 7 else request.evidence
    if one.door == "pages":
        path = f"/approvals/{request.pk}/review/"
        return company.page(one, path, verdict=verdict, body="Said.", evidence=evidence)
    seen = {"evidence": evidence} if one.how % 2 else {}
    return company.rest(one, "POST", f"requests/{request.pk}/review", verdict=verdict, body="Said.", **seen)


def talk(company: Company, one: Try) -> Any:
    """Comment, take back, ask somebody else."""
    request = company.request(one)
    if request is None:
        return None
    if one.how % 3 == 0:
        return company.page(one, f"/approvals/{request.pk}/review/", verdict="comment", body="Hm.")
    if one.how % 3 == 1:
        return company.rest(one, "POST", f"requests/{request.pk}/withdraw")
    return company.rest(one, "PUT", f"requests/{request.pk}/reviewers", reviewers=["carol"])


def promote(company: Company, one: Try) -> Any:
    return _move(company, one, "production")


def shift(company: Company, one: Try) -> Any:
    return _move(company, one, ["archived", "staging", "dev"][one.how % 3])


def _move(company: Company, one: Try, to: str) -> Any:
    if one.door == "pages":
        more = {"keep_former": "on"} if one.how % 2 else {}
        return company.page(one, _page(one) + "move/", to=to, reason="Now.", **more)
    if one.door == "MLflow":
        shown = {"dev": "None"}.get(to, to.title())
        replace = bool(one.how % 2) and to in ("staging", "production")
        fields = {"version": str(one.number), "stage": shown, "archive_existing_versions": replace}
        return company.mlflow(one, "POST", "model-versions/transition-stage", **fields)
    return company.rest(one, "POST", _v(one) + "/stage", to=to, keep_former=bool(one.how % 2))


def roll_back(company: Company, one: Try) -> Any:
    if one.door == "pages":
        return company.page(one, f"/models/{one.model}/rollback/", reason="Slow.")
    return company.rest(one, "POST", f"models/{one.model}/rollback", reason="Slow.")


def emergency(company: Company, one: Try) -> Any:
    if one.door == "pages":
        return company.page(one, _page(one) + "emergency/", reason="" if one.how == 0 else "It burns.")
    return company.rest(one, "POST", _v(one) + "/emergency", reason="It burns.")


def remove(company: Company, one: Try) -> Any:
    if one.door == "MLflow":
        return company.mlflow(one, "DELETE", "model-versions/delete", version=str(one.number))
    return company.rest(one, "DELETE", _v(one))


def write_policy(company: Company, one: Try) -> Any:
    scope = {} if one.how == 7 else {"model": one.model}
    return company.rest(
        one, "PUT", "policies", stage="production", rules=RULES[one.how % len(RULES)], **scope
    )


def give_role(company: Company, one: Try) -> Any:
    person = ["carol", "bob", "dave"][one.number % 3]
    role = ["approver", "contributor", "viewer", "admin"][one.how % 4]
    return company.page(one, "/teams/risk/members/", username=person, role=role)


def wait(company: Company, one: Try) -> None:
    """Two weeks pass, or the worker looks at what waited."""
    if one.how == 0:
        late = timezone.now() - timedelta(seconds=1)
        PromotionRequest.objects.filter(model=company.models[one.model], state__in=OPEN_STATES).update(
            expires_at=late
        )
        promotions.expire_due()
    reviews.settle_waiting()


Act = Callable[[Company, Try], Any]
ACTS: dict[str, Act] = {
    one.__name__: one
    for one in (
        register,
        edit,
        tag,
        card,
        check,
        ask,
        review,
        talk,
        promote,
        shift,
        roll_back,
        emergency,
        remove,
        write_policy,
        give_role,
        wait,
    )
}
# Who is likely to try it; now and then it is somebody else.
LIKELY: dict[str, list[str]] = {
    "review": ["carol", "erin", "root", "alice"],
    "promote": ["carol", "erin", "bob", "alice"],
    "emergency": ["erin", "root"],
    "write_policy": ["erin", "root"],
    "give_role": ["erin", "root"],
    "roll_back": ["carol", "alice", "erin"],
    "ask": ["bob", "alice", "carol", "erin"],
    "card": ["alice", "erin"],
}
OFTEN = ["review"] * 9 + ["promote"] * 4 + ["ask"] * 4 + ["edit"] * 4 + ["check", "card", "wait"]
NUMBERS = [1, 1, 1, 1, 2, 2, 2, 3, 3, 4, 5, MOST_VERSIONS]


# How decisions go wrong: something changes between two words, or somebody does not wait for them.
STORIES = [
    ["ask", "review", "edit", "review", "review", "promote"],
    ["ask", "review", "card", "review", "review"],
    ["ask", "review", "another", "review", "review"],
    ["ask", "review", "write_policy", "review", "promote"],
    ["check", "ask", "review", "review", "check", "wait"],
    ["ask", "review", "give_role", "wait", "review", "promote"],
    ["edit", "promote", "emergency", "roll_back"],
]


def story(chance: Random, model: str) -> list[Try]:
    """A few attempts at one version, one after the other; `another` is a way past it for another version."""
    number = chance.choice(NUMBERS)
    made = []
    reviewers = chance.sample(LIKELY["review"][:3], 3)
    for what in chance.choice(STORIES):
        one = attempt_at(chance, [model], among=[what if what != "another" else "emergency"])
        one = replace(one, model=model, number=one.number if what == "another" else number)
        if what == "review":
            # Each says something, mostly yes.
            who = reviewers.pop() if reviewers else one.who
            one = replace(one, who=who, how=chance.choice([0, 0, 1, 2, 3]))
        made.append(one)
    return made


def attempt_at(chance: Random, models: Sequence[str], *, among: Sequence[str] = ()) -> Try:
    """What somebody tries on one of the models; on all of them, now and then."""
    what = chance.choice(among or [*ACTS, *OFTEN])
    return Try(
        what=what,
        who=chance.choice(NAMES if chance.random() < 0.1 else LIKELY.get(what, NAMES)),
        model=chance.choice(list(MODELS) if chance.random() < 0.1 else models),
        number=chance.choice(NUMBERS),
        door=chance.choice(DOORS),
        how=chance.randrange(8),
    )
