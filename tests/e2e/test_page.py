"""The page on a real Slurm: its numbers are Slurm's, and it is old without hetd."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from slurm_het.sandbox import procs
from slurm_het.sandbox.daemons import SUPERVISOR
from tests.support.cluster import Cluster, own_sandbox, sandbox_dir

pytestmark = [pytest.mark.slurm, pytest.mark.in_turn("24.11")]

EVERY = 5
OLD_SECONDS = 30
JOBS = {
    "trains": ("-p", "accel", "--gres=gpu:a100:8", "-t", "30"),
    "serves": ("-p", "accel", "--gres=shard:24", "-t", "30"),
    "fills": ("-p", "accel", "--gres=gpu:a100:8", "-t", "30"),
    "waits": ("-p", "accel", "-N2", "--gres=gpu:a100:8", "-t", "30"),
}


@pytest.fixture(scope="module")
def web() -> Iterator[Path]:
    """Where the pages go."""
    with sandbox_dir() as base:
        yield base / "web"


@pytest.fixture(scope="module")
def cluster(web: Path) -> Iterator[Cluster]:
    """A sandbox whose hetd has pages written, with jobs of a user's."""
    with own_sandbox(overrides={"page": {"dir": str(web), "every_seconds": EVERY}}) as box:
        here = Cluster(box)
        for name, asks in JOBS.items():
            here.sbatch("-J", f"{name}-secret", *asks, script="sleep 600", user="nobody")
        here.ok("scontrol", "update", "NodeName=dcu1", "State=DRAIN", "Reason=ask nobody's boss")
        yield here


def page(web: Path, form: str) -> dict[str, Any]:
    """The page's JSON."""
    told: dict[str, Any] = json.loads((web / form / "page.json").read_text())
    return told


def next_page(web: Path, form: str = "staff") -> dict[str, Any]:
    """The first page that is made from now on."""
    began, deadline = time.time(), time.monotonic() + 60
    while time.monotonic() < deadline:
        time.sleep(0.3)
        if (web / form / "page.json").exists() and page(web, form)["time"] > began:
            return page(web, form)
    raise AssertionError(f"no page in {web}: {sorted(web.rglob('*'))}")


def test_hetd_has_it_written_and_its_numbers_are_slurms(cluster: Cluster, web: Path) -> None:
    deadline = time.monotonic() + 60
    while next_page(web)["running"] < 3 and time.monotonic() < deadline:
        pass
    told = next_page(web)
    running, waiting = (
        len(cluster.ok("squeue", "-rh", "-t", state).splitlines()) for state in ("R", "PD")
    )
    assert (told["running"], told["waiting"]) == (running, waiting) == (3, 1)
    assert {p["pool"]: p["used"] for p in told["pools"]}["train-nv"] == 16
    assert told["health"]["state"] == "well"
    (job,) = told["jobs"]
    assert (job["user"], job["name"]) == ("nobody", "waits-secret")
    assert job["reason"] in cluster.tool("squeue", "-h", "-o", "reason", "-t", "PD")


def test_the_public_form_names_nobody(cluster: Cluster, web: Path) -> None:
    told = next_page(web, "public")
    assert [job["id"] for job in told["jobs"]] == [
        cluster.ok("squeue", "-ho", "%i", "-tPD").strip()
    ]
    for file in (web / "public").iterdir():
        assert "nobody's" not in file.read_text()
        assert "secret" not in file.read_text()
    assert "nobody&#39;s boss" in (web / "staff" / "index.html").read_text()


def test_it_is_old_once_hetd_is_dead(cluster: Cluster, web: Path) -> None:
    told = next_page(web)
    died = time.time()
    cluster.box.kill_hetd()
    procs.end([p for p in cluster.box.daemons() if p.name == SUPERVISOR], 0.0)
    time.sleep(2 * EVERY)
    assert page(web, "staff")["old_after"] <= died + OLD_SECONDS
    assert page(web, "staff")["old_after"] >= told["old_after"]
    cluster.tool("admin", "page", "--out", str(web))
    told = page(web, "staff")
    assert told["health"]["state"] in {"hetd-silent", "all-silent"}
    assert told["renewed_seconds"] is None
