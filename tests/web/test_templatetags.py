"""What pages say over and over, said the same way everywhere."""

from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace

import pytest
from django.utils import timezone

from models_app.templatetags import modelry as tags


@pytest.fixture(autouse=True)
def plain_static_names(settings):
    """Icons need an address, not the hashed names of a collected static folder."""
    plain = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    settings.STORAGES = {**settings.STORAGES, "staticfiles": plain}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0, "0"),
        (1, "1"),
        (0.91342, "0.9134"),
        (0.9, "0.9"),
        (0.1 + 0.2, "0.3"),
        (12.3456, "12.35"),
        (1234.5, "1,234"),
        (12345678, "12,345,678"),
        (-0.05, "-0.05"),
        (0.00012, "0.00012"),
        (0.0000123, "1.23e-5"),
        (1e20, "1e20"),
        (float("nan"), "NaN"),
        (float("inf"), "∞"),
        (float("-inf"), "-∞"),
    ],
)
def test_metric_values_show_the_digits_that_mean_something(value, text):
    assert tags.metric_value(value) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (None, "–"),
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (1024 * 1024 - 1, "1.0 MiB"),
        (150 * 1024**2, "150 MiB"),
        (1 << 40, "1.0 TiB"),
        (1 << 60, "1048576 TiB"),
    ],
)
def test_sizes_use_units_of_1024(size, text):
    assert tags.bytes_(size) == text


def test_lengths_of_time_are_for_people():
    told = [tags.span(seconds) for seconds in (0, 45, 90, 1800, 5400, 86_400, 3 * 86_400 + 3601)]
    assert told == ["0 s", "45 s", "1 min 30 s", "30 min", "1 h 30 min", "1 day", "3 days 1 h"]


@pytest.mark.parametrize(
    ("value", "reference", "higher", "word"),
    [
        (0.92, 0.90, True, "better"),
        (0.90, 0.92, True, "worse"),
        (0.1, 0.2, False, "better"),
        (0.2, 0.1, False, "worse"),
    ],
)
def test_a_delta_says_whether_it_is_good(value, reference, higher, word):
    html = tags.delta(value, reference, higher)
    assert f"delta-{word}" in html
    assert html.endswith(f" {word}</span>")


def test_a_delta_shows_its_size_without_float_noise():
    assert "+0.02 " in tags.delta(0.92, 0.90, True)
    assert "−0.1 " in tags.delta(0.1, 0.2, False)


@pytest.mark.parametrize("unknown", [None, ""])
def test_a_delta_without_a_direction_does_not_judge(unknown):
    html = tags.delta(5, 3, unknown)
    assert "+2" in html
    assert "better" not in html


def test_a_delta_without_change_says_so():
    assert "unchanged" in tags.delta(0.1 + 0.2, 0.3)


@pytest.mark.parametrize(
    ("value", "reference"),
    [(None, 1), (1, None), ("", 1), (1, ""), (float("nan"), 1.0), (1.0, float("inf"))],
)
def test_a_delta_needs_two_numbers(value, reference):
    assert tags.delta(value, reference) == ""


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "just now"),
        (59, "just now"),
        (60, "1 minute ago"),
        (7200, "2 hours ago"),
        (86_400 * 3, "3 days ago"),
        (86_400 * 62, "2 months ago"),
        (86_400 * 800, "2 years ago"),
        (-3600, "in 1 hour"),
    ],
)
def test_times_are_told_in_one_unit(seconds, words):
    now = datetime(2026, 5, 3, 12, tzinfo=UTC)
    assert tags.relative(now - timedelta(seconds=seconds), now) == words


def test_ago_keeps_the_exact_time():
    html = tags.ago(datetime(2020, 5, 3, 14, 4, 11, tzinfo=timezone.get_fixed_timezone(120)))
    assert 'datetime="2020-05-03T12:04:11Z"' in html
    assert 'title="2020-05-03 12:04:11 UTC"' in html
    assert "years ago" in html


def test_ago_takes_days_and_nothing():
    assert 'datetime="2020-05-03T00:00:00Z"' in tags.ago(date(2020, 5, 3))
    assert tags.ago(None) == "–"
    assert tags.ago(None, "never") == "never"


def test_digests_are_shortened_without_their_algorithm():
    assert tags.short_digest("sha256:" + "ab" * 32) == "abababababab"
    assert tags.short_digest("ab" * 32) == "abababababab"
    assert tags.short_digest("") == tags.short_digest(None) == "–"


def test_people_have_a_name_to_call_them():
    def named(full, username):
        return SimpleNamespace(get_full_name=lambda: full, username=username)

    assert tags.person(named("Alice Ames", "alice")) == "Alice Ames"
    assert tags.person(named("", "bob")) == "bob"
    assert tags.person("system") == "system"
    assert tags.person(None) == "unknown"


def test_stages_say_their_word_and_survive_strangers():
    assert "stage-production" in tags.stage("production")
    assert tags.stage("production").endswith("Production</span>")
    assert "<script" not in tags.stage("<script>")
    assert "–" in tags.stage("")


def test_icons_are_decoration_unless_labelled():
    assert 'aria-hidden="true"' in tags.icon("check")
    labelled = tags.icon("check", '"met"')
    assert 'role="img"' in labelled
    assert 'aria-label="&quot;met&quot;"' in labelled
