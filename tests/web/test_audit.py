"""The audit page and its exports."""

import csv
import io
import json
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from models_app.models import AuditEvent
from models_app.registry import audit, audit_chain
from models_app.registry.access import Actor
from tests import builders
from tests.append_only import lifted
from tests.web.hostile import MARKUP
from tests.web.reading import beside, page

pytestmark = pytest.mark.sqlite_is_enough


def fill(people, number: int) -> None:
    AuditEvent.objects.bulk_create(
        AuditEvent(verb="test.done", actor_name="alice", subject=f"thing {n}", after={"n": n})
        for n in range(number)
    )


def body(response) -> str:
    assert response.status_code == 200
    assert response.streaming
    return b"".join(response.streaming_content).decode()


@pytest.fixture
def sealed(people, monkeypatch):
    moment = timezone.now() + audit_chain.SETTLED + timedelta(minutes=1)
    monkeypatch.setattr(audit_chain.timezone, "now", lambda: moment)
    audit_chain.seal()


def test_a_record_is_told_in_words_and_opens_to_all_of_it(pages, people):
    act = Actor.of(people.alice.user, door="mlflow", request_id="abcdefgh-123", address="10.0.0.9")
    model = builders.model("risk/fraud", by=people.alice)
    audit.record(
        "version.moved",
        by=act,
        subject="risk/fraud@1",
        model=model,
        before={"stage": "dev"},
        after={"stage": "staging", "long": "x" * 1000},
        reason="Better.",
        policy="site #3",
    )
    shown = page(pages.root.get("/audit/?verb=version.moved"))
    text = shown.text()
    for told in (
        "alice",
        "moved risk/fraud@1 to staging",
        "MLflow",
        "abcdefgh",
        "10.0.0.9",
        "Better.",
        "site #3",
    ):
        assert told in text, told
    [row] = pages.root.get("/audit/?verb=version.moved").context["rows"]
    assert row["changes"][0] == ("stage", "dev", "staging")
    assert "x" * 400 + "…" in text
    assert {"/audit/?request_id=abcdefgh-123", "/models/risk/fraud/activity/"} <= set(shown.links())


def test_refused_ones_have_a_word_and_team_admins_see_those_of_their_models(pages, people):
    builders.model("risk/fraud", by=people.alice)
    pages.dave.post("/models/risk/fraud/settings/", {"purpose": "x"})
    shown = page(pages.erin.get("/audit/?refused=true"))
    assert "Refused POST /models/risk/fraud/settings/" in shown.text()
    assert "vision" not in page(pages.erin.get("/audit/")).text()


def test_the_form_shows_what_the_address_says(pages, people):
    shown = page(pages.root.get("/audit/?person=root&after=2026-05-03T14:00:00%2B02:00&refused=true"))
    assert shown.value("id_person") == "root"
    assert shown.value("id_after") == "2026-05-03T12:00:00"
    assert "checked" in shown["id_refused"]
    assert "/audit/?person=root&refused=true" in shown.links()
    assert "/audit/export.csv?person=root" in " ".join(
        page(pages.root.get("/audit/?person=system")).links()
    ).replace("system", "root")


def test_fields_left_empty_are_not_in_the_address(pages):
    answer = pages.root.get("/audit/?q=&person=alice&model=&verb=&after=")
    assert (answer.status_code, answer["Location"]) == (302, "/audit/?person=alice")


@pytest.mark.parametrize(
    "field,value", [("verb", "made.up"), ("after", "soon"), ("before", "0001-01-01T00:00")]
)
def test_filters_that_cannot_be_read_list_nothing(pages, people, field, value):
    answer = pages.root.get(f"/audit/?{field}={value}")
    assert beside(answer, field)
    assert "rows" not in answer.context
    assert pages.root.get(f"/audit/export.csv?{field}={value}").status_code == 400


def test_pages_follow_each_other(pages, people):
    fill(people, 30)
    first = page(pages.root.get("/audit/?verb=&q=thing"), 302)
    first = page(pages.root.get("/audit/?q=thing"))
    [onwards] = [link for link in first.links() if "cursor" in link]
    assert "thing 29" in first.text()
    assert "thing 0 " in page(pages.root.get(f"/audit/{onwards}")).text()
    assert pages.root.get("/audit/?cursor=x").status_code == 400


def test_nothing_recorded_can_run(pages, people):
    audit.record(
        MARKUP[:60],
        by=people.root,
        subject=MARKUP,
        before={MARKUP: MARKUP},
        after={"a": [MARKUP]},
        reason=MARKUP,
    )
    assert page(pages.root.get("/audit/")).executable() == []


def test_the_chain_is_told(pages, sealed):
    assert "never verified" in page(pages.root.get("/audit/")).text()
    number = audit_chain.prove().links
    text = page(pages.root.get("/audit/")).text()
    assert f"Chain verified to position {number}" in text
    assert f"Sealed up to position {number}; no records waiting. No checkpoint was signed yet." in text


def test_a_break_is_told_in_red(pages, sealed):
    victim = AuditEvent.objects.order_by("id")[2]
    with lifted():
        AuditEvent.objects.filter(pk=victim.pk).update(actor_name="somebody")
    audit_chain.prove()
    shown = page(pages.root.get("/audit/"))
    [alert] = [attrs for _, attrs, _ in shown.elements if attrs.get("role") == "alert"]
    assert "note-error" in alert["class"]
    assert "broken at position 3" in shown.text()
    assert f"Record {victim.pk} is not what was sealed." in shown.text()


def test_only_who_may_read_it_sees_the_link(pages):
    for who, sees in (("root", True), ("erin", True), ("alice", False), ("charlie", False)):
        assert ("/audit/" in page(getattr(pages, who).get("/")).links()) is sees, who


def test_csv_with_filters_and_cells_that_are_no_formulas(pages, people):
    for start in ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"):
        audit.record(
            "test.done", by=people.root, subject=start, reason='=HYPERLINK("x"),"\n', after={"=a": 1}
        )
    text = body(pages.root.get("/audit/export.csv?verb=&person=root"))
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [row["subject"] for row in rows] == ["'=1+1", "'+1", "'-1", "'@SUM(A1)", "'\t=1", "'\r=1"]
    assert {row["actor_name"] for row in rows} == {"root"}
    assert rows[0]["reason"].startswith("'=HYPERLINK")
    assert json.loads(rows[0]["after"]) == {"=a": 1}
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for row in rows for cell in row.values())


def test_json_lines_prove_themselves(pages, sealed):
    records = [json.loads(line) for line in body(pages.root.get("/audit/export.jsonl")).splitlines()]
    former = audit_chain.START
    for number, record in enumerate(records, start=1):
        assert record.pop("position") == number
        claimed = record.pop("hash")
        former = audit_chain.link_hash(former, record)
        assert former == claimed


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_exports_cost_the_same_queries_however_long(pages, people, kind):
    counts = []
    body(pages.root.get(f"/audit/export.{kind}"))
    for more in (10, 5000):
        fill(people, more)
        with CaptureQueriesContext(connection) as asked:
            text = body(pages.root.get(f"/audit/export.{kind}"))
        counts.append(len(asked))
        assert text.count("thing") == AuditEvent.objects.filter(subject__startswith="thing").count()
    assert counts[0] == counts[1]


def test_exports_come_in_pieces(pages, people):
    fill(people, 5000)
    pieces = list(pages.root.get("/audit/export.jsonl").streaming_content)
    assert len(pieces) > 5
    assert max(map(len, pieces)) < 100_000
    assert pages.root.head("/audit/export.csv").status_code == 200


def test_team_admins_export_theirs(pages, people):
    builders.model("risk/fraud", by=people.alice)
    builders.model("vision/defects", by=people.charlie)
    lines = body(pages.erin.get("/audit/export.jsonl")).splitlines()
    assert [json.loads(line)["subject"] for line in lines] == ["risk/fraud"]
    assert pages.alice.get("/audit/export.jsonl").status_code == 403
