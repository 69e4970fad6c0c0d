"""End to end: device types as sites have them, which het.yaml does not describe."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import yaml

from tests.support.cluster import AMPLE, Cluster, own_sandbox

pytestmark = [pytest.mark.slurm, pytest.mark.in_turn("24.11")]
TOPOLOGY = """
- {name: mig1, type: nvidia_a100_1g.10gb, vendor: nvidia, devices: 7, memory_gib_per_device: 10,
   cpus: 16, memory_gib: 64, pool: infer-nv, scenario: inference}
- {name: cap1, type: A100, vendor: nvidia, devices: 4, memory_gib_per_device: 40,
   cpus: 16, memory_gib: 64, pool: train-nv, scenario: training}
- {name: odd1, type: xyz900, vendor: amd, devices: 2, memory_gib_per_device: 64,
   cpus: 16, memory_gib: 64, pool: train-amd, scenario: training}
"""


@pytest.fixture(scope="module")
def it() -> Iterator[Cluster]:
    with own_sandbox(TOPOLOGY, overrides=AMPLE) as box:
        cluster = Cluster(box)
        cluster.wait("the gate is closed", lambda: cluster.gate() == "DOWN")
        box.stop_hetd()
        described = yaml.safe_load(box.config_path.read_text())
        del described["types"]
        box.config_path.write_text(yaml.safe_dump(described))
        box.start_hetd()
        cluster.wait("the gate is closed again", lambda: cluster.gate() == "DOWN")
        yield cluster
        cluster.clear()


@pytest.mark.parametrize(
    ("options", "script", "node"),
    [
        (["--gres=gpu:1"], "#HET memory=8G\nvllm serve m", "mig1"),
        (["--gres=gpu:1"], "#HET memory=20G\nmodule load cuda", "cap1"),
        (["--gres=gpu:A100:2"], "python train.py", "cap1"),
        (["--gres=gpu:nvidia_a100_1g.10gb:2"], "python train.py", "mig1"),
        # Nobody describes it: it is its pool's vendor's, and has no memory that could be asked for.
        (["--gres=gpu:1"], "module load rocm\npython train.py", "odd1"),
        (["--gres=gpu:xyz900:1"], "python train.py", "odd1"),
    ],
)
def test_a_type_is_known_by_its_name_or_by_its_pool(
    it: Cluster, options: list[str], script: str, node: str
) -> None:
    key = it.sbatch(*options, script=f"{script}\nsleep 5")
    assert it.wait_started(key)["NodeList"] == node


GROWING = """
- {name: nv1, type: a100, vendor: nvidia, devices: 4, memory_gib_per_device: 80,
   cpus: 16, memory_gib: 64, pool: train-nv, scenario: training}
- {name: nv2, type: h100, vendor: nvidia, devices: 4, memory_gib_per_device: 80,
   cpus: 16, memory_gib: 64, pool: train-nv, scenario: training}
- {name: amd1, type: mi300x, vendor: amd, devices: 4, memory_gib_per_device: 192,
   cpus: 16, memory_gib: 64, pool: train-amd, scenario: training}
"""


def test_who_waits_gets_the_nodes_of_a_type_that_comes_meanwhile() -> None:
    """The hook has written Features=a100: of NVIDIA there was no more."""
    with own_sandbox(GROWING, overrides=AMPLE, hetd=False) as box:
        cluster = Cluster(box)
        for pool, nodes in (("accel", "nv1,amd1"), ("train-nv", "nv1")):
            cluster.ok("scontrol", "update", f"PartitionName={pool}", f"Nodes={nodes}")
        box.start_hetd()
        cluster.wait("the gate is closed", lambda: cluster.gate() == "DOWN")
        script = "module load cuda\nsleep 300"
        cluster.wait_started(cluster.sbatch("--gres=gpu:4", script=script))
        waits = cluster.sbatch("--gres=gpu:4", script=script)
        assert cluster.job(waits)["Features"] == "a100"
        for pool, nodes in (("accel", "nv1,nv2,amd1"), ("train-nv", "nv1,nv2")):
            cluster.ok("scontrol", "update", f"PartitionName={pool}", f"Nodes={nodes}")
        assert cluster.wait_started(waits)["NodeList"] == "nv2"
        assert cluster.job(waits)["Features"] == "[a100|h100]"
