"""Checks that automations report on a version, like commit statuses."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers
from rest_framework.response import Response

from models_app.models import Check, CheckState
from models_app.registry import checks
from models_app.registry.access import get_version

from . import fields
from .base import Door
from .parsing import Strict, Text
from .schema import operation

TAG = "Checks"


class CheckSerializer(serializers.ModelSerializer):
    """The last word of an automation under one name."""

    url = serializers.CharField(read_only=True, help_text="Where the details are; may be empty.")
    reported_by = fields.person("reported_by")

    class Meta:
        model = Check
        fields = ["name", "state", "summary", "url", "reported_by", "reported_at"]
        read_only_fields = fields


class CheckIn(Strict):
    name = Text(max_length=100, help_text="Such as integration-tests; a policy can require it.")
    state = serializers.ChoiceField(CheckState.choices)
    summary = Text(required=False, max_length=1000, help_text="One line.")
    url = Text(required=False, max_length=1000, help_text="Where the details are.")


class CheckList(Door):
    @operation(
        "List a version's checks",
        tag=TAG,
        name="checks_list",
        answers=CheckSerializer(many=True),
        path="name revision",
    )
    def get(self, request: Any, name: str, revision: str) -> Response:
        version = get_version(name, revision, by=self.actor)
        rows = version.checks.select_related("reported_by")
        return Response(self.show(CheckSerializer, rows, many=True))

    @operation(
        "Report a check",
        tag=TAG,
        name="checks_report",
        takes=CheckIn,
        answers=CheckSerializer,
        path="name revision",
        is_repeatable=True,
        description="The last word under a name counts. What waited only for it is promoted now.",
    )
    def post(self, request: Any, name: str, revision: str) -> Response:
        body = self.sent(CheckIn)

        def work() -> Any:
            version = get_version(name, revision, by=self.actor)
            return self.show(CheckSerializer, checks.report(version, by=self.actor, **body))

        return self.once(200, work, body)
