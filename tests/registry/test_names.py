import pytest
from hypothesis import given
from hypothesis import strategies as st

from models_app.registry.errors import Invalid
from models_app.registry.names import check_alias, check_model_name, check_team_slug, split_name


@pytest.mark.parametrize(
    "name",
    ["fraud", "risk/fraud-detector", "Fraud detector 2.0", "модель", "模型/検査", "a" * 256, "x.y_z-1"],
)
def test_good_names(name):
    assert check_model_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a" * 257,
        "a/b/c",
        "/a",
        "a/",
        "a//b",
        ".",
        "..",
        "risk/..",
        "a:b",
        "a@b",
        "a\\b",
        "a\x00b",
        "a\nb",
        " a",
        "a ",
        "api",
        "Admin",
        "models/x",
        "static",
        "risk/versions",
        "risk/compare",
        "e\u0301",
        "a\u202eb",
        "a\u200bb",
        "a\ud800",
    ],
)
def test_bad_names(name):
    with pytest.raises(Invalid) as refused:
        check_model_name(name)
    assert refused.value.problems[0].field == "name"


@given(st.text(max_size=300))
def test_a_name_is_accepted_or_refused_but_never_breaks(name):
    try:
        accepted = check_model_name(name)
    except Invalid:
        return
    assert accepted == name
    namespace, short = split_name(name)
    assert short
    assert "/" not in short
    assert ".." not in (namespace, short)


@pytest.mark.parametrize("alias", ["champion", "blue-green", "v1-candidate", "A.b_c"])
def test_good_aliases(alias):
    assert check_alias(alias) == alias


@pytest.mark.parametrize(
    "alias", ["", "latest", "Latest", "production", "Staging", "12", "v3", "a b", "a/b", ".x", "a" * 256]
)
def test_bad_aliases(alias):
    with pytest.raises(Invalid):
        check_alias(alias)


@pytest.mark.parametrize("slug", ["", "Risk", "-a", "a-", "a b", "admin", "1", "a" * 65, "a_b"])
def test_bad_team_slugs(slug):
    with pytest.raises(Invalid):
        check_team_slug(slug)
