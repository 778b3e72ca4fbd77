"""How a move speaks to its source, and the command that an operator types."""

import json

import pytest
from django.core.management import CommandError, call_command

from models_app.management.commands import import_mlflow
from models_app.models import RegisteredModel, Run
from models_app.protocols.mlflow.importer_source import Source, SourceError
from tests.protocols.mlflow.moving import POINTER, move, snapshot, told
from tests.protocols.mlflow.recorded_source import LOGGED, RUN, Recorded


@pytest.fixture
def recorded():
    return Recorded()


# --- the connection -----------------------------------------------------------------------------------------


def test_a_download_goes_on_where_it_broke_off(recorded, people):
    path = f"1/models/{LOGGED}/artifacts/model.pkl"
    recorded.break_at[path] = 5000
    assert told(move(recorded, people)) == [POINTER]
    ranges = [request.headers["Range"] for request in recorded.requests if "Range" in request.headers]
    assert ranges == ["bytes=5000-"]


def test_a_server_that_fails_at_one_thing_does_not_end_the_move(recorded, people):
    recorded.fail["metrics/get-history"] = 500
    report = move(recorded, people)
    assert not report.interrupted
    assert f"run {RUN}" in told(report)
    assert not Run.objects.exists()
    assert RegisteredModel.objects.filter(name="fraud_detector").exists()


def test_a_server_that_lets_nobody_in_ends_the_move(recorded, people):
    recorded.fail["experiments/search"] = 401
    report = move(recorded, people)
    assert "password, or a token" in report.interrupted
    assert not report.ok


@pytest.mark.parametrize(
    "uri, given, sent",
    [
        ("http://ann:s%40crt@host", {}, "Basic YW5uOnNAY3J0"),
        ("http://host", {"user": "ann", "password": "x", "token": "t"}, "Basic YW5uOng="),
        ("http://host", {"token": "t"}, "Bearer t"),
        ("http://host", {}, None),
    ],
)
def test_credentials(recorded, uri, given, sent):
    source = Source(uri, transport=recorded.transport(), **given)
    assert source.version() == "3.17.2"
    assert recorded.requests[0].headers.get("Authorization") == sent
    assert source.origin == "http://host"


@pytest.mark.parametrize("uri", ["databricks://x", "file:///x", "sqlite:///m.db", "host:5000", ""])
def test_addresses_that_are_no_servers(uri):
    with pytest.raises(SourceError):
        Source(uri)


# --- the command --------------------------------------------------------------------------------------------


@pytest.fixture
def command(recorded, people, monkeypatch):
    """The command, with the recorded server behind every address."""

    def source(self, uri, token):
        return Source(uri, token=token, transport=recorded.transport(), pause=lambda seconds: None)

    monkeypatch.setattr(import_mlflow.Command, "source", source)

    def run(*arguments):
        try:
            call_command("import_mlflow", "--from", "http://mlflow", *arguments)
        except SystemExit as end:
            return end.code
        return 0

    return run


def test_the_command_reports_and_says_by_its_status_whether_all_came(command, recorded, tmp_path, capsys):
    assert command("--team", "risk", "--report", str(tmp_path / "report.json")) == 1
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["counts"]["versions"] == {"new": 4}
    assert [row["subject"] for row in report["problems"]] == ["elsewhere/1"]
    said = capsys.readouterr()
    assert "elsewhere/1: only points to its source" in said.out
    assert "7/7 model" in said.err
    recorded.versions = [row for row in recorded.versions if row["name"] != "elsewhere"]
    assert command("--team", "risk") == 0


def test_a_dry_run_writes_nothing(command, recorded, capsys):
    before = snapshot()
    assert command("--team", "risk", "--dry-run") == 1
    assert snapshot() == before
    assert not recorded.downloads
    assert "6 fetched" in capsys.readouterr().out


def test_somebody_has_to_own_plain_names(command):
    with pytest.raises(CommandError, match="--team or --prefix"):
        command()
    with pytest.raises(CommandError, match="no team"):
        command("--team", "nobody")
