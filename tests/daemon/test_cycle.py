"""The planning cycle against a Slurm in memory: what it sends, remembers and forgets."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from slurm_het.core.assignment.first_fit import greedy
from slurm_het.core.assignment.fluid import Fluid
from slurm_het.core.assignment.problem import Problem, Solution
from slurm_het.core.jobs.admission import Admitted, admit_message, admit_record
from slurm_het.core.jobs.asked import updated
from slurm_het.core.jobs.mark import MARK, decode_comment
from slurm_het.core.jobs.paces import Pace
from slurm_het.core.jobs.request import handed_over
from slurm_het.core.jobs.trials import Trial
from slurm_het.core.model import Classification, Job, Placement
from slurm_het.core.network import Layout
from slurm_het.core.planner.pins import Pins
from slurm_het.core.planner.proposal import Memory, observe
from slurm_het.core.worth.speeds import PastRun
from slurm_het.daemon.clocks import Clocks
from slurm_het.daemon.cycle import Cycle
from slurm_het.daemon.gate import Gate
from slurm_het.daemon.health import Health
from slurm_het.journal import Journal
from slurm_het.opener import Holds
from slurm_het.settings import Config, Paths, PlannerSettings
from tests.support.asked import asked
from tests.support.fake_slurm import FakeSlurm
from tests.support.world import gated, inventory, marked, mixed, policy, running, task


class Bench:
    """A cycle with its fakes and a clock that stands still."""

    def __init__(self, tmp_path: Path, *jobs: Job, gate: str = "DOWN") -> None:
        self.path = tmp_path
        self.now = 1000.0
        self.slurm = FakeSlurm(*jobs, gate=gate)
        at_once = PlannerSettings(reserve_after_seconds=0, deadline_seconds=60.0)
        config = Config(policy=policy(), planner=at_once, paths=Paths(state_dir=tmp_path))
        self.journal = Journal(tmp_path / "journal.db")
        gates = Gate(self.slurm, "accel", tmp_path, Holds(tmp_path))
        self.ticked = 0.0
        self.cycle = Cycle(
            config, self.slurm, gates, self.journal, self,
            Clocks(lambda: self.now, lambda: self.ticked),
        )  # fmt: skip

    def solve(self, problem: Problem, seconds: float) -> Solution:
        """First fit is solver enough here."""
        assert seconds >= 0
        return greedy(problem)

    def price(self, _fluid: Fluid, _seconds: float) -> None:
        """No prices: the weights go by what is simple to say."""

    def no_time(self) -> None:
        """Plans have no time at all from now on."""
        config = self.cycle.config
        self.cycle.config = replace(config, planner=replace(config.planner, deadline_seconds=0.0))

    def close(self) -> None:
        """Nothing to release."""

    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.now += seconds
        self.ticked += seconds

    def run(self) -> bool:
        self.slurm.time = self.now
        return asyncio.run(self.cycle.run())

    def sent(self, key: str) -> list[dict[str, str]]:
        return [fields for k, fields in self.slurm.updates if k == key]


def test_a_gate_found_open_is_closed_and_the_old_snapshot_is_not_planned(tmp_path: Path) -> None:
    bench = Bench(tmp_path, marked(1), gate="UP")
    assert bench.run(), "plan at once, from a new snapshot"
    assert (bench.slurm.gate, bench.slurm.updates) == ("DOWN", [])
    bench.run()
    assert bench.sent("1")[0]["Partition"] == "train-nv"


def test_it_is_noted_what_to_open_also_where_it_was_closed_before(tmp_path: Path) -> None:
    bench = Bench(tmp_path, gate="DOWN")
    bench.run()
    assert Holds(tmp_path).read("?") == "accel"
    Holds(tmp_path).write("")  # an opener of the hetd before came late
    bench.run()
    assert Holds(tmp_path).read("?") == "accel"


def test_a_clock_that_is_ahead_for_a_cycle_forgets_nothing_of_programs(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    trials = [Trial(f"u{n}", "p", "nvidia", 900.0, well=True) for n in range(3)]
    paces = [Pace(f"u{n}", "p", "a100", 1, 900.0, "1", (PastRun(9, ended=900),)) for n in range(3)]
    bench.journal.record_trials(trials)
    bench.journal.record_paces(paces)
    for jump in (0.0, 40 * 86400.0, -80 * 86400.0, 40 * 86400.0):
        bench.now += jump
        bench.run()
        bench.ticked += 3600.0
        bench.journal.prune(bench.now)
    assert sorted(bench.cycle.trials.known.all()) == sorted(bench.journal.trials(0.0)) == trials
    assert sorted(bench.cycle.paces.known.all()) == sorted(bench.journal.paces(0.0)) == paces


def test_devices_that_slurm_takes_for_used_are_counted_anew_now_and_then(tmp_path: Path) -> None:
    bench = Bench(tmp_path, marked(1))
    bench.run()
    assert bench.slurm.closed == 0
    bench.slurm.stale = {"nv1"}
    for _ in range(3):
        bench.run()
    assert bench.slurm.closed == 1
    bench.wait(31)
    bench.run()
    assert bench.slurm.closed == 2
    bench.slurm.gate = "INACTIVE"
    bench.wait(31)
    bench.run()
    assert bench.slurm.gate == "INACTIVE", "it is the admin's word"


@pytest.mark.parametrize("side_door", [True, False])
def test_slurm_is_made_to_look_after_an_end_for_who_waits_in_its_sight(
    tmp_path: Path, side_door: bool
) -> None:
    """Not where the job that waits is in the gate: its release does that."""
    full = [running(n, f"nv{n}", "gpu:a100:8(IDX:0-7)", end_time=5000) for n in (1, 2)]
    bench = Bench(tmp_path, *full, marked(7, tres_per_node="gpu:8"))
    bench.slurm.side_door = side_door
    bench.run()
    ahead = bench.cycle.pins.ahead()
    assert len(ahead) == side_door
    waiting = marked(7, tres_per_node="gpu:8")
    if ahead:
        nodes = ahead[0].placement.nodes[0]
        waiting = replace(waiting, partition="train-nv", req_nodes=nodes)
    bench.slurm.jobs = (*full, waiting)
    bench.run()
    assert bench.slurm.closed == 0
    left = [job for job in full if ahead and job.nodes not in ahead[0].placement.nodes]
    bench.slurm.jobs = (*left, waiting)
    for _ in range(2):
        bench.run()
    assert bench.slurm.closed == side_door, "once for an end"


def test_a_job_that_prefers_what_its_pools_lack_is_kept_to_nothing_of_ours(
    tmp_path: Path,
) -> None:
    made = admit_message(
        {"tres_per_node": "gpu:1", "script": "module load cuda"}, policy(), inventory()
    )
    assert isinstance(made, Admitted)
    ours, comment = made.fields["features"], made.fields["admin_comment"]
    one = gated(7, tres_per_node="gpu:1", features=ours, admin_comment=comment)
    bench = Bench(tmp_path, replace(one, layout=Layout(by_slurm=("--prefer=l40s",))))
    bench.run()
    (sent,) = bench.sent("7")
    assert sent["Features"] == ""
    assert {"train-nv", "infer-nv", "train-amd"} <= set(sent["Partition"].split(","))
    assert "submitted with" not in sent["AdminComment"], "there is nothing to undo"


@pytest.mark.parametrize(
    ("depends", "looks"),
    [
        ("afterok:11(unfulfilled)", True),
        ("afterany:5(unfulfilled),aftercorr:9_*(unfulfilled)", True),
        ("singleton(unfulfilled)", True),
        ("afterok:1(unfulfilled)", False),
        ("", False),
    ],
)  # fmt: skip
def test_slurm_is_made_to_look_after_an_end_that_a_gated_job_depends_on(
    tmp_path: Path, depends: str, looks: bool
) -> None:
    """Nothing tells that a dependency is over: hetd looks, ever more seldom, until it is."""
    held = marked(7, dependency=depends, name="train", priority=100 if depends else 0)
    first = running(11, "nv1", "gpu:a100:1(IDX:0)", user=held.user, name="train")
    first = replace(first, array_job_id=9)
    bench = Bench(tmp_path, first, held)
    bench.run()
    assert (bench.slurm.closed, bench.cycle.alarm) == (0, None)
    bench.slurm.jobs = (held,)
    bench.run()
    assert bench.slurm.closed == looks
    again: list[float] = []
    while looks and (at := bench.cycle.alarm) and len(again) < 5:
        again.append(at - bench.now)
        bench.wait(again[-1])
        bench.run()
    assert again == ([0.5, 0.5, 1.0, 2.0, 4.0] if looks else [])
    assert bench.slurm.closed == looks, "once for an end"
    bench.slurm.jobs = (marked(7, name="train"),)
    bench.run()
    assert bench.sent("7")[0]["Partition"] == "train-nv"
    assert bench.cycle.alarm is None


@pytest.mark.parametrize(
    ("depends", "looks"),
    [
        ("afterok:11(unfulfilled),afterok:12(unfulfilled)", [0, 1]),
        ("afterok:9_*(unfulfilled)", [0, 1]),
        ("singleton(unfulfilled)", [0, 1]),
        ("afterok:11(unfulfilled)?afterok:12(unfulfilled)", [1, 2]),
        ("afterok:9_1(unfulfilled),afterok:9_2(unfulfilled)", [1, 2]),
        ("aftercorr:9_*(unfulfilled)", [1, 2]),
        ("afterok:12(unfulfilled),afterany:5(unfulfilled)", [0, 1]),
    ],
)  # fmt: skip
def test_slurm_is_not_made_to_look_while_others_are_there_that_a_job_depends_on(
    tmp_path: Path, depends: str, looks: list[int]
) -> None:
    """Of a thousand that it waits for each end would cost slurmctld an update, and free nobody."""
    held = marked(20, dependency=depends, name="train")
    later = marked(21, name="train", dependency="afterok:20(unfulfilled)")
    first, second = (
        running(n, f"nv{n - 10}", "gpu:a100:1(IDX:0)", user=held.user, name="train")
        for n in (11, 12)
    )
    first, second = replace(first, array_job_id=9), replace(second, array_job_id=9)
    bench = Bench(tmp_path, first, second, held, later)
    bench.run()
    closed = []
    for left in ((second,), ()):
        bench.slurm.jobs = (*left, held, later)
        bench.run()
        closed.append(bench.slurm.closed)
        assert (bench.cycle.alarm is None) == (not closed[-1])
    assert closed == looks


def test_a_plan_without_time_starts_the_first_jobs_and_says_what_to_do(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench(tmp_path, marked(1), marked(2, tres_per_node="gpu:2"))
    bench.no_time()
    bench.run()
    assert [key for key, _ in bench.slurm.updates] == ["1"]
    assert "planner.deadline_seconds" in bench.cycle.report.waiting["2"]
    assert "1 of 2 jobs were not looked at" in caplog.text
    bench.slurm.jobs = (marked(2, tres_per_node="gpu:2"),)
    bench.run()
    assert bench.sent("2"), "it is the first now"


def test_a_first_job_that_never_fits_does_not_use_up_the_time_of_all_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where `could_start`, which is necessary, is not sufficient."""
    monkeypatch.setattr("slurm_het.core.planner.plan.could_start", lambda *_: True)
    full = running(10, "nv2", "gpu:a100:8(IDX:0-7)")
    head = marked(1, priority=2000, tres_per_node="gpu:8", nodes_min=2, nodes_max=2, tasks=2)
    bench = Bench(tmp_path, full, head, marked(2))
    bench.no_time()
    bench.run()
    assert "1" in bench.cycle.report.waiting
    assert bench.slurm.updates == []
    bench.run()
    assert bench.sent("2")


@pytest.mark.parametrize(("state", "planned"), [("INACTIVE", True), ("DRAIN", False)])
def test_states_of_the_intake_that_the_admin_set(tmp_path: Path, state: str, planned: bool) -> None:
    bench = Bench(tmp_path, marked(1), gate=state)
    assert not bench.run()
    assert bench.slurm.gate == state, "it is the admin's word"
    assert bool(bench.slurm.updates) is planned


def test_what_is_not_ours_goes_to_plain_slurm_without_our_mark(tmp_path: Path) -> None:
    bench = Bench(tmp_path, gated(1, req_nodes="nv1"), gated(2, tres_per_node=""))
    bench.run()
    for key in ("1", "2"):
        (fields,) = bench.sent(key)
        assert "train-nv" in fields["Partition"].split(",")
        assert MARK not in fields["AdminComment"], "else it would be taken for a pin of ours"
        assert "ReqNodeList" not in fields


@pytest.mark.parametrize(
    ("job", "ours"),
    [
        (replace(marked(2), reservation="deleted"), "slurm-het: "),
        (gated(2, tres_per_node="", admin_comment="slurm-het: as before"), "slurm-het: it asks"),
        (gated(2), MARK),
    ],
)
def test_what_a_site_wrote_before_our_record_stays(tmp_path: Path, job: Job, ours: str) -> None:
    """Of a job that is handed over, twice even, or adopted."""
    bench = Bench(tmp_path, replace(job, admin_comment=f"budget=p42 {job.admin_comment}"))
    bench.run()
    assert bench.sent("2")[0]["AdminComment"].startswith(f"budget=p42 {ours}")


def as_the_hook_left_it(number: int, script: str = "", **fields: str) -> Job:
    made = admit_record(job := gated(number, **fields), script, policy(), inventory())
    assert isinstance(made, Admitted)
    names = {"features": "Features", "admin_comment": "AdminComment", "tres_per_node": "Gres"}
    return updated(job, {names[f]: text for f, text in made.fields.items() if f in names})


@pytest.mark.parametrize(
    ("job", "later", "goes_to"),
    [
        (as_the_hook_left_it(1), {"tres_per_node": "gpu:l40s:1", "features": ""}, "infer-nv"),
        (as_the_hook_left_it(1), {"tres_per_node": "gpu:l40s:1"}, "infer-nv"),
        (as_the_hook_left_it(1), {"tres_per_node": "gpu:mi300x:1", "features": ""}, "train-amd"),
        (as_the_hook_left_it(1), {"features": "mi300x"}, "train-amd"),
        (as_the_hook_left_it(1), {"features": "mi300x|l40s"}, "infer-nv|train-amd"),
        (as_the_hook_left_it(1), {"features": "(mi300x&amd)|(mi300x&x)"}, "train-amd"),
        (
            as_the_hook_left_it(1, tres_per_node="gpu:a100:1"),
            {"tres_per_node": "gpu:l40s:1", "features": ""}, "infer-nv",
        ),
        (as_the_hook_left_it(1, tres_per_node="gpu:a100:1"), {"tres_per_node": "gpu:mi300x:1"},
         "train-amd"),
        (as_the_hook_left_it(77, "module load rocm\ntorchrun x"), {"features": "a100"}, "train-nv"),
        (as_the_hook_left_it(77, "module load rocm\ntorchrun x"), {"tres_per_node": "gpu:4"},
         "train-amd"),
        (as_the_hook_left_it(1, features="a100,nvidia"), {"features": "a100&nvidia"}, "train-nv"),
    ],
)  # fmt: skip
def test_what_its_user_makes_of_a_gated_job_counts(
    tmp_path: Path, job: Job, later: dict[str, Any], goes_to: str
) -> None:
    """By `scontrol update Gres=` (24.11 on) or `Features=`: it goes where plain Slurm would start
    it, and asks for what he says."""
    bench = Bench(tmp_path, replace(job, **later))
    bench.run()
    for sent in list(bench.sent(job.key)):
        if "ReqNodeList" not in sent:  # it was classified anew first
            bench.slurm.jobs = (now := updated(bench.slurm.jobs[0], sent),)
            assert now.features.startswith(later.get("features", ""))
            bench.run()
    last = bench.sent(job.key)[-1]
    assert last["Partition"] in goes_to.split("|")
    assert last.get("ReqNodeList")
    assert not any("Gres" in sent for sent in bench.sent(job.key))
    assert len(bench.sent(job.key)) <= 2


@pytest.mark.parametrize("partition", ["condo", "train-nv,condo"])
@pytest.mark.parametrize(
    ("job", "sent"),
    [
        (as_the_hook_left_it(1), {"Features": ""}),
        (as_the_hook_left_it(1, features="nvidia"), {"Features": "nvidia"}),
        # As the hook left it on its way through other pools; and as its user did.
        (replace(as_the_hook_left_it(1), features="train-amd|train-nv"), {"Features": ""}),
        (replace(as_the_hook_left_it(1), features="a100&ib"), None),
        (replace(as_the_hook_left_it(1), state="RUNNING"), None),
        (replace(as_the_hook_left_it(1), admin_comment="its own"), None),
        (
            replace(
                job := as_the_hook_left_it(1, features="nvidia"),
                admin_comment=handed_over(job, "why"),
            ),
            {"Features": "nvidia"},
        ),
    ],
)
def test_what_is_moved_out_of_our_pools_has_nothing_of_ours(
    tmp_path: Path, partition: str, job: Job, sent: dict[str, str] | None
) -> None:
    """A job in a partition that is no pool: our Features might keep it from all of its nodes."""
    bench = Bench(tmp_path, replace(job, partition=partition))
    bench.run()
    assert bench.sent("1") == ([sent] if sent else [])
    if sent:
        bench.slurm.jobs = (replace(job, partition=partition, features=sent["Features"]),)
        bench.run()
        assert len(bench.sent("1")) == 1
        bench.slurm.jobs = (replace(job, partition=partition, reason="BadConstraints"),)
        bench.run()
        assert [s["Partition"] for s in bench.sent("1")[1:]] == ["accel", partition]


def test_what_is_moved_out_of_our_pools_loses_its_pin(tmp_path: Path) -> None:
    bench = Bench(tmp_path, job := as_the_hook_left_it(1))
    bench.run()
    (sent,) = bench.sent("1")
    bench.slurm.jobs = (replace(job, partition="condo", req_nodes=sent["ReqNodeList"]),)
    bench.run()
    assert bench.sent("1")[1:] == [
        {"Partition": "accel", "ReqNodeList": ""}, {"Features": "", "Partition": "condo"},
    ]  # fmt: skip


def test_a_pin_is_taken_off_once_slurmctld_has_time(tmp_path: Path) -> None:
    bench = Bench(tmp_path, job := as_the_hook_left_it(1))
    bench.run()
    (sent,) = bench.sent("1")
    bench.slurm.jobs = (replace(job, partition="condo", req_nodes=sent["ReqNodeList"]),)
    bench.slurm.no_time = {"1"}
    bench.run()
    assert len(bench.sent("1")) == 2
    bench.slurm.no_time = set()
    bench.run()
    assert bench.sent("1")[2:] == [
        {"Partition": "accel", "ReqNodeList": ""}, {"Features": "", "Partition": "condo"},
    ]  # fmt: skip


@pytest.mark.parametrize("to", ["condo", "train-amd"])
def test_who_is_in_the_intake_on_his_way_goes_on_once_slurmctld_has_time(
    tmp_path: Path, to: str
) -> None:
    bench = Bench(tmp_path, job := as_the_hook_left_it(1))
    bench.run()
    (sent,) = bench.sent("1")
    bench.slurm.jobs = (replace(job, partition=to, req_nodes=sent["ReqNodeList"]),)
    bench.slurm.no_time_after = {"1": "accel"}
    bench.run()
    on = {"Features": "" if to == "condo" else to, "Partition": to}
    assert bench.sent("1")[1:] == [{"Partition": "accel", "ReqNodeList": ""}, on]
    bench.slurm.jobs = (job,)
    for _ in range(2):
        bench.wait(100)
        bench.run()
    assert bench.sent("1")[3:] == [on, on], "and it is not planned meanwhile"
    bench.slurm.no_time_after = {}
    bench.run()
    bench.slurm.jobs = (replace(job, partition=to, features=on["Features"]),)
    bench.wait(100)
    bench.run()
    assert bench.sent("1")[5:] == [on]
    assert not bench.cycle.memory.passing


def test_what_waits_in_a_pool_that_plain_slurm_has_now_keeps_what_it_needs(tmp_path: Path) -> None:
    """Its pool is in shadow since: the Features see to it that it gets what it asked for."""
    bench = Bench(tmp_path, replace(as_the_hook_left_it(1), partition="train-nv"))
    shadowed = mixed("train-nv")
    bench.cycle.strays.policy = shadowed.planned
    bench.cycle.strays.pools = frozenset(pool.partition for pool in shadowed.planned.pools)
    observed = observe(
        asyncio.run(bench.slurm.snapshot()), shadowed.planned, Memory(Pins(1, 1)), 0.0
    )
    asyncio.run(bench.cycle.strays.unbind(observed, 0.0))
    assert bench.sent("1") == []


def test_a_handover_keeps_what_its_user_wrote(tmp_path: Path) -> None:
    for features in ("", "nvidia"):
        job = replace(as_the_hook_left_it(2, features=features), reservation="deleted")
        bench = Bench(tmp_path, job)
        bench.run()
        (fields,) = bench.sent("2")
        assert fields["AdminComment"].endswith(
            f"[Features={job.features}, submitted with {features}]"
        )


def test_a_refused_handover_is_not_tried_all_the_time(tmp_path: Path) -> None:
    bench = Bench(tmp_path, gated(2, tres_per_node=""))
    bench.slurm.refuse.add("2")
    bench.run()
    bench.run()
    assert len(bench.sent("2")) == 1
    bench.wait(60)
    bench.run()
    assert len(bench.sent("2")) == 2


def test_the_rest_of_an_array_is_handed_over_without_the_tasks_that_are_pinned(
    tmp_path: Path,
) -> None:
    rest = replace(marked(7), reservation="deleted", array_job_id=7, array_tasks="2-9")
    pinned = marked(
        9, array_job_id=7, array_task_id=1, partition="train-nv", req_nodes="nv2",
        reason="Resources",
    )  # fmt: skip
    bench = Bench(tmp_path, rest, pinned)
    bench.run()
    assert len(bench.sent("7_[2-9]")) == 1
    assert not bench.sent("7")


@pytest.mark.parametrize("tasks", ["3", "9%2"])
def test_the_only_task_of_an_array_is_known_again_once_it_is_released(
    tmp_path: Path, tasks: str
) -> None:
    """Slurm splits nothing off: the record that was the array's is pinned, and taken back."""
    bench = Bench(tmp_path, marked(7, array_job_id=7, array_tasks=tasks))
    bench.run()
    key = f"7_{tasks[0]}"
    (sent,) = bench.sent(key)
    bench.slurm.jobs = tuple(
        replace(
            job, partition=sent["Partition"], req_nodes=sent["ReqNodeList"], reason="BadConstraints"
        )
        for job in bench.slurm.jobs
    )
    bench.wait(1)
    bench.run()
    assert bench.sent(key)[1]["Partition"] == "accel"
    assert not bench.sent("7"), "it would be all tasks of the array"
    assert bench.cycle.pins.returned.keys() == {key}


def test_who_came_back_and_is_given_up_is_handed_over_in_the_next_cycle(tmp_path: Path) -> None:
    """And not a minute later, as one that is to be tried once more."""
    gpus: dict[str, Any] = {"tres_per_node": "", "tres_per_job": "gpu:5", "tasks": 5, "cpus": 5}
    waiting = marked(1, nodes_min=2, nodes_max=2, **gpus)
    bench = Bench(tmp_path, waiting)
    bench.run()
    (sent,) = bench.sent("1")
    there: dict[str, Any] = {"partition": sent["Partition"], "req_nodes": sent["ReqNodeList"]}
    bench.slurm.jobs = (replace(waiting, **there, reason="BadConstraints", priority=0),)
    bench.wait(1)
    bench.run()
    bench.slurm.jobs = (waiting,)
    bench.wait(1)
    bench.run()
    _, back, over = bench.sent("1")
    assert back["Partition"] == "accel"
    assert over["Partition"] == "train-nv"
    assert "ReqNodeList" not in over
    assert over["AdminComment"].startswith("slurm-het: Slurm does not start it on the nodes chosen")


def test_a_refused_release_is_undone(tmp_path: Path) -> None:
    """22.05 moves a job to a partition that it refuses; newer ones keep the node list."""
    bench = Bench(tmp_path, marked(1))
    bench.slurm.refuse.add("1")
    bench.run()
    release, undo = bench.sent("1")
    assert release["ReqNodeList"]
    assert undo == {"Partition": "accel", "ReqNodeList": ""}
    assert bench.cycle.pins.pins == {}
    assert "not available" in bench.cycle.pins.returned["1"].reason


@pytest.mark.parametrize("stuck", [True, False])
def test_updates_that_do_nothing_are_told_from_a_user_who_moves_his_job_back(
    tmp_path: Path, stuck: bool
) -> None:
    bench = Bench(tmp_path, marked(1), marked(2))
    bench.slurm.stuck = {"1", "2"} if stuck else set()
    health = Health(10.0, 240.0)
    for _ in range(8):
        bench.run()
        health.worked(bench.cycle.happened, bench.ticked)
        bench.wait(30)
    assert ("did not move the job" in health.useless(bench.ticked - 30)) == stuck
    if stuck:
        assert "did not move the job" in bench.cycle.pins.returned["1"].reason


def test_a_requeued_job_that_kept_its_pin_comes_back_to_the_gate(tmp_path: Path) -> None:
    pinned = replace(marked(1), partition="train-nv", req_nodes="nv1", restarts=1)
    bench = Bench(tmp_path, replace(pinned, reason="BadConstraints", priority=0))
    bench.run()
    assert bench.sent("1") == [{"Partition": "accel", "ReqNodeList": ""}]
    bench.slurm.jobs = (replace(pinned, reason="Resources"),)
    bench.run()
    assert list(bench.cycle.pins.pins) == ["1"], "this may start: it has its time"
    bench.wait(bench.cycle.pins.grace_seconds + 1)
    bench.run()
    assert bench.sent("1")[1:] == [{"Partition": "accel", "ReqNodeList": ""}]


def left_open(number: int, **fields: Any) -> Job:
    """A gated job whose user named no time limit: the intake's hour is not his."""
    made = admit_message({"tres_per_node": "gpu:1", "user_name": "ann"}, policy(), inventory())
    assert isinstance(made, Admitted)
    return replace(marked(number, **fields), admin_comment=made.fields["admin_comment"])


@pytest.mark.parametrize(
    ("now", "back"),
    [
        ({"time_limit_minutes": 1440}, {"TimeLimit": "60"}),
        ({"time_limit_minutes": 10080}, {}),  # an operator gave it since
        ({"time_limit_minutes": 30}, {}),
    ],
)
@pytest.mark.parametrize("requeued", [True, False])
def test_a_job_gets_the_intakes_time_limit_back_unless_somebody_has_set_another(
    tmp_path: Path, now: dict[str, Any], back: dict[str, str], requeued: bool
) -> None:
    bench = Bench(tmp_path, left_open(1))
    bench.slurm.times = {"train-nv": 1440}
    bench.run()
    assert bench.sent("1")[0]["TimeLimit"] == "1440"
    (node,) = bench.cycle.pins.pins["1"].placement.nodes
    waits = left_open(1, partition="train-nv", req_nodes=node, **now)
    if requeued:
        ran = replace(waits, state="RUNNING", nodes=node, gres_detail=("gpu:a100:1(IDX:0)",))
        bench.slurm.jobs = (ran,)
        bench.run()
        waits = replace(waits, restarts=1, submit_time=1_000, eligible_time=1_121)
    else:
        waits = replace(waits, reason="Licenses")
    bench.slurm.jobs = (waits,)
    bench.run()
    assert bench.sent("1")[1:] == [{"Partition": "accel", "ReqNodeList": ""} | back]


SIXTEEN = {"tres_per_node": "", "tres_per_job": "gpu:a100:16"}


@pytest.mark.parametrize("journal", [True, False])
@pytest.mark.parametrize("most", [2, 0], ids=["24.11", "22.05"])
@pytest.mark.parametrize("most_before", [0, 4])
def test_a_requeued_job_may_have_other_numbers_of_nodes_again(
    tmp_path: Path, journal: bool, most: int, most_before: int
) -> None:
    """Of --gpus=16 that ran on two nodes: one node of 16 would do."""
    waits = marked(1, nodes_max=most_before, **SIXTEEN)
    bench = Bench(tmp_path, replace(waits, admin_comment="of the site " + waits.admin_comment))
    bench.run()
    (release,) = bench.sent("1")
    assert release["NumNodes"] == "2"
    assert release["AdminComment"].startswith("of the site het1:")
    back = replace(
        waits, partition="train-nv", req_nodes=release["ReqNodeList"], nodes_min=2, nodes_max=most,
        admin_comment=release["AdminComment"], restarts=1, reason="BeginTime",
        submit_time=1_000, eligible_time=1_121,
    )  # fmt: skip
    bench = bench if journal else Bench(tmp_path / "other")
    bench.slurm.jobs = (back,)
    bench.run()
    least_and_most = f"1-{most_before or 2}"
    undo = {"NumNodes": least_and_most, "Partition": "accel", "ReqNodeList": ""}
    assert bench.sent("1")[-1] == undo
    # An update since is another wish, and not undone.
    bench.slurm.jobs = (replace(back, nodes_min=3, nodes_max=3),)
    bench.run()
    assert "NumNodes" not in bench.sent("1")[-1]


def test_a_refused_release_gives_the_intakes_time_limit_back(tmp_path: Path) -> None:
    bench = Bench(tmp_path, left_open(1))
    bench.slurm.times = {"train-nv": 1440}
    bench.slurm.refuse.add("1")
    bench.run()
    assert [fields["TimeLimit"] for fields in bench.sent("1")] == ["1440", "60"]


@pytest.mark.parametrize(
    ("reason", "back"),
    [
        ("Licenses", True), ("Dependency", True), ("JobHeldUser", True),
        ("QOSMaxGRESPerUser", True),
        ("AssocGrpGRES", True), ("Priority", False), ("Resources", False), ("BeginTime", False),
    ],
)  # fmt: skip
def test_a_pin_is_a_loan_that_slurms_reason_ends(tmp_path: Path, reason: str, back: bool) -> None:
    bench = Bench(tmp_path, marked(1), marked(2, tres_per_node="gpu:8", nodes_min=2))
    bench.run()
    (node,) = bench.cycle.pins.pins["1"].placement.nodes
    waits = replace(marked(1), partition="train-nv", req_nodes=node, reason=reason)
    bench.slurm.jobs = (waits,)
    bench.run()
    assert ({"Partition": "accel", "ReqNodeList": ""} in bench.sent("1")) is back


@pytest.mark.parametrize(
    "fields",
    [
        {"reason": "JobHeldUser", "priority": 0},
        {"reason": "BeginTime", "eligible_time": 9e9},
        {"admin_comment": ""},
        {"req_nodes": ""},
    ],
)
def test_pending_jobs_of_a_pool_that_are_no_pins(tmp_path: Path, fields: dict[str, Any]) -> None:
    job = replace(marked(1), partition="train-nv", req_nodes="nv1")
    bench = Bench(tmp_path, replace(job, **fields))
    bench.run()
    assert bench.cycle.pins.pins == {}


def test_a_stray_is_classified_by_its_script_before_it_is_planned(tmp_path: Path) -> None:
    bench = Bench(tmp_path, gated(77))
    assert bench.run()
    (fields,) = bench.sent("77")
    assert '"v":["amd"]' in fields["AdminComment"]
    assert "Partition" not in fields


def test_a_job_that_slurm_does_not_start_somewhere_is_tried_elsewhere(tmp_path: Path) -> None:
    """Slurm knows of limits that its records of nodes do not tell, as --exclusive=user."""
    bench = Bench(tmp_path, marked(1))
    where = []
    for _ in range(4):
        bench.run()
        where.append(bench.sent("1")[-1]["ReqNodeList"])
        job = replace(
            bench.slurm.jobs[0], partition="train-nv", req_nodes=where[-1], reason="Resources"
        )
        bench.slurm.jobs = (job,)
        bench.wait(50)
        bench.run()
        assert bench.sent("1")[-1]["Partition"] == "accel", "the grace time is over"
        bench.slurm.jobs = (replace(job, partition="accel", req_nodes=""),)
        bench.wait(61)
    assert where[0] != where[1]
    assert set(where[:2]) == set(where[2:]) == {"nv1", "nv2"}, "and then anywhere again"


def test_a_job_keeps_off_where_it_did_not_start_for_a_while() -> None:
    """What could start elsewhere need not be planned there: it may be kept for somebody."""
    pins = Pins(grace_seconds=45, retry_seconds=60)
    waits = task("1")
    pins.add(waits, Placement("1", "train-nv", ("nv1",), ((0,),), ("a100",), 80), 0.0)
    pins.take_back("1", "Resources", 100.0)

    def due(ticks: float, *, elsewhere: bool) -> list[frozenset[str]]:
        return [t.exc_nodes for t in pins.due((waits,), ticks, lambda _: elsewhere)]

    assert due(120.0, elsewhere=True) == []
    assert due(161.0, elsewhere=True) == [frozenset({"nv1"})]
    assert due(221.0, elsewhere=True) == [frozenset()]
    pins.add(waits, Placement("1", "train-nv", ("nv1",), ((0,),), ("a100",), 80), 300.0)
    pins.take_back("1", "Resources", 400.0)
    assert due(461.0, elsewhere=False) == [frozenset()], "there is nothing else"


def test_a_pin_takes_other_devices_where_its_own_are_taken(tmp_path: Path) -> None:
    """A requeued job, without a time limit: its devices of before are somebody else's."""
    pin = replace(
        marked(1, tres_per_node="gpu:a100:2"), partition="train-nv", req_nodes="nv1",
        reason="Resources", priority=2000, time_limit_minutes=None,
    )  # fmt: skip
    other = running(9, "nv1", "gpu:a100:2(IDX:0-1)")
    full = running(8, "nv2", "gpu:a100:8(IDX:0-7)")
    bench = Bench(tmp_path, other, full, pin, marked(2, tres_per_node="gpu:a100:6"))
    bench.run()
    assert not any(fields.get("ReqNodeList") == "nv1" for fields in bench.sent("2"))
    assert bench.sent("1") == []


def test_devices_of_a_job_that_is_half_done_are_not_free(tmp_path: Path) -> None:
    """22.05 leaves out the nodes that are done, and shows no GRES of the others."""
    two = Job(id=9, state="RUNNING", nodes="nv[1-2]", gres_detail=("gpu:a100:8(IDX:0-7)",) * 2)
    bench = Bench(tmp_path, two)
    bench.run()
    half = replace(two, state="COMPLETING", nodes="nv2", gres_detail=())
    bench.slurm.jobs = (half, marked(2, tres_per_node="gpu:a100:8"), marked(3))
    bench.run()
    assert [f["ReqNodeList"] for key in ("2", "3") for f in bench.sent(key)] == ["nv1"]


def test_completing_jobs_keep_their_devices(tmp_path: Path) -> None:
    """22.05 prints no GRES details of a job that is COMPLETING."""
    on = running(9, "nv1", "gpu:a100:8(IDX:0-7)")
    bench = Bench(tmp_path, on)
    bench.run()
    bench.slurm.jobs = (replace(on, state="COMPLETING", gres_detail=()),)
    bench.run()
    assert not any(d.empty for d in bench.cycle.inventory.nodes["nv1"].devices)
    bench.slurm.jobs = (replace(on, state="COMPLETED", gres_detail=()),)
    bench.run()
    assert all(d.empty for d in bench.cycle.inventory.nodes["nv1"].devices)


def test_devices_of_a_job_first_seen_completing_are_not_free(tmp_path: Path) -> None:
    """A job can start and end between two looks; 22.05 prints no GRES details of it then."""
    bench = Bench(tmp_path, marked(1, tres_per_node="gpu:a100:8"))
    bench.run()
    (node,) = bench.cycle.pins.pins["1"].placement.nodes
    ending = replace(marked(1), partition="train-nv", state="COMPLETING", nodes=node)
    bench.slurm.jobs = (ending, *(marked(n, tres_per_node="gpu:a100:8") for n in (2, 3)))
    bench.run()
    assert [f["ReqNodeList"] for key in ("2", "3") for f in bench.sent(key)] == ["nv2"]
    bench.slurm.jobs = (replace(ending, state="COMPLETED"), *bench.slurm.jobs[1:])
    bench.run()
    assert {f["ReqNodeList"] for key in ("2", "3") for f in bench.sent(key)} == {"nv1", "nv2"}
    assert [event for _, event, _ in bench.journal.outcomes_of("1")] == ["released", "started"]


def test_a_job_that_does_not_come_to_its_end_is_no_pin_for_ever(tmp_path: Path) -> None:
    """Nor is it sent an update: it is none of the gate's any more."""
    bench = Bench(tmp_path, marked(1))
    bench.run()
    sent = len(bench.slurm.updates)
    (node,) = bench.cycle.pins.pins["1"].placement.nodes
    bench.slurm.jobs = (replace(marked(1), partition="train-nv", state="COMPLETING", nodes=node),)
    bench.slurm.drained = {node}
    bench.run()
    assert list(bench.cycle.pins.pins) == ["1"]
    bench.wait(3600)
    bench.run()
    assert not bench.cycle.pins.pins
    assert len(bench.slurm.updates) == sent
    assert [event for _, event, _ in bench.journal.outcomes_of("1")] == ["released", "started"]


def test_how_a_job_ended_is_journaled(tmp_path: Path) -> None:
    """22.05 lists it as long as it remembers it."""
    bench = Bench(tmp_path, marked(1))
    bench.run()
    over = replace(running(1, "nv1", ""), user="ann", state="FAILED", exit_code=3)
    bench.slurm.jobs = (over,)
    bench.run()
    end = bench.journal.history("1").end
    assert end
    assert (end.state, end.exit_code, end.nodes) == ("FAILED", 3, "nv1")


def test_a_journal_on_a_full_disk_stops_no_planning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench(tmp_path, *(marked(n) for n in range(1, 40)))
    pages = bench.journal.db.execute("PRAGMA page_count").fetchone()[0]
    bench.journal.db.execute(f"PRAGMA max_page_count = {pages}")
    bench.run()
    bench.run()
    assert bench.sent("1")
    assert [r.message for r in caplog.records if "journal" in r.message] == [
        f"the journal {bench.journal.path} does not work, planning goes on without it: database or"
        " disk is full"
    ]
    bench.journal.db.execute("PRAGMA max_page_count = 100000")
    bench.slurm.jobs = (marked(50),)
    bench.run()
    assert bench.journal.placement_of("50")


def test_a_journal_that_became_read_only_stops_no_planning(tmp_path: Path) -> None:
    bench = Bench(tmp_path, marked(1))
    bench.journal.db.execute("PRAGMA query_only = ON")
    bench.run()
    assert bench.sent("1")
    assert bench.journal.placement_of("1") is None


def test_who_could_not_be_adopted_is_looked_at_again_once_he_asks_for_something_else(
    tmp_path: Path,
) -> None:
    """For a type that nobody has, by `scontrol update`; then for one that is there."""
    bench = Bench(tmp_path, job := as_the_hook_left_it(1))
    bench.slurm.jobs = (replace(job, tres_per_node="gpu:t4:1"),)
    for _ in range(3):
        bench.run()
    assert bench.sent("1") == []
    assert bench.cycle.memory.not_adopted == {1}
    bench.slurm.jobs = (replace(job, tres_per_node="gpu:a100:2"),)
    bench.run()
    (adopted,) = bench.sent("1")
    mark = decode_comment(adopted["AdminComment"])
    assert mark
    assert mark.original["tres_per_node"] == "gpu:a100:2"


def test_how_often_a_job_was_not_adopted_is_forgotten_once_it_is_gone(tmp_path: Path) -> None:
    bench = Bench(tmp_path, stray := gated(1))
    bench.slurm.refuse = {"1"}
    bench.run()
    bench.run()
    bench.slurm.jobs = ()
    bench.run()
    bench.slurm.jobs = (stray,)
    bench.run()
    bench.run()
    assert bench.cycle.memory.not_adopted == set(), "as often as at first"
    bench.run()
    assert bench.cycle.memory.not_adopted == {1}


def test_nothing_is_remembered_of_jobs_that_are_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = tuple(gated(n, tres_per_node="gpu:t4:1") for n in range(1, 30))
    bench = Bench(tmp_path, *waiting)
    record, journaled = bench.journal.record_jobs, []

    def noted(jobs: Iterable[tuple[Job, Classification]]) -> None:
        journaled.append(len(found := list(jobs)))
        record(found)

    monkeypatch.setattr(bench.journal, "record_jobs", noted)
    memory = bench.cycle.memory
    bench.run()
    bench.run()
    assert (len(memory.not_adopted), journaled) == (29, [29])
    bench.slurm.jobs = ()
    bench.run()
    assert not any((memory.not_adopted, memory.holdings))
    bench.slurm.jobs = waiting
    bench.run()
    assert journaled == [29, 29], "it was not known any more that they had been"


@pytest.mark.parametrize("array", [False, True])
def test_a_cycle_with_2000_pending_jobs_is_cheap(tmp_path: Path, array: bool) -> None:
    """Its own work, in CPU seconds; 0.25 was measured. 200,000 tasks of arrays cost no more."""
    fields: dict[str, Any] = {"array_tasks": "0-999"} if array else {}
    kinds = ("gpu:1", "gpu:8", "gpu:2", "shard:20", "gpu:4")
    jobs = [
        marked(n, tres_per_node=kinds[n % 5], priority=5000 - n, array_job_id=n * array, **fields)
        for n in range(1, 200 if array else 2000)
    ]
    bench = Bench(tmp_path, *jobs)
    began = time.process_time()
    bench.run()
    assert time.process_time() - began < 1


def restarted(bench: Bench, *jobs: Job) -> Bench:
    """A new hetd on the journal that the old one left when it was killed."""
    new = Bench(bench.path, *jobs)
    new.now = bench.now + 5
    return new


def test_a_release_is_known_after_a_restart_with_its_very_devices(tmp_path: Path) -> None:
    bench = Bench(tmp_path, marked(1, tres_per_node="gpu:4"), marked(2, tres_per_node="gpu:4"))
    bench.run()
    planned = {key: pin.placement for key, pin in bench.cycle.pins.pins.items()}
    assert len(planned) == 2
    jobs = [
        replace(job, partition=planned[job.key].partition, req_nodes=planned[job.key].nodes[0])
        for job in bench.slurm.jobs
    ]
    new = restarted(bench, *jobs)
    new.run()
    assert {key: pin.placement for key, pin in new.cycle.pins.pins.items()} == planned
    assert new.slurm.updates == [], "they are about to start: nothing to finish"
    new.wait(new.cycle.pins.grace_seconds + 1)
    new.run()
    assert new.sent("1")[0]["Partition"] == "accel", "it did not start: taken back"


def test_a_plan_that_was_recorded_and_not_applied_is_made_anew(tmp_path: Path) -> None:
    """Killed between the journal's entry and the update: Slurm has the job in the gate."""
    bench = Bench(tmp_path, marked(1))
    bench.run()
    assert bench.journal.placement_of("1")
    new = restarted(bench, marked(1))
    new.run()
    assert new.sent("1")[0]["Partition"] == "train-nv"


def test_a_job_that_starts_as_it_is_taken_back_keeps_its_nodes_in_the_books(tmp_path: Path) -> None:
    """Else the same cycle would give them to another, and its start would be lost."""
    late, other = marked(7, tres_per_node="gpu:8"), marked(8, tres_per_node="gpu:8")
    bench = Bench(tmp_path, late)
    bench.slurm.drained = {"nv2"}
    bench.run()
    pinned = replace(late, partition="train-nv", req_nodes="nv1", reason="None")
    bench.slurm.jobs, bench.slurm.started = (pinned, other), {"7"}
    bench.wait(61)
    bench.run()
    assert [e for _, e, _ in bench.journal.outcomes_of("7")] == ["released", "kept"]
    assert not bench.sent("8"), "its nodes are not free"
    runs = running(7, "nv1", "gpu:a100:8(IDX:0-7)", partition="train-nv")
    bench.slurm.jobs = (runs, other)
    bench.run()
    assert [e for _, e, _ in bench.journal.outcomes_of("7")] == ["released", "kept", "started"]


def test_one_that_could_not_be_taken_back_is_not_tried_in_each_cycle(tmp_path: Path) -> None:
    late = marked(7, tres_per_node="gpu:8")
    bench = Bench(tmp_path, late)
    bench.run()
    node = bench.sent("7")[0]["ReqNodeList"]
    bench.slurm.jobs = (replace(late, partition="train-nv", req_nodes=node, reason="None"),)
    bench.slurm.started = {"7"}
    bench.wait(61)
    for _ in range(5):
        bench.run()
        bench.wait(2)
    assert len(bench.sent("7")) == 2
    bench.wait(61)
    bench.run()
    assert len(bench.sent("7")) == 3


def test_a_node_list_left_by_a_refused_release_is_replaced(tmp_path: Path) -> None:
    """24.11 and 26.05 keep it; killed then, hetd has not cleared it."""
    bench = Bench(tmp_path, marked(1))
    bench.run()
    (node,) = bench.cycle.pins.pins["1"].placement.nodes
    other = "nv2" if node == "nv1" else "nv1"
    new = restarted(bench, replace(marked(1), req_nodes=node))
    new.run()
    assert new.sent("1")[0]["ReqNodeList"]
    theirs = restarted(bench, replace(marked(1), req_nodes=other))
    theirs.run()
    assert "ReqNodeList" not in theirs.sent("1")[0], "its user's own list: plain Slurm's"


def test_what_was_pinned_ahead_is_so_after_a_restart(tmp_path: Path) -> None:
    """Its nodes are not free yet: it has not failed to start."""
    on = [running(n, f"nv{n}", "gpu:a100:8(IDX:0-7)", end_time=5000) for n in (1, 2)]
    bench = Bench(tmp_path, *on, marked(7, tres_per_node="gpu:8"))
    bench.slurm.side_door = True
    bench.run()
    (before,) = bench.cycle.pins.ahead()
    job = replace(
        marked(7, tres_per_node="gpu:8"),
        partition=before.placement.partition, req_nodes=before.placement.nodes[0],
    )  # fmt: skip
    new = restarted(bench, *on, job)
    for _ in range(3):
        new.run()
        new.wait(new.cycle.pins.grace_seconds)
    assert [pin.start for pin in new.cycle.pins.ahead()] == [before.start]
    assert new.slurm.updates == []


@pytest.mark.parametrize("step", [-86400.0, -3600.0, 86400.0])
def test_a_step_of_the_clock_neither_hastens_nor_delays(tmp_path: Path, step: float) -> None:
    """Grace, retries and the journal's pruning, after somebody set the clock."""
    bench = Bench(tmp_path, marked(1), marked(2))
    bench.slurm.refuse.add("2")
    bench.now = 40 * 86400.0
    bench.run()
    assert len(bench.sent("2")) == 2, "refused and undone"
    bench.slurm.refuse.clear()
    bench.now += step
    bench.slurm.jobs = (replace(marked(1), partition="train-nv", req_nodes="nv1"), marked(2))
    bench.run()
    assert (len(bench.sent("1")), len(bench.sent("2"))) == (1, 2), "nothing is due yet"
    bench.wait(bench.cycle.pins.grace_seconds)
    bench.run()
    assert bench.sent("1")[1:] == [{"Partition": "accel", "ReqNodeList": ""}]
    assert bench.sent("2")[2]["Partition"] == "train-nv"


def test_a_job_that_ended_at_once_was_started(tmp_path: Path) -> None:
    """22.05 lists no nodes for a COMPLETING job whose nodes are done with it (seen live)."""
    bench = Bench(tmp_path, marked(1))
    bench.run()
    (node,) = bench.cycle.pins.pins["1"].placement.nodes
    ended = replace(marked(1), partition="train-nv", state="COMPLETING")
    bench.slurm.jobs = (ended,)
    bench.run()
    bench.slurm.jobs = (replace(ended, state="COMPLETED", nodes=node),)
    bench.run()
    assert [event for _, event, _ in bench.journal.outcomes_of("1")] == ["released", "started"]


def test_what_came_is_expected_again(tmp_path: Path) -> None:
    """Also by the next hetd: it is in the journal."""
    bench = Bench(tmp_path, marked(1, tres_per_node="gpu:8"), marked(2), marked(3))
    bench.run()
    learned = {demand.devices: minutes for demand, minutes in asked(bench.journal).items()}
    assert learned == {8: 60.0, 1: 120.0}
    bench.run()
    assert sum(asked(bench.journal).values()) == 180.0, "a job that waits counts once"
    bench.journal.close()
    again = Bench(tmp_path, marked(4))
    again.run()
    placement = again.journal.placement_of("4")
    assert placement
    assert "fragmentation" in placement.terms
