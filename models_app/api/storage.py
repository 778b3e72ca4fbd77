"""What teams, models and versions hold in storage, and what teams may."""

from __future__ import annotations

from typing import Any

from django.http import QueryDict
from rest_framework import serializers
from rest_framework.response import Response

from models_app.models import StorageDay
from models_app.registry import people, quotas, storage_report
from models_app.registry.access import get_model, get_version

from .base import Door, refuse_unknown
from .parsing import Strict, Text
from .retention import Number
from .schema import READ, operation, query

TAG = "Storage"
LARGEST = 50
SOFT = "Bytes from where on owners and admins are warned; null: no such limit."
HARD = "Bytes past which nothing is registered; null: no limit."
SIZE = "Bytes of all files of every version, equal ones as often as they are named; what a quota counts."
STORED = "Bytes, equal ones once."
ONLY_HERE = (
    "Bytes that nothing else in the team holds: what deleting it would free. Null for who is not in the team, "
    "and before the first count."
)
COUNTED = "When stored and only_here were counted; null: not yet."


class QuotaSerializer(serializers.Serializer):
    """What a team may hold."""

    soft = serializers.IntegerField(allow_null=True, help_text=SOFT)
    hard = serializers.IntegerField(allow_null=True, help_text=HARD)


class StandingSerializer(QuotaSerializer):
    """What a team holds, and may."""

    team = serializers.CharField(source="slug", help_text="Slug.")
    used = serializers.IntegerField(help_text="Bytes, as the quota counts: versions and runs.")
    versions = serializers.IntegerField(help_text=SIZE)
    runs = serializers.IntegerField(
        help_text="Bytes that only runs and logged models hold, counted by the clock."
    )
    is_own = serializers.BooleanField(
        help_text="Whether the quota is the team's own; else it is every team's."
    )
    state = serializers.ChoiceField(["fine", "warning", "full"])
    warning = serializers.CharField(help_text="One sentence for people; empty while there is room.")


class DaySerializer(serializers.ModelSerializer):
    """What was held on a day."""

    versions = serializers.IntegerField(source="size", help_text=SIZE)
    runs = serializers.IntegerField(
        source="run_size", help_text="Bytes that only runs and logged models hold."
    )
    stored = serializers.IntegerField(help_text=f"{STORED} As counted last.")

    class Meta:
        model = StorageDay
        fields = ["day", "versions", "runs", "stored"]
        read_only_fields = fields


class HeldSerializer(serializers.Serializer):
    """What is held by a model or version."""

    size = serializers.IntegerField(help_text=SIZE)
    stored = serializers.IntegerField(help_text=STORED)
    only_here = serializers.IntegerField(allow_null=True, help_text=ONLY_HERE)
    counted_at = serializers.DateTimeField(allow_null=True, help_text="Null for a version: as it is now.")


class VersionHeldSerializer(HeldSerializer):
    """What is held by a version."""

    cold = serializers.IntegerField(
        help_text="Bytes in the store's colder class; they are read as any others."
    )


class LargestSerializer(serializers.Serializer):
    """A large model."""

    model = serializers.CharField(source="name")
    size = serializers.IntegerField(help_text=SIZE)
    stored = serializers.IntegerField(
        source="storage.stored", default=None, allow_null=True, help_text=STORED
    )
    only_here = serializers.IntegerField(
        source="storage.only_here", default=None, allow_null=True, help_text=ONLY_HERE
    )


class LargestVersionSerializer(serializers.Serializer):
    """A large version."""

    model = serializers.CharField(source="model.name")
    version = serializers.IntegerField(source="number")
    stage = serializers.CharField()
    size = serializers.IntegerField(help_text="Bytes of its files.")


class HealthSerializer(serializers.Serializer):
    """How the storage is."""

    is_well = serializers.BooleanField()
    answers = serializers.BooleanField(help_text="Whether the store does.")
    blobs = serializers.IntegerField(help_text="Distinct files.")
    bytes = serializers.IntegerField()
    counted_at = serializers.DateTimeField(allow_null=True, help_text="When those were counted; null: now.")
    damaged = serializers.IntegerField(help_text="Known to be, the missing ones too.")
    missing = serializers.IntegerField()
    verified_at = serializers.DateTimeField(allow_null=True, help_text="When all were hashed anew.")
    sampled_at = serializers.DateTimeField(allow_null=True, help_text="When some were, by chance.")
    swept_at = serializers.DateTimeField(allow_null=True)
    condemned = serializers.IntegerField(help_text="Files that wait to be removed.")
    condemned_bytes = serializers.IntegerField()
    uploads = serializers.IntegerField(help_text="Under way.")
    free = serializers.IntegerField(
        allow_null=True, help_text="Bytes free on the disk; null in an object store."
    )
    total = serializers.IntegerField(allow_null=True, help_text="Bytes of the disk; null in an object store.")
    cold_class = serializers.CharField(help_text="The colder class that is used; empty for none.")
    has_cold_classes = serializers.BooleanField(help_text="Whether the store has any: a disk has none.")
    cold = serializers.IntegerField(help_text="Files in the colder class.")
    cold_bytes = serializers.IntegerField()


class StorageSerializer(serializers.Serializer):
    """What everybody holds."""

    quota = QuotaSerializer(help_text="Of every team without one of its own.")
    health = HealthSerializer()
    teams = StandingSerializer(many=True, help_text="The largest first.")
    models = LargestSerializer(many=True, help_text=f"The {LARGEST} largest.")
    days = DaySerializer(many=True, help_text="All together, at most a year, oldest first; the last is now.")


class TeamStorageSerializer(serializers.Serializer):
    """What one team holds."""

    standing = StandingSerializer()
    stored = serializers.IntegerField(help_text=STORED)
    counted_at = serializers.DateTimeField(allow_null=True, help_text=COUNTED)
    models = LargestSerializer(many=True, help_text=f"The {LARGEST} largest.")
    versions = LargestVersionSerializer(many=True, help_text=f"The {LARGEST} largest.")
    days = DaySerializer(many=True, help_text="At most a year, oldest first; the last is now.")


class QuotaIn(Strict):
    team = Text(required=False, max_length=64, help_text="Slug; every team without its own when left out.")
    soft = Number(required=False, allow_null=True, min_value=0, max_value=quotas.MOST, help_text=SOFT)
    hard = Number(required=False, allow_null=True, min_value=0, max_value=quotas.MOST, help_text=HARD)


class Storage(Door):
    @operation(
        "See what everybody holds",
        tag=TAG,
        name="storage_read",
        answers=StorageSerializer,
        description="For site admins: every team, the largest models, a year of days, and how the storage is.",
    )
    def get(self, request: Any) -> Response:
        teams = storage_report.of_teams(by=self.actor)
        found = {
            "teams": teams,
            "health": storage_report.health(by=self.actor),
            "quota": quotas.quota_of_every_team(),
            "models": storage_report.largest_models(None, by=self.actor, most=LARGEST),
            "days": storage_report.days(None, teams, by=self.actor),
        }
        return Response(self.show(StorageSerializer, found))


class TeamStorage(Door):
    @operation(
        "See what a team holds",
        tag=TAG,
        name="storage_team",
        answers=TeamStorageSerializer,
        path="slug",
        description="For its members and site admins: what it holds and may, its largest models and versions, a year "
        "of days.",
    )
    def get(self, request: Any, slug: str) -> Response:
        team = people.get_team(slug, by=self.actor)
        use = storage_report.of_team(team, by=self.actor)
        found = {
            "standing": use.standing,
            "stored": use.stored,
            "counted_at": use.counted_at,
            "models": storage_report.largest_models(team, by=self.actor, most=LARGEST),
            "versions": storage_report.largest_versions(team, by=self.actor, most=LARGEST),
            "days": storage_report.days(team, [use.standing], by=self.actor),
        }
        return Response(self.show(TeamStorageSerializer, found))


class ModelStorageUse(Door):
    @operation("See what a model holds", tag=TAG, name="storage_model", answers=HeldSerializer, path="name")
    def get(self, request: Any, name: str) -> Response:
        found = storage_report.of_model(get_model(name, by=self.actor), by=self.actor)
        return Response(self.show(HeldSerializer, found))


class VersionStorageUse(Door):
    @operation(
        "See what a version holds",
        tag=TAG,
        name="storage_version",
        answers=VersionHeldSerializer,
        path="name revision",
    )
    def get(self, request: Any, name: str, revision: str) -> Response:
        found = storage_report.of_version(get_version(name, revision, by=self.actor), by=self.actor)
        return Response(self.show(VersionHeldSerializer, found))


class StorageQuotas(Door):
    @operation(
        "Set a storage quota",
        tag=TAG,
        name="storage_quota_set",
        takes=QuotaIn,
        answers=QuotaSerializer,
        is_repeatable=True,
        description="For site admins: of one team, or of every team without its own. What is held already stays.",
    )
    def put(self, request: Any) -> Response:
        body = self.sent(QuotaIn)

        def work() -> Any:
            team = self.team(body.get("team", ""))
            limits = {name: body.get(name) for name in ("soft", "hard")}
            return self.show(QuotaSerializer, quotas.set_quota(team, **limits, by=self.actor))

        return self.once(200, work, body)

    @operation(
        "Remove a storage quota",
        tag=TAG,
        name="storage_quota_drop",
        status=204,
        errors=READ,
        parameters=[query("team", str, "Slug; the quota of every team when left out.")],
        description="A team has then what every team has.",
    )
    def delete(self, request: Any) -> Response:
        sent: QueryDict = request.query_params
        refuse_unknown(request, {"team"})
        quotas.drop_quota(self.team(sent.get("team", "")), by=self.actor)
        return Response(status=204)
