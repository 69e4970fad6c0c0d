"""The cluster of vagrant/: machines made by its provisioning scripts, and what befalls them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from slurm_het.slurm.records import parse_fields
from tests.support.cluster import sandbox_dir
from tests.support.site_hosts import Site
from tests.support.systemd_host import CannotBootError

# Seven machines for 100 s are no part of the whole suite: ./dev matrix 24.11 -k vagrant
pytestmark = [pytest.mark.slurm, pytest.mark.in_turn("by hand")]

TAKEOVER_SECONDS = 40.0
"""SlurmctldTimeout is 10 s in vagrant/etc; in charge after 16 s was seen."""
PLANNED_SECONDS = 40.0
"""In which a job starts then: each of Slurm's commands asks the dead host first (docs/gate.md)."""


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """All machines, provisioned in Vagrant's order, but those without an order side by side."""
    with sandbox_dir() as base:
        try:
            site = Site(base)
        except CannotBootError as error:
            pytest.skip(str(error))
        try:
            site.boot(*site.roles)
            first = ("db", "ctl1")
            for name in first:
                site.provision(name)
            site.provision(*(name for name in site.roles if name not in first))
            yield site
        except CannotBootError as error:
            pytest.skip(str(error))
        finally:
            site.stop()


def wait(what: str, true: Callable[[], object], seconds: float = 60) -> float:
    """Poll until true; how long it took."""
    started = time.monotonic()
    while not true():
        assert time.monotonic() - started < seconds, f"not within {seconds:g} s: {what}"
        time.sleep(0.3)
    return time.monotonic() - started


def sbatch(site: Site, *options: str, seconds: float = 1) -> str:
    """Submit as alice on the login host; the job id."""
    argv = ["sbatch", "--parsable", "--chdir=/tmp", "--output=/dev/null", "-p", "accel", *options]
    return site.ok(
        "login", "runuser", "-u", "alice", "--", *argv, f"--wrap=sleep {seconds}"
    ).strip()


def job(site: Site, key: str) -> dict[str, str]:
    """`scontrol show job`; {} while no controller answers."""
    done = site.hosts["login"].run("scontrol", "-o", "show", "job", key)
    return parse_fields(done.stdout) if done.returncode == 0 else {}


def reaches(site: Site, key: str, state: str, seconds: float = 60) -> None:
    """Wait until a job is in a state."""
    try:
        wait(f"job {key} is {state}", lambda: job(site, key).get("JobState") == state, seconds)
    except AssertionError as error:
        error.add_note(f"{job(site, key)}\n{site.ok('login', 'sinfo', '-N')}{site.logs('ctl2')}")
        raise


def ends(site: Site, *keys: str, seconds: float = 60) -> None:
    """Wait until jobs have ended well."""
    for key in keys:
        reaches(site, key, "COMPLETED", seconds)


def node(site: Site, name: str) -> str:
    """A node's state."""
    return site.ok("login", "sinfo", "-h", "-N", "-n", name, "-p", "cpu", "-o", "%t").strip()


def test_jobs_of_both_vendors_are_placed(site: Site) -> None:
    assert "0 wrong, 0 remarks" in site.ok("ctl1", "slurm-het", "check")
    assert "0 wrong, 0 remarks" in site.ok("ctl2", "slurm-het", "check")
    assert site.ok("nv1", "systemctl", "is-active", "het-exporter") == "active\n"
    shown = site.ok("login", "bash", "/vagrant/vagrant/show.sh", "1")
    lines = dict(line.split()[1:3] for line in shown.splitlines())
    assert lines["train-nvidia"] == "train-nv"
    assert lines["train-amd"] == "train-amd"
    assert lines["serve"] == "infer-nv"
    assert "het1:" in job(site, shown.splitlines()[1].split()[0])["AdminComment"]


def test_provisioning_again_ends_no_job(site: Site) -> None:
    running = sbatch(site, "--gres=gpu:a100:1", seconds=5)
    reaches(site, running, "RUNNING")
    site.provision("nv1", "login")
    ends(site, running)
    assert job(site, running)["Restarts"] == "0"


def test_a_rack_loses_power(site: Site) -> None:
    """A controller dies, slurmctld and hetd at once, and a compute host is cut off; jobs wait.

    Nothing is lost, what waited starts once the backup is in charge, and the compute host comes
    back.
    """
    cut = sbatch(site, "--gres=gpu:mi300x:4", seconds=600)
    running = sbatch(site, "--gres=gpu:a100:4", seconds=25)
    reaches(site, cut, "RUNNING")
    reaches(site, running, "RUNNING")
    waiting = [sbatch(site, "-J", f"waits{n}", "--gres=gpu:a100:2") for n in range(2)]
    state = site.shared / "slurmctld" / "job_state"
    wait("Slurm saved them", lambda: saved(state, b"waits1"))

    site.plug("am1", "down")
    site.power_off("ctl1")
    died = time.time()
    takeover = wait("the backup answers", lambda: job(site, running), TAKEOVER_SECONDS)
    asked = time.time()
    late = sbatch(site, "--gres=shard:16")
    ends(site, running, *waiting, late)
    print(f"in charge after {takeover:.1f} s")
    for key in (*waiting, late):
        record = job(site, key)
        waited = started(record) - (asked if key == late else died + takeover)
        print(f"{key} started {waited:.1f} s later")
        assert record["Restarts"] == "0"
        assert "het1:" in record["AdminComment"]
        assert waited < PLANNED_SECONDS, site.logs("ctl2")
    assert job(site, running)["Restarts"] == "0"
    assert "leading: this hetd holds" in site.ok("ctl2", "cat", "/var/log/hetd.service.log")

    wait("Slurm misses it", lambda: node(site, "am1").startswith("down"))
    print(f"seen to be gone after {time.time() - died:.1f} s")
    record = job(site, cut)
    assert (record["JobState"], record["Restarts"]) == ("PENDING", "1"), "it is to run again"
    site.plug("am1", "up")
    back = wait("it is back", lambda: node(site, "am1") == "idle")
    print(f"back after {back:.1f} s")
    ends(site, sbatch(site, "--gres=gpu:mi300x:1"))


def saved(state: Path, name: bytes) -> bool:
    """Whether slurmctld has a job in its state."""
    try:
        return name in state.read_bytes()
    except FileNotFoundError:  # Slurm renames the old file, then the new
        return False


def started(record: dict[str, str]) -> float:
    """When a job started, in seconds of the epoch."""
    return time.mktime(time.strptime(record["StartTime"], "%Y-%m-%dT%H:%M:%S"))
