"""One side of a comparison: a sandbox, the scenario's submissions and events, Slurm's records."""

from __future__ import annotations

import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bench.compare import records
from bench.compare.records import JobSeen, Window
from bench.compare.scenario import Event, Scenario, Submission
from bench.in_sandbox import AS_DELIVERED
from slurm_het.errors import HetError
from slurm_het.sandbox.accounting import Accounting
from slurm_het.sandbox.cluster import Sandbox
from slurm_het.sandbox.render import deep_merge
from slurm_het.sandbox.topology import Topology
from slurm_het.slurm.topology import parse_topology

RECORDS_SECONDS = 30.0
"""How long slurmctld's records may take to reach slurmdbd after the end."""
STOPPED = "stopped before its time"

_SPAN = re.compile(r"(\d{1,6})(?:-(\d{1,6}))?(?::([1-9]\d{0,5}))?")


def boot(
    directory: Path, scenario: Scenario, topology: Topology, stop: threading.Event, *, het: bool
) -> Sandbox:
    """The scenario's cluster, with slurm-het or without. Raises HetError, also soon after `stop`.

    Plain Slurm has the same slurm.conf less the hook: the intake is UP, and every job goes where
    its user sends it. slurm-het is as it is delivered, not as sandboxes have it for quick tests;
    but the hook waits longer, since a machine that is busy with two clusters stalls.
    """
    usual = {**AS_DELIVERED, "hook": {"deadline_ms": 2000}}

    def go_on(_progress: str) -> None:
        if stop.is_set():
            raise HetError(STOPPED)

    return Sandbox.up(
        directory, topology, hetd=het, hook=het,
        accounting=topology.accounting or Accounting(enforce=()),
        overrides=deep_merge(usual, scenario.het), say=go_on,
    )  # fmt: skip


class Driver:
    """Does in a sandbox what the scenario says, and reads what came of it."""

    def __init__(
        self, box: Sandbox, scenario: Scenario, topology: Topology, stop: threading.Event
    ) -> None:
        """`box` is idle; `stop` ends it before its time."""
        self.box = box
        self.stop = stop
        self.scenario = scenario
        self.topology = topology
        self.jobs: list[JobSeen] = []

    def run(self, name: str, say: Callable[[str], None]) -> records.Side:
        """All of it, from now on. Raises HetError if an event fails or a record does not come."""
        start = time.time()
        for at, deed in sorted(self._agenda(), key=lambda entry: entry[0]):
            self._wait_until(start + at)
            if isinstance(deed, Event):
                self._event(deed)
            else:
                self._submit(deed, start)
        say(f"{name}: {len(self.jobs)} submitted in {time.time() - start:.1f} s")
        self._wait_until(start + self.scenario.seconds)
        shards = {
            node: group.shards_per_device for group in self.topology.groups for node in group.nodes
        }
        self._read(Window(start, self.scenario.seconds, shards))
        devices = sum(len(g.nodes) * sum(c.devices for c in g.cards) for g in self.topology.groups)
        scenario = self.scenario
        network = parse_topology(self.topology.network)
        return records.Side(
            name, tuple(self.jobs), scenario.seconds, devices, scenario.busy_from, network
        )

    def _wait_until(self, when: float) -> None:
        if self.stop.wait(max(0.0, when - time.time())):
            raise HetError(STOPPED)

    def _agenda(self) -> Iterator[tuple[float, Event | Submission]]:
        for event in self.scenario.events:
            yield event.at, event
        for submission in self.scenario.submissions:
            for index in range(submission.count):
                at = submission.at + index * submission.every
                if at < self.scenario.seconds:
                    yield at, submission

    def _event(self, event: Event) -> None:
        done = self._call(event.run)
        if done.returncode != 0:
            raise HetError(f"event {' '.join(event.run)}: {(done.stdout + done.stderr).strip()}")

    def _submit(self, submission: Submission, start: float) -> None:
        words = [*self.scenario.sbatch, *submission.sbatch]
        argv = ["sbatch", "--parsable", "-o", "/dev/null", *words]
        submitted = time.time() - start
        done = self._call(argv, user=submission.user, input=submission.text)
        key = str(done.stdout).strip().split(";")[0] if done.returncode == 0 else ""
        job = JobSeen(submission.name, submitted, key, str(done.stderr).strip())
        array = array_of(words, submission.text)
        self.jobs += records.tasks(job, array) if array else [job]

    def _read(self, window: Window) -> None:
        """Read until two answers are the same and no run is missing that squeue shows."""
        waiting = self._ask("squeue", "-h", "-a", "-r", "-t", "PD", "-o", "%i|%r")
        running = set(self._ask("squeue", "-h", "-a", "-r", "-t", "R,S", "-o", "%i").split())
        deadline = time.monotonic() + RECORDS_SECONDS
        last: dict[str, list[records.Run]] | None = None
        while True:
            text = self._sacct(window)
            runs, missing = records.read_runs(text, window), running - records.started(text)
            if runs == last and not missing:
                break
            if time.monotonic() > deadline:
                said = ", ".join(sorted(missing)[:5]) or "none, but they change"
                raise HetError(f"slurmdbd has no records of jobs that run: {said}")
            last = runs
            time.sleep(1.0)
        records.keep(self.jobs, runs, records.read_reasons(waiting))

    def _sacct(self, window: Window) -> str:
        since = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(window.start - 60))
        return self._ask("env", "SLURM_TIME_FORMAT=%s", *records.SACCT, "-S", since)

    def _ask(self, *argv: str) -> str:
        done = self._call(argv)
        if done.returncode != 0:
            raise HetError(f"{' '.join(argv)}: {done.stderr.strip()}")
        return str(done.stdout)

    def _call(self, argv: Sequence[str], **options: str) -> subprocess.CompletedProcess[str]:
        try:
            return self.box.run(argv, **options)
        except subprocess.TimeoutExpired as error:
            raise HetError(f"Slurm did not answer: {error}") from error


def array_of(words: Sequence[str], script: str) -> list[int]:
    """The indexes of the job array that sbatch's arguments or else its script's ask for, or []."""
    lines = (
        line.removeprefix("#SBATCH") for line in script.splitlines() if line.startswith("#SBATCH")
    )
    directives = [word for line in lines for word in line.split()]
    asked = ""
    for given in (directives, words):
        for word, following in zip(given, [*given[1:], ""], strict=False):
            if word in ("-a", "--array"):
                asked = following
            elif word.startswith(("--array=", "-a")):
                asked = word.removeprefix("--array=").removeprefix("-a")
    return _indexes(asked.partition("%")[0]) if asked else []


def _indexes(text: str) -> list[int]:
    """`0-3`, `1,3`, `0-8:4`; [] if it is none, which sbatch refuses."""
    found: list[int] = []
    for word in text.split(","):
        if not (span := _SPAN.fullmatch(word)):
            return []
        low, high, step = (int(part) if part else None for part in span.groups())
        found += range(low or 0, (low or 0 if high is None else high) + 1, step or 1)
    return found
