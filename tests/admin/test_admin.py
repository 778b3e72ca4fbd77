import pytest
from django.contrib import admin
from django.urls import reverse

from models_app.models import AuditEvent, Membership, ModelVersion, Policy, RegisteredModel, Team, User
from models_app.registry import people as verbs
from models_app.registry import policies, promotions, runs
from tests import builders

pytestmark = pytest.mark.django_db

TABLES = [model._meta.model_name for model in admin.site._registry]


@pytest.fixture
def model(people):
    model = builders.model(by=people.bob, tags=["x"])
    run = runs.create_run(by=people.bob, params={"a": 1}, tags={"b": "c"}, datasets=[{"name": "d"}])
    builders.promoted(
        model, by=people.bob, approver=people.carol, run=run.uid, risk_flags=["r"], aliases=["champion"]
    )
    builders.promoted(model, by=people.bob, approver=people.carol)
    return model


@pytest.fixture
def root(client, people):
    client.force_login(people.root.user)
    return client


@pytest.fixture
def owner(client, people):
    """alice, who owns team risk, with access to the admin."""
    verbs.set_account(people.alice.user, by=people.root, is_active=True, is_staff=True, is_site_admin=False)
    client.force_login(User.objects.get(username="alice"))
    return client


def changelist(table):
    return reverse(f"admin:models_app_{table}_changelist")


def change(row):
    return reverse(f"admin:models_app_{row._meta.model_name}_change", args=[row.pk])


@pytest.mark.parametrize("table", TABLES)
def test_every_table_is_found_searched_and_opened(root, model, table):
    assert root.get(changelist(table)).status_code == 200
    assert root.get(changelist(table), {"q": "risk"}).status_code == 200
    registered = admin.site._registry[next(m for m in admin.site._registry if m._meta.model_name == table)]
    row = registered.model._default_manager.first()
    if row is not None:
        assert root.get(change(row)).status_code == 200


def test_strangers_and_people_without_the_flag_stay_out(client, people, model):
    assert client.get(changelist("registeredmodel")).status_code == 302
    client.force_login(people.alice.user)
    assert client.get(changelist("registeredmodel")).status_code == 302


def test_facts_change_through_the_verb(root, model):
    page = root.get(change(model))
    form = page.context["adminform"].form
    data = {name: form.initial.get(name) or "" for name in form.fields} | {"purpose": "From the admin."}
    assert root.post(change(model), data).status_code == 302
    event = AuditEvent.objects.filter(verb="model.updated").first()
    assert (event.after, event.door, event.actor_name) == ({"purpose": "From the admin."}, "admin", "root")


def test_a_refusal_is_a_message_and_changes_nothing(root, model):
    form = root.get(change(model)).context["adminform"].form
    data = {name: form.initial.get(name) or "" for name in form.fields} | {"license": "Nonsense-9"}
    answer = root.post(change(model), data, follow=True)
    assert "Nonsense-9" in answer.content.decode()
    model.refresh_from_db()
    assert model.license == ""


def test_sealed_content_has_no_input(root, model):
    version = model.versions.first()
    names = set(root.get(change(version)).context["adminform"].form.fields)
    assert "license" in names
    assert not names & {"number", "manifest", "stage", "dataset_version", "code_commit", "rollback_target"}
    for table in ("blob", "manifest", "manifestentry", "auditevent", "stagetransition", "versionmetric"):
        row = admin.site._registry[
            next(m for m in admin.site._registry if m._meta.model_name == table)
        ].model._default_manager.first()
        page = root.get(change(row))
        assert not page.context["has_change_permission"]
        assert not page.context["has_delete_permission"]
        assert root.post(change(row), {}).status_code == 403


def act(client, table, action, rows, **more):
    data = {"action": action, "_selected_action": [row.pk for row in rows], **more}
    return client.post(changelist(table), data, follow=True)


def test_moving_asks_for_a_reason_and_is_refused_by_the_same_rules(root, people, model):
    bare = builders.version(model, by=people.bob)
    assert b"Reason" in act(root, "modelversion", "move", [bare]).content
    answer = act(root, "modelversion", "move", [bare], choice="production", reason="x")
    assert "it lacks dataset version" in answer.content.decode()
    act(root, "modelversion", "move", [bare], choice="staging", reason="try")
    bare.refresh_from_db()
    assert bare.stage == "staging"


def test_rolling_back(root, model):
    act(root, "registeredmodel", "roll_back", [model], reason="bad")
    assert ModelVersion.objects.get(model=model, stage="production").number == 1
    answer = act(root, "registeredmodel", "roll_back", [model], reason="bad")
    assert "no earlier" in answer.content.decode()


def test_deleting_is_refused_while_in_production(root, model):
    address = reverse("admin:models_app_registeredmodel_delete", args=[model.pk])
    root.post(address, {"post": "yes"})
    assert RegisteredModel.objects.filter(pk=model.pk).exists()


def test_owners_see_and_change_what_is_theirs(owner, people, model):
    hidden = builders.model("vision/secret", by=people.charlie, visibility="team")
    shown = builders.model("vision/open", by=people.charlie)
    listed = owner.get(changelist("registeredmodel")).content.decode()
    assert model.name in listed
    assert shown.name in listed
    assert hidden.name not in listed
    assert owner.get(change(hidden)).status_code == 302
    assert not owner.get(change(shown)).context["has_change_permission"]
    assert owner.post(change(shown), {"purpose": "Mine."}).status_code == 403
    for table in ("auditevent", "apitoken", "blob"):
        assert owner.get(changelist(table)).status_code == 403
    assert owner.get(reverse("admin:models_app_user_add")).status_code == 403


def test_people_teams_and_roles(root, people):
    answer = root.post(
        reverse("admin:models_app_user_add"),
        {
            "username": "newbie",
            "usable_password": "true",
            "password1": "long enough 123",
            "password2": "long enough 123",
        },
    )
    assert answer.status_code == 302
    user = User.objects.get(username="newbie")
    assert user.check_password("long enough 123")
    root.post(reverse("admin:models_app_team_add"), {"slug": "new", "name": "New", "description": ""})
    team = Team.objects.get(slug="new")
    root.post(
        reverse("admin:models_app_membership_add"), {"team": team.pk, "user": user.pk, "role": "viewer"}
    )
    assert Membership.objects.get(team=team).role == "viewer"
    root.post(
        change(user), {"first_name": "New", "last_name": "", "email": "", "is_active": "on", "is_staff": "on"}
    )
    user.refresh_from_db()
    assert (user.first_name, user.is_staff, user.is_superuser) == ("New", True, False)
    names = set(AuditEvent.objects.values_list("verb", flat=True))
    assert {"user.created", "team.created", "team.role_set", "user.account_set"} <= names


def test_the_last_site_admin_stays(root, people):
    root.post(change(people.root.user), {"first_name": "", "last_name": "", "email": "", "is_active": "on"})
    people.root.user.refresh_from_db()
    assert people.root.user.is_superuser


def test_tokens_are_revoked_and_their_digest_is_not_shown(root, people):
    token, _ = verbs.create_token(user=people.bob.user, name="ci", scopes=["read"], by=people.bob)
    assert token.digest not in root.get(change(token)).content.decode()
    act(root, "apitoken", "revoke", [token])
    token.refresh_from_db()
    assert token.revoked_at is not None


@pytest.mark.parametrize(
    "table", ["registeredmodel", "modelversion", "versionmetric", "stagetransition", "auditevent"]
)
def test_lists_cost_the_same_whatever_they_list(root, people, table, django_assert_max_num_queries):
    model = builders.model(by=people.bob)
    for _ in range(15):
        builders.complete_version(model, by=people.bob)
    root.get("/admin/")  # notes the session, which is done once in a while
    with django_assert_max_num_queries(12):
        assert root.get(changelist(table)).status_code == 200


def test_policies_are_written_through_the_verb_by_who_may(root, people, model):
    add = reverse("admin:models_app_policy_add")
    form = {
        "stage": "production",
        "risk_level": "",
        "is_active": "on",
        "reason": "Audit.",
        "team": people.risk.pk,
    }
    assert root.post(add, {**form, "text": '{"report": true}'}).status_code == 302
    policy = Policy.objects.get()
    assert (policy.team, policy.number, policy.versions.get().created_by) == (
        people.risk,
        1,
        people.root.user,
    )
    for text, told in [
        ('{"fields": ["shoe_size"]}', "There is no field"),
        ("{", "valid JSON"),
        ('{"expressions": [{"name": "x", "cel": "1 +"}]}', "does not compile"),
    ]:
        answer = root.post(change(policy), {"is_active": "on", "text": text})
        assert answer.status_code == 200
        assert told in answer.content.decode()
    assert root.post(add, {**form, "model": model.pk, "text": "{}"}).status_code == 200
    assert root.post(change(policy), {"text": "{}"}).status_code == 302
    policy.refresh_from_db()
    assert (policy.rules, policy.number, policy.is_active) == ({}, 2, False)
    assert AuditEvent.objects.filter(verb="policy.set", door="admin").count() == 2
    assert b"Audit." in root.get(change(policy)).content


def test_only_who_manages_writes_policies(owner, people, model):
    policy = policies.set_policy(stage="production", team=people.risk, rules={"report": True}, by=people.erin)
    assert b"report" in owner.get(change(policy)).content
    assert owner.post(change(policy), {"text": "{}"}).status_code == 403
    assert owner.get(reverse("admin:models_app_policy_add")).status_code == 403


def test_requests_are_withdrawn(root, people, model):
    asked = promotions.ask(builders.complete_version(model, by=people.bob), to="production", by=people.bob)
    act(root, "promotionrequest", "withdraw", [asked], reason="Not now.")
    asked.refresh_from_db()
    assert asked.state == "withdrawn"
