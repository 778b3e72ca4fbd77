"""The compliance report as page and JSON, and the signed bundle: complete, for whom it is meant, and proof."""

import io
import json
import shutil
import subprocess
import zipfile
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command

from models_app.models import AuditEvent, Role, Stage, Verdict
from models_app.registry import (
    audit_chain,
    bundle_check,
    catalog,
    checks,
    lifecycle,
    policies,
    promotions,
    reviews,
)
from models_app.registry import (
    people as verbs,
)
from tests import builders
from tests.web.reading import Page

NAME = "risk/fraud"
URL = f"/models/{NAME}/compliance/"
JSON = f"/api/v1/models/{NAME}/compliance"
BUNDLE = f"/api/v1/models/{NAME}/versions/3/bundle.zip"


@pytest.fixture
def model(people):
    """v1 and v2 by an approver, v3 on request under a team policy, v4 in an emergency, back to v3, v1 deleted since."""
    model = builders.model(NAME, by=people.alice, owner="alice", purpose="Finds fraud.", risk_level="high")
    first = builders.promoted(model, by=people.alice, approver=people.carol, pii_usage="none")
    builders.promoted(model, by=people.alice, approver=people.carol)
    policies.set_policy(
        stage=Stage.PRODUCTION,
        team=people.risk,
        rules={"approvals": {"count": 1}},
        by=people.erin,
        reason="x",
    )
    second = builders.complete_version(
        model,
        by=people.alice,
        dataset_license="CC-BY-4.0",
        base_model="acme/encoder",
        base_model_license="MIT",
        pii_usage="personal",
        pii_notes="Deleted after a year.",
        risk_flags=["minors"],
        reports=[{"title": "May", "url": "https://reports.example.com/5"}],
        files={"model.bin": b"weights", "dir/with space.txt": b""},
    )
    checks.report(second, name="load", state="success", by=people.bob)
    asked = promotions.ask(second, to=Stage.PRODUCTION, by=people.bob, reason="Better.")
    reviews.review(asked, verdict=Verdict.APPROVED, body="Fine.", by=people.carol)
    third = builders.complete_version(model, by=people.alice)
    promotions.break_glass(third, to=Stage.PRODUCTION, by=people.erin, reason="It burns.")
    lifecycle.rollback(model, by=people.carol, reason="It burned.")
    catalog.delete_version(first, by=people.alice)
    model.refresh_from_db()
    return model


@pytest.fixture
def sealed(model, monkeypatch):
    """The same, its audit sealed."""
    monkeypatch.setattr(audit_chain, "SETTLED", -timedelta(hours=1))
    while audit_chain.seal():
        pass
    return model


def test_the_report_tells_every_period_and_what_was_behind_it(api, sealed):
    audit_chain.prove()
    told = api.erin.get(JSON).json()
    assert [(one["version"], one["how"], one["deleted"]) for one in told["production_periods"]] == [
        (3, "rollback", False),
        (4, "emergency", False),
        (3, "approved", False),
        (2, "direct", False),
        (1, "direct", True),
    ]
    back, burned, approved, second, first = told["production_periods"]
    assert back["end"] is None
    assert back["by"] == "carol"
    assert back["reason"] == "It burned."
    assert (burned["by"], burned["ended_how"], burned["reviewed_after_at"]) == ("erin", "rolled back", None)
    assert (approved["requested_by"], approved["by"], approved["ended_how"]) == (
        "bob",
        "carol",
        "replaced by v4",
    )
    assert [(one["person"], one["role"], one["verdict"]) for one in approved["approvals"]] == [
        ("carol", "approver", "approved")
    ]
    assert approved["policies"] == ["site #0", "team risk #1"]
    assert (second["ended_how"], second["policies"]) == ("replaced by v3", ["site #0"])
    assert (first["by"], first["policies"], first["ended_how"]) == ("carol", ["site #0"], "moved to archived")
    assert told["production_periods_total"] == 5
    assert told["in_production"] == [3]
    (two,) = [one for one in told["versions"] if one["version"] == 3]
    assert two["data"][0] | {"digest": ""} == {
        "name": "transactions",
        "version": "2026-05",
        "digest": "",
        "path": "",
        "license": "CC-BY-4.0",
        "relation": "trained on",
    }
    assert two["upstream"] == [{"name": "acme/encoder", "relation": "fine-tuned from", "license": "MIT"}]
    assert (two["pii_usage"], two["risk_flags"], two["checks"][0]["name"]) == ("personal", ["minors"], "load")
    assert [(one["scope"], one["number"], one["by"]) for one in told["policies"]] == [
        ("site", 0, ""),
        ("team risk", 1, "erin"),
    ]
    (finding,) = told["findings"]
    assert finding.startswith("The emergency promotion of v4 to production was not reviewed yet")
    assert told["audit"]["problem"] == ""
    assert told["audit"]["verified_to"] == told["audit"]["sealed_to"]
    assert told["owner"] == "alice"
    assert told["owner_since"] is not None


def test_older_periods_are_asked_for_by_moment(api, model, monkeypatch):
    monkeypatch.setattr("models_app.registry.compliance.LIMIT", 2)
    monkeypatch.setattr("models_app.registry.compliance.report.__kwdefaults__", {"until": None, "limit": 2})
    first = api.alice.get(JSON).json()
    assert [one["version"] for one in first["production_periods"]] == [3, 4]
    second = api.alice.get(JSON, {"until": first["older_until"]}).json()
    assert [one["version"] for one in second["production_periods"]] == [3, 2]
    third = api.alice.get(JSON, {"until": second["older_until"]}).json()
    assert [one["version"] for one in third["production_periods"]] == [1]
    assert third["older_until"] is None
    assert second["production_periods_total"] == 5
    assert api.alice.get(JSON, {"until": "soon"}).status_code == 400


def test_readers_see_the_report_and_only_auditors_the_audit(api, pages, people, sealed):
    assert api.dave.get(JSON).json()["audit"] is None
    assert api.charlie.get(JSON).json()["audit"] is None
    page = Page(pages.dave.get(URL).content.decode())
    assert "Request #" in page.text()
    assert "Kept by the registry" in page.text()
    assert page.executable() == []
    assert "The chain was never verified" in Page(pages.erin.get(URL).content.decode()).text()
    verbs.set_role(people.vision, user=people.erin.user, role=Role.VIEWER, by=people.root)
    assert api.client(people.erin, "write").get(JSON).json()["audit"] is not None


def test_a_bundle_holds_everything_and_openssl_agrees(api, people, sealed, tmp_path):
    assert [getattr(api, who).get(BUNDLE).status_code for who in ("dave", "alice", "carol", "charlie")] == [
        403
    ] * 4
    assert api.anonymous.get(BUNDLE).status_code == 401
    answer = api.erin.get(BUNDLE, {"files": "1"})
    content = b"".join(answer.streaming_content)
    assert len(content) == int(answer["Content-Length"])
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        about = json.loads(archive.read("manifest.json"))
        records = [json.loads(line) for line in archive.read("audit.jsonl").splitlines()]
        assert archive.read("files/model.bin") == b"weights"
        archive.extractall(tmp_path)
    assert about["version"]["risk_flags"] == ["minors"]
    assert about["model"]["owner"] == "alice"
    assert [one["path"] for one in about["files"]] == ["dir/with space.txt", "model.bin"]
    (request,) = about["requests"]
    assert request["reviews"][0]["reviewer"] == "carol"
    assert request["policies"][1]["rules"]["approvals"]["count"] == 1
    assert [move["kind"] for move in about["transitions"]] == ["move", "replaced", "rollback"]
    assert {node["label"] for node in about["lineage"]["nodes"]} >= {f"{NAME}@3", "acme/encoder"}
    verbs_told = {record["verb"] for record in records}
    assert {"model.registered", "version.registered", "promotion.reviewed", "check.reported"} <= verbs_told
    assert not any(record["subject"].endswith(("@1", "@2", "@4")) for record in records)
    assert all(record["hash"] and record["former"] for record in records)
    if shutil.which("sha256sum") and shutil.which("openssl"):
        subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=tmp_path, check=True)
        ask = "openssl pkeyutl -verify -pubin -inkey public_key.pem -rawin -in SHA256SUMS -sigfile SHA256SUMS.sig"
        subprocess.run(ask.split(), cwd=tmp_path, check=True, capture_output=True)


def test_one_byte_anywhere_is_found_and_the_file_named(api, sealed, tmp_path, capsys):
    good = b"".join(api.root.get(BUNDLE, {"files": "true"}).streaming_content)
    path = tmp_path / "bundle.zip"
    path.write_bytes(good)
    call_command("bundle_verify", str(path), public_key=audit_chain.public_key().public_bytes_raw().hex())
    said = capsys.readouterr().out
    assert "10 files are as they were signed" in said
    assert "key you trust" in said
    with pytest.raises(CommandError, match="not the key that you trust"):
        call_command("bundle_verify", str(path), public_key="00" * 32)
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        places = {
            one.filename: one.header_offset + 30 + len(one.filename) + 3
            for one in archive.infolist()
            if one.file_size
        }
    step = max(len(good) // 150, 1)
    for at in [*places.values(), *range(0, len(good), step), len(good) - 1]:
        path.write_bytes(good[:at] + bytes([good[at] ^ 0x01]) + good[at + 1 :])
        problems = bundle_check.check(path).problems
        assert problems, at
        whose = next((name for name, place in places.items() if place == at), None)
        told = [problem.partition(":")[0] for problem in problems]
        assert any(name in names or name.startswith("The archive") for name in told), problems
        assert whose is None or whose in told, (whose, problems)
    path.write_bytes(good + b"x")
    assert bundle_check.check(path).problems
    path.write_bytes(good[: len(good) // 2])
    assert bundle_check.check(path).problems


def test_who_signs_anew_cannot_hide_a_changed_record(api, sealed, tmp_path, monkeypatch):
    real = audit_chain.proven

    def forged(rows, *, most):
        records = real(rows, most=most)
        records[0]["actor_name"] = "somebody"
        return records

    monkeypatch.setattr(audit_chain, "proven", forged)
    path = tmp_path / "bundle.zip"
    path.write_bytes(b"".join(api.root.get(BUNDLE).streaming_content))
    (problem,) = bundle_check.check(path).problems
    assert problem.startswith("audit.jsonl: line 1: Record")


def test_nothing_is_written_by_reading(api, pages, sealed):
    client = api.erin
    count = AuditEvent.objects.count()
    assert client.get(BUNDLE).status_code == pages.erin.get(URL).status_code == 200
    assert pages.erin.get(f"/models/{NAME}@3/bundle.zip?files=1").status_code == 200
    assert "Signed bundle" in pages.erin.get(f"/models/{NAME}@3/").content.decode()
    assert "Signed bundle" not in pages.alice.get(f"/models/{NAME}@3/").content.decode()
    assert AuditEvent.objects.count() == count
