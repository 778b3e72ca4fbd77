"""What every test may ask for."""

from __future__ import annotations

import gc
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, connection
from django.db.models.expressions import Col
from django.test import Client
from xdist.scheduler import LoadScopeScheduling

from models_app.registry.access import Actor
from tests import append_only, emitted, originals
from tests import live as live_servers
from tests import people as standing
from tests.migrated import Original as Migrated
from tests.receiver import Receiver, receiver

# A busy machine is slow, not wrong; the budget of examples keeps the suite short.
hypothesis.settings.register_profile("modelry", deadline=None, max_examples=60, print_blob=True)
hypothesis.settings.load_profile("modelry")
# Django takes the hash of every column of an ordered query, and a tenth of the suite's time for it. As equal as before.
Col.__hash__ = lambda column: hash((column.alias, column.target))


# The same standing people for all tests of this process.
KNOWN = standing.Remembered()
LONG = ("client", "original", "browser", "live", "long")


def pytest_configure(config):
    config.addinivalue_line("markers", "client: runs a real MLflow client in its own environment")
    config.addinivalue_line("markers", "long: takes so long that it had better begin early")
    config.addinivalue_line("markers", "original: asks MLflow's own server, to see where ours differs")


def pytest_addoption(parser):
    parser.addoption(
        "--database-only",
        action="store_true",
        help="Run only tests that another database could answer differently.",
    )


def pytest_collection_modifyitems(config, items):
    for item in items:
        if "chromium" in item.fixturenames:
            item.add_marker("browser")
        if {"live_template", "servers"} & set(item.fixturenames):
            item.add_marker("live")
    if config.getoption("--database-only"):
        keep = [item for item in items if _asks_the_database(item)]
        config.hook.pytest_deselected(items=[item for item in items if item not in set(keep)])
        items[:] = keep
    # What takes longest begins first, so that at the end no process waits for another.
    items.sort(key=lambda item: [not item.get_closest_marker(name) for name in LONG])


def pytest_collection_finish():
    """What was collected stays to the end: to look through it again and again would take a twentieth of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 10, 10)


class Together(LoadScopeScheduling):
    """Tests of one file share what its fixtures made, so one process runs them; one process all that need a real
    MLflow, and one all that need real stores.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        if file.startswith("tests/clients/") or nodeid.endswith("::test_the_original"):
            return "mlflow"
        return "stores" if file.startswith("tests/storage/") else file


def pytest_xdist_make_scheduler(config, log):
    return Together(config, log)


def _asks_the_database(item) -> bool:
    if item.get_closest_marker("browser") or item.get_closest_marker("sqlite_is_enough"):
        return False
    touches = {"db", "transactional_db", "people", "live_template"}
    return bool(item.get_closest_marker("django_db") or touches & set(item.fixturenames))


@pytest.fixture(scope="session")
def migrated(pytestconfig) -> Migrated:
    """The database that tests and live servers get copies of."""
    return Migrated(pytestconfig.cache.mkdir("modelry"), os.environ.get("DATABASE_URL", ""))


@pytest.fixture(scope="session")
def django_db_keepdb(django_db_modify_db_settings_parallel_suffix, migrated) -> Iterator[bool]:
    """pytest-django keeps what it finds: a copy of the migrated database under this process's name, gone at the end."""
    name = connection.creation._get_test_db_name()
    migrated.copy_to(name)
    yield True
    connection.close()
    if migrated.server:
        migrated.sql(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
    else:
        shutil.rmtree(Path(name).parent, ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def _audit_is_emptied_too():
    with pytest.MonkeyPatch.context() as patch:
        append_only.let_flush(patch)
        yield


@pytest.fixture(scope="session", autouse=True)
def _events_are_as_their_schemas_say():
    with pytest.MonkeyPatch.context() as patch:
        emitted.check_emitted(patch)
        yield


@pytest.fixture(autouse=True)
def artifacts(settings, tmp_path) -> Path:
    """An empty artifact storage for this test alone."""
    root = tmp_path / "artifacts"
    (root / "blobs").mkdir(parents=True)
    settings.STORAGES = {
        **settings.STORAGES,
        "artifacts": {
            "BACKEND": "models_app.registry.artifacts.stores.disk.DiskStore",
            "OPTIONS": {"location": str(root)},
        },
    }
    return root


@pytest.fixture(autouse=True)
def _connections_stay() -> None:
    """A response that a test closes ends no connection. (Django's client connects them again.)"""
    request_started.disconnect(close_old_connections)
    request_finished.disconnect(close_old_connections)


@pytest.fixture
def loopback(settings) -> None:
    """Messages may go to this machine, unencrypted."""
    settings.OUTBOUND_ALLOW = ["127.0.0.1"]
    settings.WEBHOOK_SCHEMES = ["http"]


@pytest.fixture
def told() -> Iterator[Receiver]:
    """Where webhooks of a test go."""
    with receiver() as running:
        yield running


@pytest.fixture
def people(db) -> standing.People:
    """alice, bob, carol, dave, erin, charlie and root: see tests/people.py."""
    return KNOWN.build()


class ApiClient(Client):
    """A test client that speaks JSON and carries a token."""

    def __init__(self, *, secret: str | None = None) -> None:
        super().__init__(headers={"Authorization": f"Bearer {secret}"} if secret else None)

    def post(self, path, data=None, content_type="application/json", **extra):
        return super().post(path, data, content_type=content_type, **extra)

    def put(self, path, data="", content_type="application/json", **extra):
        return super().put(path, data, content_type=content_type, **extra)

    def patch(self, path, data="", content_type="application/json", **extra):
        return super().patch(path, data, content_type=content_type, **extra)


class Api:
    """`api.bob.get("/api/v1/models")`: a client per person, with a token of all scopes; `api.anonymous` has none."""

    def __init__(self, people: standing.People) -> None:
        self._people = people

    def __getattr__(self, name: str) -> ApiClient:
        actor = getattr(self._people, name)
        client = self.client(actor) if actor.user else ApiClient()
        setattr(self, name, client)
        return client

    def client(self, actor: Actor, *scopes: str) -> ApiClient:
        """A client whose token has only these scopes."""
        return ApiClient(secret=standing.token(actor, *scopes))


@pytest.fixture
def api(people) -> Api:
    """Clients of the REST API, one per person."""
    return Api(people)


@pytest.fixture(scope="session")
def original_server(tmp_path_factory) -> Iterator[originals.Original]:
    """MLflow's own server, for all who bear each other's traces: it takes long to start."""
    with originals.started(tmp_path_factory.mktemp("original")) as server:
        yield server


@pytest.fixture(scope="session")
def live_template(tmp_path_factory, pytestconfig, migrated):
    """What live servers start from: a migrated database with the standing people, collected static files."""
    static = live_servers.collect_static(pytestconfig.cache.mkdir("modelry"))
    base = tmp_path_factory.getbasetemp()
    template = live_servers.Template(
        (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "live", static, migrated
    )
    yield template
    template.close()


@pytest.fixture
def live(live_template, tmp_path):
    """A real server of this test's own: `live.url`, `live.client("bob")`, `live.kill()`, `live.start()`."""
    with live_servers.serve(live_template, tmp_path / "home") as server:
        yield server


@pytest.fixture(scope="module")
def shared_live(live_template, tmp_path_factory):
    """A real server for all tests of a module that bear each other's traces."""
    with live_servers.serve(live_template, tmp_path_factory.mktemp("home")) as server:
        yield server
