"""SPDX expressions, canonical or refused."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models_app.formats.licenses import known, normalise


@pytest.mark.parametrize(
    "given_, canonical",
    [
        ("mit", "MIT"),
        (" Apache-2.0 ", "Apache-2.0"),
        ("apache-2.0 and MIT", "Apache-2.0 AND MIT"),
        ("MIT OR (Apache-2.0 AND BSD-3-Clause)", "MIT OR (Apache-2.0 AND BSD-3-Clause)"),
        ("(mit)", "MIT"),
        ("GPL-2.0-or-later WITH Classpath-exception-2.0", "GPL-2.0-or-later WITH Classpath-exception-2.0"),
        ("CC-BY-NC-4.0", "CC-BY-NC-4.0"),
        ("LicenseRef-Acme-Internal", "LicenseRef-Acme-Internal"),
        ("LicenseRef-acme AND MIT", "LicenseRef-acme AND MIT"),
        ("mit or mit", "MIT OR MIT"),
    ],
)
def test_canonical_spelling(given_, canonical):
    assert normalise(given_) == canonical
    assert normalise(canonical) == canonical


@pytest.mark.parametrize(
    "text, why",
    [
        ("", "is needed"),
        ("   ", "is needed"),
        ("Apache 2", "no SPDX"),
        ("my own license", "no SPDX"),
        ("NoSuch-1.0", "“NoSuch-1.0” is no SPDX license"),
        ("MIT AND", "no SPDX license expression"),
        ("AND", "no SPDX"),
        ("(MIT", "no SPDX"),
        ("MIT)", "no SPDX"),
        ("MIT WITH MIT", "no SPDX"),
        ("Classpath-exception-2.0", "no SPDX"),
        ("LicenseRef-", "no SPDX"),
        ("LicenseRef-<script>", "no SPDX"),
        ("DocumentRef-x:LicenseRef-y", "no SPDX"),
        ("MIT\nAND\x00X", "no SPDX"),
        ("(" * 50 + "MIT" + ")" * 50, "nested"),
        ("MIT OR " * 40 + "MIT", "At most 200"),
    ],
)
def test_what_is_no_license(text, why):
    with pytest.raises(ValueError, match=why):
        normalise(text)


def test_the_list_for_completion():
    ids = known()
    assert {"MIT", "Apache-2.0", "CC-BY-4.0"} <= set(ids)
    assert "Classpath-exception-2.0" not in ids
    assert list(ids) == sorted(ids)
    assert all(normalise(name) == name for name in ids[::40])


def test_cheap_after_the_first_use():
    normalise("MIT")
    start = time.perf_counter()
    for _ in range(100):
        normalise("Apache-2.0 AND MIT")
    assert time.perf_counter() - start < 1


@given(st.text(alphabet="MIT()+ andorwith-.:\0é", max_size=40) | st.text(max_size=60))
def test_any_text_is_normalised_or_refused(text):
    try:
        canonical = normalise(text)
    except ValueError:
        return
    assert normalise(canonical) == canonical
