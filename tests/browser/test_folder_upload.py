"""A folder sent from the page: dropped, paused, retried, and continued after the page was loaded anew."""

import json
import os
import subprocess
import sys

import pytest
from playwright.sync_api import expect

from tests.live import ROOT

NAME = "risk/uploads"
PART = 16 << 20
# Before the page is loaded anew the first part is lost once, and the last of the large file never gets through.
FAULTS = """
window.parts = JSON.parse(sessionStorage.getItem("parts") || "[]");
const { open, send } = XMLHttpRequest.prototype;
Object.assign(XMLHttpRequest.prototype, {
  open(method, url) { this.isPart = url.includes("/uploads/part/"); return open.apply(this, arguments); },
  send(body) {
    if (this.isPart) parts.push(body.size);
    sessionStorage.setItem("parts", JSON.stringify(parts));
    const isFirst = this.isPart && !sessionStorage.getItem("reloaded");
    if (isFirst && body.size === 1000) this.abort = () => this.dispatchEvent(new ProgressEvent("loadend"));
    else send.apply(this, arguments);
    if (isFirst && parts.length === 1) this.abort();
  },
});
"""


@pytest.fixture(scope="module")
def model(shared_live):
    with shared_live.client("bob") as bob:
        assert bob.post("/api/v1/models", json={"name": NAME, "purpose": "Takes uploads."}).status_code == 201
    return NAME


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One file in five parts, one that comes whole, small ones, and one twice."""
    made = tmp_path_factory.mktemp("made") / "export"
    (made / "weights").mkdir(parents=True)
    with (made / "weights/large.bin").open("wb") as file:
        file.write(os.urandom(1 << 20))
        file.truncate(4 * PART + 1000)
    (made / "weights/middle.bin").write_bytes(os.urandom(5 << 20))
    (made / "weights/again.bin").write_bytes((made / "weights/middle.bin").read_bytes())
    (made / "config.json").write_text('{"depth": 3}')
    (made / "empty").touch()
    for path in made.rglob("*"):
        if path.is_file():
            os.utime(path, (1_700_000_000, 1_700_000_000))
    return made


def push(live, folder, tmp_path):
    environment = {
        **os.environ,
        "MODELRY_URL": live.url,
        "MODELRY_TOKEN": live.tokens["bob"],
        "MODELRY_CACHE": str(tmp_path / "cache"),
    }
    command = [sys.executable, "-m", "models_app.client", "push", str(folder), "--model", NAME, "--json"]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def drop(page, path):
    """As with the mouse, from the desktop."""
    zone = page.locator(".dropzone").bounding_box()
    where = {"x": zone["x"] + 40, "y": zone["y"] + 20}
    data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
    browser = page.context.new_cdp_session(page)
    for kind in ("dragEnter", "dragOver", "drop"):
        browser.send("Input.dispatchDragEvent", {"type": kind, "data": data, **where})
    expect(page.locator("folder-upload")).to_contain_text("large.bin")


def test_paused_retried_reloaded_and_continued(new_page, axe, shared_live, model, folder, tmp_path):
    page = new_page("bob")
    page.on("dialog", lambda dialog: dialog.accept())
    page.add_init_script(FAULTS)
    page.goto(f"/models/{NAME}/upload/")
    page.set_input_files("input[webkitdirectory]", str(folder))
    page.set_input_files("input[webkitdirectory]", str(folder))
    told = page.locator("folder-upload [role=status]")
    expect(told).to_contain_text("5 files took the place of one with the same path")
    page.click("text=Register version")
    # The button is below all fields; what moves is in sight.
    expect(page.locator(".upload-running")).to_be_in_viewport()
    large = page.locator("li", has_text="large.bin")
    expect(page.locator("li[data-state=here]")).to_have_count(4)
    expect(large).to_contain_text("sending 99%")
    page.click("text=Pause")
    expect(page.locator(".upload-figures")).to_contain_text("paused")
    expect(page.locator("folder-upload [role=status]")).to_have_text(
        "Paused. What arrived whole is kept for a day; parts under way are sent again."
    )
    axe(page)
    page.click("text=Resume")
    page.wait_for_function("parts.filter((size) => size === 1000).length === 2")
    assert sorted(page.evaluate("parts")) in (
        [1000, 1000, 5 << 20, *5 * [PART]],
        [1000, 1000, 5 << 20, 5 << 20, *4 * [PART]],
    )
    page.evaluate("sessionStorage.setItem('reloaded', 1); sessionStorage.removeItem('parts')")

    page.reload()
    expect(page.locator("folder-upload [role=status]")).to_contain_text(
        "An upload of 5 files was interrupted here."
    )
    drop(page, folder)
    page.fill("#id_metrics", "f1: 0.93")
    page.click("text=Register version")
    expect(page.locator("folder-upload [role=alert]")).to_contain_text("is not like: f1 = 0.91")
    page.fill("#id_metrics", "f1 = 0.93")
    page.click("text=Register version")
    page.wait_for_url("**@1/", wait_until="commit")
    assert page.evaluate("sessionStorage.getItem('parts')") == "[1000]"
    pushed = push(shared_live, folder, tmp_path)
    here = shared_live.client("bob").get(f"/api/v1/models/{NAME}/versions/1").json()
    assert (pushed["version"], pushed["sent"]) == (2, 0)
    assert here["digest"] == pushed["digest"]
    assert here["metrics"][0]["value"] == 0.93
