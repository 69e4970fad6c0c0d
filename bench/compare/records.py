"""What became of the jobs, from Slurm's own records: sbatch's answer, sacct, squeue."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from slurm_het.core.network import Network, leaf_of
from slurm_het.core.syntax import hostlist

SACCT_FIELDS = ("JobID", "State", "Submit", "Start", "End", "Partition", "NodeList", "AllocTRES")
SACCT = ("sacct", "-nPXDa", f"--format={','.join(SACCT_FIELDS)}")
"""All runs of all jobs, one a line; with SLURM_TIME_FORMAT=%s its times are in Unix seconds."""

CUT_SHORT = ("PREEMPTED", "REQUEUED", "NODE_FAIL")
"""States of a run that was lost: its job has to begin again, or never ends."""


@dataclass(frozen=True)
class Run:
    """One run of a job; times in seconds after the start of the scenario, `end` the window's end
    while it goes on. `devices` counts whole devices, a share by its part of one; `held` says what
    they are: `a100:2`.
    """

    start: float
    end: float
    nodes: tuple[str, ...]
    partition: str
    devices: float
    held: str
    state: str

    @property
    def device_seconds(self) -> float:
        """Devices held, times how long."""
        return self.devices * (self.end - self.start)

    def device_seconds_in(self, low: float, high: float) -> float:
        """The same of what lies between two times."""
        return self.devices * max(0.0, min(self.end, high) - max(self.start, low))


@dataclass
class JobSeen:
    """A job, or a submission that was refused; times as those of a run."""

    name: str
    """Of its submission."""
    submitted: float
    id: str = ""
    """Slurm's; '' if it was refused."""
    said: str = ""
    """What sbatch printed on its standard error."""
    runs: list[Run] = field(default_factory=list)
    reason: str = ""
    """Why it was pending when the scenario ended, in Slurm's word."""

    @property
    def start(self) -> float | None:
        """When it ran first."""
        return min((run.start for run in self.runs), default=None)

    @property
    def wait(self) -> float | None:
        """Seconds from the submission to the first run; None if it never ran."""
        return None if self.start is None else max(0.0, self.start - self.submitted)


@dataclass(frozen=True)
class Window:
    """The time that counts, in Unix seconds, and how many shards make a device of each node."""

    start: float
    seconds: float
    shards: Mapping[str, int]


def read_runs(sacct: str, window: Window) -> dict[str, list[Run]]:
    """The runs in the window by job id (7, or 7_3 of an array), earliest first."""
    runs: dict[str, list[Run]] = {}
    for line in sacct.splitlines():
        words = line.split("|")
        if len(words) == len(SACCT_FIELDS) and (run := _run(words, window)):
            runs.setdefault(words[0], []).append(run)
    for found in runs.values():
        found.sort(key=lambda run: run.start)
    return runs


def started(sacct: str) -> set[str]:
    """The jobs that have run, whenever that was."""
    rows = (line.split("|") for line in sacct.splitlines())
    return {words[0] for words in rows if len(words) == len(SACCT_FIELDS) and words[3].isdigit()}


def _run(words: list[str], window: Window) -> Run | None:
    _, state, _, start, end, partition, nodes, tres = words
    if not start.isdigit() or not tres or nodes in ("", "None assigned"):
        return None
    began = max(0.0, int(start) - window.start)
    ended = int(end) - window.start if end.isdigit() else window.seconds
    if began >= window.seconds:
        return None
    if ended >= window.seconds:  # what became of it later does not count
        ended, state = window.seconds, "RUNNING"
    hosts = tuple(hostlist.expand(nodes))
    return Run(
        start=began, end=max(ended, began), nodes=hosts, partition=partition,
        devices=devices_of(tres, hosts, window.shards), held=held_of(tres), state=state.split()[0],
    )  # fmt: skip


def held_of(tres: str) -> str:
    """An AllocTRES's devices by their types: `a100:1` of `gres/gpu=1,gres/gpu:a100=1`."""
    counts = dict(word.partition("=")[::2] for word in tres.split(",") if word.startswith("gres/"))
    typed = {name.partition(":")[0] for name in counts if ":" in name}
    names = [name for name in counts if name not in typed and counts[name] != "0"]
    return ",".join(f"{re.split('[:/]', name)[-1]}:{counts[name]}" for name in names)


def devices_of(tres: str, nodes: Iterable[str], shards: Mapping[str, int]) -> float:
    """The devices of an AllocTRES: `cpu=2,gres/gpu=1,gres/gpu:a100=1` is 1."""
    count = 0.0
    for word in tres.split(","):
        name, _, number = word.partition("=")
        if name == "gres/shard":
            count += int(number) / max((shards.get(node, 0) for node in nodes), default=1)
        elif name.startswith("gres/") and ":" not in name:
            count += int(number)
    return count


def read_reasons(squeue: str) -> dict[str, str]:
    """The reason of each pending job by its id, from `squeue -h -a -r -t PD -o '%i|%r'`."""
    return dict(line.split("|", 1) for line in squeue.splitlines() if "|" in line)


def keep(
    jobs: Iterable[JobSeen], runs: Mapping[str, list[Run]], reasons: Mapping[str, str]
) -> None:
    """Note in each job what was read of it."""
    for job in jobs:
        job.runs = list(runs.get(job.id, ()))
        job.reason = reasons.get(job.id, "")


def tasks(job: JobSeen, indexes: Iterable[int]) -> Iterator[JobSeen]:
    """The tasks of a job array, each as a job; of one that was refused, each is."""
    for index in indexes:
        yield JobSeen(job.name, job.submitted, job.id and f"{job.id}_{index}", job.said)


@dataclass(frozen=True)
class Side:
    """One of the two runs: what it is called, and every job in the order of the submissions."""

    name: str
    jobs: tuple[JobSeen, ...]
    seconds: float
    devices: int
    busy_from: float = 0.0
    """From when `busy` counts."""
    network: Network = field(default_factory=dict)

    @property
    def runs(self) -> Iterator[Run]:
        """All runs of all jobs."""
        return (run for job in self.jobs for run in job.runs)

    @property
    def busy(self) -> float:
        """Device-seconds in use."""
        return sum(run.device_seconds_in(self.busy_from, self.seconds) for run in self.runs)

    @property
    def lost(self) -> float:
        """Device-seconds of runs that were cut short."""
        return sum(run.device_seconds for run in self.runs if run.state in CUT_SHORT)

    @property
    def requeues(self) -> int:
        """Runs that were cut short."""
        return sum(run.state in CUT_SHORT for run in self.runs)

    @property
    def leaves(self) -> float:
        """In how many leaves of the network the runs on several nodes are in the mean; 0: none."""
        wide = [run.nodes for run in self.runs if len(run.nodes) > 1]
        found = [len({leaf_of(self.network.get(n, ())) for n in nodes}) for nodes in wide]
        return sum(found) / len(found) if found and self.network else 0.0

    def busy_over_time(self, steps: int) -> list[float]:
        """The mean share of devices in use in each of so many equal parts of the time."""
        width = self.seconds / steps
        return [
            sum(run.device_seconds_in(step * width, (step + 1) * width) for run in self.runs)
            / (self.devices * width)
            for step in range(steps)
        ]
