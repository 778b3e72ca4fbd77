"""How fast the command-line client pushes and pulls, against `cp` and SHA-256 of the same files in the same run.

    python benchmarks/push_pull.py [--gib 1] [--many 1000] [--small 1000] [--mlflow]

Starts a server of its own with a fresh folder on a free loopback port: one large file, many files of 1 MiB, small files of
1 KiB. For each: cp + sha256, the same with what cp wrote forced to the disk as a registry has to, push, second push, pull with an empty cache, and the greatest memory of client and server.
`--mlflow`: the same folders through MLflow's client and server with its artifact proxy, too.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.transfer import PIECE, Memory, copy_and_hash, make_file, warm_up
from tests import originals
from tests.live import Template, collect_static, serve
from tests.migrated import Original


def client(live, cache: Path, *arguments: str) -> tuple[float, dict]:
    environment = {
        **os.environ,
        "MODELRY_URL": live.url,
        "MODELRY_TOKEN": live.tokens["bob"],
        "MODELRY_CACHE": str(cache),
    }
    began = time.perf_counter()
    command = [sys.executable, "-m", "models_app.client", *arguments, "--json", "--quiet"]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    return time.perf_counter() - began, json.loads(done.stdout)


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
    shutil.rmtree(target)
    sent, received = json.loads(done.stdout.splitlines()[-1])
    return sent, received


def copied(source: Path, target: Path, *, sync: bool = False) -> float:
    began = time.perf_counter()
    target.mkdir()
    for path in source.iterdir():
        copy_and_hash(path, target / path.name)
        if sync:
            with (target / path.name).open("rb") as file:
                os.fsync(file)
    return time.perf_counter() - began


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--gib", type=float, default=1.0)
    options.add_argument("--many", type=int, default=1000)
    options.add_argument("--small", type=int, default=1000)
    options.add_argument("--mlflow", action="store_true")
    chosen = options.parse_args()
    most = 2 * max(int(chosen.gib * 1024), chosen.many) * PIECE
    with tempfile.TemporaryDirectory(prefix="modelry-bench-", dir=os.environ.get("TMPDIR")) as name:
        folder = Path(name)
        for kind in ("large", "many", "small"):
            (folder / kind).mkdir()
        make_file(folder / "large" / "model.bin", int(chosen.gib * 1024) * PIECE)
        for number in range(chosen.many):
            make_file(folder / "many" / f"{number}.bin", PIECE)
        for number in range(chosen.small):
            (folder / "small" / f"{number}.bin").write_bytes(os.urandom(1024))
        template = Template(
            folder, collect_static(folder), Original(folder, os.environ.get("DATABASE_URL", ""))
        )
        other = originals.started(folder / "mlflow") if chosen.mlflow else nullcontext()
        with serve(template, folder / "home") as live, other as original:
            memory = Memory(live.pid)
            memory.start()
            for kind in ("large", "many", "small"):
                warm_up(folder, most)
                durable = copied(folder / kind, folder / "copy", sync=True)
                shutil.rmtree(folder / "copy")
                warm_up(folder, most)
                bare = copied(folder / kind, folder / "copy")
                shutil.rmtree(folder / "copy")
                warm_up(folder, most)
                push, _ = client(
                    live, folder / "cache", "push", str(folder / kind), "--model", f"risk/{kind}", "--create"
                )
                again, told = client(
                    live, folder / "cache", "push", str(folder / kind), "--model", f"risk/{kind}"
                )
                warm_up(folder, most)
                pull, _ = client(live, folder / "other", "pull", f"risk/{kind}", str(folder / "out"))
                shutil.rmtree(folder / "out")
                print(
                    f"{kind:<6} cp+sha256 {bare:6.2f} s, synced {durable:6.2f} s   "
                    f"push {push:6.2f} s ({push / bare:.2f}x, {push / durable:.2f}x)   second push "
                    f"{again:5.2f} s, {told['sent']} bytes   pull {pull:6.2f} s ({pull / bare:.2f}x)",
                    flush=True,
                )
                if original:
                    warm_up(folder, most)
                    up, down = through_mlflow(original, folder / kind, folder / "mlflow-out")
                    print(
                        f"{kind:<6} MLflow: up {up:6.2f} s ({up / push:.2f} of ours)   "
                        f"down {down:6.2f} s ({down / pull:.2f} of ours)",
                        flush=True,
                    )
            memory.stop.set()
    mine = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(
        f"peak memory: server process {memory.peak / PIECE:.0f} MiB, client (or another child) {mine:.0f} MiB"
    )


if __name__ == "__main__":
    main()
