"""How many calls may be under way to one host, so that dead or slow ones delay nobody else.

It grows while a host answers quickly, and shrinks when it fails or is slow; hosts not known to be well share a
part of the threads.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

MOST_ROOM = 8


@dataclass
class Hosts:
    """What this worker has seen of hosts: how many calls to each are under way, and how many may be.

    `for_doubtful` is how many may be under way to hosts not known to be well, taken together; `first` how many to one
    of which nothing is known, `least` to one in trouble.
    """

    for_doubtful: int
    first: int = 2
    least: int = 1
    room: dict[str, int] = field(default_factory=dict)
    busy: Counter[str] = field(default_factory=Counter)

    def begins(self, host: str) -> None:
        self.room.setdefault(host, self.first)
        self.busy[host] += 1

    def ends(self, host: str) -> None:
        self.busy[host] -= 1
        if not self.busy[host]:
            del self.busy[host]

    def saw(self, host: str, *, is_well: bool) -> None:
        """Learn from a call: twice the room after a quick answer, the least after trouble."""
        room = self.room.get(host, self.first)
        self.room[host] = min(room * 2, MOST_ROOM) if is_well else self.least

    def is_well(self, host: str) -> bool:
        return self.room.get(host, 0) > self.first

    def full(self) -> list[str]:
        """Hosts that may not get one more."""
        return [host for host, room in self.room.items() if self.busy[host] >= room]

    def well(self) -> list[str]:
        """Hosts that answer quickly."""
        return [host for host in self.room if self.is_well(host)]

    def doubtful_left(self) -> int:
        """How many calls to other hosts may begin."""
        return self.for_doubtful - sum(count for host, count in self.busy.items() if not self.is_well(host))

    def admission(self) -> Callable[[str], bool]:
        """Whether a host may get one more, asked for one after the other."""
        taken: Counter[str] = Counter()
        left = self.doubtful_left()

        def admit(host: str) -> bool:
            nonlocal left
            if self.busy[host] + taken[host] >= self.room.get(host, self.first):
                return False
            if not self.is_well(host):
                if left <= 0:
                    return False
                left -= 1
            taken[host] += 1
            return True

        return admit
