"""Every kind of store, with an empty place of its own for each test."""

from __future__ import annotations

import secrets

import pytest

from models_app.registry.artifacts import arrivals, storage
from tests.storage.servers import Servers


@pytest.fixture(scope="session")
def servers(tmp_path_factory):
    running = Servers(tmp_path_factory.mktemp("stores"))
    yield running
    running.close()


@pytest.fixture
def use(settings, monkeypatch):
    """`use(entry)` keeps artifacts there from now on; small files go directly too, and come in small parts."""

    def use(entry):
        settings.STORAGES = {**settings.STORAGES, "artifacts": entry}
        settings.DIRECT_MIN_BYTES = 1
        return storage.store()

    monkeypatch.setattr(arrivals, "WHOLE_MOST", 1 << 20)
    monkeypatch.setattr(arrivals, "PART_SIZE", 5 << 20)
    return use


@pytest.fixture(params=["disk", "s3", "azure", "gs"])
def place(request, servers, use, settings):
    """One kind of store after the other; its name."""
    if request.param == "disk":
        use(settings.STORAGES["artifacts"])
    else:
        use(servers[request.param].storage(f"tests/{secrets.token_hex(4)}"))
    return request.param
