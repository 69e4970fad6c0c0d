"""Writes a run down while it happens: what Slurm says twice a second, and what is done to it."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from slurm_het.cli.hetd_client import call
from slurm_het.core.model import Job
from slurm_het.errors import HetError, SlurmError
from slurm_het.sandbox.cluster import Sandbox
from slurm_het.sandbox.daemons import SUPERVISOR
from slurm_het.slurm.jobs import parse_jobs
from slurm_het.slurm.records import parse_nodes, parse_partitions
from slurm_het.slurm.reservations import parse_reservations
from slurm_het.slurm.versions import parse_version
from tests.chaos.records import Action, Meta, Poll, line_of, write
from tests.chaos.site import limits_in
from tests.support.cluster import ENDED

POLL_SECONDS = 0.4
ASK_EVERY = 4  # looks
INTAKE = "accel"


class Recorder:
    """Polls in a thread of its own from `start` to `stop`; a poll that fails is left out."""

    def __init__(self, box: Sandbox, directory: Path) -> None:
        self.box, self.directory = box, directory
        self.marks = directory / "marks"
        self.marks.mkdir(parents=True)
        self.marks.chmod(0o777)  # the jobs are another user's
        self.version = parse_version(box.run(["scontrol", "--version"]).stdout)
        self.env = box.env | {"SLURM_TIME_FORMAT": "%s"}
        self.last: Poll | None = None
        self.alive: Callable[[], object] = lambda: box.hetd_pid() is not None
        self._looks = 0
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        for name in ("polls.jsonl", "actions.jsonl"):
            (directory / name).touch()

    def start(self, meta: Meta) -> None:
        """Begin."""
        write(self.directory, "meta", meta)
        self._thread.start()

    def stop(self, left: Iterable[Job]) -> None:
        """End; `left` are the jobs that were given up. Keeps Slurm's completion file."""
        self._done.set()
        self._thread.join()
        write(self.directory, "left", tuple(left))
        logs = {"jobcomp.log": self.box.layout.log / "jobcomp.log"}
        logs["hetd.log"] = self.box.layout.output_of(SUPERVISOR)
        logs["slurmctld.log"] = self.box.layout.log / "slurmctld.log"
        for name, path in logs.items():
            with contextlib.suppress(FileNotFoundError):
                shutil.copy(path, self.directory / name)

    def did(self, action: Action) -> None:
        """Keep what was done."""
        with self._lock, (self.directory / "actions.jsonl").open("ab") as file:
            file.write(line_of(action))

    def poll(self) -> Poll | None:
        """Look now; None if slurmctld does not answer."""
        try:
            jobs = self._ask("squeue", "--all", self.version.squeue_json)
            nodes = self._ask("scontrol", "-o", "-a", "-d", "show", "node")
            intake = parse_partitions(self._ask("scontrol", "-o", "show", "partition", INTAKE))
            reserved = self._ask("scontrol", "-o", "-a", "show", "reservation")
            found = parse_jobs(jobs.encode(), memory_tracked=True)
        except (SlurmError, subprocess.TimeoutExpired):
            return None
        state = intake[0].state if intake else ""
        found = tuple(job for job in found if job.state not in ENDED)  # 22.05 prints them all
        alive = self.alive()
        records = parse_nodes(nodes, forgets_devices=self.version.forgets_devices)
        reservations = parse_reservations(reserved, records)
        seen = Poll(time.time(), state, bool(alive), found, records, reservations)
        self._looks += 1
        return seen if self._looks % ASK_EVERY else self._asked(seen)

    def _asked(self, poll: Poll) -> Poll:
        """The look with what is asked now and then."""
        with contextlib.suppress(SlurmError, subprocess.TimeoutExpired):
            text = self._ask("scontrol", "-o", "show", "assoc_mgr", "flags=qos,assoc")
            poll = replace(poll, limits=limits_in(text))
        if poll.gate == "DOWN" and poll.hetd:
            poll = replace(poll, waiting=self._why())
        return poll

    def _why(self) -> dict[str, str] | None:
        """What hetd says of those that wait."""
        with contextlib.suppress(HetError):
            status = call(self.box.layout.run / "control.sock", {"op": "status"}, timeout=1.0)
            return {key: str(why) for key, why in status["waiting"].items()}
        return None

    def _ask(self, *argv: str) -> str:
        done = self.box.run(list(argv), timeout=5, env=self.env)
        if done.returncode != 0:
            raise SlurmError(done.stderr.strip()[-300:])
        return done.stdout

    def _watch(self) -> None:
        with (self.directory / "polls.jsonl").open("ab") as file:
            while not self._done.is_set():
                seen = self.poll()
                if seen:
                    self.last = seen
                    file.write(line_of(seen))
                self._done.wait(POLL_SECONDS)
