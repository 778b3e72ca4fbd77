"""Measure pages and calls of a running registry: `python benchmarks/drive.py --out big.json`.

DATABASE_URL names the database (filled by seed.py): names to ask for, a session and a token are taken from it. Without
--url an app server is started over it for the time of the run. `--compare small.json big.json` prints two runs beside
each other.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlsplit

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "registry_site.settings")

PathOf = Callable[[random.Random], str]
SAMPLE = 300


@dataclass
class Call:
    """One kind of request; `door` says who asks: a browser with a session, or a script with a token."""

    name: str
    door: str
    path: PathOf
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Standing:
    """What a run needs to know of the database."""

    session: str
    token: str
    versions: list[tuple[str, int]]
    words: list[str]
    common: list[str]
    counts: dict[str, int]


def stand() -> Standing:
    """A session and a token of the person `bench`, and a sample of names."""
    import django

    django.setup()
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
    from django.contrib.sessions.backends.db import SessionStore
    from django.db import connection
    from django.db.models import Max

    from models_app.http.backends import PASSWORD
    from models_app.models import ModelVersion, RegisteredModel, SearchDocument, User, Visibility
    from models_app.registry import people
    from models_app.registry.access import Actor
    from models_app.registry.search.query import SearchQuery, find

    user = User.objects.filter(username="bench").first()
    if user is None:
        sys.exit("There is no user “bench”; fill the database with benchmarks/seed.py first.")
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = PASSWORD
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.create()
    _, token = people.create_token(
        user=user, name="benchmark", scopes=["read"], by=Actor.system(door="shell")
    )
    rng = random.Random(7)
    highest = RegisteredModel.objects.aggregate(highest=Max("pk"))["highest"]
    ids = [rng.randint(1, highest) for _ in range(3 * SAMPLE)]
    rows = RegisteredModel.objects.filter(pk__in=ids, visibility=Visibility.INTERNAL).values_list(
        "name", "last_number"
    )
    versions = [(name, rng.randint(1, last)) for name, last in rows[:SAMPLE]]
    titles = SearchDocument.objects.filter(pk__in=ids[:100]).values_list("title", flat=True)
    words = sorted(
        {word for title in titles for word in title.split() if len(word) > 3 and not word.isdigit()}
    )
    # Words whose answer fills a page, so that answers of small and large databases are equally long.
    common = [word for word in words if find(SearchQuery(words=word), by=Actor.system()).next_cursor]
    counts = {"models": RegisteredModel.objects.count(), "versions": ModelVersion.objects.count()}
    connection.close()
    if connection.vendor == "postgresql":
        connection.close_pool()
    return Standing(session.session_key or "", token, versions, words, common, counts)


def calls(standing: Standing) -> list[Call]:
    """Everything that is measured, by name."""

    def fixed(path: str) -> PathOf:
        return lambda rng: path

    def of_model(pattern: str) -> PathOf:
        return lambda rng: pattern.format(model=quote(rng.choice(standing.versions)[0]))

    def of_version(pattern: str) -> PathOf:
        def make(rng: random.Random) -> str:
            name, number = rng.choice(standing.versions)
            return pattern.format(model=quote(name), number=number)

        return make

    def any_words(pattern: str, count: int = 1) -> PathOf:
        return lambda rng: pattern.format(words="+".join(rng.choice(standing.words) for _ in range(count)))

    def common_word(pattern: str) -> PathOf:
        return lambda rng: pattern.format(words=rng.choice(standing.common))

    metric = quote("f1 > 0.9")
    return [
        Call("page home", "web", fixed("/")),
        Call("page home, image classification", "web", fixed("/?q=image+classification")),
        Call("page home, a word", "web", any_words("/?q={words}")),
        Call("page home, a word of many", "web", common_word("/?q={words}")),
        Call("page home, two words", "web", any_words("/?q={words}", 2)),
        Call("page home, facets chosen", "web", fixed("/?task=image-classification&stage=production")),
        Call("page home, f1 > 0.9", "web", fixed(f"/?metric={metric}")),
        Call("page home, sorted by f1", "web", fixed(f"/?sort={quote('metric:f1')}")),
        Call("page model", "web", of_model("/models/{model}/")),
        Call("page versions", "web", of_model("/models/{model}/versions/")),
        Call("page version", "web", of_version("/models/{model}@{number}/")),
        Call("REST models", "api", fixed("/api/v1/models")),
        Call("REST model", "api", of_model("/api/v1/models/{model}")),
        Call("REST versions of a model", "api", of_model("/api/v1/models/{model}/versions")),
        Call("REST version", "api", of_version("/api/v1/models/{model}/versions/{number}")),
        Call("REST all versions", "api", fixed("/api/v1/versions")),
        Call("REST search, image classification", "api", fixed("/api/v1/search?q=image+classification")),
        Call("REST search, a word", "api", any_words("/api/v1/search?q={words}")),
        Call("REST search, a word of many", "api", common_word("/api/v1/search?q={words}")),
        Call("REST search, f1 > 0.9", "api", fixed(f"/api/v1/search?metric={metric}")),
        Call("REST facets", "api", fixed("/api/v1/search/facets")),
        Call("REST facets, a word", "api", any_words("/api/v1/search/facets?q={words}")),
        Call("REST in production", "api", fixed("/api/v1/stages/production")),
    ]


@contextmanager
def server(port: int) -> Iterator[str]:
    """The app server as in production, over the database that DATABASE_URL names."""
    command = [
        sys.executable,
        "-m",
        "granian",
        "--interface",
        "wsgi",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    command += ["--workers", "2", "--blocking-threads", "5", "--no-ws", "--log-level", "warning"]
    static = tempfile.mkdtemp(prefix="modelry-static-")
    environment = {**os.environ, "MODELRY_STATIC_ROOT": static}
    collect = [sys.executable, "manage.py", "collectstatic", "--no-input", "--verbosity", "0"]
    subprocess.run(collect, cwd=ROOT, env=environment, check=True)
    process = subprocess.Popen([*command, "registry_site.wsgi:application"], cwd=ROOT, env=environment)
    try:
        for _ in range(100):
            time.sleep(0.2)
            try:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
                connection.request("GET", "/readyz")
                if connection.getresponse().status == 200:
                    break
            except OSError:
                continue
        else:
            sys.exit("The app server did not start.")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=20)
        shutil.rmtree(static, ignore_errors=True)


class Client:
    """One kept connection."""

    def __init__(self, url: str, standing: Standing) -> None:
        parts = urlsplit(url)
        make = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self.connection = make(parts.hostname or "", parts.port, timeout=60)
        self.headers = {
            "web": {"Cookie": f"modelry_session={standing.session}", "Accept": "text/html"},
            "api": {"Authorization": f"Bearer {standing.token}", "Accept": "application/json"},
        }

    def get(self, call: Call, path: str) -> tuple[int, int]:
        """Status and size of the answer."""
        self.connection.request("GET", path, headers={**self.headers[call.door], **call.headers})
        answer = self.connection.getresponse()
        return answer.status, len(answer.read())


def measure(call: Call, url: str, standing: Standing, *, connections: int, seconds: float, most: int) -> dict:
    """Ask again and again over some connections until time or number is up."""
    warm = Client(url, standing)
    rng = random.Random(1)
    for _ in range(5):
        warm.get(call, call.path(rng))
    durations: list[float] = []
    sizes: list[int] = []
    wrong: dict[int, int] = {}
    lock = threading.Lock()
    end = time.perf_counter() + seconds

    def work(number: int) -> None:
        client, rng = Client(url, standing), random.Random(number)
        mine: list[tuple[float, int, int]] = []
        while (start := time.perf_counter()) < end and len(mine) < most // connections:
            status, size = client.get(call, call.path(rng))
            mine.append((time.perf_counter() - start, status, size))
        with lock:
            for duration, status, size in mine:
                durations.append(duration)
                sizes.append(size)
                if status != 200:
                    wrong[status] = wrong.get(status, 0) + 1

    start = time.perf_counter()
    threads = [threading.Thread(target=work, args=(number,)) for number in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - start
    durations.sort()
    return {
        "requests": len(durations),
        "per_second": round(len(durations) / took, 1),
        "p50_ms": round(1000 * statistics.median(durations), 1),
        "p99_ms": round(1000 * durations[min(len(durations) - 1, int(len(durations) * 0.99))], 1),
        "bytes": int(statistics.median(sizes)),
        "not_200": wrong,
    }


def table(runs: list[dict]) -> str:
    """One run, or two beside each other with how much slower the second is, and how much more it answered."""
    head = f"{'':36}" + "".join(f"{'req/s':>9}{'p50 ms':>9}{'p99 ms':>9}" for _ in runs)
    lines = [
        "  ".join(f"{run['models']} models, {run['versions']} versions, {run['database']}" for run in runs),
        head + (f"{'p50 ×':>8}{'bytes ×':>9}" if len(runs) > 1 else ""),
    ]
    for name in runs[0]["calls"]:
        found = [run["calls"].get(name) for run in runs]
        if None in found:
            continue
        line = f"{name:36}" + "".join(
            f"{one['per_second']:9}{one['p50_ms']:9}{one['p99_ms']:9}" for one in found
        )
        if len(runs) > 1:
            line += "".join(
                f"{found[1][key] / found[0][key]:{width}.1f}" for key, width in (("p50_ms", 8), ("bytes", 9))
            )
        wrong = [f"{count}× {status}" for one in found for status, count in one["not_200"].items()]
        lines.append(line + (f"   not 200: {', '.join(wrong)}" if wrong else ""))
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", help="A running server over the same database; without it one is started.")
    parser.add_argument("--port", type=int, default=8149, help="Where to start one (default 8149).")
    parser.add_argument("--connections", type=int, default=1, help="Parallel connections (default 1).")
    parser.add_argument("--seconds", type=float, default=4, help="At most so long per call (default 4).")
    parser.add_argument("--requests", type=int, default=2000, help="At most so many per call (default 2000).")
    parser.add_argument("--only", default="", help="Only calls whose name contains this.")
    parser.add_argument("--out", type=Path, help="Write the result here as JSON.")
    parser.add_argument(
        "--compare", nargs=2, type=Path, metavar=("A", "B"), help="Print two results side by side."
    )
    options = parser.parse_args()
    if options.compare:
        print(table([json.loads(path.read_text()) for path in options.compare]))
        return
    standing = stand()
    result = {
        **standing.counts,
        "database": "SQLite" if "sqlite" in os.environ.get("DATABASE_URL", "sqlite") else "PostgreSQL",
        "connections": options.connections,
        "calls": {},
    }

    def run(url: str) -> None:
        for call in calls(standing):
            if options.only in call.name:
                limits = {"seconds": options.seconds, "most": options.requests}
                result["calls"][call.name] = measure(
                    call, url, standing, connections=options.connections, **limits
                )
                print(
                    table([{**result, "calls": {call.name: result["calls"][call.name]}}]).splitlines()[-1],
                    flush=True,
                )

    if options.url:
        run(options.url)
    else:
        with server(options.port) as url:
            run(url)
    print()
    print(table([result]))
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
