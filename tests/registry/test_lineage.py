import pytest

from models_app.models import LineageEdge
from models_app.registry import lineage, runs
from models_app.registry.errors import Conflict, Forbidden, Invalid
from tests import builders

pytestmark = pytest.mark.django_db


def labels(graph, kind):
    return {node.label for node in graph.nodes.values() if node.kind == kind}


def test_the_picture_has_data_code_run_base_and_derived(people):
    base = builders.version(builders.model("risk/base", by=people.bob), by=people.bob)
    run = runs.create_run(
        by=people.bob,
        name="nightly",
        datasets=[{"name": "tx", "version": "3"}],
        code_repository="r",
        code_commit="c" * 12,
    )
    model = builders.model(by=people.bob)
    version = builders.version(model, by=people.bob, run=run.uid, base_model="risk/base@1")
    child = builders.version(
        builders.model("risk/child", by=people.bob),
        by=people.bob,
        base_model=f"{model.name}@1",
        base_relation="quantized",
    )
    graph = lineage.graph(version, by=people.dave)
    assert labels(graph, "version") == {str(base), str(version), str(child)}
    assert labels(graph, "dataset") == {"tx@3"}
    assert labels(graph, "run") == {"nightly"}
    assert labels(graph, "code") == {"r@cccccccc"}
    words = {
        (graph.nodes[edge.source].label, graph.nodes[edge.target].label, edge.label) for edge in graph.edges
    }
    assert (str(base), str(version), "fine-tuned from") in words
    assert (str(version), str(child), "quantized from") in words
    assert ("nightly", str(version), "trained") in words
    assert ("tx@3", "nightly", "read") in words


def test_an_upstream_model_elsewhere(people):
    model = builders.model(by=people.bob)
    version = builders.version(model, by=people.bob, base_model="https://hub.example/bert")
    assert labels(lineage.graph(version, by=people.bob), "upstream") == {"https://hub.example/bert"}


def test_private_models_keep_their_names(people):
    model = builders.model(by=people.bob)
    version = builders.version(model, by=people.bob)
    secret = builders.model("risk/secret", by=people.bob, visibility="team")
    builders.version(secret, by=people.bob, base_model=f"{model.name}@1")
    assert labels(lineage.graph(version, by=people.charlie), "version") == {str(version), "a private model"}


def test_a_base_that_one_may_not_read_is_not_resolved(people):
    secret = builders.model("risk/secret", by=people.bob, visibility="team")
    builders.version(secret, by=people.bob)
    mine = builders.model("vision/x", by=people.charlie)
    builders.version(mine, by=people.charlie, base_model="risk/secret@1")
    assert LineageEdge.objects.get(version__model=mine).base_version is None


def test_links_by_hand(people):
    model = builders.model(by=people.bob)
    one = builders.version(model, by=people.bob)
    two = builders.version(model, by=people.bob)
    lineage.link(two, relation="merged", base_version=one, by=people.bob)
    with pytest.raises(Conflict, match="comes from"):
        lineage.link(one, relation="merged", base_version=two, by=people.bob)
    with pytest.raises(Invalid):
        lineage.link(one, relation="merged", by=people.bob)
    with pytest.raises(Invalid):
        lineage.link(one, relation="trained_on", base_version=two, by=people.bob)
    with pytest.raises(Forbidden):
        lineage.link(one, relation="merged", upstream="x", by=people.dave)


def test_queries_do_not_grow_with_the_number_of_neighbours(people, django_assert_max_num_queries):
    model = builders.model(by=people.bob)
    version = builders.version(model, by=people.bob)
    for i in range(12):
        builders.version(
            builders.model(f"risk/c{i}", by=people.bob), by=people.bob, base_model=f"{model.name}@1"
        )
    with django_assert_max_num_queries(12):
        assert len(lineage.graph(version, by=people.dave).nodes) == 13
