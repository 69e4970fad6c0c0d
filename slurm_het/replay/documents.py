"""What a replay came to, as it is kept and printed: slurm-het replay --out, report --json."""

from __future__ import annotations

from typing import Literal

import msgspec

from slurm_het.replay.signs import Sign


class WaitSums(msgspec.Struct, frozen=True, kw_only=True):
    """Waits in seconds, from when a job could start to when it did."""

    mean: float
    median: float
    p95: float


class Sums(msgspec.Struct, frozen=True, kw_only=True):
    """What all jobs that count came to. `busy` is the part of all device-seconds in use, 0..1.

    `unstarted` jobs had not started in some rendition when the simulation ended: they count as if
    they did then.
    """

    waits: WaitSums
    busy: float
    unstarted: int = 0


class Match(msgspec.Struct, frozen=True, kw_only=True):
    """How well plain Slurm's model meets what really happened. Only where it `holds` is anything
    claimed. Bounds are parts of the real value, 0..1, and for waits at least `floor_seconds`."""

    truth: Sums
    plain: Sums
    mean_bound: float
    p95_bound: float
    busy_bound: float
    floor_seconds: float
    holds: bool
    broken: list[str]


class WaitChange(msgspec.Struct, frozen=True, kw_only=True):
    """Jobs of one kind, of one user or account: what they waited under plain Slurm's model, and
    with slurm-het. `truth` is what they really waited. `clear` says which way the mean wait changes
    where that is the same in all renditions, or, where there are few, in all weeks."""

    name: str
    jobs: int
    clear: Sign
    truth: WaitSums
    plain: WaitSums
    ours: WaitSums


class LaterJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job that would have waited longer with slurm-het, in seconds."""

    job: str
    user: str
    account: str
    devices: int
    truth: float
    plain: float
    ours: float


class IdleHours(msgspec.Struct, frozen=True, kw_only=True):
    """Device-hours idle while a job that waits fitted there; and while one fitted but for the
    vendor, type or partition that it asked for: to use these its user has to agree."""

    plain_fitted: float
    ours_fitted: float
    plain_elsewhere: float
    ours_elsewhere: float


class PoolShares(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a pool's devices in use, 0..1, in each part of the time."""

    pool: str
    devices: int
    truth: list[float]
    plain: list[float]
    ours: list[float]


class Week(msgspec.Struct, frozen=True, kw_only=True):
    """The jobs that came in a week which began at `time`: their mean waits in seconds."""

    time: int
    jobs: int
    truth: float
    plain: float
    ours: float


class CauseCount(msgspec.Struct, frozen=True, kw_only=True):
    """So many jobs were left out, or taken for something else, and why."""

    cause: str
    jobs: int


class WaitChanges(msgspec.Struct, frozen=True, kw_only=True):
    """Who would have waited less, and who longer. `users` and `accounts` come with who gains most
    first and who loses most last; `more_users` are not told."""

    users: list[WaitChange]
    accounts: list[WaitChange]
    more_users: int
    earlier: int
    later: int
    worst: list[LaterJob]
    sizes: list[WaitChange]
    types: list[WaitChange]
    weeks: list[Week]


class Rendition(msgspec.Struct, frozen=True, kw_only=True):
    """The mean waits in one of the renditions of a past, in seconds."""

    plain: float
    ours: float


class Gain(WaitChanges, frozen=True, kw_only=True):
    """What slurm-het would have changed, beside plain Slurm's model on the same jobs.

    A past that is not long is simulated in several `renditions`: in each, jobs come at other times
    within their seconds, and run parts of seconds longer or shorter. All waits are of all of them.
    """

    ours: Sums
    renditions: list[Rendition] = []
    idle: IdleHours
    pools: list[PoolShares]


class ReplayCost(msgspec.Struct, frozen=True, kw_only=True):
    """What the replay took: seconds in all, CPU seconds and MiB of each side, hetd's cycles. Its
    solver was `asked` so often, and so often it was late or failed: there first-fit planned."""

    seconds: float
    plain_cpu: float
    ours_cpu: float
    plain_mib: int
    ours_mib: int
    cycles: int
    asked: int = 0
    unanswered: int = 0


class ReplayDocument(msgspec.Struct, frozen=True, kw_only=True):
    """slurm-het replay --out, slurm-het report --json. Times are epoch seconds.

    Waits count from `counted` on; `gain` is null where the model does not match the past. What is
    to be known before the figures are believed stands in `caveats`, in sentences. `solver` and
    `look_every` are how hetd was simulated: so many seconds later at most than it really does.
    `pool_step` are the seconds of a part of `pools`' time, which begins at `counted`.
    """

    made: int
    begin: int
    counted: int
    end: int
    nodes: int
    devices: int
    jobs: int
    simulated: int
    solver: Literal["highs", "first-fit"]
    look_every: float
    match: Match
    caveats: list[str] = []
    gain: Gain | None
    pool_step: float
    left_out: list[CauseCount]
    taken: list[CauseCount]
    not_modelled: list[str]
    cost: ReplayCost


class ShadowDocument(msgspec.Struct, frozen=True, kw_only=True):
    """slurm-het report --json, of shadow. Times are epoch seconds.

    Plain Slurm drove the cluster and slurm-het only answered it: in `changes` `plain` is what
    really happened, as `truth` is, and `ours` what shadow decided. `decided` starts came before
    plain Slurm's; of these `overtaken` were given up, for plain Slurm gave the nodes to others, and
    `losers` are the jobs that took them. `busy` is the part of all device-seconds that was really
    in use, 0..1. `not_told` is what a shadow cannot tell.
    """

    made: int
    begin: int
    end: int
    nodes: int
    devices: int
    jobs: int
    waits: WaitSums
    ours: WaitSums
    busy: float
    decided: int
    overtaken: int
    losers: int
    changes: WaitChanges
    left_out: list[CauseCount]
    taken: list[CauseCount]
    not_told: list[str]
