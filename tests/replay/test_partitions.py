"""Partitions in a replay: what Slurm's records say of them holds on both sides."""

from __future__ import annotations

import pytest

from slurm_het.replay.findings import findings
from slurm_het.replay.past import Tally
from slurm_het.replay.sacct import read_sacct
from slurm_het.replay.sides import SIDES, Effort, SideName, SideResults, one_side
from slurm_het.replay.site import ReplaySite
from slurm_het.replay.source import read_site
from slurm_het.replay.trace import DAY, REFUSED, Trace, make_trace
from slurm_het.settings import Config
from tests.replay.past import CLOCK, never_ran, record, text_of

AT = 2 * DAY
LAST = record(99, 3 * DAY, start=0, ran=60, Partition="gpu", TimelimitRaw=20)
FIRST = record(98, -3600, start=0, ran=3600, Partition="gpu")
WHOLE = "cpu=8,gres/gpu=8,mem=16000M,node=1"
Row = dict[str, str]


def here(debug: str = "", gpu: str = "", config: Config | None = None) -> ReplaySite:
    """Two nodes of eight A100s in two partitions. Without a configuration init makes the largest
    that is open to everybody the intake (`gpu`), and the other one a pool if it is as wide."""
    nodes = [
        f"NodeName=a{n} CPUTot=64 RealMemory=512000 Gres=gpu:a100:8 State=IDLE"
        " AvailableFeatures=a100 ActiveFeatures=a100 Partitions=gpu,debug"
        for n in (1, 2)
    ]
    return read_site(
        "\n".join(
            [
                *nodes,
                f"PartitionName=gpu Nodes=a[1-2] Default=YES {gpu or 'MaxTime=7-00:00:00'}",
                f"PartitionName=debug Nodes=a[1-2] {debug or 'State=UP'}",
                "SchedulerParameters     = bf_interval=10",
            ]
        ),
        config,
    )


OPEN = here().config


def trace_of(site: ReplaySite, *rows: Row) -> tuple[Trace, Tally]:
    tally = Tally()
    lines = text_of([FIRST, LAST, *rows]).splitlines(keepends=True)
    return make_trace(read_sacct(lines, CLOCK, tally), site, tally), tally


def starts(site: ReplaySite, side: SideName, *rows: Row) -> dict[str, float | None]:
    """When each starts on that side."""
    trace, _ = trace_of(site, *rows)
    result = one_side(side, trace, site, Effort("first-fit", renditions=1), lambda *_: None)
    return {s.key: at for s, at in zip(trace.subjects, result.starts, strict=True)}


@pytest.mark.parametrize(
    ("debug", "may"),
    [
        ("MaxTime=1-00:00:00", True),
        ("MaxTime=00:30:00", False),
        ("MaxNodes=1", True),
        ("MinNodes=2", False),
        ("MaxCPUsPerNode=4", False),
        ("MaxMemPerNode=1000", False),
        ("AllowAccounts=vision,speech", True),
        ("AllowAccounts=speech", False),
        ("DenyAccounts=vision", False),
        ("AllowQos=high", False),
        ("DenyQos=normal", False),
        ("AllowGroups=staff", False),
        ("RootOnly=YES", False),
        ("ReqResv=YES", False),
        ("State=DOWN", False),
    ],
)
def test_slurm_het_starts_nobody_in_a_pool_that_slurm_keeps_him_out_of(
    debug: str, may: bool
) -> None:
    site = here(debug, config=OPEN)
    assert [pool.partition for pool in OPEN.policy.pools] == ["debug"]
    job = record(1, AT, Partition="gpu", TimelimitRaw=1440, start=0)
    assert starts(site, "plain", job)["1"] is not None
    assert (starts(site, "ours", job)["1"] is not None) is may


def test_a_replay_says_how_many_slurm_het_would_never_start() -> None:
    site = here("MaxTime=00:30:00", config=OPEN)
    effort = Effort("first-fit", renditions=1)
    job = record(1, AT, Partition="gpu", TimelimitRaw=1440, start=0)
    trace, tally = trace_of(site, job)
    sides: dict[SideName, SideResults] = {
        side: [one_side(side, trace, site, effort, lambda *_: None)] for side in SIDES
    }
    made = findings(trace, site, sides, tally, effort, 0.0, 1.0)
    assert made.gain
    assert (made.match.plain.unstarted, made.gain.ours.unstarted) == (0, 1)
    assert "0 jobs under plain Slurm, and 1 with slurm-het, had not started" in made.caveats[0]
    assert made.gain.worst[0].job == "1"


def test_plain_slurm_starts_a_job_of_two_partitions_in_the_one_that_takes_it() -> None:
    """A job of 24 hours is in nobody's way in `debug`, where one of minutes starts before it."""
    site = here("MaxTime=00:30:00 PriorityTier=10")
    full = [
        record(n, AT, Partition="gpu", start=0, ran=7200, ReqTRES=WHOLE, AllocTRES=WHOLE,
               NodeList=f"a{n}", Priority=9_000_000)
        for n in (1, 2)
    ]  # fmt: skip
    asked: dict[str, object] = {"ReqTRES": WHOLE, "AllocTRES": WHOLE, "start": 7200}
    both = [
        record(n, AT + 10, Partition="gpu", TimelimitRaw=1440, Priority=800_000, **asked,
               SubmitLine="sbatch -p debug,gpu job.sh")
        for n in (3, 4)
    ]  # fmt: skip
    short = record(5, AT + 20, Partition="debug", TimelimitRaw=20, ran=600, Priority=1, **asked)
    found = starts(site, "plain", *full, *both, short)
    assert found["3"] is not None
    assert found["4"] is not None
    assert found["5"] is not None
    assert AT + 7200 <= found["5"] < AT + 7260
    assert found["5"] <= min(found["3"], found["4"])
    assert max(found["3"], found["4"]) >= found["5"] + 600


@pytest.mark.parametrize(
    ("gpu", "told", "minutes"),
    [
        ("MaxTime=01:00:00", {"TimelimitRaw": 60, "ran": 3600}, 60),
        ("MaxTime=01:00:00", {"TimelimitRaw": 60, "ran": 3660}, 60),
        ("MaxTime=01:00:00", {"TimelimitRaw": 1440, "ran": 3000}, 60),
        ("MaxTime=01:00:00", {"TimelimitRaw": 1440, "ran": 9000}, None),
        ("MaxNodes=1", {"AllocTRES": "cpu=16,gres/gpu=16,mem=32G,node=2"}, None),
        ("AllowAccounts=speech", {}, 120),
        ("AllowGroups=staff DenyQos=normal RootOnly=YES State=DOWN", {}, 120),
        ("AllowGroups=staff ReqResv=YES", {}, None),
    ],
)
def test_whoever_ran_in_a_partition_may_unless_its_limits_are_others_now(
    gpu: str, told: dict[str, object], minutes: int | None
) -> None:
    """A limit that Slurm has stretched at the end, or an admin for one job, is MaxTime."""
    site = here(gpu=gpu, config=OPEN)
    at = {"start": 0} | told
    edges = record(97, 3 * DAY, start=0, ran=60, Partition="debug")
    trace, tally = trace_of(site, edges, record(1, AT, Partition="gpu", **at))
    found = [job.minutes for job, s in zip(trace.world.jobs, trace.subjects, strict=True)
             if s.key == "1"]  # fmt: skip
    assert found == ([minutes] if minutes else [])
    assert bool(tally.left_out[REFUSED]) is (minutes is None)
    if minutes:
        assert starts(site, "plain", edges, record(1, AT, Partition="gpu", **at))["1"] is not None


def test_who_waits_for_a_partition_that_never_takes_him_is_left_out() -> None:
    waits = never_ran(1, AT, Partition="debug", TimelimitRaw=1440)
    _, tally = trace_of(here("MaxTime=00:30:00"), waits)
    assert tally.left_out[REFUSED] == 1


def test_a_gate_that_is_shut_while_the_site_is_asked_is_none_of_plain_slurms() -> None:
    site = here(gpu="State=DOWN", config=OPEN)
    job = record(1, AT, Partition="gpu", start=0)
    assert site.records["gpu"].state == "UP"
    assert starts(site, "plain", job)["1"] is not None


def test_a_pool_that_init_would_add_has_the_limits_of_the_one_that_it_is_like() -> None:
    text = "\n".join(
        [
            "NodeName=a1 CPUTot=64 RealMemory=512000 Gres=gpu:a100:8 State=IDLE Partitions=gpu",
            "PartitionName=gpu Nodes=a1 State=UP MaxTime=02:00:00 MaxNodes=3 PriorityTier=7",
        ]
    )
    site = read_site(text, None)
    (pool,) = site.config.policy.pools
    there = site.records[pool.partition]
    assert pool.partition != "gpu"
    assert (there.max_minutes, there.max_nodes, there.tier) == (120, 3, 7)
