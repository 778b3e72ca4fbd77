"""The tables. One file per noun; every class is importable from here."""

from . import lookups  # noqa: F401  (registers them)
from .artifacts import ArtifactTree, ArtifactUpload, Blob, Manifest, ManifestEntry, TreeEntry
from .audit import AuditEvent
from .catalog import (
    EvaluationReport,
    ModelRedirect,
    ModelTag,
    ModelVersion,
    PiiUsage,
    RegisteredModel,
    Risk,
    RiskFlag,
    VersionMetric,
    VersionTag,
    Visibility,
)
from .events import IdempotencyRecord, OutboxEvent
from .lifecycle import Alias, Stage, StageTransition, TransitionKind
from .lineage import LineageEdge, Relation
from .logged_models import (
    LoggedModel,
    LoggedModelMetric,
    LoggedModelParam,
    LoggedModelStatus,
    LoggedModelTag,
    RunModel,
    RunModelKind,
)
from .people import ApiToken, Membership, Role, Scope, Team, User
from .runs import (
    Dataset,
    Experiment,
    ExperimentTag,
    Run,
    RunInput,
    RunLatestMetric,
    RunMetric,
    RunParam,
    RunStatus,
    RunTag,
)
from .search import SearchDocument, SearchMetric
from .webhooks import Delivery, DeliveryState, Webhook, WebhookScheme, WebhookStatus

__all__ = [
    "Alias",
    "ApiToken",
    "ArtifactTree",
    "ArtifactUpload",
    "AuditEvent",
    "Blob",
    "Dataset",
    "Delivery",
    "DeliveryState",
    "EvaluationReport",
    "Experiment",
    "ExperimentTag",
    "IdempotencyRecord",
    "LineageEdge",
    "LoggedModel",
    "LoggedModelMetric",
    "LoggedModelParam",
    "LoggedModelStatus",
    "LoggedModelTag",
    "Manifest",
    "ManifestEntry",
    "Membership",
    "ModelRedirect",
    "ModelTag",
    "ModelVersion",
    "OutboxEvent",
    "PiiUsage",
    "RegisteredModel",
    "Relation",
    "Risk",
    "RiskFlag",
    "Role",
    "Run",
    "RunInput",
    "RunLatestMetric",
    "RunMetric",
    "RunModel",
    "RunModelKind",
    "RunParam",
    "RunStatus",
    "RunTag",
    "Scope",
    "SearchDocument",
    "SearchMetric",
    "Stage",
    "StageTransition",
    "Team",
    "TransitionKind",
    "TreeEntry",
    "User",
    "VersionMetric",
    "VersionTag",
    "Visibility",
    "Webhook",
    "WebhookScheme",
    "WebhookStatus",
]
