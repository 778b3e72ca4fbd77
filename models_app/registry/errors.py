"""What can go wrong in the core. A door translates each class into its own wire format (see the door's errors.py)."""

from __future__ import annotations

from dataclasses import dataclass


class RegistryError(Exception):
    """Base of every refusal. `why` is one readable sentence; `next_step` says what to do about it."""

    code = "error"

    def __init__(self, why: str, *, next_step: str = "") -> None:
        super().__init__(why)
        self.why = why
        self.next_step = next_step


class Unauthenticated(RegistryError):
    """Nobody is known behind the call, or the credentials are wrong, expired or revoked."""

    code = "unauthenticated"


class NotFound(RegistryError):
    """The thing does not exist, or the actor may not know that it does."""

    code = "not_found"


class Conflict(RegistryError):
    """The request is fine by itself but collides with what is there now."""

    code = "conflict"


class AlreadyExists(Conflict):
    """A unique name is taken."""

    code = "already_exists"


class NothingToDo(Conflict):
    """Things are already as the caller wants them."""


class Frozen(Conflict):
    """What is there takes no such change: a parameter keeps its value, a deleted run or experiment takes nothing."""

    code = "frozen"


@dataclass(frozen=True, slots=True)
class Obstacle:
    """One reason why something may not be deleted: `key` is stable for programs, `next_step` what to do about it."""

    key: str
    why: str
    next_step: str


class StillNeeded(Conflict):
    """What was to be deleted is still needed; `obstacles` lists everything that stands in the way, at least one."""

    def __init__(self, obstacles: list[Obstacle]) -> None:
        steps = dict.fromkeys(one.next_step for one in obstacles)
        super().__init__(" ".join(one.why for one in obstacles), next_step=" ".join(steps))
        self.obstacles = obstacles


class TooLarge(RegistryError):
    """A limit of size or number is exceeded; `limit` is in bytes or pieces as `why` says."""

    code = "too_large"

    def __init__(self, why: str, *, limit: int, next_step: str = "") -> None:
        super().__init__(why, next_step=next_step)
        self.limit = limit


class Damaged(RegistryError):
    """Stored bytes are missing or do not match their digest."""

    code = "damaged"


class Unavailable(RegistryError):
    """What Modelry itself depends on does not answer, or does not let it; nothing is wrong with the request."""

    code = "unavailable"


class OutOfSpace(Unavailable):
    """The disk where bytes arrive is full, or a limit of the system says so; nothing of them was kept."""

    code = "out_of_space"


class Forbidden(RegistryError):
    """The actor is known and may not do this; `next_step` says who can give the right."""

    code = "forbidden"
    # Primary key of the model it was about, for the audit, where the door's address does not tell.
    about: int | None = None


class OverQuota(Forbidden):
    """A team would hold more than it may: `used` bytes and `asked` more are past `limit`. It is the team's to make
    room, a site admin's to give more.
    """

    code = "over_quota"

    def __init__(self, why: str, *, limit: int, used: int, asked: int, next_step: str = "") -> None:
        super().__init__(why, next_step=next_step)
        self.limit, self.used, self.asked = limit, used, asked


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """One wrong field: its name as the caller sent it, and why it was refused."""

    field: str
    message: str


class Invalid(RegistryError):
    """Input was refused. `problems` lists every wrong field found, at least one."""

    code = "invalid"

    def __init__(
        self, field: str, why: str, *, more: list[FieldProblem] | None = None, next_step: str = ""
    ) -> None:
        super().__init__(why if not field else f"{field}: {why}", next_step=next_step)
        self.problems = [FieldProblem(field, why), *(more or [])]

    @classmethod
    def many(cls, problems: list[FieldProblem]) -> Invalid:
        """Build from a non-empty list of problems."""
        first, *rest = problems
        error = cls(first.field, first.message, more=rest)
        return error


class Mismatch(Invalid):
    """What arrived is not what was announced: other bytes than declared, or a key that belongs to another request."""

    code = "mismatch"


class TeamUnclear(Invalid):
    """A new name is without a team, and those of its author leave a choice."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """One thing a policy demands: `key` is stable for programs, `label` for people, `field` where to fill it in.

    `policy` says whose demand it is; `waits_for` who or what else can meet it: "review", "check", "time" or nobody.
    """

    key: str
    label: str
    field: str
    met: bool
    detail: str = ""
    policy: str = ""
    waits_for: str = ""


class PolicyUnmet(RegistryError):
    """A stage demands things this version lacks. `missing` are the unmet requirements, `subject` is name@number."""

    code = "policy_unmet"

    def __init__(self, why: str, *, subject: str, missing: list[Requirement], next_step: str = "") -> None:
        super().__init__(why, next_step=next_step)
        self.subject = subject
        self.missing = missing


class ApprovalNeeded(PolicyUnmet):
    """All that is missing is somebody's yes, CI's word or time. `request` is the number of the promotion request that
    waits for it.
    """

    code = "approval_needed"
    request: int | None = None


class AskedInstead(Forbidden):
    """The actor may not do this but may ask for it, and now has: `request` is the promotion request's number."""

    request: int | None = None
