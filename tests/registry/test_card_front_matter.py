"""A card's front matter and the fields: read in, refused with a line, written back."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models_app.formats.model_card import read_card, write_facts
from models_app.models import AuditEvent, LineageEdge, RegisteredModel
from models_app.registry import card_facts, card_sync, catalog, tags
from models_app.registry.access import Actor
from models_app.registry.errors import Invalid
from tests import builders

CARD = """---
# who may use it
license: apache-2.0
pipeline_tag: tabular-classification
library_name: xgboost
language: [en, pt-BR]
tags:
- fraud
- payments
thumbnail: https://example.com/a.png
datasets:
- transactions@2026-05
- merchants
base_model: acme/encoder
base_model_relation: quantized
metrics: [auc, f1]
model-index:
- name: fraud
  results:
  - task: {type: tabular-classification}
    dataset: {type: transactions, name: transactions, split: test}
    metrics:
    - type: f1
      value: 0.91
      verified: false
    source: {name: May report, url: "https://reports.example.com/5"}
---
# Fraud detector

Finds fraud.
"""


def values(model, *names):
    model.refresh_from_db()
    return [getattr(model, name) for name in names]


@pytest.fixture
def model(people):
    return builders.model("risk/fraud", by=people.alice)


def test_a_card_sets_the_model_and_fills_gaps_of_its_newest_version(model, people):
    version = builders.version(model, by=people.alice)
    saved = catalog.update_model(model, by=people.alice, card=CARD)
    assert saved.notices == ()
    assert values(model, "license", "task", "library", "headline_metric", "purpose") == [
        "Apache-2.0",
        "tabular-classification",
        "xgboost",
        "auc",
        "Fraud detector",
    ]
    assert {tag.key for tag in model.tags.all()} == {"fraud", "payments", "language:en", "language:pt-BR"}
    version.refresh_from_db()
    facts = ["dataset_name", "dataset_version", "base_model", "license"]
    assert [getattr(version, name) for name in facts] == [
        "transactions",
        "2026-05",
        "acme/encoder",
        "Apache-2.0",
    ]
    (metric,) = version.metrics.all()
    assert (metric.name, metric.value, metric.dataset, metric.split) == ("f1", 0.91, "transactions", "test")
    assert version.reports.get().url == "https://reports.example.com/5"
    edges = LineageEdge.objects.filter(version=version).values_list("relation", "dataset__name", "upstream")
    assert set(edges) == {
        ("trained_on", "transactions", ""),
        ("trained_on", "merchants", ""),
        ("quantized", None, "acme/encoder"),
    }
    assert model.card == CARD
    told = AuditEvent.objects.order_by("id").values_list("verb", flat=True)
    assert list(told)[-5:].count("version.updated") == 1
    assert AuditEvent.objects.filter(verb="model.updated").get().after["license"] == "Apache-2.0"


def test_the_first_version_takes_what_the_card_says(people):
    model = catalog.register_model("risk/fraud", by=people.alice, card=CARD)
    assert "no version yet" in model.notices[0]
    version = builders.version(model, by=people.bob, dataset_name="other")
    assert (version.dataset_name, version.base_model) == ("other", "acme/encoder")
    assert version.metrics.get().value == 0.91
    model.refresh_from_db()
    assert read_card(model.card).facts["datasets"] == ["other"]
    # The second one has facts of its own.
    second = builders.version(model, by=people.bob, metrics={"f1": 0.5})
    assert second.base_model == ""
    model.refresh_from_db()
    facts = read_card(model.card).facts
    assert facts["model-index"][0]["results"] == [
        {"task": {"type": "tabular-classification"}, "metrics": [{"type": "f1", "value": 0.5}], "dataset": {}}
    ]
    catalog.delete_version(second, by=people.alice)
    model.refresh_from_db()
    assert [row.value for row in card_facts.read(model.card).metrics] == [0.91]


def test_what_a_version_holds_is_kept_and_told(model, people):
    builders.version(
        model,
        by=people.alice,
        license="MIT",
        dataset_name="transactions",
        dataset_version="2026-04",
        base_model="acme/other",
        metrics=[{"name": "f1", "value": 0.5, "dataset": "transactions", "split": "test"}],
    )
    saved = catalog.update_model(model, by=people.alice, card=CARD)
    assert [notice.partition(" stays")[0] for notice in saved.notices] == [
        "The license of v1",
        "The dataset version of v1",
        "The base model of v1",
        "The metric “f1” of v1",
    ]
    facts = read_card(saved.card).facts
    assert facts["datasets"] == ["transactions@2026-04"]
    assert facts["base_model"] == "acme/other"
    assert facts["model-index"][0]["results"][0]["metrics"] == [
        {"type": "f1", "value": 0.5, "verified": False}
    ]
    assert facts["thumbnail"] == "https://example.com/a.png"
    assert saved.card.startswith("---\n# who may use it\nlicense: apache-2.0\n")


def test_fields_that_change_elsewhere_are_written_back(model, people):
    catalog.update_model(model, by=people.alice, card=CARD)
    catalog.update_model(model, by=people.alice, license="LicenseRef-Acme", task="fraud-detection")
    tags.set_model_tag(model, key="pii", by=people.alice)
    tags.set_model_tag(model, key="cost-centre", value="12", by=people.alice)
    tags.delete_model_tag(model, key="fraud", by=people.alice)
    catalog.update_model(model, by=people.alice, headline_metric="recall", library="")
    model.refresh_from_db()
    facts = read_card(model.card).facts
    assert (facts["license"], facts["license_name"]) == ("other", "Acme")
    assert (facts["pipeline_tag"], facts["tags"]) == ("fraud-detection", ["payments", "pii"])
    assert (facts["metrics"], facts["language"]) == (["recall", "f1"], ["en", "pt-BR"])
    assert "library_name" not in facts
    assert card_facts.read(model.card).model["license"] == "LicenseRef-Acme"
    assert model.card.endswith("---\n# Fraud detector\n\nFinds fraud.\n")


def test_a_field_given_beside_the_card_wins_unless_the_card_says_something_new(model, people):
    catalog.update_model(model, by=people.alice, card=CARD)
    longer = CARD + "More.\n"
    saved = catalog.update_model(model, by=people.alice, card=longer, license="MIT", tags={"new": ""})
    assert saved.license == "MIT"
    assert read_card(saved.card).facts["license"] == "mit"
    assert read_card(saved.card).facts["tags"] == ["new"]
    with pytest.raises(Invalid, match="Line 3, license: says something else than the field: “BSD-3-Clause”"):
        catalog.update_model(
            model,
            by=people.alice,
            card=saved.card.replace("license: mit", "license: bsd-3-clause"),
            license="Apache-2.0",
        )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("license: nobody-knows", "Line 3, license: “nobody-knows” is no SPDX license"),
        ("license: other", "Line 3, license: Say which one under license_name."),
        ("license: [mit, apache-2.0]", "Line 3, license: One only. Join licenses"),
        ("tags: [a, {b: c}]", "Line 3, tags.2: Must be text"),
        ("language: not a code", "Line 3, language: “not a code” is no language code"),
        ("base_model_relation: cousin", "Line 3, base_model_relation: One of finetune, adapter"),
        ("model-index: 5", "Line 3, model-index: Must be a list."),
        (
            "model-index:\n- results:\n  - metrics:\n    - type: f1\n      value: high",
            "Line 6, model-index.1.results.1.metrics.1: The value of “f1” must be a number.",
        ),
        ("datasets: &a [x]", "anchors are not taken (line 3)"),
        ("license: !!python/object:os.system x", "tags are not taken (line 3)"),
        ("a: 1\na: 2", "“a” is there twice (line 4)"),
        (f"datasets: [{'x, ' * 6000}]", "too large or too deep"),
    ],
)
def test_wrong_values_are_told_with_their_line_and_change_nothing(model, people, line, message):
    card = f"---\npipeline_tag: other\n{line}\n---\nText\n"
    with pytest.raises(Invalid) as refused:
        catalog.update_model(model, by=people.alice, card=card, purpose="New.")
    assert any(message in problem.message for problem in refused.value.problems), refused.value.problems
    assert {problem.field for problem in refused.value.problems} == {"card"}
    assert values(model, "card", "task", "purpose") == ["", "", ""]


def test_text_between_rules_is_no_front_matter(model, people):
    card = "---\nJust a quote, nothing else.\n---\nBody"
    assert catalog.update_model(model, by=people.alice, card=card).card == card
    assert catalog.update_model(model, by=people.alice, license="MIT").card == card


def test_licenses_of_the_hub_come_back_as_they_were(people):
    for name in ("apache-2.0", "llama3", "openrail++", "odbl", "cc-by-4.0"):
        (read,) = card_facts.read(f"---\nlicense: {name}\n---\n").model.values()
        assert card_sync.license_for_hub(read) == {"license": name}


texts = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=12)
scalars = st.one_of(st.none(), st.booleans(), st.integers(-(10**9), 10**9), st.floats(-1e6, 1e6), texts)
plain = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
names = st.text(string.ascii_lowercase, min_size=1, max_size=6)


@given(
    facts=st.dictionaries(names, plain, max_size=5),
    changes=st.dictionaries(names, plain, max_size=3),
    comment=st.sampled_from(["", "# kept\n", "\n# kept\n"]),
)
def test_writing_facts_keeps_whatever_else_there_is(facts, changes, comment):
    start = write_facts("---\n---\nbody\n", facts)
    start = start.replace("---\n", f"---\n{comment}", 1)
    before = read_card(start).facts
    written = write_facts(start, changes)
    after = read_card(written)
    assert after.body == "body\n"
    assert [key for key in after.facts if key in before] == [key for key in before if key in after.facts]
    assert after.facts == {
        key: value for key, value in {**before, **changes}.items() if key not in changes or value is not None
    }
    if changes.keys() == {} or before.keys() - changes.keys():
        assert comment in written


@pytest.mark.django_db
@given(
    words=st.lists(names, max_size=3, unique=True),
    unknown=st.dictionaries(st.text(string.ascii_uppercase, min_size=1, max_size=4), plain, max_size=3),
)
def test_applied_and_written_back_a_front_matter_says_the_same(words, unknown):
    card = write_facts("---\n---\nbody\n", {**unknown, "tags": words or None, "license": "mit"})
    facts = card_facts.read(card)
    fields = card_sync.taken_over(facts, {}, model=None)
    model = RegisteredModel(
        card=card, **{name: fields[name] for name in card_facts.MODEL_KEYS.values() if name in fields}
    )
    assert card_sync.keep_in_step(model, card_facts.MODEL_KEYS, by=Actor.system()) is False
    assert list(fields.get("tags", {})) == words
    assert {key: value for key, value in read_card(card).facts.items() if key in unknown} == {
        key: value for key, value in unknown.items() if value is not None
    }


KEYS = [*card_sync.ALL_KEYS, "license_name", "x"]
INDEX = st.lists(
    st.dictionaries(
        st.sampled_from(["name", "results"]),
        st.lists(
            st.none()
            | st.dictionaries(
                st.sampled_from(["task", "dataset", "metrics", "source"]),
                st.lists(st.none() | st.dictionaries(st.sampled_from(["type", "name", "value"]), scalars))
                | st.dictionaries(st.sampled_from(["type", "name", "split", "url"]), scalars)
                | scalars,
            ),
            max_size=2,
        )
        | scalars,
    ),
    max_size=2,
)


@given(facts=st.dictionaries(st.sampled_from(KEYS), plain | INDEX, max_size=4), index=INDEX)
def test_any_facts_are_taken_or_refused_and_written_back_all_the_same(facts, index):
    card = write_facts("---\n---\n", {**facts, "model-index": index})
    problems = []
    try:
        read = card_facts.read(card)
    except Invalid as error:
        problems = error.problems
    assert all(problem.message.startswith("Line ") for problem in problems)
    if problems:
        return
    model = RegisteredModel(name="risk/fraud", headline_metric="auc", license="MIT", card=card)
    changes = card_sync._headline_change(read, model) | card_sync._model_change("license", read, model)
    measured = {("auc", "tx", "test"): 0.5}
    changes["model-index"] = card_sync._index(read.raw.get("model-index"), model, measured)
    again = card_facts.read(write_facts(card, changes))
    assert again.headline == "auc"
    assert again.model["license"] == "MIT"
    assert {(row.name, row.dataset, row.split): row.value for row in again.metrics} == measured
