"""The deb on a host whose systemd runs hetd from it: installed, upgraded amid jobs, removed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import pytest

from tests.support.cluster import Cluster, own_sandbox
from tests.support.systemd_host import CannotBootError, Machine, SystemdHost

# It fetches wheels and builds a package: ./dev matrix 24.11 -k package; on Debian 12, 22.05.
pytestmark = [
    pytest.mark.slurm,
    pytest.mark.in_turn("by hand"),
    pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="dpkg-deb is not installed"),
]

CHECKOUT = Path(__file__).resolve().parents[2]
JOBS = 100
LOOKED_AT = (
    "etc", "opt/slurm-het", "usr/bin", "usr/lib/systemd", "usr/share/slurm-het",
    "usr/share/man/man1", "usr/share/doc/slurm-het", "usr/share/bash-completion",
    "usr/share/zsh", "usr/share/fish", "var/lib/slurm-het", "run/slurm-het", "root",
)  # fmt: skip
"""Where a package may leave something; apt's and dpkg's own records are of every package."""
TEST_ONLY = """\
[Service]
BindPaths={box}
RestartSec=1
StandardOutput=append:{log}
StandardError=inherit
"""


@pytest.fixture(scope="module")
def debs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The package, and one that follows it: the same files under the next release's number.

    $SLURM_HET_DEB names one that is built already.
    """
    folder = tmp_path_factory.mktemp("debs")
    built = Path(os.environ.get("SLURM_HET_DEB") or _build(folder))
    one, two = folder / "one.deb", folder / "two.deb"
    shutil.copy(built, one)
    tree = folder / "tree"
    subprocess.run(["dpkg-deb", "-R", str(one), str(tree)], timeout=120, check=True)
    control = tree / "DEBIAN" / "control"
    control.write_text(control.read_text().replace("-1\nArch", "-2\nArch"))
    subprocess.run(["dpkg-deb", "-Znone", "-b", str(tree), str(two)], timeout=120, check=True)
    shutil.rmtree(tree)
    return one, two


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


@pytest.fixture
def host(debs: tuple[Path, Path]) -> Iterator[tuple[SystemdHost, Cluster]]:
    """A real Slurm without hetd, and a Debian host with that slurm.conf, which has neither yet."""
    with own_sandbox(hetd=False, slurm_user="slurm") as box:
        log = box.layout.output_of("hetd")
        units = {"hetd.service.d/test.conf": TEST_ONLY.format(box=box.dir, log=log)}
        binds = {box.dir: str(box.dir), debs[0].parent: "/debs"}
        layers = (Path(os.environ.get("SLURM_HET_ROOT", "/")),)
        try:
            systemd = SystemdHost(box.dir.parent, Machine(units, binds, layers=layers))
        except CannotBootError as error:
            pytest.skip(str(error))
        try:
            ok(
                systemd,
                "sh",
                "-c",
                f"mkdir -p /etc/slurm; ln -sf {box.layout.slurm_conf} /etc/slurm/",
            )
            yield systemd, Cluster(box)
        finally:
            systemd.stop()


def ok(systemd: SystemdHost, *argv: str, seconds: float = 300) -> str:
    """Run a command that must succeed on the host; all that it said."""
    done = systemd.run(*argv, seconds=seconds)
    assert done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def files(systemd: SystemdHost) -> set[str]:
    """Every file of the host that a package could have left."""
    argv = ("find", *(f"/{name}" for name in LOOKED_AT), "-xdev")
    found = systemd.run(*argv, seconds=300)
    return set(found.stdout.splitlines())


def starts(cluster: Cluster, keys: list[str]) -> list[float]:
    """When jobs started, in order."""
    times = []
    for key in keys:
        record = cluster.job(key)
        assert (record["JobState"], record["Restarts"]) == ("COMPLETED", "0"), record
        times.append(datetime.fromisoformat(record["StartTime"]).timestamp())
    return sorted(times)


def test_a_life_of_the_package(host: tuple[SystemdHost, Cluster], debs: tuple[Path, Path]) -> None:
    systemd, cluster = host
    before = files(systemd)
    ok(systemd, "dpkg", "-i", f"/debs/{debs[0].name}")
    assert "0.1.0" in ok(systemd, "slurm-het", "--version")
    ok(systemd, "cp", str(cluster.box.config_path), "/etc/slurm-het/het.yaml")
    ok(systemd, "systemctl", "enable", "--now", "hetd")
    assert cluster.gate() == "DOWN"
    assert "0 wrong" in ok(systemd, "slurm-het", "check")

    keys = [cluster.sbatch("--gres=gpu:8", script="sleep 4") for _ in range(JOBS)]
    cluster.wait("some have ended", lambda: len(pending(cluster)) < JOBS - 12, 120)
    waiting = len(pending(cluster))
    began = time.time()
    said = ok(systemd, "dpkg", "-i", f"/debs/{debs[1].name}")
    ended = time.time()
    assert "hetd is restarted" in said
    assert waiting > JOBS // 2
    assert cluster.gate() == "DOWN"
    cluster.wait("all have ended", lambda: not left(cluster), 300)
    times = starts(cluster, keys)
    pauses = [(later - one, one) for one, later in pairwise(times)]
    amid = max(pause for pause, at in pauses if at >= began - 5 and at <= ended + 5)
    usual = max(pause for pause, at in pauses if at < began - 5 or at > ended + 5)
    print(f"{waiting} waited; upgrade took {ended - began:.1f} s; longest pause between starts:")
    print(f"  {amid:.0f} s amid the upgrade, {usual:.0f} s at other times")
    assert amid <= usual + 5

    removed(systemd, cluster, before)


def removed(systemd: SystemdHost, cluster: Cluster, before: set[str]) -> None:
    """Remove the package while jobs wait in the gate."""
    keys = [cluster.sbatch("--gres=gpu:8", script="sleep 2") for _ in range(30)]
    said = ok(systemd, "dpkg", "-r", "slurm-het")
    print(said)
    assert cluster.gate() == "UP"
    assert "mode: shadow" in ok(systemd, "cat", "/etc/slurm-het/het.yaml"), "and it is kept"
    cluster.wait("all have ended", lambda: not left(cluster), 120)
    starts(cluster, keys)
    ok(systemd, "dpkg", "-P", "slurm-het")
    assert files(systemd) - before == set()
    assert before - files(systemd) == set()


def pending(cluster: Cluster) -> list[str]:
    """The jobs that wait."""
    return cluster.ok("squeue", "-h", "-t", "PD", "-o", "%i").split()


def left(cluster: Cluster) -> list[str]:
    """The jobs that have not ended."""
    return cluster.ok("squeue", "-h", "-o", "%i").split()
