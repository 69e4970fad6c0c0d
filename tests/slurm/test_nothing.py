"""Nothing is no answer: what Slurm's programs print where slurmctld told them nothing."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from slurm_het.core.capacity import UNKNOWN
from slurm_het.core.cluster.capacity import capacity_of
from slurm_het.core.cluster.inventory import is_usable, take_inventory
from slurm_het.core.model import NodeRecord, Partition, Snapshot
from slurm_het.errors import SlurmError
from slurm_het.settings import SlurmSettings
from slurm_het.slurm.cli import CliSlurm
from slurm_het.slurm.cloud_nodes import CloudNodes
from slurm_het.slurm.jobs import parse_jobs
from tests.support.few_answers import ANSWERS, programs
from tests.support.world import policy


def test_squeue_that_fails_with_exit_status_0_has_not_seen_an_empty_queue() -> None:
    """22.05, where slurmctld does not answer."""
    said = {"errors": [{"description": "Unable to contact slurm controller"}], "jobs": []}
    with pytest.raises(SlurmError, match="Unable to contact slurm controller"):
        parse_jobs(json.dumps(said).encode(), memory_tracked=True)
    assert parse_jobs(b'{"errors": [], "jobs": []}', memory_tracked=True) == ()


@pytest.mark.parametrize("what", ["node", "partition"])
@pytest.mark.parametrize(
    ("left", "said"), [(0, "printed no {} at all"), (300, "answer ends amid a {}")]
)
def test_a_slurm_without_any_or_with_half_of_them_is_not_believed(
    tmp_path: Path, what: str, left: int, said: str
) -> None:
    programs(tmp_path, ANSWERS | {what: ANSWERS[what][:left]})
    with pytest.raises(SlurmError, match=said.format(what)):
        asyncio.run(CliSlurm(SlurmSettings(bin_dir=tmp_path)).snapshot())


@pytest.mark.parametrize(
    ("before", "usable"),
    [
        ("MIXED+CLOUD", True),
        ("IDLE+CLOUD+DRAIN", False),
        ("IDLE+CLOUD+DRAIN+POWER_DOWN", True),  # by `scontrol update state=POWER_DOWN_ASAP`
        ("DOWN+CLOUD", False),
        ("IDLE+CLOUD+NOT_RESPONDING+POWERING_UP", False),  # it did not come up in time
    ],
)
def test_who_sleeps_unseen_is_used_where_slurm_would_wake_it(before: str, *, usable: bool) -> None:
    cloud, conf = CloudNodes(), {"SuspendProgram": "/usr/bin/suspend"}
    node, to_come = NodeRecord("c1", before, "gpu:a100:8", 8), NodeRecord("f1", "FUTURE", "", 8)
    there = (Partition("cloud", nodes="c1,f1"),)
    assert cloud.beside([node], [to_come], there, conf) == ((node,), frozenset())
    (asleep,), unseen = cloud.beside([], [to_come], there, conf)
    assert is_usable(asleep.state, reservation_known=True) == usable
    assert not unseen, "what is to come is not asleep"


def test_nodes_that_slurm_does_not_show_while_they_sleep(tmp_path: Path) -> None:
    """22.05, of State=CLOUD: as they were when they were up. Of those that were never seen nothing
    is known: neither what the cluster could hold, nor whose jobs they could run."""
    node, up = ANSWERS["node"], "State=IDLE+CLOUD "
    lines = node.replace("State=MIXED ", up).replace("State=IDLE ", up).splitlines(keepends=True)
    awake = [line for line in lines if not line.startswith("NodeName=nv2")]
    asleep = [line for line in awake if not line.startswith("NodeName=nv1")]
    conf = "SelectTypeParameters = CR_CORE_MEMORY\nSuspendProgram = /usr/bin/suspend"
    programs(tmp_path, version="slurm-wlm 22.05.8", conf=conf)
    slurm = CliSlurm(SlurmSettings(bin_dir=tmp_path))

    def seen(text: list[str]) -> Snapshot:
        (tmp_path / "node").write_text("".join(text))
        return asyncio.run(slurm.snapshot())

    assert seen(awake).unseen == {"nv2"}
    shot = seen(asleep)
    (nv1,) = (n for n in shot.nodes if n.name == "nv1")
    assert (nv1.gres, nv1.state, nv1.cpus_alloc) == ("gpu:a100:8", "IDLE+CLOUD+POWERED_DOWN", 0)
    assert take_inventory(shot, policy()).nodes["nv1"].usable
    assert shot.unseen == {"nv2"}
    assert capacity_of(shot, policy()) == UNKNOWN
    assert seen(lines).unseen == set()


def test_a_slurm_that_is_upgraded_is_gone_by_as_what_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under a hetd that runs on: a minute later at most."""
    monkeypatch.setattr("slurm_het.slurm.cli.CONFIG_SECONDS", -1.0)
    slurm = CliSlurm(SlurmSettings(bin_dir=programs(tmp_path, version="slurm-wlm 22.05.8")))
    assert asyncio.run(slurm.snapshot()).forgets_sharers
    programs(tmp_path, version="slurm 24.11.5")
    shot = asyncio.run(slurm.snapshot())
    assert (shot.forgets_sharers, shot.rewrites_gres) == (False, True)
