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

pytestmark = [pytest.mark.slurm, pytest.mark.in_turn("24.11")]

TAKEOVER_SECONDS = 30.0
"""SlurmctldTimeout is 10 s in vagrant/etc; the backup looks every third of it or so."""


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """All machines, provisioned in Vagrant's order, but those without an order side by side."""
    with sandbox_dir() as base:
        site = Site(base)
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
    argv = ["sbatch", "--parsable", "--chdir=/tmp", "--output=/dev/null", *options]
    return site.ok(
        "login", "runuser", "-u", "alice", "--", *argv, f"--wrap=sleep {seconds}"
    ).strip()


def job(site: Site, key: str) -> dict[str, str]:
    """`scontrol show job`; {} while no controller answers."""
    done = site.hosts["login"].run("scontrol", "-o", "show", "job", key)
    return parse_fields(done.stdout) if done.returncode == 0 else {}


def reaches(site: Site, key: str, state: str, seconds: float = 60) -> None:
    """Wait until a job is in a state."""
    wait(f"job {key} is {state}", lambda: job(site, key).get("JobState") == state, seconds)


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
    shown = site.ok("login", "bash", "/vagrant/vagrant/show.sh", "1")
    lines = dict(line.split()[1:3] for line in shown.splitlines())
    assert lines["train-nvidia"] == "train-nv"
    assert lines["train-amd"] == "train-amd"
    assert lines["serve"] == "infer-nv"
    assert "het1:" in job(site, shown.splitlines()[1].split()[0])["AdminComment"]


def test_provisioning_again_ends_no_job(site: Site) -> None:
    running = sbatch(site, "-p", "accel", "--gres=gpu:a100:1", seconds=8)
    reaches(site, running, "RUNNING")
    site.provision("nv1", "login")
    ends(site, running)
    assert job(site, running)["Restarts"] == "0"


def test_a_compute_host_is_cut_off_and_comes_back(site: Site) -> None:
    """Its job is run again there when it is back; who can go elsewhere goes elsewhere at once."""
    lost = sbatch(site, "-p", "accel", "--gres=gpu:mi300x:4", seconds=600)
    reaches(site, lost, "RUNNING")
    site.plug("am1", "down")
    noticed = wait("Slurm sees it", lambda: node(site, "am1").startswith("down"))
    print(f"seen after {noticed:.1f} s; {job(site, lost)}")
    other = sbatch(site, "-p", "accel", "--gres=gpu:1", "--comment=x")
    ends(site, other)
    site.plug("am1", "up")
    back = wait("it is back", lambda: node(site, "am1") == "idle")
    print(f"back after {back:.1f} s; {job(site, lost)}")
    new = sbatch(site, "-p", "accel", "--gres=gpu:mi300x:1")
    ends(site, new)


def test_a_controller_dies_with_jobs_waiting(site: Site) -> None:
    """slurmctld and hetd at once: nothing is lost, nobody waits longer than the takeover."""
    types = ("a100", "mi300x")
    running = [sbatch(site, "-p", "accel", f"--gres=gpu:{t}:4", seconds=6) for t in types]
    for key in running:
        reaches(site, key, "RUNNING")
    waiting = [
        sbatch(site, "-p", "accel", "-J", f"waits{n}", f"--gres=gpu:{t}:2")
        for t in types
        for n in range(4)
    ]
    state = site.shared / "slurmctld" / "job_state"
    wait("Slurm saved them", lambda: saved(state, b"waits3"))
    site.power_off("ctl1")
    died = time.time()
    takeover = wait("the backup answers", lambda: job(site, waiting[0]), TAKEOVER_SECONDS)
    late = sbatch(site, "-p", "accel", "--gres=gpu:1")
    ends(site, *running, *waiting, late)
    leads = "leading: this hetd holds" in site.ok("ctl2", "cat", "/var/log/hetd.service.log")
    assert leads
    starts = {key: started(site, key) - died for key in (*waiting, late)}
    print(f"takeover {takeover:.1f} s; starts {starts}")
    assert all(job(site, key)["Restarts"] == "0" for key in (*running, *waiting, late))


def saved(state: Path, name: bytes) -> bool:
    """Whether slurmctld has a job in its state."""
    try:
        return name in state.read_bytes()
    except FileNotFoundError:  # Slurm renames the old file, then the new
        return False


def started(site: Site, key: str) -> float:
    """When a job started, in seconds of the epoch."""
    text = job(site, key)["StartTime"]
    return time.mktime(time.strptime(text, "%Y-%m-%dT%H:%M:%S"))
