"""What a run of the trace says: waiting times, makespan, allocated share over time. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from bench.slurm_trace import DEVICES, Entry
from slurm_het.core.model import Job
from slurm_het.errors import HetError


@dataclass(frozen=True)
class Line:
    """One job of a run, times in seconds from the first submission by Slurm's clock."""

    entry: Entry
    submitted: float
    started: float
    ended: float

    @property
    def wait(self) -> float:
        return self.started - self.submitted


@dataclass(frozen=True)
class Run:
    """All jobs of a run, in the order of the trace, and the % of the cards double-booked."""

    lines: tuple[Line, ...]
    double_booked: float = 0.0

    @classmethod
    def of(cls, trace: Sequence[Entry], records: Sequence[Job], double_booked: float = 0.0) -> Run:
        """From Slurm's records, one per entry. Raises HetError if a job did not complete."""
        for entry, job in zip(trace, records, strict=True):
            if job.state != "COMPLETED":
                raise HetError(f"job {job.id} ({entry.kind}) ended as {job.state}")
        zero = min(job.submit_time for job in records)
        return cls(
            tuple(
                Line(entry, job.submit_time - zero, job.start_time - zero, job.end_time - zero)
                for entry, job in zip(trace, records, strict=True)
            ),
            double_booked,
        )

    @property
    def makespan(self) -> float:
        """From the first submission to the last end."""
        return max(line.ended for line in self.lines)

    @property
    def arrivals(self) -> float:
        """How long jobs kept arriving."""
        return max(line.submitted for line in self.lines)

    def waits(self, keep: Callable[[Entry], bool] = lambda _: True) -> list[float]:
        """Waiting times of the jobs that `keep` takes."""
        return [line.wait for line in self.lines if keep(line.entry)]

    def allocated(self) -> list[float]:
        """Allocated devices in % of the cluster's, second by second."""
        points = []
        for number in range(int(self.makespan) + 1):
            middle = number + 0.5
            held = sum(x.entry.devices for x in self.lines if x.started <= middle < x.ended)
            points.append(100 * held / DEVICES)
        return points

    def allocated_mean(self) -> float:
        """The mean allocated % while jobs arrived."""
        return statistics.fmean(self.allocated()[: max(1, int(self.arrivals))])


def percentile(values: Iterable[float], percent: float) -> float:
    """The value that `percent` % of the values do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -int(-percent * len(ordered) // 100) - 1))]


def figures(run: Run) -> tuple[float, ...]:
    """Mean, median, p95 and longest wait, makespan (all seconds), allocated % while jobs arrive,
    double-booked %.
    """
    waits = run.waits()
    return (
        statistics.fmean(waits),
        statistics.median(waits),
        percentile(waits, 95),
        max(waits),
        run.makespan,
        run.allocated_mean(),
        run.double_booked,
    )


def size_class(entry: Entry) -> str:
    """Scenario and size, for the table by class: `train 8`, `infer share`."""
    words = entry.kind.split()
    return f"{words[0]} {words[-1]}"


def vendor_class(entry: Entry) -> str:
    """Scenario and the vendors a script can run on: `train any`."""
    words = entry.kind.split()
    return f"{words[0]} {words[1]}"
