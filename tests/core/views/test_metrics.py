"""The cluster in numbers: each device and task once, and nothing where nothing is known."""

from __future__ import annotations

from dataclasses import replace

from slurm_het.core.model import Job
from slurm_het.core.policy import Limits
from slurm_het.core.views.device_map import MapOptions, device_map
from slurm_het.core.views.job_rows import make_view
from slurm_het.core.views.metrics import Family, HetdFacts, Samples, ShadowFacts, families
from slurm_het.core.views.probes import ProbeOptions
from tests.support.world import gated, policy, running, snapshot

HETD = HetdFacts(True, "closed", True, 2, 100.0, 0.25, 3)


def made(*jobs: Job, hetd: HetdFacts = HETD) -> dict[str, Samples]:
    view = make_view(snapshot(*jobs), policy(), Limits())
    shown = device_map(view.prepared, MapOptions(ProbeOptions(memory=None)))
    found: list[Family] = list(families(view, shown, hetd))
    assert len({f.name for f in found}) == len(found)
    for family in found:
        assert all(len(labels) == len(family.labels) for labels in family.samples), family.name
    return {family.name: family.samples for family in found}


def test_each_device_counts_once_and_each_idle_one_has_a_cause() -> None:
    told = made(running(1, "nv1", "gpu:a100:2(IDX:0-1)"))
    devices = told["devices"]
    total = sum(len(n.devices) for n in device_map(
        make_view(snapshot(), policy(), Limits()).prepared, MapOptions(ProbeOptions(memory=None))
    ).nodes)  # fmt: skip
    assert sum(devices.values()) == total
    assert devices["train-nv", "nvidia", "a100", "whole"] == 2
    idle = sum(value for labels, value in devices.items() if labels[-1] == "idle")
    assert sum(told["idle_devices"].values()) == idle
    given = told["device_memory_given_bytes"]
    assert given["train-nv", "nvidia", "a100"] == 160 << 30


def test_the_tasks_of_an_array_count_each() -> None:
    array = gated(5, array_job_id=5, array_tasks="0-9:2%3", submit_time=0)
    told = made(gated(4), array, gated(6, partition="someone,elses"))["tasks"]
    assert sum(v for k, v in told.items() if k[0] == "gate" and k[2] == "waiting") == 6
    assert sum(v for k, v in told.items() if k[0] == "other") == 1, "no label by users' words"


def test_a_hetd_that_does_not_answer_tells_nothing_else() -> None:
    told = made(hetd=HetdFacts())
    assert told["up"] == {(): 0}
    assert not {"gate_state", "leader", "last_cycle_timestamp_seconds"} & told.keys()
    assert made()["gate_state"]["closed",] == 1
    assert made()["troubles"] == {(): 2}


def test_what_shadow_decides_has_names_of_its_own() -> None:
    assert not any(name.startswith("shadow") for name in made())
    modes = {"train-nv": "plan", "train-amd": "shadow"}
    shadow = ShadowFacts(2, 90.0, 0.5, {"released": 7})
    told = made(hetd=replace(HETD, modes=modes, shadow=shadow))
    assert told["pool_mode"]["train-amd", "shadow"] == 1
    assert sum(told["pool_mode"].values()) == 2
    assert told["pinned_tasks"] == {(): 3}
    assert told["shadow_pinned_tasks"] == {(): 2}
    assert told["shadow_outcomes"] == {("released",): 7}
