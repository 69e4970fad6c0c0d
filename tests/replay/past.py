"""A site and what its accounting says, for tests: a record in words, the rest as sacct has it."""

from __future__ import annotations

from collections.abc import Iterable

from slurm_het.replay.moments import WallClock
from slurm_het.replay.past import Tally
from slurm_het.replay.sacct import FIELDS, read_sacct
from slurm_het.replay.site import ReplaySite
from slurm_het.replay.source import read_site
from slurm_het.replay.trace import DAY, Trace, make_trace

MARK = "~91f3~"
T0 = 1_790_000_000
DAYS = 4
CLOCK = WallClock()
SITE = "\n".join(
    [
        *(
            f"NodeName=a{n} CPUTot=64 RealMemory=512000 Gres=gpu:a100:8 State=IDLE"
            f" AvailableFeatures=a100,fast ActiveFeatures=a100,fast Partitions=train"
            for n in (1, 2)
        ),
        "NodeName=l1 CPUTot=32 RealMemory=128000 Gres=gpu:l40s:4 State=DOWN+DRAIN"
        " AvailableFeatures=l40s ActiveFeatures=l40s Partitions=infer",
        "NodeName=c1 CPUTot=32 RealMemory=128000 Gres=(null) State=IDLE Partitions=cpu",
        "PartitionName=train Nodes=a[1-2] State=UP MaxTime=2-00:00:00 DefaultTime=01:00:00",
        "PartitionName=infer Nodes=l1 State=UP MaxTime=UNLIMITED DefaultTime=NONE",
        "PartitionName=cpu Nodes=c1 State=UP MaxTime=UNLIMITED Default=YES",
        "SchedulerParameters     = bf_interval=10,default_queue_depth=50",
        "PriorityType            = priority/multifactor",
        "PriorityWeightAge       = 86400",
        "PriorityMaxAge          = 1-00:00:00",
        "PriorityCalcPeriod      = 00:05:00",
    ]
)


def site() -> ReplaySite:
    """Two nodes of eight A100s, one of four L40S, one without."""
    return read_site(SITE, None)


def record(job_id: int | str, at: float, **told: object) -> dict[str, str]:
    """A record of sacct's: two A100s of one node for an hour, submitted `at` after T0 and started
    a minute later; what else is told stands in the way of that."""
    submit = T0 + int(at)
    start = told.pop("start", 60)
    begin = start if isinstance(start, str) else submit + int(str(start))
    ran = int(str(told.pop("ran", 3600)))
    end = begin + ran if isinstance(begin, int) else "Unknown"
    tres = "cpu=8,gres/gpu=2,mem=16000M,node=1"
    values: dict[str, object] = {
        "JobIDRaw": job_id, "JobID": job_id, "User": "ann", "Account": "vision", "QOS": "normal",
        "Partition": "train", "State": "COMPLETED", "Submit": submit, "Eligible": submit,
        "Start": begin, "End": end, "ElapsedRaw": ran, "Suspended": "00:00:00",
        "TimelimitRaw": 120, "Priority": 1000, "ReqTRES": tres, "AllocTRES": tres,
        "NodeList": "a1", "Reservation": "", "Constraints": "", "SubmitLine": "sbatch job.sh",
    }  # fmt: skip
    return {name: str(value) for name, value in (values | told).items()}


def never_ran(job_id: int | str, at: float, **told: object) -> dict[str, str]:
    """One that has had no nodes yet."""
    waits: dict[str, object] = {
        "State": "PENDING", "Start": "Unknown", "End": "Unknown", "ElapsedRaw": 0,
        "AllocTRES": "", "NodeList": "None assigned",
    }  # fmt: skip
    return record(job_id, at, **(waits | told))


def edges() -> list[dict[str, str]]:
    """Two records that say from when to when the time is: they count for nothing else."""
    return [
        record("900001", -3600, start=0, ran=3600, NodeList="l1", Partition="infer"),
        record("900002", DAYS * DAY - 1, start=0, ran=60, NodeList="l1", Partition="infer"),
    ]


def text_of(records: Iterable[dict[str, str]]) -> str:
    """As sacct prints them."""
    rows = [{name: name for name in FIELDS}, *records]
    return "".join("".join(f"{row[name]}{MARK}" for name in FIELDS) + "\n" for row in rows)


def trace_of(
    *records: dict[str, str],
    clock: WallClock = CLOCK,
    drop: float = DAY,
    there: ReplaySite | None = None,
) -> tuple[Trace, Tally]:
    """The replay of these records, and what was counted; each also whole, line by line."""
    tally = Tally()
    text = text_of([*edges(), *records])
    lines = text.splitlines(keepends=True)
    pasts = read_sacct(lines, clock, tally)
    return make_trace(pasts, there or site(), tally, drop=drop), tally
