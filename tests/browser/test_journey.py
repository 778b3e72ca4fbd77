"""The main ways through the pages, in a real browser, with the mouse and with the keyboard alone."""

import json

import pytest
from playwright.sync_api import expect

from tests.agents import Team
from tests.browser.conftest import DESKTOP, PHONE

NAME = "risk/scorer"
COMPLETE = {
    "dataset_name": "payments",
    "dataset_version": "2026-05",
    "license": "MIT",
    "owner": "alice",
}
# Nobody calls out here: what was requested is told, and its receiver was busy.
ONE_ANSWERED = """
from django.utils import timezone
from models_app.outbound import Reply
from models_app.registry import deliveries
from models_app.registry.hook_sending import Attempt
from models_app.tasks.dispatcher import dispatch
dispatch()
(batch,) = deliveries.take(limit=1)
busy = Attempt(timezone.now(), None, Reply(503, "busy"), "Answered with status 503.", 12, True)
sent = [deliveries.Sent(batch, batch.messages[0], busy)]
deliveries.note(sent)
deliveries.give_back(batch, sent)
"""


@pytest.fixture(scope="module")
def company(shared_live):
    """A model with two versions in production one after the other, and one that lacks everything."""
    with shared_live.client("erin") as erin:
        bot = {"username": "bot", "role": "contributor"}
        assert erin.post("/api/v1/teams/risk/service-accounts", json=bot).status_code == 201
        token = {"name": "nightly", "scopes": ["write"]}
        assert erin.post("/api/v1/teams/risk/service-accounts/bot/tokens", json=token).status_code == 201
        hook = {"name": "chat", "url": "https://93.184.215.14/x", "events": ["promotion.requested"]}
        assert erin.post("/api/v1/webhooks", json=hook).status_code == 201
        environment = {"name": "eu", "team": "risk", "site": "Frankfurt"}
        assert erin.post("/api/v1/environments", json=environment).status_code == 201
    with shared_live.client("bob") as bob, shared_live.client("carol") as carol:
        for number, value in enumerate((0.8, 0.9), start=1):
            metadata = {"create_model": True, **COMPLETE, "metrics": {"f1": value}}
            metadata["model"] = {"purpose": "Scores payments.", "task": "tabular-classification"}
            answer = bob.post(
                f"/api/v1/models/{NAME}/versions",
                data={"metadata": json.dumps(metadata)},
                files=[
                    ("file", ("model.bin", f"weights {number}".encode())),
                    ("file", ("conf/config.json", b'{"depth": 3}')),
                ],
            )
            assert answer.status_code == 201, answer.text
            moved = carol.post(f"/api/v1/models/{NAME}/versions/{number}/stage", json={"to": "production"})
            assert moved.is_success, moved.text
        lines = {"lines": [{"text": "Pulled.", "url": "https://ci.example.com/1"}]}
        assert carol.post("/api/v1/deployments/1/report", json=lines).is_success
        asked = bob.post(f"/api/v1/models/{NAME}/versions/1/requests", json={"reason": "It was **quicker**."})
        assert asked.json()["number"] == 1, asked.text
        bob.post(
            "/api/v1/models", json={"name": "risk/labels", "purpose": "Image classification of receipts."}
        )
    Team(shared_live, "scorer", environment="eu").drift()
    shared_live.python(source=ONE_ANSWERED)
    return NAME


def test_search_as_one_types(new_page, company):
    page = new_page("dave")
    page.fill("#q", "receip")
    expect(page.locator(".result-row")).to_have_count(1)
    assert "risk/labels" in page.inner_text("#results")
    assert "q=receip" in page.url
    expect(page.locator("#facets")).not_to_contain_text("tabular-classification")
    page.fill("#q", "nothing like this")
    page.wait_for_selector("text=Nothing fits")
    page.go_back()
    page.wait_for_selector("text=risk/labels")


def test_open_and_compare(new_page, company):
    page = new_page("dave")
    page.click(f"text={NAME}")
    page.wait_for_selector("h1:has-text('risk/scorer')")
    page.click("nav.tabs >> text=Versions")
    for number in (1, 2):
        page.check(f"[aria-label='Compare v{number}']")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("c")
    page.wait_for_url("**/compare/1...2/")
    assert "better" in page.inner_text("main")
    assert "changed" in page.inner_text("main")


def test_upload_refused_promotion_fill_in_promote_roll_back(new_page, company, tmp_path):
    folder = tmp_path / "export"
    (folder / "weights").mkdir(parents=True)
    (folder / "weights/model.bin").write_bytes(b"x" * 300_000)
    (folder / "README.md").write_text("# hello")
    page = new_page("erin")
    page.goto(f"/models/{NAME}/upload/")
    page.set_input_files("input[webkitdirectory]", str(folder))
    page.wait_for_selector("text=weights/model.bin")
    for field in ("dataset_name", "license", "owner"):
        page.eval_on_selector(f"#id_{field}", "element => { element.value = '' }")
    page.click("text=Register version")
    page.wait_for_url("**@3/")
    assert "weights/model.bin" in page.inner_text("main")

    page.click("text=Promote to production")
    page.click("dialog[open] button:has-text('Promote v3')")
    problem = page.wait_for_selector("main .problem").inner_text()
    assert "Dataset version" in problem
    assert "At least one metric" in problem
    page.click("main .problem a:has-text('Dataset version')")
    page.wait_for_url("**@3/edit/#id_dataset_version")
    for field, value in {**COMPLETE, "metrics": "f1 = 0.95 @payments/test"}.items():
        page.fill(f"#id_{field}", value)
    page.click("text=Save v3")
    page.wait_for_selector("text=v3 is saved")
    page.click("text=Promote to production")
    page.click("dialog[open] button:has-text('Promote v3')")
    page.wait_for_selector("text=v3 is in production now")

    page.goto(f"/models/{NAME}/")
    page.click("text=Roll back to v2")
    page.fill("dialog[open] textarea", "False alarms doubled.")
    page.click("dialog[open] >> button:has-text('Roll back to v2')")
    page.wait_for_selector("text=Rolled back: v2 is in production")


def test_with_the_keyboard_alone(new_page, company):
    page = new_page("dave")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "q"
    page.keyboard.type("scorer")
    expect(page.locator(".result-row")).to_have_count(1)
    page.keyboard.press("Escape")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/models/{NAME}/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("?")
    page.wait_for_selector("dialog[open]")
    page.keyboard.press("Escape")
    assert page.query_selector("dialog[open]") is None


KEEP_WRITTEN = """
window.written = {};
const fill = CanvasRenderingContext2D.prototype.fillText;
CanvasRenderingContext2D.prototype.fillText = function (text, x, y) {
  window.written[text] = [Math.round(x), Math.round(y)];
  return fill.apply(this, arguments);
};
"""


def test_promotions_and_deployments_are_drawn_on_the_curves(new_page, company):
    page = new_page("dave")
    page.add_init_script(KEEP_WRITTEN)
    page.goto(f"/models/{NAME}/monitoring/")
    # All of it happened just now: what lies close has one label, which is above the curves and their limits.
    labels = ["v1 promoted, v2 promoted, live in eu", "limit: above 0.2"]
    page.wait_for_function("labels => labels.every((one) => one in window.written)", arg=labels)
    (left, above), (_, limit) = (page.evaluate("window.written")[label] for label in labels)
    assert left >= 0
    assert above < limit


PAGES = [
    "/",
    "/?q=scorer&stage=production",
    "/?q=nothing+like+this",
    "/register/",
    f"/models/{NAME}/",
    f"/models/{NAME}/versions/",
    f"/models/{NAME}/lineage/",
    f"/models/{NAME}/activity/",
    f"/models/{NAME}/monitoring/",
    f"/models/{NAME}/compliance/",
    f"/models/{NAME}/settings/",
    f"/models/{NAME}/rollback/",
    f"/models/{NAME}/upload/",
    f"/models/{NAME}/compare/1...2/?all",
    f"/models/{NAME}@2/",
    f"/models/{NAME}@2/edit/",
    f"/models/{NAME}@2/files/conf/config.json",
    "/models/risk/labels/",
    "/account/",
    "/account/security/",
    "/account/second-factor/",
    "/account/password/",
    "/account/tokens/",
    "/teams/",
    "/teams/risk/",
    "/teams/risk/service-accounts/bot/",
    "/people/alice/leaving/",
    f"/teams/risk/policies/?version={NAME}@2",
    "/policies/",
    "/deployments/",
    "/deployments/1/",
    "/environments/",
    "/environments/new/",
    "/environments/eu/",
    "/incidents/1/",
    f"/models/{NAME}/deployments/",
    f"/models/{NAME}/deployments/rollback/",
    f"/models/{NAME}@2/deploy/",
    "/retention/",
    "/teams/risk/retention/",
    "/teams/risk/storage/",
    "/storage/",
    "/webhooks/",
    "/webhooks/new/",
    "/approvals/",
    "/approvals/?tab=asked",
    "/approvals/1/",
    "/help/clients/",
    "/models/risk/nowhere/",
]


def test_every_page_is_accessible_and_fits_a_phone(new_page, axe, company):
    """Loaded once each; then the window and the colours change, as they may for a reader."""
    page = new_page("root", color_scheme="light", reduced_motion="reduce")
    page.goto("/webhooks/")
    hook = page.get_attribute("tbody th a", "href")
    page.goto(hook)
    message = page.get_attribute("tbody th a", "href")
    for path in [*PAGES, hook, f"{hook}edit/", message]:
        page.set_viewport_size(PHONE)
        page.goto(path)
        axe(page)
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, f"{path} is {wide} px too wide for a phone"
        page.set_viewport_size(DESKTOP)
        axe(page)
        # Colours do not depend on the width.
        page.emulate_media(color_scheme="dark")
        axe(page, colours=True)
        page.emulate_media(color_scheme="light")


def test_the_login_page(page, axe):
    page.goto("/")
    assert "/login/?next=/" in page.url
    axe(page)
    page.fill("input[name=username]", "bob")
    page.fill("input[name=password]", "wrong")
    page.press("input[name=password]", "Enter")
    page.wait_for_selector("[role=alert]")
    axe(page)
