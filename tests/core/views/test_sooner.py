"""What would start a job sooner: the change that is named starts it, half of it does not."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from slurm_het.core.jobs.admission import Admitted, admit_record
from slurm_het.core.jobs.trials import NO_TRIALS, Trial, Trials, program_of
from slurm_het.core.model import Job, Snapshot
from slurm_het.core.policy import Limits
from slurm_het.core.site_limits import Association, Limit, Qos, SiteLimits
from slurm_het.core.slurm_reservation import ReservationRecord
from slurm_het.core.syntax.script import read_script
from slurm_het.core.views.changes import Known
from slurm_het.core.views.job_rows import as_planned
from slurm_het.core.views.sooner import MOST, WORTH, Sooner, sooner
from slurm_het.core.views.whatif import WhatIf
from slurm_het.library import propose
from tests.support.world import gated, inventory, policy, running, snapshot

NOW = 100_000.0
HOUR = 3600
PLAIN = "#!/bin/sh\n./simulate --steps 5\n"
CUDA = "#!/bin/sh\nmodule load cuda\n./simulate\n"
VENDORS = ("amd", "ascend", "hygon", "cambricon")
A100S = "gpu:a100:8(IDX:0-7)"


def submitted(number: int, script: str = PLAIN, **fields: Any) -> Job:
    """A job as the hook leaves it in the gate."""
    job = gated(number, **fields)
    made = admit_record(replace(job, partition=""), script, policy(), inventory())
    assert isinstance(made, Admitted), made
    own = ("admin_comment", "features", "tres_per_node")
    return replace(job, **{f: made.fields[f] for f in own if f in made.fields})  # type: ignore[arg-type]


def full(*nodes: str, hours: float = 5, devices: str = A100S) -> tuple[Job, ...]:
    """Jobs that have these nodes, for so long."""
    end, names = int(NOW + hours * HOUR), [node.name for node in snapshot().nodes]
    return tuple(running(900 + names.index(n), n, devices, end_time=end) for n in nodes)


def on(*jobs: Job, reserved: tuple[ReservationRecord, ...] = (), **changes: Any) -> Snapshot:
    """These jobs in the sandbox, on a Slurm that lets the GRES of a queued job be replaced."""
    taken = replace(snapshot(*jobs), time=NOW, rewrites_gres=True, reservations=reserved)
    return replace(taken, **changes)


def whatif(taken: Snapshot, job: Job) -> WhatIf:
    return WhatIf(as_planned(taken, policy(), Limits()), job, Limits())


def told(
    taken: Snapshot, job: Job, script: str = PLAIN, trials: Trials | None = NO_TRIALS
) -> Sooner:
    return sooner(
        WhatIf(as_planned(taken, policy(), Limits()), job, Limits()), Known(script, trials)
    )


def starts_at_once(taken: Snapshot, job: Job) -> bool:
    """Whether the whole planner, asked from outside, starts it now."""
    jobs = tuple(job if one.id == job.id else one for one in taken.jobs)
    made = propose(replace(taken, jobs=jobs), policy(), limits=Limits(reserve_after_seconds=0.0))
    return any(place.key.split("_")[0] == job.key for place in made.placements)


@dataclass(frozen=True)
class Staged:
    """A job that waits; the command that starts it at once; `half` is what half of it makes."""

    taken: Callable[[Job], Snapshot]
    job: Job
    command: str
    half: dict[str, Any] | None = None
    script: str = PLAIN


def with_node(taken: Snapshot, name: str, **changes: Any) -> Snapshot:
    nodes = (replace(n, **changes) if n.name == name else n for n in taken.nodes)
    return replace(taken, nodes=tuple(nodes))


UPKEEP = ReservationRecord("upkeep", NOW + 2 * HOUR, NOW + 9 * HOUR, ("nv1", "nv2"))
LARGE = submitted(5, CUDA, tres_per_node="gpu:8", nodes_min=2, tasks=2, cpus=2, priority=9000)
SHARERS = tuple(
    running(n, f"l40s{1 + n % 2}", f"shard:l40s:{gib}({gib}/48,{gib}/48,{gib}/48,{gib}/48)",
            end_time=int(NOW + 5 * HOUR)) for n, gib in ((950, 20), (951, 20))
)  # fmt: skip

STAGED = {
    "a limit that ends before a reservation": Staged(
        lambda job: on(job, reserved=(UPKEEP,)),
        submitted(7, CUDA, time_limit_minutes=600),
        "scontrol update job 7 TimeLimit=1:45:00", {"time_limit_minutes": 352}, CUDA,
    ),
    "a limit that ends before another's start": Staged(
        lambda job: on(*full("nv1", hours=3), LARGE, job),
        submitted(7, CUDA, time_limit_minutes=480),
        "scontrol update job 7 TimeLimit=2:45:00", {"time_limit_minutes": 322}, CUDA,
    ),
    "another vendor": Staged(
        lambda job: on(*full("nv1", "nv2"), job),
        submitted(7, tres_per_node="gpu:2"), "slurm-het ask 7 vendors=nvidia,amd",
    ),
    "another scenario": Staged(
        lambda job: on(*full("nv1", "nv2"), job),
        submitted(7, CUDA, tres_per_node="gpu:2"), "slurm-het ask 7 scenario=inference", None, CUDA,
    ),
    "fewer devices on a node": Staged(
        lambda job: on(*full("nv1"), *full("nv2", devices="gpu:a100:3(IDX:0-2)"), job),
        submitted(7, tres_per_node="gpu:a100:8"),
        "scontrol update job 7 Gres=gpu:a100:5", {"tres_per_node": "gpu:a100:6"},
    ),
    "a smaller share": Staged(
        lambda job: on(*SHARERS, job),
        submitted(7, CUDA, tres_per_node="shard:40"),
        "scontrol update job 7 Gres=shard:28", {"tres_per_node": "shard:34"}, CUDA,
    ),
    "fewer nodes": Staged(
        lambda job: on(*full("nv1"), job),
        submitted(7, tres_per_node="gpu:a100:8", nodes_min=2, tasks=2, cpus=2),
        "scontrol update job 7 NumNodes=1",
    ),
    "fewer CPUs": Staged(
        lambda job: with_node(on(*full("nv1"), job), "nv2", cpus_alloc=34),
        submitted(7, tres_per_node="gpu:a100:1", cpus=60, cpus_per_task=60,
                  min_cpus_per_node=60, memory_per_cpu_mib=1),
        "scontrol update job 7 CPUsPerTask=30 NumCPUs=30 MinCPUsNode=30",
        {"cpus": 45, "cpus_per_task": 45, "min_cpus_per_node": 45},
    ),
    "less memory on a node": Staged(
        lambda job: with_node(on(*full("nv1"), job), "nv2", memory_alloc_mib=424288),
        submitted(7, tres_per_node="gpu:a100:1", memory_per_cpu_mib=None,
                  memory_per_node_mib=400_000),
        "scontrol update job 7 MinMemoryNode=98304", {"memory_per_node_mib": 249_152},
    ),
    "less memory for a CPU": Staged(
        lambda job: with_node(on(*full("nv1"), job), "nv2", memory_alloc_mib=424288),
        submitted(7, tres_per_node="gpu:a100:1", cpus=4, cpus_per_task=4,
                  memory_per_cpu_mib=100_000),
        "scontrol update job 7 MinMemoryCPU=24576", {"memory_per_cpu_mib": 62_288},
    ),
    "a node that was excluded": Staged(
        lambda job: on(*full("nv1"), job),
        submitted(7, tres_per_node="gpu:a100:4", exc_nodes="nv2"),
        "scontrol update job 7 ExcNodeList=",
    ),
    "a begin that is later": Staged(
        lambda job: on(job),
        submitted(7, tres_per_node="gpu:a100:4", reason="BeginTime", submit_time=int(NOW) - 60,
                  eligible_time=int(NOW) + HOUR),
        "scontrol update job 7 StartTime=now", {"eligible_time": int(NOW) + HOUR // 2},
    ),
    "more of an array at a time": Staged(
        lambda job: on(
            running(3, "nv1", "gpu:a100:1(IDX:0)", array_job_id=7, array_task_id=0), job
        ),
        submitted(7, array_job_id=7, array_tasks="1-3%1", array_limit=1),
        "scontrol update job 7 ArrayTaskThrottle=2",
    ),
    "devices with less memory": Staged(
        lambda job: on(*full("amd1", "amd2", devices="gpu:mi300x:8(IDX:0-7)"), job),
        submitted(7, PLAIN + "#HET vendors=any memory=150G\n"),
        "slurm-het ask 7 memory=80G", None, PLAIN + "#HET vendors=any memory=150G\n",
    ),
    "a share in place of a device": Staged(
        lambda job: on(*SHARERS, job),
        submitted(7, CUDA + "#HET scenario=inference memory=20G\n"),
        "slurm-het ask 7 share=yes", None, CUDA + "#HET scenario=inference memory=20G\n",
    ),
}  # fmt: skip


@pytest.mark.parametrize("staged", STAGED.values(), ids=STAGED)
def test_the_change_that_is_named_starts_it_and_half_of_it_does_not(staged: Staged) -> None:
    job, taken = staged.job, staged.taken(staged.job)
    assert not starts_at_once(taken, job)
    made = told(taken, job, staged.script)
    commands = {one.change.command: one for one in made.changes}
    assert staged.command in commands, list(commands)
    assert len(commands) <= MOST
    named = commands[staged.command]
    assert named.foreseen.start == NOW
    assert named.foreseen.placement
    assert starts_at_once(taken, named.change.job)
    if staged.half:
        assert not starts_at_once(taken, replace(job, **staged.half))


def test_what_only_starts_it_earlier_is_named_with_its_time() -> None:
    job = submitted(7, tres_per_node="gpu:a100:8", nodes_min=2, tasks=2, cpus=2)
    taken = on(*full("nv1", hours=1), *full("nv2", hours=4), job)
    made = told(taken, job)
    assert made.as_it_is.start == NOW + 4 * HOUR
    (one,) = (c for c in made.changes if "NumNodes=1" in c.change.command)
    assert one.foreseen.start == NOW + HOUR
    assert one.foreseen.placement
    assert one.foreseen.placement.nodes == ("nv1",)


def test_a_job_at_a_limit_of_the_site_is_told_what_is_left_of_it() -> None:
    """A user may have six devices, and has two."""
    limit = Limit("MaxTRESPU", "gres/gpu", 6, used=2)
    ann = Association("vision", "ann", parent="root")
    limits = SiteLimits((ann,), (Qos("normal", users={1000: (limit,)}),))
    asks = {"tres_per_node": "gpu:a100:8", "qos": "normal", "account": "vision"}
    job, first = submitted(7, **asks), running(3, "nv1", "gpu:a100:2(IDX:0-1)", user="ann")
    taken = on(replace(first, qos="normal", account="vision"), job, limits=limits)
    made = told(taken, job)
    assert made.as_it_is.at_limit
    assert [one.change.command for one in made.changes] == ["scontrol update job 7 Gres=gpu:a100:4"]
    assert starts_at_once(taken, made.changes[0].change.job)
    assert not starts_at_once(taken, replace(job, tres_per_node="gpu:a100:6"))


def test_a_job_that_starts_at_once_needs_none() -> None:
    job = submitted(7)
    made = told(on(job), job)
    assert (made.as_it_is.start, made.changes) == (NOW, ())


NO_REMEDY = {
    "it depends on another": submitted(7, dependency="afterok:3"),
    "it is held": submitted(7, priority=0, reason="JobHeldUser"),
    "it asks for least, and all is full": submitted(7, CUDA, time_limit_minutes=5),
    "a limit of the site holds it back": submitted(7, reason="QOSMaxJobsPerUserLimit"),
    "its type is full": submitted(7, tres_per_node="gpu:a100:1"),
}


@pytest.mark.parametrize("job", NO_REMEDY.values(), ids=NO_REMEDY)
def test_without_a_remedy_none_is_named(job: Job) -> None:
    taken = on(*full("nv1", "nv2"), *full("l40s1", "l40s2", devices="gpu:l40s:4(IDX:0-3)"), job)
    assert told(taken, job, CUDA).changes == ()


TRAPS = {
    "a module": (CUDA, {}),
    "a sign of ROCm's, all of it full": ("#!/bin/sh\nmodule load rocm\n./x\n", {}),
    "an image": ("#!/bin/sh\nsingularity exec nvcr.io/nvidia/pytorch:24.01 python t.py\n", {}),
    "a program": ("#!/bin/sh\nnvidia-smi\n./x\n", {}),
    "a variable": ("#!/bin/sh\nexport CUDA_HOME=/opt/cuda\n./x\n", {}),
    "its user's word": (PLAIN + "#HET vendors=nvidia\n", {}),
    "its user's word for a type": (PLAIN + "#HET types=a100\n", {}),
    "its user's word in the comment": (PLAIN, {"comment": "het:vendors=nvidia"}),
    "a type in the request": (PLAIN, {"tres_per_node": "gpu:a100:1"}),
    "a constraint": (PLAIN, {"features": "a100"}),
}  # fmt: skip


@pytest.mark.parametrize(("script", "fields"), TRAPS.values(), ids=TRAPS)
def test_no_vendor_is_named_that_the_evidence_forbids(script: str, fields: dict[str, Any]) -> None:
    job = submitted(7, script, **fields)
    amd = full("amd1", "amd2", devices="gpu:mi300x:8(IDX:0-7)")
    taken = on(*full("nv1", "nv2"), *amd, job)
    made = told(taken, job, script)
    assert not [c for c in made.changes if re.search("vendors|types", c.change.command)]
    free = told(on(*full("nv1", "nv2"), plain := submitted(8)), plain)
    assert any("vendors=" in c.change.command for c in free.changes)  # as nothing forbids it


def test_nothing_is_said_of_vendors_while_script_or_history_are_not_known() -> None:
    job = submitted(7)
    taken = on(*full("nv1", "nv2"), job)
    assert told(taken, job, "").changes == told(taken, job, PLAIN, None).changes == ()


def test_where_the_program_failed_before_it_is_not_sent_where_it_ran_well_is_told() -> None:
    job = submitted(7)
    taken, program = on(*full("nv1", "nv2"), job), program_of(read_script(PLAIN))
    failed = [Trial("ann", program, vendor, 1.0, failures=1, job="3") for vendor in VENDORS]
    made = told(taken, job, trials=Trials(failed))
    assert not [c for c in made.changes if "vendors=" in c.change.command]
    well = Trial("ann", program, "ascend", 1.0, well=True, job="4")
    (one,) = (
        c for c in told(taken, job, trials=Trials([*failed, well])).changes if c.kind == "vendors"
    )
    assert one.change.command.endswith("vendors=nvidia,ascend")
    assert one.change.price == "on ascend devices it ran well (job 4)"


def test_once_there_is_no_time_left_what_is_found_is_all() -> None:
    job = submitted(7)
    taken = on(*full("nv1", "nv2"), job)
    made = sooner(
        WhatIf(as_planned(taken, policy(), Limits()), job, Limits()),
        Known(PLAIN, NO_TRIALS),
        lambda: True,
    )
    assert made.changes == ()
    assert made.as_it_is.start
    assert made.as_it_is.start >= NOW + WORTH


def random_queue(rng: random.Random) -> tuple[Snapshot, list[Job]]:
    """Busy devices of all types, a queue, and at times a reservation of Slurm's."""
    busy: list[Job] = []
    for node in snapshot().nodes:
        for index in range(8 if node.gres.endswith(":8") else 0):
            if rng.random() < 0.7:
                gres = f"{node.gres.removesuffix(':8')}:1(IDX:{index})"
                end = int(NOW + rng.randint(5, 600) * 60)
                busy.append(running(100 + len(busy), node.name, gres, end_time=end))
    queue = [
        submitted(
            5000 + i, rng.choice((PLAIN, CUDA)), priority=1000 - i, nodes_min=nodes, tasks=nodes,
            cpus=nodes, time_limit_minutes=rng.choice((30, 60, 240, 600)),
            tres_per_node=rng.choice(("gpu:1", "gpu:4", "gpu:8", "gpu:a100:4", "gpu:910b:8")),
        )
        for i in range(rng.randint(2, 15))
        for nodes in rng.choices((1, 2), (3, 1))
    ]  # fmt: skip
    nodes = tuple(rng.sample(("nv1", "nv2", "amd1", "amd2", "asc1"), 3))
    upkeep = ReservationRecord("upkeep", NOW + rng.randint(20, 300) * 60, NOW + 99_999, nodes)
    return on(*busy, *queue, reserved=(upkeep,) if rng.random() < 0.5 else ()), queue


@pytest.mark.parametrize("seed", range(12))
def test_in_random_queues_what_is_named_starts_at_once_as_it_is_told(seed: int) -> None:
    rng = random.Random(seed)
    taken, queue = random_queue(rng)
    for job in rng.sample(queue, 2):
        made = told(taken, job)
        assert starts_at_once(taken, job) == (made.as_it_is.start == NOW)
        for one in made.changes:
            now = one.foreseen.start == NOW
            assert starts_at_once(taken, one.change.job) == now, one.change.command
