"""Promotion requests: ask, see where one stands, review, comment, withdraw; and the emergency way."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.response import Response

from models_app.models import (
    PromotionRequest,
    RequestEntry,
    RequestState,
    Review,
    Stage,
    Verdict,
)
from models_app.registry import approvals, lifecycle, metadata, promotions, reviews
from models_app.registry.access import get_version

from . import fields
from .base import Door, Listing, address
from .parsing import Strict, Switch, Text
from .schema import operation, query
from .versions import RequirementSerializer

TAG = "Approvals"
REASON = lifecycle.MAX_REASON


class ReviewSerializer(serializers.ModelSerializer):
    """What one person said. A dismissed review no longer counts."""

    reviewer = fields.person("reviewer")

    class Meta:
        model = Review
        fields = ["reviewer", "role", "verdict", "body", "created_at", "dismissed_at", "dismissed_why"]
        read_only_fields = fields


class EntrySerializer(serializers.ModelSerializer):
    """A line of the discussion."""

    by = fields.person("by")

    class Meta:
        model = RequestEntry
        fields = ["kind", "by", "body", "at"]
        read_only_fields = fields


class RequestSummarySerializer(serializers.ModelSerializer):
    """A promotion request as lists show it."""

    number = serializers.IntegerField(source="pk")
    url = serializers.SerializerMethodField()
    model = serializers.CharField(source="model.name")
    version = serializers.IntegerField(source="version.number")
    requested_by = fields.person("requested_by")

    class Meta:
        model = PromotionRequest
        fields = [
            "number",
            "url",
            "model",
            "version",
            "to_stage",
            "state",
            "reason",
            "keep_former",
            "is_emergency",
            "requested_by",
            "created_at",
            "updated_at",
            "expires_at",
            "decided_at",
        ]
        read_only_fields = fields

    @extend_schema_field(serializers.URLField())
    def get_url(self, request: PromotionRequest) -> str:
        return address(self.context["request"], "request", id=request.pk)


class RequestSerializer(RequestSummarySerializer):
    """A promotion request with what is demanded, who said what, and the text of the policies it falls under."""

    requirements = serializers.SerializerMethodField()
    reviews = ReviewSerializer(many=True)
    entries = EntrySerializer(many=True)
    evidence = serializers.SerializerMethodField(
        help_text="Names what a reviewer decides on; send it with a review."
    )
    policies = serializers.JSONField(
        help_text="The policy versions the request was judged under, with their text."
    )

    class Meta(RequestSummarySerializer.Meta):
        fields = [
            *RequestSummarySerializer.Meta.fields,
            "evidence",
            "requirements",
            "reviews",
            "entries",
            "policies",
        ]
        read_only_fields = fields

    def to_representation(self, instance: PromotionRequest) -> Any:
        self._found = approvals.judge(instance.version, to=instance.to_stage, request=instance)
        return super().to_representation(instance)

    @extend_schema_field(serializers.CharField())
    def get_evidence(self, request: PromotionRequest) -> str:
        return self._found.case.evidence()

    @extend_schema_field(RequirementSerializer(many=True))
    def get_requirements(self, request: PromotionRequest) -> Any:
        return RequirementSerializer(self._found.demands, many=True).data


class Asking(Strict):
    to = serializers.ChoiceField(Stage.choices, required=False, help_text="production unless told.")
    reason = Text(required=False, max_length=REASON, help_text="Why, for the record.")
    keep_former = Switch(required=False, help_text="Keep what is in production now beside it.")
    reviewers = serializers.ListField(child=Text(max_length=150), required=False, help_text="Usernames.")


class Reviewing(Strict):
    verdict = serializers.ChoiceField(Verdict.choices)
    body = Text(required=False, max_length=approvals.MAX_BODY, help_text="Needed unless it is a yes.")
    evidence = Text(
        required=False,
        max_length=64,
        help_text="The request's evidence as you saw it: 409 when it has changed.",
    )


class Commenting(Strict):
    body = Text(min_length=1, max_length=approvals.MAX_BODY)


class Reviewers(Strict):
    reviewers = serializers.ListField(child=Text(max_length=150), max_length=20, help_text="Usernames.")


class Withdrawing(Strict):
    reason = Text(required=False, max_length=REASON)


class Emergency(Strict):
    to = serializers.ChoiceField(Stage.choices, required=False, help_text="production unless told.")
    reason = Text(min_length=1, max_length=REASON, help_text="What the emergency is: it will be read.")
    keep_former = Switch(required=False)


class RequestFilter(filters.FilterSet):
    model = fields.Exactly("model__name")
    team = fields.Exactly("model__team__slug", "Slug of the model's team.")
    state = filters.ChoiceFilter(choices=RequestState.choices)
    requested_by = fields.Exactly("requested_by__username", "Username.")
    is_emergency = fields.Flag()


class RequestList(Listing):
    model = PromotionRequest
    serializer_class = RequestSummarySerializer
    filterset_class = RequestFilter
    orderings = {"-number": (("id", "desc"),), "number": (("id", "asc"),)}

    def rows(self) -> QuerySet[PromotionRequest]:
        return approvals.requests_for(self.actor)

    @operation(
        "List promotion requests", tag=TAG, name="requests_list", answers=RequestSummarySerializer(many=True)
    )
    def get(self, request: Any) -> Response:
        return self.list(request)


class RequestInbox(Listing):
    model = PromotionRequest
    serializer_class = RequestSummarySerializer
    filterset_class = RequestFilter
    orderings = RequestList.orderings

    def rows(self) -> QuerySet[PromotionRequest]:
        return approvals.waiting_for(self.actor)

    @operation(
        "List what waits for you",
        tag=TAG,
        name="requests_inbox",
        answers=RequestSummarySerializer(many=True),
        description="Requests that you were asked to review or could decide, and have not spoken on.",
    )
    def get(self, request: Any) -> Response:
        return self.list(request)


class RequestOpen(Door):
    @operation(
        "Ask for a promotion",
        tag=TAG,
        name="requests_open",
        takes=Asking,
        answers=RequestSerializer,
        status=201,
        path="name revision",
        is_repeatable=True,
        description="What is still missing may be filled in while the request is open.",
    )
    def post(self, request: Any, name: str, revision: str) -> Response:
        body = self.sent(Asking)
        usernames = body.pop("reviewers", [])

        def work() -> Any:
            version = get_version(name, revision, by=self.actor)
            made = promotions.ask(
                version,
                by=self.actor,
                reviewers=_people(usernames),
                **{"to": Stage.PRODUCTION, **body},
            )
            return self.show(RequestSerializer, approvals.get_request(made.pk, by=self.actor))

        return self.once(201, work, body, usernames)


def _people(usernames: list[str]) -> list[Any]:
    people = [metadata.find_person("reviewers", username) for username in usernames]
    return [person for person in people if person is not None]


class RequestDoor(Door):
    """What is done to one request."""

    def act(self, number: int, work: Any, *sent: Any) -> Response:
        """Fetch, do, and answer with the request as it is then."""

        def done() -> Any:
            work(approvals.get_request(number, by=self.actor))
            return self.show(RequestSerializer, approvals.get_request(number, by=self.actor))

        return self.once(200, done, *sent)


class RequestDetail(RequestDoor):
    @operation(
        "Read a promotion request", tag=TAG, name="requests_read", answers=RequestSerializer, path="id"
    )
    def get(self, request: Any, id: int) -> Response:
        return Response(self.show(RequestSerializer, approvals.get_request(id, by=self.actor)))


class RequestReview(RequestDoor):
    @operation(
        "Review a promotion request",
        tag=TAG,
        name="requests_review",
        takes=Reviewing,
        answers=RequestSerializer,
        path="id",
        is_repeatable=True,
        description="The yes that completes what is demanded promotes at once. The author of the version and whoever "
        "asked cannot review.",
    )
    def post(self, request: Any, id: int) -> Response:
        body = self.sent(Reviewing)
        return self.act(id, lambda found: reviews.review(found, by=self.actor, **body), body)


class RequestComment(RequestDoor):
    @operation(
        "Comment on a promotion request",
        tag=TAG,
        name="requests_comment",
        takes=Commenting,
        answers=RequestSerializer,
        path="id",
        is_repeatable=True,
    )
    def post(self, request: Any, id: int) -> Response:
        body = self.sent(Commenting)
        return self.act(id, lambda found: reviews.comment(found, by=self.actor, **body), body)


class RequestReviewers(RequestDoor):
    @operation(
        "Ask others for a review",
        tag=TAG,
        name="requests_reviewers",
        takes=Reviewers,
        answers=RequestSerializer,
        path="id",
        is_repeatable=True,
        description="Instead of those who were asked before.",
    )
    def put(self, request: Any, id: int) -> Response:
        body = self.sent(Reviewers)
        return self.act(
            id,
            lambda found: reviews.ask_reviewers(found, reviewers=_people(body["reviewers"]), by=self.actor),
            body,
        )


class RequestWithdraw(RequestDoor):
    @operation(
        "Withdraw a promotion request",
        tag=TAG,
        name="requests_withdraw",
        takes=Withdrawing,
        answers=RequestSerializer,
        path="id",
        is_repeatable=True,
    )
    def post(self, request: Any, id: int) -> Response:
        body = self.sent(Withdrawing)
        return self.act(id, lambda found: promotions.withdraw(found, by=self.actor, **body), body)


class RequestReviewAfter(RequestDoor):
    @operation(
        "Review an emergency afterwards",
        tag=TAG,
        name="requests_review_after",
        takes=Commenting,
        answers=RequestSerializer,
        path="id",
        is_repeatable=True,
    )
    def post(self, request: Any, id: int) -> Response:
        body = self.sent(Commenting)
        return self.act(id, lambda found: promotions.review_after(found, by=self.actor, **body), body)


class BreakGlass(Door):
    @operation(
        "Promote in an emergency",
        tag=TAG,
        name="requests_break_glass",
        takes=Emergency,
        answers=RequestSerializer,
        status=201,
        path="name revision",
        is_repeatable=True,
        description="For admins: at once, past policies and approvals, with a reason; somebody else reviews it later.",
    )
    def post(self, request: Any, name: str, revision: str) -> Response:
        body = self.sent(Emergency)

        def work() -> Any:
            version = get_version(name, revision, by=self.actor)
            made = promotions.break_glass(version, by=self.actor, **{"to": Stage.PRODUCTION, **body})
            return self.show(RequestSerializer, approvals.get_request(made.pk, by=self.actor))

        return self.once(201, work, body)


class Explain(Door):
    @operation(
        "See what keeps a version out of a stage",
        tag=TAG,
        name="versions_explain",
        answers=RequirementSerializer(many=True),
        path="name revision",
        parameters=[query("to", str, "The stage; production unless told.", enum=Stage.values)],
        description="Only what is unmet, approvals among it: empty when the version could move now.",
    )
    def get(self, request: Any, name: str, revision: str) -> Response:
        version = get_version(name, revision, by=self.actor)
        stage = fields.stage_in(request)
        found = approvals.judge(version, to=stage, request=approvals.open_request(version, to=stage))
        return Response(self.show(RequirementSerializer, found.missing, many=True))
