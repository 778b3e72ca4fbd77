import pytest

from models_app.models import Alias, Blob, LineageEdge, Manifest, ModelVersion, OutboxEvent, RegisteredModel
from models_app.registry import catalog, runs
from models_app.registry.access import get_version
from models_app.registry.artifacts import manifests
from models_app.registry.errors import Conflict, Forbidden, Invalid, NotFound
from tests import builders

pytestmark = pytest.mark.django_db


def test_everything_is_recorded(people):
    model = builders.model(by=people.bob, license="MIT")
    version = builders.version(
        model,
        by=people.bob,
        files={"model.bin": b"w", "conf/a.json": b"{}"},
        description="First.",
        owner="alice",
        dataset_name="tx",
        dataset_version="2026-05",
        code_repository="https://git.example/risk",
        code_commit="abc123",
        feature_pipeline_version="7",
        metrics=[{"name": "f1", "value": 0.9, "dataset": "tx", "split": "test"}],
        reports=[{"title": "Bias report", "url": "https://reports.example/1"}],
        risk_flags=["minors"],
        tags={"gpu": "no"},
        aliases=["champion"],
    )
    found = get_version(model.name, "champion", by=people.dave)
    assert (found.pk, found.number, found.stage, found.license) == (version.pk, 1, "dev", "MIT")
    assert found.manifest.file_count == 2
    assert found.metrics.get().higher_is_better is True
    assert found.reports.get().title == "Bias report"
    assert [flag.name for flag in found.risk_flags.all()] == ["minors"]
    assert LineageEdge.objects.get(version=version).dataset.version == "2026-05"
    assert OutboxEvent.objects.filter(name="version.registered").count() == 1
    model.refresh_from_db()
    assert (model.last_number, model.version_count, model.newest_id) == (1, 1, version.pk)


def test_the_same_bytes_are_stored_once_and_the_same_files_sealed_once(people):
    model = builders.model(by=people.bob)
    one = builders.version(model, by=people.bob, files={"a.bin": b"same", "b.bin": b"same"})
    two = builders.version(model, by=people.bob, files={"b.bin": b"same", "a.bin": b"same"})
    assert Blob.objects.count() == 1
    assert one.manifest_id == two.manifest_id
    assert Manifest.objects.count() == 1


def test_the_digest_is_that_of_the_sorted_listing(people):
    one, two = builders.stored("a", b"1"), builders.stored("b", b"2")
    listing = f"{one.sha256} 1 a\n{two.sha256} 1 b\n".encode()
    assert manifests.digest_of([two, one]) == builders.sha256(listing)


@pytest.mark.parametrize(
    "paths",
    [
        ["../x"],
        ["/etc/passwd"],
        ["a\\b"],
        ["a\x00"],
        ["a/../b"],
        ["x" * 1001],
        ["a", "a"],
        ["Model.bin", "model.bin"],
        ["a", "a/b"],
        ["a\u202eb"],
        [""],
        ["a//b"],
        ["./a"],
    ],
)
def test_bad_paths_leave_nothing_behind(people, paths):
    model = builders.model(by=people.bob)
    with pytest.raises(Invalid) as refused:
        catalog.register_version(
            model, files=[builders.stored(path) for path in paths], metadata={}, by=people.bob
        )
    assert refused.value.problems[0].field == "files"
    assert not ModelVersion.objects.exists()
    assert not Manifest.objects.exists()


def test_no_files_is_refused_but_empty_files_are_fine(people):
    model = builders.model(by=people.bob)
    with pytest.raises(Invalid):
        catalog.register_version(model, files=[], metadata={}, by=people.bob)
    assert builders.version(model, by=people.bob, files={"__init__.py": b""}).manifest.total_size == 0


@pytest.mark.parametrize(
    ("metadata", "field"),
    [
        ({"license": "Nonsense-9"}, "license"),
        ({"metrics": {"f1": float("nan")}}, "metrics"),
        ({"metrics": {"f1": "0.9"}}, "metrics"),
        ({"metrics": [{"name": "f1", "value": 1}, {"name": "f1", "value": 2}]}, "metrics"),
        ({"owner": "ghost"}, "owner"),
        ({"stage": "production"}, "stage"),
        ({"serving_endpoint": "javascript:alert(1)"}, "serving_endpoint"),
        ({"reports": [{"title": "x", "url": "file:///etc/passwd"}]}, "reports"),
        ({"aliases": ["latest"]}, "aliases"),
        ({"dataset_name": "a\x00b"}, "dataset_name"),
        ({"dataset_name": ["x"]}, "dataset_name"),
        ({"pii_usage": "maybe"}, "pii_usage"),
        ({"signature": [1]}, "signature"),
        ({"run": "0" * 32}, "run"),
        ({"risk_flags": ["No Spaces"]}, "risk_flags"),
        ({"tags": {"": "x"}}, "tags"),
    ],
)
def test_bad_metadata_is_refused_by_field_and_changes_nothing(people, metadata, field):
    model = builders.model(by=people.bob)
    with pytest.raises(Invalid) as refused:
        builders.version(model, by=people.bob, **metadata)
    assert field in {problem.field for problem in refused.value.problems}
    model.refresh_from_db()
    assert (model.last_number, ModelVersion.objects.count()) == (0, 0)


def test_one_call_makes_model_and_version_or_neither(people):
    with pytest.raises(NotFound):
        catalog.register(
            "risk/new", create_model=False, files=[builders.stored()], metadata={}, by=people.bob
        )
    with pytest.raises(Invalid):
        catalog.register(
            "risk/new",
            create_model=True,
            files=[builders.stored()],
            metadata={"license": "??"},
            by=people.bob,
        )
    assert not RegisteredModel.objects.exists()
    version = catalog.register(
        "risk/new",
        create_model=True,
        model_fields={"purpose": "New."},
        files=[builders.stored()],
        metadata={},
        by=people.bob,
    )
    assert (version.model.name, version.number, version.model.purpose) == ("risk/new", 1, "New.")


@pytest.mark.parametrize("who", ["dave", "carol", "charlie"])
def test_refused_without_the_role(people, who):
    model = builders.model(by=people.bob)
    with pytest.raises(Forbidden):
        builders.version(model, by=getattr(people, who))


def test_a_run_fills_in_lineage(people):
    run = runs.create_run(
        by=people.bob,
        name="nightly",
        code_commit="cafe",
        code_repository="https://git.example/r",
        datasets=[{"name": "tx", "version": "3", "license": "CC-BY-4.0", "context": "training"}],
    )
    model = builders.model(by=people.bob)
    version = builders.version(model, by=people.bob, run=run.uid)
    assert (version.training_run_id, version.code_commit) == (run.uid, "cafe")
    assert (version.dataset_name, version.dataset_version, version.dataset_license) == (
        "tx",
        "3",
        "CC-BY-4.0",
    )


def test_what_came_with_training_is_filled_in_once(people):
    model = builders.model(by=people.bob)
    version = builders.version(model, by=people.bob)
    catalog.update_version(version, by=people.bob, metadata={"dataset_name": "tx", "dataset_version": "1"})
    with pytest.raises(Invalid, match="cannot change"):
        catalog.update_version(version, by=people.bob, metadata={"dataset_version": "2"})
    catalog.update_version(version, by=people.bob, metadata={"license": "MIT"})
    catalog.update_version(version, by=people.bob, metadata={"license": "Apache-2.0", "dataset_version": "1"})
    version.refresh_from_db()
    assert (version.dataset_version, version.license) == ("1", "Apache-2.0")


def test_metrics_are_added_never_rewritten(people):
    model = builders.model(by=people.bob)
    version = builders.version(model, by=people.bob, metrics={"f1": 0.9})
    catalog.add_metrics(version, metrics={"f1": 0.9, "auc": 0.8}, by=people.bob)
    with pytest.raises(Conflict, match="already recorded"):
        catalog.add_metrics(version, metrics={"f1": 0.99}, by=people.bob)
    assert dict(version.metrics.values_list("name", "value")) == {"f1": 0.9, "auc": 0.8}


def test_delete_keeps_the_number_taken(people):
    model = builders.model(by=people.bob)
    first = builders.version(model, by=people.bob)
    catalog.delete_version(first, by=people.alice)
    assert builders.version(model, by=people.bob).number == 2
    model.refresh_from_db()
    assert model.version_count == 1


def test_delete_is_refused_while_something_points_at_it(people):
    model = builders.model(by=people.bob)
    first = builders.promoted(model, by=people.bob, approver=people.carol)
    with pytest.raises(Conflict, match="production"):
        catalog.delete_version(first, by=people.alice)
    builders.promoted(model, by=people.bob, approver=people.carol)
    first.refresh_from_db()
    with pytest.raises(Conflict, match="rolled back"):
        catalog.delete_version(first, by=people.alice)
    aliased = builders.version(model, by=people.bob, aliases=["keep"])
    with pytest.raises(Conflict, match="alias"):
        catalog.delete_version(aliased, by=people.alice)
    base = builders.version(model, by=people.bob)
    builders.version(model, by=people.bob, base_model=f"{model.name}@{base.number}")
    with pytest.raises(Conflict, match="made from"):
        catalog.delete_version(base, by=people.alice)
    assert Alias.objects.count() == 1


def test_ten_thousand_files_in_one_version(people):
    model = builders.model(by=people.bob)
    blob = builders.stored("x")
    files = [type(blob)(f"part-{i:05}", blob.sha256, blob.size) for i in range(10_000)]
    assert (
        catalog.register_version(model, files=files, metadata={}, by=people.bob).manifest.file_count == 10_000
    )


@pytest.mark.parametrize("revision", ["0", "-1", "999999999999999999999", "nothing", "", "1.0", "१"])
def test_unknown_revisions(people, revision):
    model = builders.model(by=people.bob)
    builders.version(model, by=people.bob)
    with pytest.raises(NotFound):
        get_version(model.name, revision, by=people.bob)
