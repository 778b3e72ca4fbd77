"""Requests that wait: one looks for all of a process, and what is new wakes few."""

from __future__ import annotations

import threading
import time
from queue import SimpleQueue

import pytest

from models_app.http import waiting

pytestmark = pytest.mark.sqlite_is_enough


def test_one_looks_for_all(monkeypatch):
    ticks, looks, woken = threading.Semaphore(0), SimpleQueue(), SimpleQueue()
    there, looking = {}, threading.Lock()

    def look(keys):
        assert looking.acquire(blocking=False), "two look at once"
        found = {key: list(what) for key, what in there.items() if key in keys}
        looking.release()
        looks.put(sorted(keys))
        return found

    def wait(key):
        now = time.monotonic()
        woken.put(key if news.wait(key, asked=now, until=now + 120) else "late")

    news = waiting.News(look)
    monkeypatch.setattr(waiting.time, "sleep", lambda _: ticks.acquire())
    monkeypatch.setattr(waiting, "AGAIN", 60)
    threads = [threading.Thread(target=wait, args=(key,)) for key in "aaaaab"]
    for thread in threads:
        thread.start()
    while sum(news._waiting.values()) < len(threads):
        ticks.release()
        looks.get(timeout=60)
    there["a"] = [1]
    # One deployment: one more than it needs is woken, and the next one looks on.
    while woken.qsize() < 2:
        ticks.release()
        looks.get(timeout=60)
    ticks.release()
    looks.get(timeout=60)
    assert [woken.get(timeout=60) for _ in range(2)] == ["a", "a"]
    assert woken.empty()
    there.update(a=[1, 2], b=[3])
    for _ in range(100):
        ticks.release()
    assert sorted(woken.get(timeout=60) for _ in range(4)) == ["a", "a", "a", "b"]
    for thread in threads:
        thread.join()
    assert not news._waiting


def test_what_stays_there_is_asked_for_again(monkeypatch):
    monkeypatch.setattr(waiting, "EVERY", 0.001)
    monkeypatch.setattr(waiting, "AGAIN", 0.002)
    news = waiting.News(lambda keys: {1: [7]})
    asked = iter([None, None, None, "at last"])
    assert waiting.until_found(lambda: next(asked), 20, news=news, of=1) == ("at last", True)
    # No time is left, nobody waits.
    assert waiting.until_found(lambda: None, 0, news=news, of=1) == (None, False)
