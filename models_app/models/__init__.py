"""The tables. One file per noun; every class is importable from here."""

from .artifacts import ArtifactTree, Blob, Manifest, ManifestEntry, TreeEntry
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
from .people import ApiToken, Membership, Role, Scope, Team, User
from .runs import (
    Dataset,
    Experiment,
    Run,
    RunInput,
    RunMetric,
    RunParam,
    RunStatus,
    RunTag,
)
from .search import SearchDocument, SearchMetric

__all__ = [
    "Alias",
    "ApiToken",
    "ArtifactTree",
    "AuditEvent",
    "Blob",
    "Dataset",
    "EvaluationReport",
    "Experiment",
    "IdempotencyRecord",
    "LineageEdge",
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
    "RunMetric",
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
]
