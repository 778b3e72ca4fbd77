"""What was done, in words: `who` + these + the subject is a sentence."""

from __future__ import annotations

from models_app.models import AuditEvent

# Noun → verb → words. A test compares with what the core records.
NOUNS: dict[str, dict[str, str]] = {
    "Models": {
        "model.registered": "registered the model",
        "model.updated": "changed the model",
        "model.tags_set": "set tags of",
        "model.tag_set": "set a tag of",
        "model.tag_deleted": "removed a tag of",
        "model.renamed": "renamed a model to",
        "model.handed_over": "handed over the model",
        "model.deleted": "deleted the model",
    },
    "Versions": {
        "version.registered": "registered",
        "version.updated": "changed",
        "version.moved": "moved",
        "version.rolled_back": "rolled back",
        "version.tag_set": "set a tag of",
        "version.tag_deleted": "removed a tag of",
        "version.deleted": "deleted",
        "alias.set": "set an alias of",
        "alias.deleted": "removed an alias of",
        "lineage.linked": "linked",
        "check.reported": "reported a check of",
        "hold.placed": "placed a legal hold on",
        "hold.lifted": "lifted a legal hold on",
    },
    "Approvals": {
        "promotion.requested": "asked to promote",
        "promotion.review_requested": "asked for reviews of",
        "promotion.reviewed": "reviewed",
        "promotion.commented": "commented on",
        "promotion.dismissed": "dismissed an approval of",
        "promotion.changes_requested": "asked for changes to",
        "promotion.promoted": "finished the promotion of",
        "promotion.rejected": "rejected the promotion of",
        "promotion.withdrawn": "withdrew the request for",
        "promotion.expired": "let the request expire for",
        "promotion.emergency": "promoted in an emergency",
        "promotion.reviewed_after": "reviewed the emergency of",
        "policy.set": "set the policy",
        "retention.set": "set the retention policy of",
        "retention.removed": "removed the retention policy of",
    },
    "Deployments": {
        "environment.created": "set up the environment",
        "environment.changed": "changed the environment",
        "environment.deleted": "deleted the environment",
        "deployment.queued": "queued a deployment of",
        "deployment.released": "started a waiting deployment of",
        "deployment.started": "started to deploy",
        "deployment.verifying": "went on to verify",
        "deployment.live": "made live",
        "deployment.endpoint_changed": "gave another serving endpoint to",
        "deployment.failed": "ended as failed a deployment of",
        "deployment.rolled_back": "finished the rollback of",
        "deployment.superseded": "ended as superseded a deployment of",
        "deployment.withheld": "did not deploy again",
    },
    "Monitoring": {
        "deployment.observed": "began to observe",
        "incident.opened": "opened an incident on",
        "incident.acknowledged": "took up the incident on",
        "incident.resolved": "resolved the incident on",
        "version.retrains": "answered an incident with",
        "threshold.set": "set a threshold of",
        "threshold.changed": "changed a threshold of",
        "threshold.removed": "removed a threshold of",
    },
    "Refusals": {"refused": "was refused"},
    "People and teams": {
        "user.created": "created the person",
        "user.updated": "changed the profile of",
        "user.account_set": "changed the account of",
        "user.sso_linked": "linked to single sign-on",
        "user.password_set": "set the password of",
        "login.succeeded": "logged in as",
        "login.failed": "tried to log in as",
        "login.locked": "tried too often to log in as",
        "second_factor.added": "turned on the second factor of",
        "second_factor.removed": "turned off the second factor of",
        "second_factor.reset": "reset the second factor of",
        "second_factor.codes_renewed": "made new recovery codes for",
        "login.released": "released the login of",
        "session.ended": "ended a session of",
        "session.all_ended": "ended the sessions of",
        "token.created": "made the token",
        "token.revoked": "revoked the token",
        "token.all_revoked": "revoked the tokens of",
        "person.left": "saw off",
        "team.created": "created the team",
        "team.updated": "changed the team",
        "team.role_set": "set the role of",
        "team.member_removed": "took out of the team",
        "service_account.created": "created the service account",
        "service_account.deactivated": "deactivated the service account",
    },
    "Training": {
        "experiment.created": "created the experiment",
        "experiment.renamed": "renamed an experiment to",
        "experiment.deleted": "deleted the experiment",
        "experiment.restored": "restored the experiment",
        "run.created": "started the run",
        "run.finished": "finished the run",
        "run.deleted": "deleted the run",
        "run.restored": "restored the run",
        "dataset.registered": "registered the dataset",
        "logged_model.created": "logged the model",
        "logged_model.finished": "finished logging the model",
        "logged_model.deleted": "deleted the logged model",
        "artifacts.removed": "removed files of",
    },
    "Moving in": {
        "model.imported": "took over the model",
        "version.imported": "took over",
        "alias.imported": "took over an alias of",
        "experiment.imported": "took over the experiment",
        "run.imported": "took over the run",
        "logged_model.imported": "took over the logged model",
    },
    "Storage": {
        "storage.swept": "removed",
        "storage.cooled": "moved between classes of storage",
        "storage.damaged": "found damaged and moved aside",
        "storage.restored": "restored",
        "quota.set": "set the storage quota of",
        "quota.dropped": "removed the storage quota of",
        "storage.moved": "copied to another store",
    },
    "Webhooks and audit": {
        "webhook.created": "created the webhook",
        "webhook.updated": "changed the webhook",
        "webhook.deleted": "deleted the webhook",
        "webhook.redelivered": "sent again a message of the webhook",
        "webhook.secret_rotated": "replaced the secret of the webhook",
        "webhook.paused": "paused the webhook",
        "audit.checkpoint_signed": "signed the audit up to",
    },
}
WORDS = {verb: words for verbs in NOUNS.values() for verb, words in verbs.items()}
DOORS = {
    "web": "Pages",
    "api": "REST",
    "mlflow": "MLflow",
    "admin": "Admin",
    "shell": "Command line",
    "task": "Worker",
}


def words_for(event: AuditEvent) -> str:
    """What was done, to stand before the subject; a verb that has no words is told as it is."""
    return WORDS.get(event.verb, event.verb)


def goes_to(event: AuditEvent) -> str:
    """Where a version went, to stand behind the subject."""
    return event.after.get("stage", "") if event.verb in ("version.moved", "version.rolled_back") else ""
