"""Every address of the API. No trailing slashes; what is not here is a problem with status 404."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.urls import include, path, re_path, register_converter
from django.views.decorators.csrf import csrf_exempt

from models_app.http.errors import problem_response

from .approvals import (
    BreakGlass,
    Explain,
    RequestComment,
    RequestDetail,
    RequestInbox,
    RequestList,
    RequestOpen,
    RequestReview,
    RequestReviewAfter,
    RequestReviewers,
    RequestWithdraw,
)
from .audit import AuditExport, AuditList, Checkpoint
from .checks import CheckList
from .compare import Compare
from .compliance import BundleDownload, Compliance
from .datasets import DatasetDetail, DatasetList
from .deliveries import DeliveriesAgain, DeliveryAgain, DeliveryDetail, DeliveryList
from .deployments import (
    DeploymentCallOff,
    DeploymentDetail,
    DeploymentLines,
    DeploymentList,
    DeploymentRenew,
    DeploymentReport,
    DeploymentRollback,
    DeploymentStart,
)
from .environments import (
    EnvironmentClaim,
    EnvironmentDeclared,
    EnvironmentDetail,
    EnvironmentList,
    EnvironmentRunning,
)
from .files import ArchiveDownload, FileDownload, FileList
from .holds import HoldDetail, HoldLift, HoldList
from .incidents import IncidentAcknowledge, IncidentDetail, IncidentList, IncidentResolve
from .lineage import Lineage
from .models import CardTemplate, ModelDetail, ModelList, ModelRename
from .monitoring import (
    DeploymentObservations,
    ThresholdDetail,
    ThresholdList,
)
from .policies import PolicyDetail, PolicyDryRun, PolicyList
from .retention import RetentionDetail, RetentionDryRun, RetentionList
from .runs import RunCurves, RunDetail, RunList, RunLog
from .schema import DocsView, SchemaView
from .search import Search, SearchFacets
from .service_accounts import (
    ServiceAccountDetail,
    ServiceAccountList,
    ServiceTokenDetail,
    ServiceTokenList,
    ServiceTokenRotate,
)
from .stages import AliasDetail, InStage, RollBack, StageMove, TransitionList
from .storage import ModelStorageUse, Storage, StorageQuotas, TeamStorage, VersionStorageUse
from .teams import Me, TeamDetail, TeamList
from .tokens import TokenDetail, TokenList
from .uploads import (
    UploadBundle,
    UploadComplete,
    UploadDetail,
    UploadFiles,
    UploadList,
    UploadPart,
    UploadSeal,
    UploadTargets,
)
from .versions import (
    AllVersions,
    VersionDetail,
    VersionList,
    VersionMetrics,
    VersionRequirements,
)
from .webhooks import WebhookDetail, WebhookList, WebhookRotate, WebhookTest


class ModelName:
    """`team/name` or a plain name. Words that continue an address are no second part, so there is one reading only."""

    regex = r"[^/@]+(?:/(?!(?:versions|rename|rollback|aliases|transitions|card|compliance)(?:/|\Z))[^/@]+)?"

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return value


class Kind:
    """Kind of archive."""

    regex = "zip|tar"

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return value


class Number:
    """A row's number, within what databases count to."""

    regex = "[0-9]{1,18}"

    def to_python(self, value: str) -> int:
        return int(value)

    def to_url(self, value: int) -> str:
        return str(value)


register_converter(ModelName, "api_model")
register_converter(Kind, "api_kind")
register_converter(Number, "api_number")


@csrf_exempt
def nothing_here(request: HttpRequest) -> HttpResponse:
    """Whatever no address of the API matched."""
    return problem_response(
        request, 404, detail="There is no such address in the API.", next_step="See /api/docs/."
    )


SERVICE = "teams/<str:slug>/service-accounts"
VERSION = "models/<api_model:name>/versions/<str:revision>"

v1 = [
    path("schema", SchemaView.as_view(), name="schema"),
    path("me", Me.as_view(), name="me"),
    path("models", ModelList.as_view(), name="models"),
    path("models/<api_model:name>/rename", ModelRename.as_view(), name="rename"),
    path("models/<api_model:name>/rollback", RollBack.as_view(), name="rollback"),
    path("models/<api_model:name>/transitions", TransitionList.as_view(), name="transitions"),
    path("models/<api_model:name>/compliance", Compliance.as_view(), name="compliance"),
    path("models/<api_model:name>/card/template", CardTemplate.as_view(), name="card_template"),
    path("models/<api_model:name>/aliases/<str:alias>", AliasDetail.as_view(), name="alias"),
    path("models/<api_model:name>/versions", VersionList.as_view(), name="versions"),
    path(VERSION, VersionDetail.as_view(), name="version"),
    path(f"{VERSION}/files", FileList.as_view(), name="files"),
    path(f"{VERSION}/files/<path:path>", FileDownload.as_view(), name="file"),
    path(f"{VERSION}/archive.<api_kind:kind>", ArchiveDownload.as_view(), name="archive"),
    path(f"{VERSION}/bundle.zip", BundleDownload.as_view(), name="bundle"),
    path(f"{VERSION}/metrics", VersionMetrics.as_view(), name="metrics"),
    path(f"{VERSION}/lineage", Lineage.as_view(), name="lineage"),
    path(f"{VERSION}/requirements", VersionRequirements.as_view(), name="requirements"),
    path(f"{VERSION}/explain", Explain.as_view(), name="explain"),
    path(f"{VERSION}/checks", CheckList.as_view(), name="checks"),
    path(f"{VERSION}/requests", RequestOpen.as_view(), name="request_open"),
    path(f"{VERSION}/emergency", BreakGlass.as_view(), name="break_glass"),
    path(f"{VERSION}/stage", StageMove.as_view(), name="stage_move"),
    path("models/<api_model:name>", ModelDetail.as_view(), name="model"),
    path("versions", AllVersions.as_view(), name="all_versions"),
    path("compare", Compare.as_view(), name="compare"),
    path("requests", RequestList.as_view(), name="requests"),
    path("requests/waiting", RequestInbox.as_view(), name="requests_waiting"),
    path("requests/<api_number:id>", RequestDetail.as_view(), name="request"),
    path("requests/<api_number:id>/review", RequestReview.as_view(), name="request_review"),
    path("requests/<api_number:id>/comments", RequestComment.as_view(), name="request_comment"),
    path("requests/<api_number:id>/reviewers", RequestReviewers.as_view(), name="request_reviewers"),
    path("requests/<api_number:id>/withdraw", RequestWithdraw.as_view(), name="request_withdraw"),
    path("requests/<api_number:id>/review-after", RequestReviewAfter.as_view(), name="request_review_after"),
    path("policies", PolicyList.as_view(), name="policies"),
    path("policies/dry-run", PolicyDryRun.as_view(), name="policy_dry_run"),
    path("policies/<api_number:id>", PolicyDetail.as_view(), name="policy"),
    path("holds", HoldList.as_view(), name="holds"),
    path("holds/<api_number:id>", HoldDetail.as_view(), name="hold"),
    path("holds/<api_number:id>/lift", HoldLift.as_view(), name="hold_lift"),
    path("retention", RetentionList.as_view(), name="retention"),
    path("retention/dry-run", RetentionDryRun.as_view(), name="retention_dry_run"),
    path("retention/<api_number:id>", RetentionDetail.as_view(), name="retention_policy"),
    path("storage", Storage.as_view(), name="storage"),
    path("storage/quota", StorageQuotas.as_view(), name="storage_quota"),
    path("storage/teams/<str:slug>", TeamStorage.as_view(), name="storage_team"),
    path(f"storage/{VERSION}", VersionStorageUse.as_view(), name="storage_version"),
    path("storage/models/<api_model:name>", ModelStorageUse.as_view(), name="storage_model"),
    path("audit", AuditList.as_view(), name="audit"),
    path("audit/export", AuditExport.as_view(), name="audit_export"),
    path("audit/checkpoint", Checkpoint.as_view(), name="audit_checkpoint"),
    path("stages/<str:stage>", InStage.as_view(), name="stage"),
    path("runs", RunList.as_view(), name="runs"),
    path("runs/<str:uid>", RunDetail.as_view(), name="run"),
    path("runs/<str:uid>/log", RunLog.as_view(), name="run_log"),
    path("runs/<str:uid>/metrics", RunCurves.as_view(), name="run_metrics"),
    path("datasets", DatasetList.as_view(), name="datasets"),
    path("datasets/<api_number:id>", DatasetDetail.as_view(), name="dataset"),
    path("search", Search.as_view(), name="search"),
    path("search/facets", SearchFacets.as_view(), name="facets"),
    path("tokens", TokenList.as_view(), name="tokens"),
    path("tokens/<api_number:id>", TokenDetail.as_view(), name="token"),
    path("teams", TeamList.as_view(), name="teams"),
    path("teams/<str:slug>", TeamDetail.as_view(), name="team"),
    path(SERVICE, ServiceAccountList.as_view(), name="service_accounts"),
    path(f"{SERVICE}/<str:username>", ServiceAccountDetail.as_view(), name="service_account"),
    path(f"{SERVICE}/<str:username>/tokens", ServiceTokenList.as_view(), name="service_tokens"),
    path(
        f"{SERVICE}/<str:username>/tokens/<api_number:id>", ServiceTokenDetail.as_view(), name="service_token"
    ),
    path(
        f"{SERVICE}/<str:username>/tokens/<api_number:id>/rotate",
        ServiceTokenRotate.as_view(),
        name="service_token_rotate",
    ),
    path("uploads", UploadList.as_view(), name="uploads"),
    path("uploads/part/<str:token>", UploadPart.as_view(), name="upload_part"),
    path("uploads/<str:uid>", UploadDetail.as_view(), name="upload"),
    path("uploads/<str:uid>/files", UploadFiles.as_view(), name="upload_files"),
    path("uploads/<str:uid>/targets", UploadTargets.as_view(), name="upload_targets"),
    path("uploads/<str:uid>/bundle", UploadBundle.as_view(), name="upload_bundle"),
    path("uploads/<str:uid>/complete", UploadComplete.as_view(), name="upload_complete"),
    path("uploads/<str:uid>/seal", UploadSeal.as_view(), name="upload_seal"),
    path("environments", EnvironmentList.as_view(), name="environments"),
    path("environments/<slug:environment>", EnvironmentDetail.as_view(), name="environment"),
    path("environments/<slug:environment>/claim", EnvironmentClaim.as_view(), name="environment_claim"),
    path(
        "environments/<slug:environment>/declared", EnvironmentDeclared.as_view(), name="environment_declared"
    ),
    path("environments/<slug:environment>/running", EnvironmentRunning.as_view(), name="environment_running"),
    path("deployments", DeploymentList.as_view(), name="deployments"),
    path("deployments/rollback", DeploymentRollback.as_view(), name="deployment_rollback"),
    path("deployments/<api_number:number>", DeploymentDetail.as_view(), name="deployment"),
    path("deployments/<api_number:number>/start", DeploymentStart.as_view(), name="deployment_start"),
    path("deployments/<api_number:number>/call-off", DeploymentCallOff.as_view(), name="deployment_call_off"),
    path("deployments/<api_number:number>/report", DeploymentReport.as_view(), name="deployment_report"),
    path("deployments/<api_number:number>/renew", DeploymentRenew.as_view(), name="deployment_renew"),
    path("deployments/<api_number:number>/lines", DeploymentLines.as_view(), name="deployment_lines"),
    path(
        "deployments/<api_number:number>/observations",
        DeploymentObservations.as_view(),
        name="deployment_observations",
    ),
    path("thresholds", ThresholdList.as_view(), name="thresholds"),
    path("thresholds/<api_number:number>", ThresholdDetail.as_view(), name="threshold"),
    path("incidents", IncidentList.as_view(), name="incidents"),
    path("incidents/<api_number:number>", IncidentDetail.as_view(), name="incident"),
    path(
        "incidents/<api_number:number>/acknowledge",
        IncidentAcknowledge.as_view(),
        name="incident_acknowledge",
    ),
    path("incidents/<api_number:number>/resolve", IncidentResolve.as_view(), name="incident_resolve"),
    path("webhooks", WebhookList.as_view(), name="webhooks"),
    path("webhooks/<str:uid>", WebhookDetail.as_view(), name="webhook"),
    path("webhooks/<str:uid>/test", WebhookTest.as_view(), name="webhook_test"),
    path("webhooks/<str:uid>/rotate", WebhookRotate.as_view(), name="webhook_rotate"),
    path("webhooks/<str:uid>/redeliver", DeliveriesAgain.as_view(), name="deliveries_again"),
    path("webhooks/<str:uid>/deliveries", DeliveryList.as_view(), name="deliveries"),
    path("webhooks/<str:uid>/deliveries/<str:delivery>", DeliveryDetail.as_view(), name="delivery"),
    path(
        "webhooks/<str:uid>/deliveries/<str:delivery>/redeliver",
        DeliveryAgain.as_view(),
        name="delivery_again",
    ),
]

app_name = "api"
urlpatterns = [
    path("docs/", DocsView.as_view(), name="docs"),
    path("v1/", include(v1)),
    re_path(r"", nothing_here),
]
