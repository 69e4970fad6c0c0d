"""End to end: a configless site, where Slurm's programs have no slurm.conf but slurmctld's copy."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from slurm_het.sandbox.cluster import Sandbox
from tests.support.cluster import AMPLE, PATIENCE, Cluster, own_sandbox, sandbox_dir

pytestmark = [pytest.mark.slurm, pytest.mark.in_turn("24.11")]
NODES = """
- {name: nv1, type: a100, vendor: nvidia, devices: 8, memory_gib_per_device: 80,
   cpus: 32, memory_gib: 64, pool: train-nv, scenario: training}
"""
WITH_RUN = 'mount --bind "$0" /run && exec "$@"'
"""slurmd puts its copy where all of a host find it, /run/slurm/conf: theirs is a /run of ours."""


class Host:
    """A host without a slurm.conf, beside slurmctld's."""

    def __init__(self, box: Sandbox, run: Path) -> None:
        self.inside = ["unshare", "--mount", "--propagation", "private", "sh", "-c", WITH_RUN]
        self.inside += [str(run)]
        self.env = {name: value for name, value in box.env.items() if name != "SLURM_CONF"}
        self.log = (box.layout.log / "host.out").open("wb")

    @contextmanager
    def daemon(self, *argv: str) -> Iterator[None]:
        """A daemon there, which is ended."""
        with subprocess.Popen(
            [*self.inside, *argv], env=self.env, stdout=self.log, stderr=subprocess.STDOUT
        ) as process:
            try:
                yield
            finally:
                process.terminate()
                process.wait(PATIENCE)

    def ask(self, *argv: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.inside, *argv], env=self.env, capture_output=True, text=True, check=False,
            timeout=PATIENCE,
        )  # fmt: skip

    def tool(self, module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.ask(sys.executable, "-m", f"slurm_het.{module}", *arguments)


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with own_sandbox(NODES, overrides=AMPLE, hetd=False) as sandbox:
        conf = sandbox.layout.slurm_conf
        conf.write_text(conf.read_text() + "SlurmctldParameters=enable_configless\n")
        sandbox.restart_slurmctld()
        yield sandbox


def test_all_works_on_a_host_without_a_slurm_conf(cluster: Cluster) -> None:
    box = cluster.box
    port = cluster.ok("scontrol", "show", "config").partition("SlurmctldPort")[2].split()[1]
    with sandbox_dir() as run:
        (run / "munge").mkdir()
        os.symlink(box.layout.munge_socket, run / "munge" / "munge.socket.2")
        (run / "slurm").mkdir()
        host = Host(box, run)
        box.kill_slurmd("nv1")
        with (
            host.daemon("slurmd", "-D", "-N", "nv1", "--conf-server", f"localhost:{port}"),
            host.daemon(sys.executable, "-m", "slurm_het.daemon.app"),
        ):
            cluster.wait("its copy is there", (run / "slurm/conf/slurm.conf").exists, 20)
            cluster.wait("the gate is closed", lambda: cluster.gate() == "DOWN", 30)
            key = cluster.sbatch("--gres=gpu:2", script="module load cuda\nsleep 60")
            cluster.wait_started(key, seconds=20)
            assert cluster.planned(key)
            listed = host.tool("cli.squeue")
            assert key in listed.stdout, listed.stderr
            # It runs without its supervisor here, and `check` says so: all else is found.
            checked = host.tool("cli.admin", "check")
            assert "1 wrong" in checked.stdout, checked.stdout + checked.stderr
            assert "supervise" in checked.stdout
            cluster.clear()  # a job whose slurmd is gone ends when slurmctld has given that up
        assert cluster.gate() == "UP"
