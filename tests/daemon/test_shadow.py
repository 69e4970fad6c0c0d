"""Shadow: hetd's cycle on a Slurm in memory that runs by itself, and that nothing is sent to."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from slurm_het.core.jobs.admission import Admitted, admit_record
from slurm_het.core.model import Job
from slurm_het.core.planner.outcomes import Event
from slurm_het.core.policy import Policy
from slurm_het.daemon.clocks import Clocks
from slurm_het.daemon.cycle import Cycle
from slurm_het.daemon.gate import Gate
from slurm_het.daemon.shadow import ShadowCycle
from slurm_het.journal import Journal
from slurm_het.opener import Holds
from slurm_het.replay.sides import FirstFitSolver
from slurm_het.settings import Config, Paths, PlannerSettings
from tests.support.fake_slurm import FakeSlurm
from tests.support.world import gated, inventory, policy, running


def shadowed() -> Policy:
    """The sandbox's policy with all pools in shadow."""
    return replace(policy(), pools=tuple(replace(p, mode="shadow") for p in policy().pools))


class Side:
    """A cycle in shadow beside plain Slurm, or one in plan, with a clock that stands still."""

    def __init__(self, path: Path, *jobs: Job, plan: bool = False) -> None:
        path.mkdir(exist_ok=True)
        self.now = 1000.0
        self.slurm = FakeSlurm(*jobs, gate="DOWN" if plan else "UP")
        planner = PlannerSettings(reserve_after_seconds=0, deadline_seconds=60.0)
        paths = Paths(state_dir=path, control_socket=path / "control.sock")
        config = Config(shadowed(), planner=planner, paths=paths)
        journal, solver = Journal(path / "journal.db"), FirstFitSolver()
        clocks = Clocks(lambda: self.now, lambda: self.now)
        self.cycle: Cycle
        if plan:
            gate = Gate(self.slurm, "accel", path, Holds(path))
            self.cycle = Cycle(config, self.slurm, gate, journal, solver, clocks)
        else:
            self.shadow = ShadowCycle(config.shadowed, self.slurm, journal, solver, clocks)
            self.cycle = self.shadow

    def run(self, times: int = 1) -> None:
        for _ in range(times):
            self.slurm.time = self.now
            asyncio.run(self.cycle.run())

    def places(self) -> dict[str, tuple[str, tuple[str, ...], tuple[tuple[int, ...], ...]]]:
        """Where the pinned tasks go."""
        places = {key: pin.placement for key, pin in self.cycle.pins.pins.items()}
        return {key: (p.partition, p.nodes, p.devices) for key, p in places.items()}

    def untouched(self) -> bool:
        """Whether nothing at all was sent to Slurm."""
        slurm = self.slurm
        sent = (slurm.updates, slurm.told, slurm.ended, slurm.requeued)
        return not any(sent) and slurm.gate == "UP" and slurm.closed == 0


def own(number: int, partition: str = "train-nv", **fields: Any) -> Job:
    """A job that waits in a partition of the site's own, where Slurm says why."""
    return gated(number, partition=partition, **{"reason": "Resources"} | fields)


def test_it_decides_about_jobs_in_the_pools_and_sends_nothing(tmp_path: Path) -> None:
    side = Side(tmp_path, own(1), own(2, "accel", tres_per_node="gpu:8"), own(3, "debug"))
    side.run(3)
    assert set(side.places()) == {"1", "2"}
    assert side.untouched()
    assert Holds(tmp_path).read("?") == "?", "of a gate in a book there is nothing to note"
    assert side.cycle.openings is None, "the hook gives nobody nodes"


def test_what_it_placed_holds_its_devices_until_slurm_starts_it(tmp_path: Path) -> None:
    large: dict[str, Any] = {"tres_per_node": "gpu:a100:8", "features": "a100"}
    side = Side(tmp_path, own(1, **large), own(2, **large), own(3, **large))
    side.run(3)
    there = side.places()
    assert {there["1"][1], there["2"][1]} == {("nv1",), ("nv2",)}
    assert "3" not in there or side.cycle.pins.pins["3"].start, "no devices are left for it"
    started = running(1, "nv2", "gpu:a100:8(IDX:0-7)", partition="train-nv")
    side.slurm.jobs = (started, own(2, **large), own(3, **large))
    side.now += 10
    side.run(2)
    assert side.shadow.counted[Event.STARTED] + side.shadow.counted[Event.ELSEWHERE] == 1
    assert "1" not in side.places(), "its real place counts now"
    assert side.untouched()


def test_a_job_whose_nodes_plain_slurm_gave_away_is_planned_anew(tmp_path: Path) -> None:
    large: dict[str, Any] = {"tres_per_node": "gpu:a100:8", "features": "a100"}
    side = Side(tmp_path, own(1, **large))
    side.run(2)
    (first,) = side.places()["1"][1]
    other = running(9, first, "gpu:a100:8(IDX:0-7)", partition="debug")
    side.slurm.jobs = (own(1, **large), other)
    side.now += 10
    side.run(3)
    (second,) = side.places()["1"][1]
    assert first != second
    assert side.shadow.counted[Event.RETURNED] == 1


def test_a_job_whose_limit_would_be_over_has_ended_in_the_book(tmp_path: Path) -> None:
    side = Side(tmp_path, own(1, time_limit_minutes=10))
    side.run(2)
    side.now += 9 * 60
    side.run()
    assert side.cycle.pins.pins["1"].task.minutes == 1
    side.now += 61
    side.run(2)
    assert side.places() == {}
    assert "1" not in side.cycle.report.waiting
    assert side.shadow.counted[Event.GONE] == 1


def test_tasks_of_an_array_are_split_off_in_the_book(tmp_path: Path) -> None:
    tasks: dict[str, Any] = {"array_job_id": 5, "array_tasks": "0-9", "tres_per_node": "gpu:a100:4"}
    side = Side(tmp_path, own(5, features="a100", **tasks))
    side.run(4)
    pinned = {key for key, pin in side.cycle.pins.pins.items() if not pin.start}
    assert pinned == {"5_0", "5_1", "5_2", "5_3"}, "16 A100 of two nodes"
    started = running(
        6, "nv1", "gpu:a100:4(IDX:0-3)", partition="train-nv", array_job_id=5, array_task_id=0
    )
    side.slurm.jobs = (started, own(5, features="a100", **tasks | {"array_tasks": "1-9"}))
    side.run(2)
    assert "5_0" not in side.places()
    assert side.untouched()


def test_what_its_user_asks_for_anew_is_read_anew(tmp_path: Path) -> None:
    side = Side(tmp_path, own(1, "accel", tres_per_node="gpu:a100:1"))
    side.run(2)
    assert side.places()["1"][0] == "train-nv"
    side.slurm.jobs = (own(1, "accel", tres_per_node="gpu:mi300x:1"),)
    side.run()
    side.now += 61  # as of any job that is found in the gate again
    side.run(2)
    assert side.places()["1"][0] == "train-amd"
    assert side.untouched()


def test_jobs_that_wait_for_slurms_own_sake_wait_in_shadow_too(tmp_path: Path) -> None:
    side = Side(
        tmp_path, own(1, reason="JobHeldUser", priority=0), own(2, dependency="afterok:1"),
        own(3, reason="QOSMaxGRESPerUser"), own(4, req_nodes="nv1"),
    )  # fmt: skip
    side.run(3)
    assert set(side.places()) == {"3"}, "limits that hetd knows are in its plan"


ASKS = st.sampled_from(
    ["gpu:1", "gpu:2", "gpu:8", "gpu:a100:4", "npu:8", "shard:10", "gpu:mi300x:2", "gpu:h100:1"]
)
PLACES = st.sampled_from(["accel", "accel", "train-nv", "train-amd,infer-nv", "debug"])
ARRAYS = st.sampled_from(["", "", "0-5", "3,7-8"])
ASKED = st.lists(
    st.tuples(ASKS, st.integers(1, 3), st.integers(1, 90), PLACES, ARRAYS), max_size=12
)


@settings(max_examples=25, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(ASKED, st.booleans())
def test_its_decisions_are_those_of_plan_on_the_same_snapshot(
    asked: list[tuple[str, int, int, str, str]], busy: bool
) -> None:
    jobs = [
        gated(
            n, tres_per_node=tres, nodes_min=nodes, time_limit_minutes=minutes, priority=1000 - n,
            partition=place, reason="Priority", array_job_id=n if tasks else 0, array_tasks=tasks,
        )
        for n, (tres, nodes, minutes, place, tasks) in enumerate(asked, 1)
    ]  # fmt: skip
    there = (running(99, "nv1", "gpu:a100:5(IDX:0-4)", end_time=3000),) if busy else ()
    with TemporaryDirectory() as folder:
        plan = Side(Path(folder) / "plan", *map(hooked, jobs), *there, plan=True)
        shadow = Side(Path(folder) / "shadow", *jobs, *there)
        plan.run()
        shadow.run(2)  # the first closes the gate of the book
        assert shadow.places() == plan.places()
        told = shadow.cycle.report, plan.cycle.report
        assert told[0].waiting == told[1].waiting
        assert told[0].tasks == told[1].tasks
        ahead = {pin.task.key for pin in shadow.cycle.pins.ahead()}
        placed = {k: place for k, place in shadow.places().items() if k not in ahead and place[1]}
        shadow.run(2)
        assert placed.items() <= shadow.places().items(), "it holds its devices in later ones too"
        assert shadow.untouched()


def hooked(job: Job) -> Job:
    """A job as the hook sends it on."""
    if job.partition == "debug":
        return job  # it is not asked
    made = admit_record(job, "", policy(), inventory())
    fields: dict[str, Any] = dict(made.fields) if isinstance(made, Admitted) else {}
    return replace(job, reason="PartitionDown" if fields else job.reason, **fields)
