"""How fast the command-line client pushes and pulls, against the bare limit with the same files in the same run.

    python benchmarks/push_pull.py [--gib 1] [--many 1000] [--small 1000] [--kinds large …] [--runs 1]
        [--mlflow] [--s3]

Starts a server of its own with a fresh folder on a free loopback port: one large file, many files of 1 MiB, small files
of 1 KiB. For each: the bare limit (cp + sha256, and the same with what cp wrote forced to the disk as a registry has to),
the least between two processes (two_processes.py), push, second push, pull with an empty cache; medians, and the
greatest memory of client and server.

`--s3`: artifacts are in a SeaweedFS of its own, a worker verifies them, and the bare limit is boto3's `upload_file` and
`download_file`, as many files side by side as our client sends and fetches parts.
`--mlflow`: the same folders through MLflow's client and server with its artifact proxy, too; with `--s3` it keeps them in
the same SeaweedFS.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import botocore
import jmespath
import s3transfer
from botocore.config import Config

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.transfer import PIECE, Memory, copy_and_hash, done_with, make_file, timed, warm_up
from tests import originals
from tests.live import LiveServer, Template, Worker, collect_static, serve
from tests.migrated import Original
from tests.storage.servers import BUCKET, SeaweedFS

SIDE_BY_SIDE = 4
KINDS = ("large", "many", "small")


class Client:
    """Our own client, as a user runs it; `peak` is its greatest memory so far, in bytes."""

    def __init__(self, live: LiveServer) -> None:
        self._environment = {**os.environ, "MODELRY_URL": live.url, "MODELRY_TOKEN": live.tokens["bob"]}
        self.peak = 0

    def __call__(self, cache: Path, *arguments: str) -> tuple[float, dict[str, Any]]:
        """Seconds that the command took, and what it answered."""
        began = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "models_app.client", *arguments, "--json", "--quiet"],
            env={**self._environment, "MODELRY_CACHE": str(cache)},
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        watching = Memory(process.pid)
        watching.start()
        out, err = process.communicate()
        took = time.perf_counter() - began
        watching.stop.set()
        self.peak = max(self.peak, watching.peak)
        if process.returncode:
            raise SystemExit(out + err)
        return took, json.loads(out)


def through_mlflow(server: originals.Original, source: Path, target: Path) -> tuple[float, float]:
    command = [
        originals.environment("mlflow3") / "bin/python",
        ROOT / "benchmarks/mlflow_artifacts.py",
        source,
        target,
    ]
    quiet = {"MLFLOW_TRACKING_URI": server.url, "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false"}
    done = subprocess.run(
        list(map(str, command)), env={**originals.clean(), **quiet}, capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    done_with(target)
    sent, received = json.loads(done.stdout.splitlines()[-1])
    return sent, received


def copied(source: Path, target: Path, *, forced: bool) -> None:
    target.mkdir()
    for path in source.iterdir():
        copy_and_hash(path, target / path.name)
        if forced:
            with (target / path.name).open("rb") as file:
                os.fsync(file)


def limit_on_disk(source: Path, folder: Path) -> Iterator[tuple[str, float]]:
    for name, forced in (("forced", True), ("bare up", False)):
        warm_up(folder, room_for(source))
        yield name, timed(partial(copied, source, folder / "copy", forced=forced))[0]
        done_with(folder / "copy")
    for name, more in (("between", []), ("and forced", ["--forced"])):
        warm_up(folder, room_for(source))
        command = [sys.executable, ROOT / "benchmarks/two_processes.py", source, folder / "copy", *more]
        yield name, float(subprocess.check_output(command))
        done_with(folder / "copy")


def limit_at_store(source: Path, folder: Path, store: SeaweedFS) -> Iterator[tuple[str, float]]:
    config = Config(s3={"addressing_style": "path"}, max_pool_connections=10 * SIDE_BY_SIDE)
    s3, paths, target = (
        boto3.client("s3", **store.keys(), config=config),
        [*source.iterdir()],
        folder / "copy",
    )
    target.mkdir()
    warm_up(folder, room_for(source))
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:

        def each(work: Callable[[Path], object]) -> float:
            return timed(lambda: list(pool.map(work, paths)))[0]

        yield "bare up", each(lambda path: s3.upload_file(str(path), BUCKET, path.name))
        warm_up(folder, room_for(source))
        yield "bare down", each(lambda path: s3.download_file(BUCKET, path.name, str(target / path.name)))
        each(lambda path: s3.delete_object(Bucket=BUCKET, Key=path.name))
    done_with(target)


def room_for(source: Path) -> int:
    return 2 * sum(path.stat().st_size for path in source.iterdir())


def make(folder: Path, kind: str, chosen: argparse.Namespace) -> Path:
    """Fresh files each time, so that none is there already."""
    source = folder / kind
    source.mkdir()
    if kind == "large":
        make_file(source / "model.bin", int(chosen.gib * 1024) * PIECE)
        return source
    for number in range(chosen.many if kind == "many" else chosen.small):
        (source / f"{number}.bin").write_bytes(os.urandom(PIECE if kind == "many" else 1024))
    return source


def one_run(
    client: Client, folder: Path, source: Path, store: SeaweedFS | None, mlflow: originals.Original | None
) -> Iterator[tuple[str, float]]:
    yield from limit_on_disk(source, folder) if store is None else limit_at_store(source, folder, store)
    # A model of its own: a new version of one is hashed before it is sent, as much of it may be there.
    name, cache = f"risk/{source.name}-{secrets.token_hex(4)}", folder / "cache"
    warm_up(folder, room_for(source))
    push, _ = client(cache, "push", str(source), "--model", name, "--create")
    yield "push", push
    again, told = client(cache, "push", str(source), "--model", name)
    yield "push again", again
    if told["sent"]:
        raise SystemExit(f"The second push sent {told['sent']} bytes.")
    warm_up(folder, room_for(source))
    pull, _ = client(folder / "empty", "pull", name, str(folder / "out"))
    yield "pull", pull
    for path in (folder / "out", folder / "empty", cache):
        done_with(path)
    if mlflow:
        warm_up(folder, room_for(source))
        up, down = through_mlflow(mlflow, source, folder / "mlflow-out")
        yield from (("mlflow up", up), ("mlflow down", down))


def at_store(folder: Path, store: SeaweedFS) -> dict[str, Any]:
    """How MLflow's server is started so that it keeps files there, with the boto3 of our environment."""
    lent = folder / "lent"
    lent.mkdir()
    for package in (boto3, botocore, jmespath, s3transfer):
        found = Path(package.__file__).parent
        (lent / found.name).symlink_to(found)
    keys = store.keys()
    return {
        "options": ("--artifacts-destination", f"s3://{BUCKET}/mlflow"),
        "more": {
            "PYTHONPATH": str(lent),
            "MLFLOW_S3_ENDPOINT_URL": keys["endpoint_url"],
            "AWS_ACCESS_KEY_ID": keys["aws_access_key_id"],
            "AWS_SECRET_ACCESS_KEY": keys["aws_secret_access_key"],
            "AWS_DEFAULT_REGION": "us-east-1",
        },
    }


@contextmanager
def servers(
    folder: Path, store: SeaweedFS | None, *, mlflow: bool
) -> Iterator[tuple[LiveServer, dict[str, Memory], originals.Original | None]]:
    template = Template(folder, collect_static(folder), Original(folder, os.environ.get("DATABASE_URL", "")))
    if store:
        store.start()
    settings = store.settings("registry") if store else {}
    other = nullcontext()
    if mlflow:
        other = originals.started(folder / "mlflow", **(at_store(folder, store) if store else {}))
    with serve(template, folder / "home", **settings) as live, other as original:
        worker = Worker(live)
        if store:
            worker.start()
        watching = {"server process": Memory(live.pid)} | ({"worker": Memory(worker.pid)} if store else {})
        for one in watching.values():
            one.start()
        try:
            yield live, watching, original
        finally:
            for one in watching.values():
                one.stop.set()
            worker.kill()
            if store:
                store.stop()


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--gib", type=float, default=1.0)
    options.add_argument("--many", type=int, default=1000)
    options.add_argument("--small", type=int, default=1000)
    options.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    options.add_argument("--runs", type=int, default=1)
    options.add_argument("--mlflow", action="store_true")
    options.add_argument("--s3", action="store_true")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="modelry-bench-", dir=os.environ.get("TMPDIR")) as name:
        folder = Path(name)
        store = SeaweedFS(folder / "seaweed", volume_mb=1024) if chosen.s3 else None
        with servers(folder, store, mlflow=chosen.mlflow) as (live, watching, original):
            client = Client(live)
            for kind in chosen.kinds:
                took: dict[str, list[float]] = defaultdict(list)
                for _ in range(chosen.runs):
                    source = make(folder, kind, chosen)
                    for what, seconds in one_run(client, folder, source, store, original):
                        took[what].append(seconds)
                    done_with(source)
                report(kind, {what: statistics.median(times) for what, times in took.items()})
    peaks = {name: one.peak for name, one in watching.items()} | {"client": client.peak}
    print("peak memory", ", ".join(f"{name} {peak / PIECE:.0f} MiB" for name, peak in peaks.items()))


def report(kind: str, took: dict[str, float]) -> None:
    up, down = took["bare up"], took.get("bare down", took["bare up"])
    ratios = {"push": took["push"] / up, "pull": took["pull"] / down}
    print(kind)
    for what, seconds in took.items():
        beside = f"  {ratios[what]:.2f} of the bare limit" if what in ratios else ""
        if what == "push" and "forced" in took:
            beside += f", {seconds / took['forced']:.2f} of it forced to the disk"
        if what.startswith("mlflow"):
            beside = f"  {seconds / took['push' if what.endswith('up') else 'pull']:.2f} of ours"
        print(f"  {what:<12} {seconds:6.2f} s{beside}", flush=True)


if __name__ == "__main__":
    main()
