"""How quickly webhooks hear, how a queue drains, whom a dead receiver slows, and what is lost when workers are killed:
`python benchmarks/webhooks.py`, on what DATABASE_URL names (empty, its own). Receiver, workers and writer share the machine.

    latency   from the return of a promotion (its commit) to the arrival at the one hook that wants it, among --hooks
    fan-out   the same when every one of them wants it: all arrivals of one promotion after the other
    dead      as latency, while 20 of the hooks want it too, whose receiver takes calls and never answers
    drain     --queued messages of 20 hooks and 50 models, two workers, a receiver of known speed
    killed    200 moves and as many that are rolled back, while one of two workers is killed (SIGKILL) again and again
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "registry_site.settings")
os.environ["MODELRY_OUTBOUND_ALLOW"] = "127.0.0.0/8"
os.environ["MODELRY_WEBHOOK_SCHEMES"] = "http"

import django

django.setup()

from django.core.management import call_command
from django.db import connection, transaction
from django.utils import timezone

from models_app.models import Delivery, DeliveryLane, ModelVersion, OutboxEvent, Webhook
from models_app.registry import deliveries, promotions, webhooks
from models_app.tasks.dispatcher import dispatch
from tests import builders, people

# What a killed worker had in hand comes back when its lease ends; here this is not waited for.
LEASE_IS_OVER = 1.0
DEAD = 20


@dataclass
class Receiver:
    """Answers 200 after `delay` to at most `slots` at a time; keeps when what arrived."""

    delay: float = 0.0
    slots: int = 1000
    answers: bool = True
    port: int = 0
    arrived: list[tuple[float, str, str, dict[str, Any]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        ready = threading.Event()
        threading.Thread(target=lambda: asyncio.run(self._serve(ready)), daemon=True).start()
        ready.wait()

    async def _serve(self, ready: threading.Event) -> None:
        self._free = asyncio.Semaphore(self.slots)
        server = await asyncio.start_server(self._talk, "127.0.0.1", 0, backlog=2000)
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        await server.serve_forever()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            headers = dict(line.lower().split(": ", 1) for line in head.splitlines()[1:] if line)
            body = await reader.readexactly(int(headers["content-length"]))
            if not self.answers:
                await asyncio.sleep(3600)
            path = head.split(" ")[1]
            self.arrived.append((time.time(), path, headers["webhook-id"], json.loads(body)["data"]))
            if self.delay:
                async with self._free:
                    await asyncio.sleep(self.delay)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
            await writer.drain()
            writer.close()

    def url(self, path: str = "") -> str:
        return f"http://127.0.0.1:{self.port}/{path}"


def start_worker() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, str(ROOT / "manage.py"), "run_worker"], stderr=subprocess.DEVNULL
    )


@contextmanager
def workers(count: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    running = [start_worker() for _ in range(count)]
    try:
        yield running
    finally:
        for one in running:
            one.terminate()
        for one in running:
            one.wait()


def hook(who: people.People, name: str, url: str, **fields: Any) -> Webhook:
    fields = {"events": ["version.promoted"], **fields}
    return webhooks.create_webhook(name, url=url, scheme="standard", by=who.root, **fields)


def forget() -> None:
    Webhook.objects.all().delete()
    OutboxEvent.objects.filter(done_at=None).update(done_at=timezone.now())


def wait_for(done: Any, *, seconds: float) -> None:
    until = time.monotonic() + seconds
    while not done() and time.monotonic() < until:
        time.sleep(0.02)


def told(name: str, taken: list[float], unit: float = 1000) -> None:
    taken = sorted(taken)
    at = {share: taken[min(len(taken) - 1, int(len(taken) * share / 100))] * unit for share in (50, 95, 99)}
    say(name, f"p50 {at[50]:6.0f} ms  p95 {at[95]:6.0f} ms  p99 {at[99]:6.0f} ms  of {len(taken)}")


def say(name: str, text: str) -> None:
    print(f"{connection.vendor:10} {name:9} {text}  (load {os.getloadavg()[0]:.1f})", flush=True)


def promote(versions: list[ModelVersion], who: people.People, pause: float) -> dict[str, float]:
    """When each was committed, by name of the model."""
    at = {}
    for version in versions:
        promotions.move(version, to="production", by=who.carol, reason="Better.")
        at[version.model.name] = time.time()
        time.sleep(pause)
    return at


def ready(who: people.People, label: str, count: int) -> list[ModelVersion]:
    return [
        builders.complete_version(builders.model(f"risk/{label}-{n}", by=who.bob), by=who.bob)
        for n in range(count)
    ]


def latency(who: people.People, *, hooks: int, times: int, dead: int = 0) -> None:
    forget()
    name = "dead" if dead else "latency"
    versions = ready(who, name, times)
    receiver, hanging = Receiver(), Receiver(answers=False)
    for n in range(hooks - 1):
        hook(who, f"other-{n}", receiver.url(f"other-{n}"), models=[f"nobody/{n}"])
    for n in range(dead):
        hook(who, f"dead-{n}", hanging.url(f"dead-{n}"))
    hook(who, "this", receiver.url("this"))
    with workers(1):
        time.sleep(8)
        at = promote(versions, who, 0.25)
        wait_for(lambda: len(receiver.arrived) >= times, seconds=60)
    told(name, [when - at[data["model"]] for when, _, _, data in receiver.arrived])


def fan_out(who: people.People, *, hooks: int, times: int) -> None:
    forget()
    versions = ready(who, "fan", times)
    receiver = Receiver()
    for n in range(hooks):
        hook(who, f"all-{n}", receiver.url(str(n)))
    with workers(2):
        time.sleep(8)
        taken, first = [], []
        for n, version in enumerate(versions, start=1):
            (at,) = promote([version], who, 0).values()
            wait_for(lambda n=n: len(receiver.arrived) >= n * hooks, seconds=120)
            mine = [when - at for when, _, _, _ in receiver.arrived[(n - 1) * hooks :]]
            taken += mine
            first.append(min(mine))
    told("fan-out", taken)
    say(
        "fan-out",
        f"first arrival after {statistics.median(first) * 1000:.0f} ms, {hooks / max(taken):.0f} a second",
    )


def drain(who: people.People, *, queued: int, speed: float) -> None:
    forget()
    slots = 10
    receiver = Receiver(delay=slots / speed, slots=slots)
    models = [builders.model(f"risk/drain-{n}", by=who.bob) for n in range(50)]
    for n in range(20):
        hook(who, f"drain-{n}", receiver.url(str(n)))
    dispatch()
    for n in range(queued // 20):
        one = models[n % 50]
        payload = {"name": one.name, "version": n, "is_prompt": False, "by": "x", "text": "", "former": None}
        payload |= {"from": "staging", "to": "production", "kind": "move"}
        event = OutboxEvent.objects.create(
            name="version.moved", model_ref=one.pk, payload=payload, done_at=timezone.now()
        )
        deliveries.enqueue(event)
    assert Delivery.objects.filter(state="waiting").count() == queued // 20 * 20
    with workers(2):
        wait_for(lambda: receiver.arrived, seconds=60)
        wait_for(lambda: len({uid for _, _, uid, _ in receiver.arrived}) >= queued, seconds=900)
    took = receiver.arrived[-1][0] - receiver.arrived[0][0]
    uids = [uid for _, _, uid, _ in receiver.arrived]
    say(
        "drain",
        f"{len(set(uids))} in {took:.1f} s, {len(uids) / took:.0f} a second of the receiver's {speed:.0f};"
        f" {len(uids) - len(set(uids))} twice; {disorder(receiver.arrived, 'version')} out of order",
    )


def disorder(arrived: list[tuple[float, str, str, dict[str, Any]]], key: str) -> int:
    """How many came after one that is newer, of the same hook and model; what came again does not count."""
    newest: dict[tuple[str, str], int] = defaultdict(lambda: -1)
    seen: set[str] = set()
    wrong = 0
    for _, path, uid, data in arrived:
        if uid in seen:
            continue
        seen.add(uid)
        lane = (path, data["model"])
        wrong += int(data[key]) < newest[lane]
        newest[lane] = max(newest[lane], int(data[key]))
    return wrong


def killed(who: people.People, *, moves: int = 200) -> None:
    forget()
    receiver = Receiver(delay=0.02)
    for n in range(3):
        hook(who, f"kill-{n}", receiver.url(str(n)), events=["version.moved"])
    versions = ready(who, "kill", 10)
    dispatch()
    stop, kills = threading.Event(), 0
    running = [start_worker(), start_worker()]

    def kill() -> None:
        nonlocal kills
        while not stop.wait(random.uniform(1.5, 4)):
            victim = random.choice(running)
            victim.kill()
            victim.wait()
            kills += 1
            running[running.index(victim)] = start_worker()
            time.sleep(LEASE_IS_OVER)
            DeliveryLane.objects.exclude(claim="").update(not_before=timezone.now())
        connection.close()

    killer = threading.Thread(target=kill)
    killer.start()
    for n in range(moves):
        version = versions[n % 10]
        version.refresh_from_db()
        to = "dev" if version.stage == "staging" else "staging"
        with suppress(ZeroDivisionError), transaction.atomic():
            promotions.move(version, to=to, by=who.bob, reason="-1")
            raise ZeroDivisionError
        version.refresh_from_db()
        promotions.move(version, to=to, by=who.bob, reason=str(n))
        time.sleep(0.1)
    expected = moves * 3
    wait_for(lambda: len({uid for _, _, uid, _ in receiver.arrived}) >= expected, seconds=120)
    stop.set()
    killer.join()
    for one in running:
        one.terminate()
        one.wait()
    uids = [uid for _, _, uid, _ in receiver.arrived]
    never = sum(data["text"] == "-1" for _, _, _, data in receiver.arrived)
    say(
        "killed",
        f"{kills} kills; {len(set(uids))} of {expected} arrived, {len(uids) - len(set(uids))} of them again;"
        f" {never} of changes that were rolled back; {disorder(receiver.arrived, 'text')} out of order",
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--hooks", type=int, default=1000)
    parser.add_argument("--times", type=int, default=100)
    parser.add_argument("--queued", type=int, default=10_000)
    parser.add_argument("--speed", type=float, default=100, help="of the receiver, messages a second")
    parser.add_argument("--only", default="latency,fan-out,dead,drain,killed")
    options = parser.parse_args()
    only = options.only.split(",")
    call_command("migrate", verbosity=0)
    who = people.build()
    if "latency" in only:
        latency(who, hooks=options.hooks, times=options.times)
    if "fan-out" in only:
        fan_out(who, hooks=options.hooks, times=3)
    if "dead" in only:
        latency(who, hooks=options.hooks - DEAD, times=options.times, dead=DEAD)
    if "drain" in only:
        drain(who, queued=options.queued, speed=options.speed)
    if "killed" in only:
        killed(who)


if __name__ == "__main__":
    main()
