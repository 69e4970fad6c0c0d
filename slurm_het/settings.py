"""The configuration's shape: what each key means, its bounds, and what it is if it is left out."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from slurm_het.core.policy import Limits, Policy

Fraction = Annotated[float, Meta(ge=0, le=1)]
Seconds = Annotated[float, Meta(ge=0, le=86400)]
Count = Annotated[int, Meta(ge=1, le=1_000_000)]
_LIMITS = Limits()
"""As they are delivered."""


@dataclass(frozen=True, slots=True)
class HookSettings:
    """The hook: deadline of the whole exchange (ms), what to do when it fails, the breaker; what
    users are told at submit.

    The bounds are those of job_submit/het_protocol.lua, which refuses a configuration beyond them.
    """

    deadline_ms: Annotated[int, Meta(ge=1, le=2000)] = 50  # Slurm itself warns at 3 s
    on_failure: Literal["intake", "pass", "hold", "reject"] = "intake"
    breaker_failures: Annotated[int, Meta(ge=1, le=1000)] = 3
    breaker_seconds: Annotated[int, Meta(ge=1, le=3600)] = 10
    max_script_bytes: Annotated[int, Meta(ge=1, le=256 << 10)] = 65536
    tell: Literal["problems", "all", "nothing"] = "problems"


@dataclass(frozen=True, slots=True)
class PlannerSettings:
    """The planning cycle. Times in seconds; `window_tasks` bounds one solve.

    `gap`: a plan is good enough when its sum of weights is proven within this share of the best.
    `rearrange`: where prices are known, the solver looks for a place for all together that leaves
    room of more worth than first-fit does; it takes its time and seldom gains (docs/method.md).
    `reservations`: how many blocked tasks are pinned ahead to what frees up soonest, in each pool
    whose nodes another partition has too, so that jobs may come past the gate; once they have been
    eligible for `reserve_after_seconds`. So many more of all pools are
    `protected`, on more than 80 nodes fewer, for what it costs: no task below them takes what they
    are to start on, unless it ends in time. None of these is one whom Slurm's own backfill would
    pass over (bf_max_job_test, bf_max_job_user, bf_window). That is the trade between large jobs
    and small ones: docs/method.md, "Large jobs".
    `fail_open_seconds`: for how long cycles may fail before the gate is opened.
    `speed_patience`: a task that is known to end sooner on another type than on what is free waits
    for it at most for this part of the time which that saves; 0: it starts at once, as under Slurm.
    `learn_days`: of how many days the journal tells what jobs to expect; 0: it is not asked.
    `keep_days`: on how many days on which hetd ran the journal looks back; what is older it
    forgets.
    """

    solver: Literal["highs", "cbc"] = "highs"
    deadline_seconds: Annotated[float, Meta(ge=0.01, le=600)] = 2.0
    gap: Fraction = 0.005
    rearrange: bool = False
    window_tasks: Count = _LIMITS.window_tasks
    poll_seconds: Annotated[float, Meta(ge=0.05, le=30)] = 5.0  # so long a gate may stay open
    settle_seconds: Seconds = 0.05
    grace_seconds: Seconds = 45.0
    retry_seconds: Seconds = 60.0
    reservations: Annotated[int, Meta(ge=0, le=1000)] = _LIMITS.reservations
    reserve_after_seconds: Seconds = _LIMITS.reserve_after_seconds
    protected: Annotated[int, Meta(ge=0, le=1000)] = _LIMITS.protected
    fail_open_seconds: Seconds = 30.0  # slurmctld may be away for a failover
    learn_days: Annotated[float, Meta(ge=0, le=30)] = 28.0
    speed_patience: Fraction = _LIMITS.speed_patience
    keep_days: Annotated[int, Meta(ge=1, le=3650)] = 30

    @property
    def limits(self) -> Limits:
        """How much one plan is about."""
        return Limits(
            self.window_tasks, self.reservations, self.reserve_after_seconds, self.protected,
            speed_patience=self.speed_patience,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Paths:
    """Sockets, the journal, the state directory (bypass flag, lease), the site's own profiles
    and its own words for why jobs wait.

    With several controller hosts they share `state_dir`; all else is each host's own.
    """

    hook_socket: Path = Path("/run/slurm-het/hook.sock")
    control_socket: Path = Path("/run/slurm-het/control.sock")
    event_socket: Path = Path("/run/slurm-het/event.sock")
    journal: Path = Path("/var/lib/slurm-het/journal.db")
    state_dir: Path = Path("/var/lib/slurm-het")
    vendors: Path = Path("/etc/slurm-het/vendors")
    reasons: Path = Path("/etc/slurm-het/reasons.yaml")

    @property
    def shadow_journal(self) -> Path:
        """Where what shadow decides is kept: no release ever reads it."""
        return self.journal.with_name("shadow.db")


@dataclass(frozen=True, slots=True)
class SlurmSettings:
    """Where Slurm's programs are (`bin_dir`, else PATH) and how long one may take (seconds).

    With the backend pyslurm hetd has the records of jobs told by Slurm's C library, where that
    tells the same as the command line; all else, updates above all, is the command line's.
    """

    backend: Literal["cli", "pyslurm"] = "cli"

    bin_dir: Path | None = None
    conf: Path | None = None
    timeout_seconds: Annotated[float, Meta(ge=0.1, le=600)] = 15.0


@dataclass(frozen=True, slots=True)
class TelemetrySettings:
    """Who tells hetd what devices say of themselves; without any source it goes by Slurm alone.

    `exporters`: the address of het-exporter by host list, `{node}` in it being the node's name.
    `prometheus`: the URL of a server that has what they or the vendors' own exporters say
    (data/vendors/ has their words). Each is asked every `every_seconds`, for `deadline_seconds`.
    What a node said longer than `stale_seconds` ago does not count. `tolerance_gib`: so much more
    may be in use on a device than Slurm has given away; what is above that counts once it has been
    there for `steady_seconds`. `fence`: of a job that has more than its share of a device, tell it
    and the journal, or end it too, `fence_seconds` later. `resubmit`: whether a job that died of
    its share's size runs once more with a larger one, if its script asks for that (retry=yes), or
    always.
    """

    exporters: dict[str, str] = field(default_factory=dict)
    prometheus: str = ""
    every_seconds: Annotated[float, Meta(ge=0.1, le=600)] = 4.0
    deadline_seconds: Annotated[float, Meta(ge=0.1, le=60)] = 3.0
    stale_seconds: Annotated[float, Meta(ge=1, le=3600)] = 45.0
    steady_seconds: Seconds = 3.0
    tolerance_gib: Annotated[int, Meta(ge=0, le=1024)] = 4
    fence: Literal["off", "tell", "end"] = "tell"
    fence_seconds: Annotated[float, Meta(ge=1, le=86400)] = 60.0
    resubmit: Literal["never", "asked", "always"] = "asked"

    @property
    def on(self) -> bool:
        """Whether anybody is asked."""
        return bool(self.exporters or self.prometheus)


@dataclass(frozen=True, slots=True)
class PageSettings:
    """The page (`slurm-het page`): the directory that hetd has it written to, so often; without
    one it writes none."""

    dir: Annotated[str, Meta(pattern="^(/.*)?$")] = ""
    every_seconds: Annotated[float, Meta(ge=5, le=3600)] = 30.0


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration, checked."""

    policy: Policy
    hook: HookSettings = field(default_factory=HookSettings)
    planner: PlannerSettings = field(default_factory=PlannerSettings)
    paths: Paths = field(default_factory=Paths)
    slurm: SlurmSettings = field(default_factory=SlurmSettings)
    telemetry: TelemetrySettings = field(default_factory=TelemetrySettings)
    page: PageSettings = field(default_factory=PageSettings)
    operators: tuple[str, ...] = ()
    source: Path | None = None

    @property
    def plans(self) -> bool:
        """Whether any pool is in plan."""
        return bool(self.policy.planned.pools)

    @property
    def planned(self) -> Config:
        """The configuration of the pools in plan."""
        return replace(self, policy=self.policy.planned)

    @property
    def shadowed(self) -> Config:
        """That of the pools in shadow and advise: nothing is done for jobs that run either."""
        telemetry = replace(self.telemetry, fence="off", resubmit="never")
        paths = replace(self.paths, journal=self.paths.shadow_journal)
        return replace(self, policy=self.policy.shadowed, telemetry=telemetry, paths=paths)

    @property
    def readers(self) -> int:
        """How many read all jobs: hetd, shadow beside plan, and who writes the page."""
        beside = self.plans and bool(self.policy.shadowed.pools)
        return 1 + beside + bool(self.page.dir)
