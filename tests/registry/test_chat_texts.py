"""What chats are told: a sentence a person reads, of every event."""

from __future__ import annotations

import pytest

from models_app.registry import chat_texts, standard_events

pytestmark = pytest.mark.sqlite_is_enough
PAGE = "https://models.example.com/models/vision/defects@13/"


def text(name, **data):
    return chat_texts.text_of({"type": name, "data": {**standard_events.EXAMPLES[name], **data}})


def test_every_event_has_a_sentence():
    assert chat_texts.SENTENCES.keys() == standard_events.EVENTS.keys()
    for name in standard_events.EVENTS:
        first, *said = text(name).split("\n")
        assert len(first) < 200
        assert "|" in first
        assert first.endswith(".")
        assert all(line.startswith("> ") for line in said)


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        ("deployment.live", {"text": ""}, f"<{PAGE}|vision/defects v13> is live in eu."),
        (
            "deployment.failed",
            {},
            f"Failed in eu: <{PAGE}|vision/defects v13>; the rollback target is v12.\n> Not healthy within "
            "300 seconds.",
        ),
        (
            "deployment.failed",
            {"kind": "rollback", "rollback_target": None, "text": ""},
            f"Failed in eu: <{PAGE}|vision/defects v13>; this was the rollback.",
        ),
        (
            "version.promoted",
            {"text": ""},
            f"<{PAGE}|vision/defects v13> is in production instead of v12, promoted by li.wei.",
        ),
        (
            "version.moved",
            {"by": "system", "text": ""},
            f"<{PAGE}|vision/defects v13> is moved from staging to production.",
        ),
    ],
)
def test_what_it_says(name, data, sentence):
    assert text(name, **data) == sentence


def test_what_people_wrote_stays_text():
    said = text("promotion.commented", model="a|b<c>", text="<!channel> @all\n\n" + "x " * 400)
    assert "|a¦b&lt;c&gt; v13>" in said
    assert "\n> &lt;!channel&gt; @\N{ZERO WIDTH SPACE}all\n> x x" in said
    assert said.endswith("x …")
    assert len(said) < 500
    assert text("deployment.failed", text="1\n2\n3\n4").count("\n") == 3
