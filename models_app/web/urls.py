"""Addresses of pages. The map with its rules is docs/url-map.md."""

from django.urls import path

from . import (
    account,
    activity,
    approvals,
    audit,
    client_file,
    compare,
    compliance,
    converters,
    help,
    leaving,
    lineage,
    models,
    policies,
    runs,
    search,
    second_factor,
    security,
    service_accounts,
    teams,
    uploads,
    versions,
)

converters.register()

app_name = "web"

MODEL = "models/<model:name>/"
VERSION = "models/<model:name>@<rev:rev>/"

urlpatterns = [
    path("client.py", client_file.client_file),
    path("", search.search, name="search"),
    path("register/", models.register, name="register_model"),
    path("account/", account.profile, name="profile"),
    path("account/theme/", account.theme, name="theme"),
    path("account/security/", security.security, name="security"),
    path("account/second-factor/", second_factor.manage, name="second_factor"),
    path("account/password/", security.password, name="password"),
    path("account/sessions/<int:pk>/end/", security.end_session, name="end_session"),
    path("account/sessions/end-others/", security.end_other_sessions, name="end_other_sessions"),
    path("account/tokens/", account.tokens, name="tokens"),
    path("account/tokens/<int:pk>/revoke/", account.revoke_token, name="revoke_token"),
    path("people/<str:username>/leaving/", leaving.leaving, name="leaving"),
    path("teams/", teams.teams, name="teams"),
    path("teams/<slug:slug>/", teams.team, name="team"),
    path("teams/<slug:slug>/members/", teams.set_member, name="set_member"),
    path("teams/<slug:slug>/members/<str:username>/remove/", teams.remove_member, name="remove_member"),
    path("teams/<slug:slug>/service-accounts/", service_accounts.create, name="service_account_create"),
    path(
        "teams/<slug:slug>/service-accounts/<str:username>/", service_accounts.account, name="service_account"
    ),
    path("teams/<slug:slug>/policies/", policies.of_team, name="team_policies"),
    path("policies/", policies.of_site, name="policies"),
    path("approvals/", approvals.inbox, name="approvals"),
    path("approvals/<int:number>/", approvals.promotion, name="promotion"),
    path("approvals/<int:number>/review/", approvals.review, name="promotion_review"),
    path("approvals/<int:number>/withdraw/", approvals.withdraw, name="promotion_withdraw"),
    path("approvals/<int:number>/reviewers/", approvals.ask_reviewers, name="promotion_reviewers"),
    path("approvals/<int:number>/review-after/", approvals.review_after, name="promotion_review_after"),
    path("audit/", audit.audit, name="audit"),
    path("audit/export.csv", audit.export, {"kind": "csv"}, name="audit_csv"),
    path("audit/export.jsonl", audit.export, {"kind": "jsonl"}, name="audit_jsonl"),
    path("help/clients/", help.clients, name="help_clients"),
    path("runs/<str:uid>/", runs.run, name="run"),
    path(VERSION, versions.version, name="version"),
    path(VERSION + "edit/", versions.edit, name="version_edit"),
    path(VERSION + "move/", versions.move, name="version_move"),
    path(VERSION + "request/", approvals.ask, name="version_request"),
    path(VERSION + "emergency/", approvals.emergency, name="version_emergency"),
    path(VERSION + "alias/", versions.alias, name="version_alias"),
    path(VERSION + "hold/", versions.hold, name="version_hold"),
    path(VERSION + "delete/", versions.delete, name="version_delete"),
    path(VERSION + "bundle.zip", compliance.bundle, name="version_bundle"),
    path(VERSION + "download.zip", versions.download, {"kind": "zip"}, name="version_download"),
    path(VERSION + "download.tar", versions.download, {"kind": "tar"}, name="version_download_tar"),
    path(VERSION + "files/<path:path>", versions.file, name="version_file"),
    # A tab is the last word, so these stand before the model itself, whose name may have two segments.
    path(MODEL + "versions/", models.versions, name="model_versions"),
    path(MODEL + "compare/", compare.chosen, name="compare_chosen"),
    path(MODEL + "compare/<str:numbers>/", compare.compare, name="compare"),
    path(MODEL + "compliance/", compliance.model, name="model_compliance"),
    path(MODEL + "lineage/", lineage.model, name="model_lineage"),
    path(MODEL + "activity/", activity.model, name="model_activity"),
    path(MODEL + "settings/hold/", models.hold, name="model_hold"),
    path(MODEL + "settings/", models.settings, name="model_settings"),
    path(MODEL + "rename/", models.rename, name="model_rename"),
    path(MODEL + "delete/", models.delete, name="model_delete"),
    path(MODEL + "rollback/", models.rollback, name="rollback"),
    path(MODEL + "upload/", uploads.upload, name="upload_version"),
    path(MODEL, models.model, name="model"),
]
