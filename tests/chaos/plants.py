"""hetd and its supervisor with a fault planted into them: a check that is worth anything finds it.

`./dev chaos --plant NAME` runs them instead of what is delivered; what fails then is the proof.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from slurm_het import opener, supervise
from slurm_het.core.limits.within import Within
from slurm_het.core.model import Job, Placement, Snapshot
from slurm_het.core.planner import proposal, updates
from slurm_het.daemon import app, release
from slurm_het.sandbox.cluster import HETD_ARGV, Sandbox
from slurm_het.sandbox.procs import Process
from slurm_het.slurm.cli import CliSlurm
from tests.chaos.site import USERS

ROOT = Path(__file__).resolve().parents[2]
EVERY_SECONDS = 10.0


def _scontrol(*argv: str) -> None:
    subprocess.run(["scontrol", *argv], check=False, capture_output=True, timeout=10)


# --- in hetd ---

Fields = dict[str, str]
_seen: list[Snapshot] = []


def _watch(change: Callable[[Snapshot], Snapshot]) -> None:
    """Have hetd see what `change` makes of each snapshot."""
    real = CliSlurm.snapshot

    async def snapshot(self: CliSlurm, *also: Job) -> Snapshot:
        _seen[:] = [await real(self, *also)]
        return change(_seen[0])

    CliSlurm.snapshot = snapshot  # type: ignore[method-assign]


def _with_fields(more: Callable[[Placement, Job], Mapping[str, str]]) -> None:
    """Have hetd set more than it should as it releases a job."""
    real = updates.release_fields

    def release_fields(placement: Placement, job: Job, *more_of_it: Any) -> Fields:
        return {**real(placement, job, *more_of_it), **more(placement, job)}

    vars(release)["release_fields"] = release_fields


def breaks_limits() -> None:
    """It plans without limits, and gives the jobs another QOS that has none."""
    vars(proposal)["within_limits"] = lambda _s, tasks, *_: Within(tasks, {}, {}, {})
    _with_fields(lambda _p, job: {"QOS": "calm"} if job.qos == "normal" else {})


def enters_reservations() -> None:
    """It plans without reservations, and lets the jobs into those of others."""

    def more(placement: Placement, _job: Job) -> Fields:
        for r in _seen[0].reservations:
            if set(r.nodes) & set(placement.nodes):
                _scontrol("update", f"ReservationName={r.name}", f"Users+={','.join(USERS)}")
                return {"ReservationName": r.name}
        return {}

    _watch(lambda s: replace(s, reservations=()))
    _with_fields(more)


def takes_wrong_victims() -> None:
    """It makes room by requeueing whoever runs longest."""
    last = [time.monotonic()]

    def change(snapshot: Snapshot) -> Snapshot:
        running = sorted((j.start_time, j.id) for j in snapshot.jobs if j.state == "RUNNING")
        if running and time.monotonic() - last[0] > EVERY_SECONDS:
            last[0] = time.monotonic()
            _scontrol("requeue", str(running[0][1]))
        return snapshot

    _watch(change)


# --- in the supervisor ---


def reads_anew() -> None:
    """The opener goes by het.yaml as it is when it opens."""

    def read(_self: opener.Holds, configured: str) -> str:
        path = Path(sys.argv[sys.argv.index("--config") + 1])
        return str(yaml.safe_load(path.read_text()).get("intake_partition", configured))

    vars(opener)["Holds"].read = read


def waits_for_the_dead() -> None:
    """The supervisor waits until what it has killed has ended."""
    real = supervise.Child.kill

    def kill(self: supervise.Child) -> None:
        real(self)
        self.process.wait()

    supervise.Child.kill = kill  # type: ignore[method-assign]


def opens_nothing_alone() -> None:
    """The shell that waits does nothing when nobody is left to tell it."""
    opener.WAIT = opener.WAIT.replace("|| told=$1", "|| exit 0").replace(
        '|| read -r told <"$2"', "|| exit 0"
    )


HETD: dict[str, Callable[[], None]] = {
    "limits": breaks_limits, "reservations": enters_reservations, "victims": takes_wrong_victims,
}  # fmt: skip
SUPERVISOR: dict[str, Callable[[], None]] = {
    "reads-anew": reads_anew, "waits": waits_for_the_dead, "alone": opens_nothing_alone,
}  # fmt: skip
NAMES = (*HETD, *SUPERVISOR)


def hetd(name: str) -> None:
    """Run hetd with a fault."""
    HETD[name]()
    app.main()


def supervisor(name: str) -> None:
    """Run its supervisor with a fault."""
    SUPERVISOR[name]()
    supervise.main()


def sandbox_with(plant: str) -> type[Sandbox]:
    """Sandboxes whose hetd or supervisor has a fault; '' is none."""

    class Planted(Sandbox):
        def _spawn(self, name: str, argv: Sequence[str], *more: Any, **options: Any) -> Process:
            return super()._spawn(name, planted(list(argv), plant), *more, **options)

    return Planted


def planted(argv: list[str], name: str) -> list[str]:
    """The command line of a supervisor and its hetd, with a fault; any other one as it is."""
    if not name or "slurm_het.supervise" not in argv:
        return argv
    who = "hetd" if name in HETD else "supervisor"
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); "
    code += f"from tests.chaos import plants; plants.{who}({name!r})"
    if who == "hetd":
        at = argv.index(HETD_ARGV[2])
        return [*argv[:at], code, *argv[at + 1 :]]
    at = argv.index("slurm_het.supervise")
    return [sys.executable, "-c", code, *argv[at + 1 :]]
