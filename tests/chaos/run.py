"""Does the event list to a sandbox, then repairs everything and waits until all jobs have ended."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from slurm_het.core.model import Job
from slurm_het.core.syntax import hostlist
from slurm_het.errors import HetError
from slurm_het.sandbox.cluster import Sandbox
from slurm_het.sandbox.daemons import SUPERVISOR
from slurm_het.sandbox.topology import load_topology
from tests.chaos import site
from tests.chaos.events import INFRASTRUCTURE, NODES, POOLS, TOPOLOGY, Event, event_list
from tests.chaos.fault_hands import FaultHands
from tests.chaos.faults import with_each_fault, with_faults
from tests.chaos.ground import Ground
from tests.chaos.plants import sandbox_with
from tests.chaos.recorder import Recorder
from tests.chaos.records import NAME, Action, Meta, submission_of
from tests.chaos.site_hands import SiteHands

SETTLE_SECONDS = 120.0
KNOWN_SECONDS = 3.0  # how long a submit waits for the job that it depends on
HETD_BACK_SECONDS = 15.0
# A slurmd that is killed while it launches a batch job loses it. Slurm finds that out when that
# slurmd registers and the job is older than BatchStartTimeout and MessageTimeout (10 s each), not
# when it registers before: then the job is RUNNING until the next registration, 20 pings later
# (400 s here). Seen on 26.05 without hetd; 22.05 and 24.11 have the same in job_mgr.c.
LAUNCHED_SECONDS = 25.0
# Soon: a run is short, and what a job must wait for in vain is what we look for.
PLANNER = {"grace_seconds": 3.0, "retry_seconds": 5.0, "poll_seconds": 2.0}
SCRIPT = """#!/bin/bash
{hint}
mark() {{
    printf '%s\\t%s\\t%s\\t%s\\t%s\\t%s\\t%s\\n' "$1" "$(date +%s.%N)" "$SLURM_JOB_ID" \\
        "${{SLURM_RESTART_COUNT:-0}}" "${{SLURM_ARRAY_TASK_ID:-0}}" "$SLURMD_NODENAME" \\
        "${{SLURM_JOB_GPUS:-}}" >>{marks}/{index}
}}
mark start
sleep {seconds}
mark end
"""
Say = Callable[[str], None]


def run(meta: Meta, directory: Path, box_dir: Path, say: Say, plant: str = "") -> None:
    """One run; its records are in `directory` then. The sandbox is taken down.

    `plant` is a fault of hetd or its supervisor that the check should find (plants.py).
    """
    directory.mkdir(parents=True)
    topology = directory / "topology.yaml"
    topology.write_text(site.topology(meta.seed) if meta.mode == "site" else TOPOLOGY)
    events = events_of(meta)
    say(f"seed {meta.seed}: {len(events)} events in {events[-1].at:.0f} s; records in {directory}")
    options: dict[str, Any] = {"overrides": {"planner": PLANNER}}
    options["accounting"] = meta.mode == "site"
    with ExitStack() as undo:
        ground: Ground | None = None
        if meta.mode == "faults":
            ground = Ground(box_dir.parent / "ground")
            undo.callback(ground.close)
            options |= {"overrides": ground.overrides, "slurm_user": "slurm"}
        box = sandbox_with(plant).up(box_dir, load_topology(topology), **options)
        undo.enter_context(box)
        recorder = Recorder(box, directory)
        recorder.start(replace(meta, slurm=recorder.version.text))
        left: tuple[Job, ...] = ()
        try:
            hands = Hands(box, recorder, patient=bool(meta.kills))
            hands.admin = SiteHands(box) if meta.mode == "site" else None
            if ground:
                hands.faults = FaultHands(box, ground, meta.pair)
                undo.callback(hands.faults.close)
                recorder.alive = hands.faults.hetds
            hands.do_all(events)
            left = hands.settle(say)
        finally:
            recorder.stop(left)


def events_of(meta: Meta) -> list[Event]:
    """What is to happen in a run."""
    events, seconds = event_list(meta.seed, meta.minutes, meta.kills), meta.minutes * 60
    if meta.mode == "site":
        return site.at_site(events, meta.seed, seconds)
    if meta.mode == "faults":
        if meta.each:
            return with_each_fault(events, meta.seed, meta.each)
        return with_faults(events, meta.seed, seconds, pair=meta.pair)
    return events


class Hands:
    """Carries events out: what is about the cluster one by one, what is about a job side by side.

    `patient`: a hetd that is restarting is waited for before it is killed again.
    """

    def __init__(self, box: Sandbox, recorder: Recorder, patient: bool = False) -> None:
        self.box, self.recorder, self.patient = box, recorder, patient
        self.admin: SiteHands | None = None  # at a site
        self.faults: FaultHands | None = None
        self.ids: dict[int, int] = {}
        self.killed: set[str] = set()  # nodes whose slurmd we killed

    def do_all(self, events: list[Event]) -> None:
        """Every event at its time, or as soon after it as there is a hand free."""
        began = time.monotonic()
        many, one = ThreadPoolExecutor, partial(ThreadPoolExecutor, 1)
        with one() as cluster, one() as admin, many(3) as faults, many(6) as jobs:
            hands = dict.fromkeys(INFRASTRUCTURE, cluster) | dict.fromkeys(site.VERBS, admin)
            hands["fault"] = hands["look"] = faults
            for event in events:
                time.sleep(max(0.0, began + event.at - time.monotonic()))
                hands.get(event.verb, jobs).submit(self.do, event)

    def do(self, event: Event) -> None:
        """One event, recorded."""
        began, job, said, ok = time.time(), 0, "", False
        try:
            if event.verb == "submit":
                ok, said = self._submit(event)
                job = self.ids.get(event.target, 0)
            elif event.verb == "look":
                ok, said = True, self._operator_reads()
            elif self.faults and event.verb == "fault":
                ok, said = self.faults.do(event.args[0], event.seconds)
            elif self.admin and event.verb in site.VERBS:
                ok, said = self.admin.do(event.verb, *event.args)
            elif event.verb in INFRASTRUCTURE:
                ok, said = self._to_the_cluster(event)
            else:
                ok, said = self._to_a_job(event)
        except (HetError, OSError, subprocess.SubprocessError) as error:
            said = str(error)[-300:]
        self.recorder.did(Action(event, began, time.time(), ok, job, said))

    def _operator_reads(self) -> str:
        """What het-squeue says above its table."""
        argv = [sys.executable, "-m", "slurm_het.cli.squeue"]
        return str(self.box.run(argv, timeout=30).stderr).strip()[:400]

    def _slurm(self, *argv: str, user: str | None = None, **kw: str) -> tuple[bool, str]:
        done = self.box.run(list(argv), user=user, timeout=30, **kw)
        return done.returncode == 0, (done.stdout + done.stderr).strip()[-300:]

    def _submit(self, event: Event) -> tuple[bool, str]:
        if event.other >= 0 and not self._known(event.other):
            return False, "the job that it depends on is not known"
        other = str(self.ids.get(event.other, ""))
        script = SCRIPT.format(
            hint=event.script, marks=self.recorder.marks, index=event.target, seconds=event.seconds
        )
        options = [option.replace("{other}", other) for option in event.args]
        argv = ["sbatch", "--parsable", "-o", "/dev/null", "-J", f"{NAME}{event.target}", *options]
        ok, said = self._slurm(*argv, user=event.user, input=script)
        first = said.split("\n")[0].split(";")[0]
        if ok and first.isdecimal():
            self.ids[event.target] = int(first)
        return ok, said

    def _known(self, target: int) -> bool:
        deadline = time.monotonic() + KNOWN_SECONDS
        while target not in self.ids and time.monotonic() < deadline:
            time.sleep(0.05)
        return target in self.ids

    def _to_a_job(self, event: Event) -> tuple[bool, str]:
        if not self._known(event.target):
            return False, "no such job"
        key = str(self.ids[event.target])
        if event.verb == "cancel":
            task = f"_{event.args[0]}" if event.args[0] else ""
            return self._slurm("scancel", key + task)
        if event.verb == "hasten":
            return self._slurm("scontrol", "update", f"JobId={key}", "StartTime=now")
        if event.verb == "update":
            return self._slurm("scontrol", "update", f"JobId={key}", *event.args)
        return self._slurm("scontrol", event.verb, key)  # hold, release, requeue, requeuehold

    def _to_the_cluster(self, event: Event) -> tuple[bool, str]:
        verbs: dict[str, Callable[..., tuple[bool, str]]] = {
            "node": self._node,
            "partition": lambda name, state: self._slurm(
                "scontrol", "update", f"PartitionName={name}", f"State={state}"
            ),
            "reconfigure": lambda: self._slurm("scontrol", "reconfigure"),
            "bypass": lambda word: self._slurm(
                sys.executable, "-m", "slurm_het.cli.admin", "bypass", word
            ),
            "slurmd-kill": self._kill_slurmd,
            "slurmd-start": lambda node: (self.box.start_slurmd(node), ""),
            "slurmctld-restart": self._restart,
            "hetd-kill": lambda: self._signal_hetd(signal.SIGKILL),
            "hetd-freeze": lambda: self._signal_hetd(signal.SIGSTOP),
            "hetd-stop": self._stop_hetd,
            "hetd-start": self._start_hetd,
        }
        return verbs[event.verb](*event.args)

    def _node(self, node: str, state: str) -> tuple[bool, str]:
        reason = [] if state == "RESUME" else ["Reason=chaos"]
        return self._slurm("scontrol", "update", f"NodeName={node}", f"State={state}", *reason)

    def _kill_slurmd(self, node: str) -> tuple[bool, str]:
        self.killed.add(node)
        return self.box.kill_slurmd(node), ""

    def _restart(self) -> tuple[bool, str]:
        self.box.restart_slurmctld()
        return True, ""

    def _signal_hetd(self, number: int) -> tuple[bool, str]:
        deadline = time.monotonic() + (HETD_BACK_SECONDS if self.patient else 0.0)
        while self.box.hetd_pid() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        with contextlib.suppress(ProcessLookupError):
            self.box.kill_hetd(number)
            return True, ""
        return False, "it had just ended"

    def _stop_hetd(self) -> tuple[bool, str]:
        self.box.stop_hetd()
        return True, ""

    def _start_hetd(self) -> tuple[bool, str]:
        if any(p.alive for p in self.box.daemons() if p.name == SUPERVISOR):
            return True, "it runs"
        self.box.start_hetd()
        return True, ""

    # --- afterwards ---

    def settle(self, say: Say) -> tuple[Job, ...]:
        """Repair all that we did, then wait; the jobs that have not ended even so."""
        self._repair()
        deadline = time.monotonic() + SETTLE_SECONDS
        while True:
            poll = self.recorder.poll()
            left = tuple(j for j in poll.jobs if submission_of(j.name) >= 0) if poll else None
            if left == ():
                return ()
            if time.monotonic() > deadline and left is not None:
                say(f"{len(left)} jobs have not ended after {SETTLE_SECONDS:.0f} s")
                return left
            for job in left or ():
                self._let_go(job)
            self.have_registered(left or ())
            if self.admin:
                self.admin.free()
            time.sleep(1.0)

    def _repair(self) -> None:
        for node in NODES:
            self.do(Event(0.0, "slurmd-start", args=(node,)))
        for pool in POOLS:
            self.do(Event(0.0, "partition", args=(pool, "UP")))
        if self.faults:
            with contextlib.suppress(HetError):
                self.faults.start()
        self.do(Event(0.0, "bypass", args=("off",)))
        for event in site.repairs() if self.admin else ():
            self.do(event)
        self.do(Event(0.0, "hetd-start"))
        time.sleep(1.0)
        if self.admin and self.admin.unheard():
            self.do(Event(0.0, "slurmctld-restart"))
        for node in NODES:  # refused for a node that needs none
            self.do(Event(0.0, "node", args=(node, "RESUME")))

    def _let_go(self, job: Job) -> None:
        """End what is still to wait for by our own doing: holds and begin times, nothing else."""
        index = submission_of(job.name)
        self.ids.setdefault(index, job.array_job_id or job.id)  # sbatch had not heard of it
        if job.state == "PENDING" and job.reason in {"JobHeldUser", "JobHeldAdmin"}:
            self.do(Event(0.0, "release", index))
        if job.state == "PENDING" and job.eligible_time > time.time() + 2:
            self.do(Event(0.0, "hasten", index))
        waits = job.state in {"PENDING", "RESV_DEL_HOLD"}
        if waits and (job.reservation or job.reason == "ReservationDeleted"):
            self.do(Event(0.0, "update", index, ("ReservationName=",)))
            self.do(Event(0.0, "release", index))  # Slurm holds it when its reservation goes

    def have_registered(self, jobs: Iterable[Job]) -> None:
        """Have Slurm find out what was lost in a launch: see LAUNCHED_SECONDS."""
        overdue = (
            job for job in jobs
            if job.state == "RUNNING" and job.start_time < time.time() - LAUNCHED_SECONDS
        )  # fmt: skip
        nodes = {name for job in overdue for name in hostlist.expand(job.nodes)[:1]} & self.killed
        for node in sorted(nodes):
            self.do(Event(0.0, "slurmd-kill", args=(node,)))
            self.do(Event(0.0, "slurmd-start", args=(node,)))
        self.killed -= nodes  # once: what goes on running then is to be told
