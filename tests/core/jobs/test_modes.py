"""What the hook makes of jobs where pools have modes of their own."""

from __future__ import annotations

from dataclasses import replace

import pytest

from slurm_het.core.cluster.capacity import capacity_of
from slurm_het.core.cluster.inventory import take_inventory
from slurm_het.core.jobs.admission import Admitted, Passed, Refused, Verdict
from slurm_het.core.jobs.cluster_facts import ClusterFacts
from slurm_het.core.jobs.modes import admit_by_mode
from slurm_het.core.jobs.reading import Handover, read_job
from slurm_het.core.partition import Partition
from slurm_het.core.policy import ImpossibleMemory, Mode, Policy
from tests.support.world import gated, inventory, policy, snapshot

IMPOSSIBLE = {"tres_per_node": "gpu:64", "partition": "accel"}


def in_modes(rest: Mode, **modes: Mode) -> Policy:
    """The sandbox's policy; pools that `modes` does not name are in the mode `rest`."""
    pools = policy().pools
    own = {pool.partition: modes.get(pool.partition.replace("-", "_"), rest) for pool in pools}
    return replace(policy(), pools=tuple(replace(p, mode=own[p.partition]) for p in pools))


def verdict(modes: Policy, **sent: str) -> Verdict:
    return admit_by_mode({"op": "admit"} | sent, modes.planned, inventory())


@pytest.mark.parametrize(
    "sent",
    [
        {"tres_per_node": "gpu:1", "partition": "accel"},
        {"tres_per_node": "gpu:1"},
        {"tres_per_node": "npu:8", "script": "#HET memory=9999G\nx"},
        {"tres_per_node": "gpu:64", "partition": "train-nv"},
        IMPOSSIBLE,
        IMPOSSIBLE | {"op": "judge"},
    ],
)
def test_in_shadow_each_job_passes_as_it_is_and_nobody_is_told(sent: dict[str, str]) -> None:
    made = verdict(in_modes("shadow"), **sent)
    assert isinstance(made, Passed)
    assert (made.partition, made.problems) == ("", ())


def test_in_advise_its_user_reads_what_would_be_done_and_it_passes() -> None:
    made = verdict(in_modes("advise"), tres_per_node="gpu:1", script="module load rocm\nx")
    assert isinstance(made, Passed)
    assert made.partition == ""
    (line,) = made.problems
    assert line.startswith("advice: training, on amd devices")
    assert line.endswith("it would be planned in train-amd, and stays as it is")


def test_with_one_pool_in_plan_it_takes_what_it_can_and_the_rest_goes_to_its_pools() -> None:
    modes = in_modes("shadow", train_nv="plan")
    ours = verdict(modes, tres_per_node="gpu:1", partition="accel", script="module load cuda\nx")
    assert isinstance(ours, Admitted)
    assert ours.fields["partition"] == "accel"
    theirs = verdict(modes, tres_per_node="gpu:1", partition="accel", script="module load rocm\nx")
    assert isinstance(theirs, Passed)
    assert theirs.partition == "train-amd", "in the intake it would wait for ever"
    named = verdict(modes, tres_per_node="gpu:1", partition="train-amd")
    assert isinstance(named, Passed)
    assert named.partition == "", "its user said where"


@pytest.mark.parametrize("impossible", ["largest", "ignore", "refuse"])
def test_what_a_pool_in_plan_could_take_for_less_memory_goes_where_it_fits(
    impossible: ImpossibleMemory,
) -> None:
    modes = replace(in_modes("shadow", infer_nv="plan"), impossible_memory=impossible)
    asks = {"tres_per_node": "gpu:1", "partition": "accel"}
    made = verdict(modes, **asks, script="#HET memory=70G vendors=nvidia\nx")
    assert isinstance(made, Passed)
    assert (made.partition, made.problems) == ("train-nv", ())
    fits = verdict(modes, **asks, script="#HET memory=40G vendors=nvidia\nx")
    assert isinstance(fits, Admitted)
    for_nobody = verdict(modes, **asks, script="#HET memory=900G vendors=nvidia\nx")
    assert isinstance(for_nobody, Refused if impossible == "refuse" else Admitted)


def test_what_a_pool_in_plan_could_take_on_another_vendor_goes_where_it_fits() -> None:
    modes = in_modes("shadow", infer_nv="plan", train_amd="plan")
    known = capacity_of(snapshot(), policy())
    large = {"tres_per_node": "gpu:4", "partition": "accel", "pn_min_memory": str(400 << 10)}
    for script, goes in (("module load cuda\nx", "train-nv"), ("module load rocm\nx", "")):
        sent = {"op": "admit", "script": script} | large
        made = admit_by_mode(sent, modes.planned, inventory(), known)
        assert isinstance(made, Passed if goes else Admitted)
        assert getattr(made, "partition", "") == goes


@pytest.mark.parametrize(("holds", "goes"), [(("train-nv",), "train-nv"), ((), "any")])
def test_what_no_pool_holds_alone_goes_to_the_spanning_partition(
    holds: tuple[str, ...], goes: str
) -> None:
    """Where a pool in shadow holds it alone, it goes there."""
    modes = replace(in_modes("shadow", infer_nv="plan", train_amd="plan"), spanning_partition="any")
    here = snapshot()
    nodes = tuple(
        replace(
            n, partitions=(*n.partitions, "any"),
            configured=(64 if set(holds) & set(n.partitions) else 4, 0),
        )
        for n in here.nodes
    )  # fmt: skip
    known = capacity_of(
        replace(here, nodes=nodes, partitions=(*here.partitions, Partition("any"))), policy()
    )
    large = {"tres_per_job": "gpu:8", "cpus_per_tres": "gpu:4", "partition": "accel"}
    made = admit_by_mode({"op": "admit"} | large, modes.planned, inventory(), known)
    assert isinstance(made, Passed)
    assert made.partition == goes


def test_a_type_in_no_catalogue_has_the_vendor_of_its_pool_in_any_mode() -> None:
    here = snapshot()
    nodes = tuple(
        replace(n, gres="gpu:newest:8") if "train-nv" in n.partitions else n for n in here.nodes
    )
    rests: tuple[Mode, ...] = ("shadow", "plan")
    for rest in rests:
        modes = in_modes(rest, infer_nv="plan").planned
        assert take_inventory(replace(here, nodes=nodes), modes).types["newest"].vendor == "nvidia"


def test_what_waits_in_the_gate_for_a_pool_that_left_plan_is_handed_over_to_it() -> None:
    modes = in_modes("shadow", train_nv="plan").planned
    here = snapshot()
    job = gated(1, tres_per_node="gpu:mi300x:2")
    outcome = read_job(job, ClusterFacts.of(here, inventory(), modes)).outcome
    assert isinstance(outcome, Handover)
    assert outcome.partitions == ("train-amd",)
