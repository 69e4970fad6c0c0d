"""What a site lets its users have: Slurm's limits with their use, and what a task takes of them.

The words are Slurm's own, as `scontrol show assoc_mgr` spells them: GrpTRES, MaxTRESPU, GrpJobs.
Host memory (`mem`) is in MiB, times are in minutes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

UNLIMITED_MINUTES = 0xFFFFFFFF
"""What a job without a time limit takes of minutes: Slurm counts it as so many."""


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit: Slurm's `word` for it, of which `tres` ('' of jobs and wall time), how much.

    `used` is what running jobs use now, or have used where minutes are limited. `running` are the
    minutes that running jobs may still use, where that counts too.
    """

    word: str
    tres: str
    most: int
    used: int = 0
    running: int = 0


Parents = Mapping[str, str]
"""By account, the one above it, as far as that is known."""
NONE_ABOVE: Parents = {}


def line_of(account: str, parents: Parents) -> frozenset[str]:
    """An account and those above it; none of ''."""
    found: set[str] = set()
    while account and account not in found:
        found.add(account)
        account = parents.get(account, "")
    return frozenset(found)


@dataclass(frozen=True, slots=True)
class Association:
    """The limits of an account, or of a `user` in it, perhaps for one partition only.

    `parent` is the account above an account; a user's is his account. `running` is how many of its
    jobs run, at the moment when the limits' use was read.
    """

    account: str
    user: str = ""
    partition: str = ""
    parent: str = ""
    limits: tuple[Limit, ...] = ()
    running: int = 0


@dataclass(frozen=True, slots=True)
class Qos:
    """The limits of a QOS: of all its jobs, of each user (by uid), and of each account.

    `each_user` and `each_account` are for those that are not listed: they use nothing.
    `over_partition`: as the QOS of a job it comes before that of the partition (OverPartQOS).
    """

    name: str
    over_partition: bool = False
    limits: tuple[Limit, ...] = ()
    each_user: tuple[Limit, ...] = ()
    each_account: tuple[Limit, ...] = ()
    users: Mapping[int, tuple[Limit, ...]] = field(default_factory=dict)
    accounts: Mapping[str, tuple[Limit, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SiteLimits:
    """All limits that concern the waiting jobs; none where Slurm enforces none.

    `safe`: a job starts only if the minutes that are left last to its end
    (AccountingStorageEnforce). `licenses` are how many there are, and in use. `parents` limit
    nothing: partitions and reservations let accounts in by them, also where no limit is enforced.
    """

    associations: tuple[Association, ...] = ()
    qos: tuple[Qos, ...] = ()
    safe: bool = False
    licenses: tuple[Limit, ...] = ()
    parents: Parents = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.associations or self.qos or self.licenses)


@dataclass(frozen=True, slots=True, eq=False)
class Budget:
    """A limit as it bears on some tasks: Slurm's `reason` for a job that it holds back, whose it is
    (`of`), of `what`, how much, and what is used or promised to released jobs.

    `ahead` is what those take that are pinned ahead, their priority, and the seconds until they
    start at the latest. `lasting`: what a task
    takes is gone for others while it runs. There is one object for each limit in a cycle, and it
    equals no other one.
    """

    reason: str
    of: str
    what: str
    most: int
    used: int
    ahead: tuple[tuple[int, int, float], ...] = ()
    lasting: bool = True

    def left_for(self, asks: int, priority: int, seconds: float = math.inf) -> int:
        """How much is left for a task that asks for so much, and runs for so many seconds at the
        most; below 0 if a limit was lowered.

        Whoever is pinned ahead uses nothing yet. As in plain Slurm, what is smaller may go before,
        and what ends in time. What is not, may not: else it would take at once what the other one
        waits for.
        """
        left = self.most - self.used
        if self.ahead:
            left -= sum(
                n for n, above, until in self.ahead
                if n <= asks and above >= priority and until < seconds
            )  # fmt: skip
        return left


class Claim(NamedTuple):
    """What a task takes of a budget once it starts."""

    budget: Budget
    amount: int
