"""Database connections and long transfers: minutes of streaming must not hold what other requests wait for."""

from __future__ import annotations

from django.db import connections

# Below this, giving the connection back costs more than keeping it.
LONG = 1 << 20


def let_go(size: int | None) -> None:
    """Give this thread's database connections back before `size` bytes are streamed (None: nobody knows how many).

    Django does so after the whole answer was sent, which would leave a pool empty after as many slow downloads as it
    has connections. The next query takes a connection again. A connection inside a transaction stays, and
    so does one to SQLite: nobody waits for it, and to open it anew takes longer than many queries.
    """
    if size is not None and size < LONG:
        return
    for connection in connections.all(initialized_only=True):
        # What tells a server, which many wait for, from a file.
        if connection.features.has_select_for_update and not connection.in_atomic_block:
            connection.close()
