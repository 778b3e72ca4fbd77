import pytest

from models_app.registry import runs
from models_app.registry.comparing import compare
from models_app.registry.errors import Invalid
from tests import builders

pytestmark = pytest.mark.django_db


@pytest.fixture
def versions(people):
    model = builders.model(by=people.bob)
    run = runs.create_run(by=people.bob, params={"depth": 3})
    one = builders.version(
        model,
        by=people.bob,
        files={"a": b"1", "b": b"2", "gone": b"3"},
        metrics={"f1": 0.8, "loss": 0.5, "only_old": 1},
        code_repository="https://github.com/acme/risk.git",
        code_commit="aaa",
        run=run.uid,
    )
    two = builders.version(
        model,
        by=people.bob,
        files={"a": b"1", "b": b"changed", "new": b"4"},
        metrics={"f1": 0.9, "loss": 0.6},
        code_repository="https://github.com/acme/risk.git",
        code_commit="bbb",
        license="MIT",
        risk_flags=["minors"],
    )
    return [one, two]


def line(section, label):
    return next(line for line in section.lines if line.label == label)


def test_metrics_know_their_direction(versions):
    result = compare(versions)
    assert line(result.metrics, "f1").cells[1].verdict == "better"
    assert line(result.metrics, "loss").cells[1].verdict == "worse"
    assert line(result.metrics, "f1").cells[1].change == pytest.approx(0.1)
    assert line(result.metrics, "only_old").cells[1].differs


def test_files_by_digest(versions):
    states = {line.label: line.detail for line in compare(versions).files.lines}
    assert states == {"a": "same", "b": "changed", "gone": "removed", "new": "added"}


def test_metadata_params_and_code(versions):
    result = compare(versions)
    sections = {section.key: section for section in result.sections}
    assert not line(sections["compliance"], "License").same
    assert not line(sections["compliance"], "Risk flags").same
    assert line(sections["lineage"], "Code repository").same
    assert [cell.text for cell in line(sections["params"], "depth").cells] == ["3", ""]
    assert result.code_link == "https://github.com/acme/risk/compare/aaa...bbb"
    assert not result.same


def test_how_many(versions):
    for wrong in ([], versions[:1], [versions[0], versions[0]], [*versions, *versions, *versions]):
        with pytest.raises(Invalid):
            compare(wrong)


def test_constant_queries(versions, people, django_assert_num_queries):
    model = versions[0].model
    rows = list(model.versions.prefetch_related("metrics", "risk_flags").select_related("owner"))
    with django_assert_num_queries(2):
        compare(rows)
