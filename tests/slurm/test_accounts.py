"""Which accounts a partition or a reservation lets in: read from Slurm's answers, then planned."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from slurm_het.core.cluster.inventory import take_inventory
from slurm_het.core.jobs.task_pools import TaskPools, fill_task_pools
from slurm_het.settings import SlurmSettings
from slurm_het.slurm.cli import CliSlurm
from tests.support.few_answers import ANSWERS, CONF, DATA, programs
from tests.support.world import marked, policy

JOB = marked(1, account="vision", features="a100")  # an account below research
MAGNET = (
    "ReservationName=m StartTime=0 EndTime=4000000000 Duration=1 Nodes=nv1 NodeCnt=1 CoreCnt=999"
    " Flags=MAGNETIC TRES=cpu=999 Users=(null) Groups=(null) Accounts={} State=ACTIVE\n"
)
OLD, NEW = "slurm-wlm 22.05.8", "slurm 24.11.5"


def fill(base: Path, version: str, enforced: str, lists: str, magnet: str = "") -> TaskPools:
    """The task pools of a site whose partitions have such lists, as one job waits there."""
    answers = ANSWERS | {
        "partition": ANSWERS["partition"].replace("AllowAccounts=ALL", lists),
        "assoc_mgr": (DATA / "assoc_mgr-24.11.txt").read_text(),
    }
    if magnet:
        answers["reservation"] = MAGNET.format(magnet)
    conf = f"{CONF}\nAccountingStorageEnforce = {enforced}"
    slurm = CliSlurm(SlurmSettings(bin_dir=programs(base, answers, version, conf)))
    shot = replace(asyncio.run(slurm.snapshot(JOB)), jobs=(JOB,))
    return fill_task_pools(shot, take_inventory(shot, policy()), policy())


@pytest.mark.parametrize(
    ("version", "enforced", "lists", "planned"),
    [
        (NEW, "associations", "AllowAccounts=research", True),
        (NEW, "associations", "AllowAccounts=root", True),
        (NEW, "associations", "AllowAccounts=games", False),
        (NEW, "associations", "DenyAccounts=research", False),
        (NEW, "associations,limits,qos", "AllowAccounts=research", True),
        (NEW, "associations,limits,qos", "DenyAccounts=research", False),
        ("slurm 23.02.0", "associations", "AllowAccounts=research", True),
        (NEW, "none", "AllowAccounts=games", True),
        (NEW, "none", "DenyAccounts=vision", True),
        (OLD, "associations,limits", "AllowAccounts=research", False),
        (OLD, "associations,limits", "DenyAccounts=research", True),
        (OLD, "none", "AllowAccounts=games", False),
        (OLD, "none", "DenyAccounts=vision", False),
    ],
)
def test_a_partition_lets_in_whom_slurm_does(
    tmp_path: Path, version: str, enforced: str, lists: str, planned: bool
) -> None:
    assert bool(fill(tmp_path, version, enforced, lists).tasks) == planned


@pytest.mark.parametrize("version", [OLD, NEW])
@pytest.mark.parametrize(
    ("enforced", "accounts", "drawn"),
    [
        ("associations", "research", True),
        ("associations", "-research", False),
        ("none", "research", False),
        ("none", "-research", True),
    ],
)
def test_a_magnetic_reservation_draws_in_whom_slurm_does(
    tmp_path: Path, version: str, enforced: str, accounts: str, drawn: bool
) -> None:
    (task,) = fill(tmp_path, version, enforced, "AllowAccounts=ALL", accounts).tasks
    assert bool(task.magnets) == drawn


@pytest.mark.parametrize(
    ("version", "lists"), [(NEW, "AllowAccounts=ALL"), (OLD, "AllowAccounts=research")]
)
def test_who_is_above_whom_is_not_asked_where_nothing_goes_by_it(
    tmp_path: Path, version: str, lists: str
) -> None:
    fill(tmp_path, version, "associations", lists)
    assert "assoc_mgr" not in (tmp_path / "asked").read_text().split()
