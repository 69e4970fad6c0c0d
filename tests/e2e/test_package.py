"""The deb on a site's own host: installed by the README's commands, upgraded amid jobs, removed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import pairwise
from operator import itemgetter
from pathlib import Path
from statistics import median
from typing import NamedTuple

import pytest

from slurm_het.core.syntax import hostlist
from tests.support.cluster import sandbox_dir
from tests.support.meanwhile import meanwhile
from tests.support.plain_site import PlainSite
from tests.support.systemd_host import CannotBootError

# It fetches wheels, builds a package, and its jobs take minutes. Another Slurm than this machine's:
#   SLURM_HET_ROOT="$(./dev root 24.11)" .venv/bin/python -m pytest -s tests/e2e/test_package.py
pytestmark = [
    pytest.mark.slurm,
    pytest.mark.in_turn("by hand"),
    pytest.mark.skipif(
        not (shutil.which("dpkg-deb") and shutil.which("git")), reason="no dpkg-deb, or no git"
    ),
]

CHECKOUT = Path(__file__).resolve().parents[2]
WAITING = 100
JOBS = WAITING + 24
JOB_SECONDS = 8
CYCLE = 5.0  # planner.poll_seconds: a cycle runs at least as often
POOLS = ("train-nvidia", "infer-nvidia")
RAN = "/tmp/ran"
HETD = "opt/slurm-het/lib/any/slurm_het/daemon/app.py"
ROOM = "/etc/slurm/slurm-het"
LOOKED_AT = ("etc", "home", "opt", "root", "run", "usr", "var/lib")
LEFT_OUT = (
    "/root/.cache", "/run/mount", "/run/systemd", "/run/udev", "/var/lib/apt", "/var/lib/dpkg",
    "/var/lib/systemd",
)  # fmt: skip
"""apt and dpkg keep records of every package, systemd of every unit and mount."""


class Debs(NamedTuple):
    """Packages of which each follows the one before; hetd of the `broken` one does not start."""

    before: Path
    this: Path
    broken: Path
    mended: Path


@pytest.fixture(scope="module")
def debs(tmp_path_factory: pytest.TempPathFactory) -> Debs:
    """The packages, one after the other.

    $SLURM_HET_DEB names this checkout's if it is built already, $SLURM_HET_DEB_BEFORE the one
    before; else that has the same files. All are numbered anew.
    """
    folder = tmp_path_factory.mktemp("debs")
    this = Path(os.environ.get("SLURM_HET_DEB") or _build(folder))
    before = Path(os.environ.get("SLURM_HET_DEB_BEFORE") or this)
    return Debs(
        _numbered(before, 1, folder / "before.deb"),
        _numbered(this, 2, folder / "this.deb"),
        _numbered(this, 3, folder / "broken.deb", HETD),
        _numbered(this, 4, folder / "mended.deb"),
    )


def _build(folder: Path) -> Path:
    done = subprocess.run(
        [sys.executable, "-m", "package.build", "--only", "deb", str(folder)],
        cwd=CHECKOUT, env=os.environ | {"PYTHONPATH": str(CHECKOUT)},
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    if "could not fetch the wheels" in done.stderr:
        pytest.skip("pip cannot fetch the wheels of package/wheels.txt here")
    assert done.returncode == 0, done.stderr
    return next(folder.glob("*.deb"))


def _numbered(deb: Path, release: int, path: Path, broken: str = "") -> Path:
    tree = path.with_suffix(".tree")
    subprocess.run(["dpkg-deb", "-R", str(deb), str(tree)], timeout=120, check=True)
    control = tree / "DEBIAN" / "control"
    numbered, found = re.subn(r"(?m)^(Version: .*)-\d+$", rf"\1-{release}", control.read_text())
    assert found == 1
    control.write_text(numbered)
    if broken:
        (tree / broken).write_text("raise SystemExit('broken')\n")
    subprocess.run(["dpkg-deb", "-Znone", "-b", str(tree), str(path)], timeout=120, check=True)
    shutil.rmtree(tree)
    return path


@pytest.fixture
def site(debs: Debs) -> Iterator[PlainSite]:
    """A plain Slurm on a Debian host that has no slurm-het."""
    with sandbox_dir() as base:
        try:
            made = PlainSite(base / "host", {debs.this.parent: "/debs"})
        except CannotBootError as error:
            pytest.skip(str(error))
        try:
            yield made
        finally:
            made.stop()


def test_a_life_of_the_package(site: PlainSite, debs: Debs) -> None:
    before = traces(site)
    to_plan(site, debs.before)
    upgraded(site, debs.this)
    broken_and_mended(site, debs)
    removed(site, before)


def put_in(site: PlainSite, deb: Path) -> str:
    """Install or upgrade as admins do; what was said."""
    return site.ok("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq", "-y", "install",
                   f"/debs/{deb.name}")  # fmt: skip


def to_plan(site: PlainSite, deb: Path) -> None:
    """From the package to plan by the README's commands."""
    began = time.monotonic()
    put_in(site, deb)
    assert "0.1.0" in site.ok("slurm-het", "--version")
    site.ok("slurm-het", "init", "/etc/slurm-het")
    said = site.ok("slurm-het", "render", "--install")
    edit(site, re.findall(r"^next: .* is to be (dofile\(.*\))$", said, re.MULTILINE))
    site.restart_slurm()
    site.ok("systemctl", "enable", "--now", "hetd", "het-exporter")
    assert site.gate() == "UP", "it is in shadow"
    assert "0 wrong" in site.ok("slurm-het", "check")
    words = [word for pool in POOLS for word in ("--pool", pool)]
    site.ok("slurm-het", "enable", *words, "--yes", "--watch", "5")
    site.wait("the gate is closed", lambda: site.gate() == "DOWN")
    print(f"from the package to plan: {time.monotonic() - began:.0f} s")


def edit(site: PlainSite, calls: Sequence[str]) -> None:
    """What the commands say is left to do in slurm.conf, and in a job_submit.lua of its own."""
    told = site.path("/etc/slurm-het/slurm.conf.add").read_text()
    lines = [line for line in told.splitlines() if line and not line.startswith("#")]
    lines.append(f"EpilogSlurmctld={ROOM}/het_event.lua")
    replaced = {line.partition("=")[0] for line in lines} - {"PartitionName"}
    features = {
        node: words
        for nodes, words in re.findall(r"lines of (\S+):\n#   Feature=\.\.\.,(\S+)", told)
        for node in hostlist.expand(nodes)
    }
    conf = site.path("/etc/slurm/slurm.conf").read_text().splitlines()
    kept = []
    for line in conf:
        name = re.match(r"NodeName=(\S+)", line)
        words = features.get(name[1]) if name else None
        if line.partition("=")[0] not in replaced:
            kept.append(f"{line} Feature={words}" if words else line)
    site.write("/etc/slurm/slurm.conf", "\n".join([*kept, *lines, ""]))
    hook = site.path("/etc/slurm/job_submit.lua").read_text()
    head, end, _ = hook.rpartition("return slurm.SUCCESS")
    (call,) = calls
    site.write("/etc/slurm/job_submit.lua", f"{head}{call}\n{end}\n")


def upgraded(site: PlainSite, deb: Path) -> None:
    """Upgrade while jobs wait in the gate: none is lost, started twice, or late."""
    keys = site.sbatch(job(JOB_SECONDS), "--gres=gpu:4", "-p", "gpu", times=JOBS)
    site.wait("all nodes are busy", lambda: len(site.in_queue("R")) == 8)
    waiting = len(site.in_queue("PD"))
    exporter = main_pid(site, "het-exporter")
    with watched_gate(site) as states:
        began = time.time()
        said = put_in(site, deb)
        ended = time.time()
        site.wait("the gate is closed again", lambda: site.gate() == "DOWN")
        time.sleep(CYCLE)  # what a hetd that has just come does next is of the upgrade too
        settled = time.time()
    assert "hetd is restarted" in said
    assert main_pid(site, "het-exporter") not in {exporter, "0"}
    assert waiting >= WAITING
    site.wait("all have ended", lambda: not site.in_queue(), 600)
    jobs = ended_well(site, keys)
    pauses = pauses_of_nodes(jobs)
    amid = [length for start, length in pauses if began <= start + length and start <= settled]
    usual = [length for start, length in pauses if start + length < began or start > settled]
    print(f"{waiting} waited; the upgrade took {ended - began:.1f} s; gate: {in_words(states)}")
    for when, found in (("amid it", amid), ("else", usual)):
        print(
            f"{len(found)} pauses of a node between two jobs {when}: at most {max(found):.0f} s,"
            f" half of them at most {median(found):.0f} s"
        )
    assert max(amid) <= max(usual) + CYCLE


def broken_and_mended(site: PlainSite, debs: Debs) -> None:
    """A hetd that does not start after an upgrade holds up nobody, and no later upgrade."""
    keys = site.sbatch(job(4), "--gres=gpu:4", "-p", "gpu", times=24)
    assert "hetd did not start again, the gate is open" in put_in(site, debs.broken)
    site.wait("plain Slurm has run all", lambda: not site.in_queue(), 300)
    ended_well(site, keys)
    assert site.gate() == "UP"
    put_in(site, debs.mended)
    site.wait("the gate is closed again", lambda: site.gate() == "DOWN")
    (alone,) = site.sbatch(job(1), "--gres=gpu:4", "-p", "gpu")
    site.wait("hetd plans again", lambda: not site.in_queue())
    assert site.jobs()[alone]["Partition"] == POOLS[0]


def main_pid(site: PlainSite, unit: str) -> str:
    """The process of a service; 0 without one."""
    return site.ok("systemctl", "show", "--property=MainPID", "--value", unit).strip()


def job(seconds: int) -> str:
    """A job that leaves a line where each start of each job does."""
    return f"#!/bin/sh\necho $SLURM_JOB_ID >>{RAN}\n# torchrun train.py\nsleep {seconds}\n"


@contextmanager
def watched_gate(site: PlainSite) -> Iterator[list[tuple[float, str]]]:
    """The gate's states, each with when it was first seen."""
    seen: list[tuple[float, str]] = []

    def look() -> None:
        state = site.gate()
        if not seen or seen[-1][1] != state:
            seen.append((time.time(), state))

    with meanwhile(look, 0.1, patience=60):
        yield seen


def in_words(states: Sequence[tuple[float, str]]) -> str:
    """The gate's states, and for how long each was seen."""
    times = [when for when, _ in states]
    lengths = [f" for {later - one:.1f} s" for one, later in pairwise(times)] + [""]
    return ", ".join(f"{state}{long}" for (_, state), long in zip(states, lengths, strict=True))


def ended_well(site: PlainSite, keys: Sequence[str]) -> list[dict[str, str]]:
    """The records of jobs that have all run, each of them once."""
    found = site.jobs()
    jobs = [found[key] for key in keys]
    assert {record["JobState"] for record in jobs} == {"COMPLETED"}
    assert {record["Restarts"] for record in jobs} == {"0"}
    ran = [line for line in site.path(RAN).read_text().split() if line in set(keys)]
    assert sorted(ran, key=int) == sorted(keys, key=int)
    return jobs


def pauses_of_nodes(jobs: Sequence[dict[str, str]]) -> list[tuple[float, float]]:
    """When a node had its job ended and got the next one, which took how long; each has one."""
    by_node: dict[str, list[tuple[float, float]]] = {}
    for record in jobs:
        start, end = (
            datetime.fromisoformat(record[key]).timestamp() for key in ("StartTime", "EndTime")
        )
        by_node.setdefault(record["NodeList"], []).append((start, end))
    return [
        (one[1], later[0] - one[1])
        for runs in by_node.values()
        for one, later in pairwise(sorted(runs, key=itemgetter(0)))
    ]


def removed(site: PlainSite, before: set[str]) -> None:
    """Remove and purge the package while jobs wait in the gate; then nothing of it is left."""
    keys = site.sbatch(job(4), "--gres=gpu:4", "-p", "gpu", times=40)
    waiting = len(site.in_queue("PD"))
    print(site.ok("dpkg", "-r", "slurm-het"))
    assert waiting > 20
    assert site.gate() == "UP"
    assert "mode: shadow" in site.ok("cat", "/etc/slurm-het/het.yaml"), "and it is kept"
    later = [record for record in site.jobs().values() if record["JobState"] == "PENDING"]
    changed = [record for record in later if record.get("ReqNodeList", "(null)") != "(null)"]
    assert not changed, "those that wait are as they were submitted"
    site.wait("all have ended", lambda: not site.in_queue(), 300)
    ended_well(site, keys)
    (alone,) = site.sbatch(job(1), "--gres=gpu:1", "-p", "gpu")
    site.wait("plain Slurm goes on", lambda: not site.in_queue())
    assert site.jobs()[alone]["JobState"] == "COMPLETED"
    site.ok("dpkg", "-P", "slurm-het")
    left = traces(site) - before
    copies = {name for name in left if name.startswith(f"file {ROOM}")}
    assert left == copies, "but the copies beside slurm.conf, which slurmctld reads"
    site.ok("rm", "-r", ROOM)
    assert traces(site) ^ before == set()


def traces(site: PlainSite) -> set[str]:
    """What a package may leave on a host: files, users, units that systemd knows."""
    prune = [word for name in LEFT_OUT for word in ("-path", name, "-prune", "-o")]
    places = [f"/{name}" for name in LOOKED_AT]
    found = site.run("find", *places, *prune, "-print", seconds=300).stdout.splitlines()
    users = site.ok("getent", "passwd").splitlines() + site.ok("getent", "group").splitlines()
    known = site.ok("systemctl", "list-units", "--all", "--plain", "--no-legend").splitlines()
    units = {line.split()[0] for line in known if "het" in line.split()[0]}
    return {f"file {name}" for name in found} | set(users) | units
