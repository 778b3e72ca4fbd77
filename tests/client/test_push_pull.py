"""The command line against a real server, as its users run it: pushed, killed, resumed, pulled, tampered with."""

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.agents import Team
from tests.live import ROOT, serve
from tests.web.reading import Page

# What another database could answer differently is in tests/api/test_uploads.py.
pytestmark = pytest.mark.sqlite_is_enough

BIG = 70 << 20
DOCS = ROOT / "docs/ci"
META = ["--metric", "f1=0.9", "--dataset-name", "tx", "--dataset-version", "7", "--license", "MIT"]


@pytest.fixture(scope="module")
def live(live_template, tmp_path_factory):
    """One server for all: each test has its own models."""
    with serve(live_template, tmp_path_factory.mktemp("client")) as server:
        yield server


class Shell:
    """Runs `modelry` as one person, on a machine of her own."""

    def __init__(self, live, home: Path) -> None:
        self.live, self.home = live, home
        self.command = [sys.executable, "-m", "models_app.client"]
        self.more: dict[str, str] = {}

    def environment(self, who: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG")}
        here = {"HOME": str(self.home), "MODELRY_CACHE": str(self.home / f"cache-{who}")}
        token = {"MODELRY_URL": self.live.url, "MODELRY_TOKEN": self.live.tokens[who]}
        return {**kept, **here, **token, **self.more}

    def start(self, *arguments: str, who: str = "bob") -> subprocess.Popen:
        return subprocess.Popen(
            [*self.command, *map(str, arguments)],
            env=self.environment(who),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *arguments: str, who: str = "bob", code: int = 0) -> dict:
        process = self.start(*arguments, "--json", who=who)
        out, err = process.communicate(timeout=60)
        assert process.returncode == code, (process.returncode, out, err)
        assert self.live.tokens[who] not in out + err
        return json.loads(out) if out else {"stderr": err}


@pytest.fixture
def modelry(live, tmp_path):
    return Shell(live, tmp_path)


def folder(at: Path, **files: bytes) -> Path:
    for path, content in {"config.json": b"{}", "deep/empty": b"", **files}.items():
        full = at / path
        full.parent.mkdir(parents=True, exist_ok=True)
        full.write_bytes(content)
        os.utime(full, (1_700_000_000, 1_700_000_000))
    return at


def wait_for(look: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 60
    while not (found := look()):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return found


def content(at: Path) -> dict[str, str]:
    return {
        str(path.relative_to(at)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in at.rglob("*")
        if path.is_file()
    }


def test_there_and_back_again(modelry, tmp_path):
    model = folder(tmp_path / "model", **{"weights.bin": os.urandom(BIG), "naïve name.txt": b"x"})
    small = folder(tmp_path / "small", **{f"{n}/naïve {n}.txt": b"%d" % n for n in range(30)})
    modelry("push", small, "--model", "risk/small", "--create")
    modelry("pull", "risk/small", tmp_path / "small-out")
    assert content(tmp_path / "small-out") == content(small)
    first = modelry("push", model, "--model", "risk/round", "--create", *META)
    assert (first["version"], first["files"]) == (1, 4)
    assert first["sent"] >= BIG
    second = modelry("push", model, "--model", "risk/round", *META)
    assert (second["version"], second["sent"]) == (2, 0)

    pulled = modelry("pull", "risk/round@1", tmp_path / "out")
    assert content(tmp_path / "out") == content(model)
    assert pulled["fetched"] >= BIG
    modelry("pull", "risk/round", tmp_path / "out", code=7)
    assert modelry("pull", "risk/round", tmp_path / "out", "--force")["fetched"] == 0
    # What was damaged in the cache is fetched again, and never handed on.
    cached = modelry.home / "cache-bob/blobs" / hashlib.sha256(b"x").hexdigest()[:2]
    (path,) = cached.iterdir()
    path.chmod(0o600)
    path.write_bytes(b"y")
    assert modelry("pull", "risk/round", tmp_path / "other")["fetched"] == 1
    assert content(tmp_path / "other") == content(model)


def test_killed_in_the_middle_and_resumed(live, modelry, tmp_path):
    model = folder(tmp_path / "model", **{f"weights{n}.bin": os.urandom(BIG) for n in range(3)})
    process = modelry.start("push", model, "--model", "risk/killed", "--create", "--parallel", "2")
    incoming = Path(live.home, "artifacts", "incoming")
    wait_for(lambda: list(incoming.glob("*.parts/1.*")))
    live.kill()
    process.kill()
    process.communicate()
    live.start()
    with live.client("bob") as client:
        assert client.get("/api/v1/models/risk/killed").status_code == 404
    done = modelry("push", model, "--model", "risk/killed", "--create")
    assert done["version"] == 1
    assert done["sent"] < 3 * BIG
    modelry("pull", "risk/killed@1", tmp_path / "out")
    assert content(tmp_path / "out") == content(model)


def test_a_restarted_server_is_only_a_pause(live, modelry, tmp_path):
    model = folder(tmp_path / "model", **{f"weights{n}.bin": os.urandom(BIG) for n in range(2)})
    process = modelry.start("push", model, "--model", "risk/paused", "--create", "--json")
    time.sleep(0.6)
    live.kill()
    live.start()
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert json.loads(out)["version"] == 1


def test_two_push_the_same_bytes_at_once(modelry, tmp_path):
    model = folder(tmp_path / "model", **{"weights.bin": os.urandom(BIG)})
    people = ("bob", "alice")
    pushes = [
        modelry.start("push", model, "--model", "risk/both", "--create", "--json", who=who) for who in people
    ]
    ended = [push.communicate(timeout=60) for push in pushes]
    assert [push.returncode for push in pushes] == [0, 0], ended
    assert sorted(json.loads(out)["version"] for out, _ in ended) == [1, 2]


def test_an_interrupted_push_or_pull_stops_at_once_and_goes_on(live, modelry, tmp_path):
    model = folder(tmp_path / "model", **{f"weights{n}.bin": os.urandom(BIG) for n in range(3)})
    incoming = Path(live.home, "artifacts", "incoming")
    process = modelry.start("push", model, "--model", "risk/stopped", "--create", "--parallel", "1")
    wait_for(lambda: list(incoming.glob("*.parts/1.*")))
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=30)
    assert (process.returncode, "goes on from here" in told) == (130, True)
    done = modelry("push", model, "--model", "risk/stopped", "--create")
    assert (done["version"], done["sent"] < 3 * BIG) == (1, True)


def test_pulls_that_share_a_cache_do_not_disturb_each_other(modelry, tmp_path):
    small = {f"{n}.txt": b"%d" % n for n in range(30)}
    model = folder(tmp_path / "model", **{"weights.bin": os.urandom(BIG)}, **small)
    modelry("push", model, "--model", "risk/shared", "--create")
    pulls = [modelry.start("pull", "risk/shared@1", tmp_path / f"out{n}", who="alice") for n in range(3)]
    assert [pull.communicate(timeout=60) and pull.returncode for pull in pulls] == [0, 0, 0]
    for n in range(3):
        assert content(tmp_path / f"out{n}") == content(model)
    assert not list((modelry.home / "cache-alice").rglob("*.part"))


def test_damaged_bytes_have_their_code(live, modelry, tmp_path):
    model = folder(tmp_path / "model", only=b"soon damaged")
    modelry("push", model, "--model", "risk/damaged", "--create")
    digest = hashlib.sha256(b"soon damaged").hexdigest()
    stored = Path(live.home, "artifacts/blobs/sha256", digest[:2], digest[2:4], digest)
    stored.unlink()
    told = modelry("pull", "risk/damaged@1", tmp_path / "out", who="alice", code=6)["error"]
    assert "Send the same file again" in told
    modelry("push", model, "--model", "risk/damaged")
    modelry("pull", "risk/damaged@1", tmp_path / "out", who="alice")


def test_refusals_have_their_codes(live, modelry, tmp_path):
    model = folder(tmp_path / "model")
    modelry("push", model, "--model", "risk/none", code=3)
    modelry("push", model, "--model", "risk/none", "--create", who="dave", code=3)
    usage = modelry.start("push")
    usage.communicate()
    assert usage.returncode == 2
    modelry("push", model, "--model", "risk/none", "--metric", "f1", code=2)
    pushed = modelry(
        "push", model, "--model", "risk/unmet", "--create", "--stage", "production", who="erin", code=4
    )
    assert pushed["version"] == 1
    assert pushed["promotion"]["problem"]["missing"]
    asked = modelry(
        "push", model, "--model", "risk/asked", "--create", "--owner", "bob", *META, "--stage", "production",
        "--reason", "better", code=4,
    )  # fmt: skip
    request = asked["promotion"]["problem"]["promotion_request"]
    with live.client("carol") as carol:
        assert carol.get(f"/api/v1/requests/{request.rpartition('/')[2]}").json()["state"] == "open"
    assert modelry("explain", "risk/unmet@1", code=4)["missing"]
    (model / "link").symlink_to("config.json")
    assert "symbolic link" in modelry("push", model, "--model", "risk/none", "--create", code=7)["error"]
    (model / "link").unlink()
    os.mkfifo(model / "pipe")
    modelry("push", model, "--model", "risk/none", "--create", code=7)


def test_a_push_waits_for_the_yes(live, modelry, tmp_path):
    model = folder(tmp_path / "model", **{"new.txt": b"awaited"})
    told = ["push", model, "--model", "risk/awaited", "--create", "--owner", "bob", *META]
    process = modelry.start(*told, "--stage", "production", "--reason", "better", "--wait", "60", "--json")
    with live.client("carol") as carol:
        asked = wait_for(lambda: carol.get("/api/v1/requests?model=risk/awaited").json()["items"])[0]
        said = carol.post(f"/api/v1/requests/{asked['number']}/review", json={"verdict": "approved"})
        assert said.status_code == 200, said.text
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert json.loads(out)["promotion"]["state"] == "moved"


def test_what_is_pushed_because_of_an_incident_ends_it(live, modelry, tmp_path):
    team = Team(live, "drifting", environment="eu")
    team.set_up(kind="webhook")
    team.promote(team.register("works"))
    incident = team.drift()
    pushed = folder(tmp_path / "retrained", what=b"retrained")
    told = ["push", pushed, "--model", team.model, "--owner", "bob", *META, "--retrains"]
    assert f"there is none “{incident + 1}”" in modelry(*told, incident + 1, code=3)["error"]
    assert modelry(*told, incident)["version"] == 2
    shown = team.root.get(f"{team.path}/versions/2").json()
    assert shown["retrains"] == incident
    team.promote(2)
    team.go_live()
    browser = live.browser("dave")
    way = Page(browser.get(f"/incidents/{incident}/").text).text()
    steps = ["Opened", "v2 registered", "because of this incident", "v2 Staging Production", "Resolved"]
    assert re.search(".*".join(steps), way), way
    assert f"Incident #{incident}" in browser.get(f"/models/{team.model}@2/").text


CI = {
    "github": {
        "GITHUB_ACTIONS": "true", "GITHUB_SHA": "abc123", "GITHUB_REF_NAME": "7/merge", "GITHUB_RUN_ID": "42",
        "GITHUB_SERVER_URL": "https://github.example", "GITHUB_REPOSITORY": "acme/fraud", "GITHUB_HEAD_REF": "main",
        "FOLDER": "out/", "METRICS": "metrics.json", "ARGUMENTS": "--license MIT --description 'two words'",
    },
    "gitlab": {
        "GITLAB_CI": "true", "CI_COMMIT_SHA": "abc123", "CI_COMMIT_REF_NAME": "main", "CI_JOB_ID": "42",
        "CI_PROJECT_URL": "https://gitlab.example/acme/fraud", "CI_JOB_URL": "http://gitlab/acme/fraud/-/jobs/42",
    },
    "jenkins": {
        "JENKINS_URL": "http://jenkins:8080/", "GIT_COMMIT": "abc123", "GIT_BRANCH": "origin/main", "BUILD_TAG": "42",
        "GIT_URL": "https://me:s3cret@git.example/acme/fraud.git", "BUILD_URL": "http://jenkins:8080/job/fraud/42/",
    },
}  # fmt: skip


def script_of(system: str) -> str:
    """What the files to copy have a CI system run."""
    if system == "github":
        (step,) = yaml.safe_load((DOCS / "github-action/action.yml").read_text())["runs"]["steps"]
        return step["run"]
    if system == "gitlab":
        return "\n".join(yaml.safe_load((DOCS / "gitlab-ci.yml").read_text())["register"]["script"])
    lines = re.findall(r"sh '((?:[^'\\]|\\.)*)'", (DOCS / "Jenkinsfile").read_text())
    return "\n".join(line.replace("\\'", "'") for line in lines)


@pytest.mark.parametrize("system", CI)
def test_ci_fills_in_what_it_knows(live, modelry, tmp_path, system):
    """As its script does it, on a machine without the package."""
    (tmp_path / "metrics.json").write_text('{"f1": 0.93}')
    folder(tmp_path / "out")
    model = f"risk/{system}"
    given = {
        "MODEL": model, "MODELRY_MODEL": model, "MODELRY_DATASET_NAME": "tx", "MODELRY_DATASET_VERSION": "2026-05",
        "GITHUB_OUTPUT": str(tmp_path / "output"),
    }  # fmt: skip
    run = subprocess.run(
        ["bash", "-e", "-c", script_of(system)],
        cwd=tmp_path,
        env={**modelry.environment("bob"), **CI[system], **given, "MODELRY_URL": f"{live.url}/"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode == 0, run.stderr
    made = {"url": run.stdout.strip()}
    if system == "github":
        told = dict(line.split("=", 1) for line in (tmp_path / "output").read_text().splitlines())
        made = {"url": told["version-url"]}
        assert (told["version"], told["page-url"]) == ("1", f"{live.url}/models/{model}@1/")
    version = live.client("bob").get(made["url"]).json()
    assert (version["code_commit"], version["dataset_version"], version["tags"]) == (
        "abc123",
        "2026-05",
        {"branch": "main"},
    )
    assert version["training_run_id"] == "42"
    assert "42" in version["reports"][0]["url"]
    assert version["metrics"][0]["value"] == 0.93
    assert "s3cret" not in json.dumps(version)
    assert version["description"] == ("two words" if system == "github" else "")


def test_the_github_action_registers_nothing_of_its_own_and_tells_what_went_wrong(live, modelry, tmp_path):
    work = folder(tmp_path / "work")

    def run(arguments: str) -> tuple[int, str, str]:
        output = tmp_path / "output"
        output.write_text("")
        given = {
            "MODEL": "risk/all-of-it",
            "FOLDER": ".",
            "ARGUMENTS": arguments,
            "GITHUB_OUTPUT": str(output),
        }
        done = subprocess.run(
            ["bash", "-e", "-c", script_of("github")],
            cwd=work,
            env={**modelry.environment("bob"), **given},
            capture_output=True,
            text=True,
            timeout=60,
        )
        return done.returncode, output.read_text(), done.stderr

    code, told, error = run("--bogus")
    assert (code, told) == (2, "")
    assert error.rstrip().endswith("unrecognized arguments: --bogus")
    assert run("")[0] == 0
    modelry("pull", "risk/all-of-it", tmp_path / "out")
    assert content(tmp_path / "out") == content(work)
    assert set(content(work)) == {"config.json", "deep/empty"}
