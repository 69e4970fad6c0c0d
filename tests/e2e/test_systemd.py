"""The systemd unit: what systemd says of it, and hetd run by it under a real systemd."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from slurm_het.config import load_config
from slurm_het.resources import data_dir
from slurm_het.settings import Paths, SlurmSettings
from slurm_het.templating import systemd_unit, unit_words
from tests.support.cluster import Cluster, own_sandbox
from tests.support.systemd_host import CannotBootError, Machine, SystemdHost

EXAMPLE = data_dir("examples") / "het.yaml"
CHECKOUT = Path(__file__).resolve().parents[2]
needs_analyze = pytest.mark.skipif(
    not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed"
)


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit of the example's configuration."""
    path = tmp_path / "hetd.service"
    path.write_text(systemd_unit(load_config(EXAMPLE), "root", "root"))
    return path


def analyze(*words: str) -> subprocess.CompletedProcess[str]:
    """Run systemd-analyze."""
    argv = ["systemd-analyze", *words]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)


@needs_analyze
def test_systemd_finds_no_fault_in_it(unit: Path) -> None:
    done = analyze("verify", str(unit))
    assert (done.returncode, [li for li in done.stderr.splitlines() if "hetd" in li]) == (0, [])


@needs_analyze
def test_it_is_hardened(unit: Path) -> None:
    """systemd's own score: 0 is best, 10 worst. As SlurmUser; 1.3 was seen with systemd 252."""
    unit.write_text(unit.read_text().replace("=root\n", "=slurm\n"))
    done = analyze("security", "--offline=true", "--no-pager", str(unit))
    score = re.search(r"exposure level for hetd.service: ([\d.]+)", done.stdout)
    assert score, done.stdout + done.stderr
    assert float(score.group(1)) < 2.0


def test_paths_that_are_not_the_default_are_writable_and_quoted() -> None:
    config = replace(
        load_config(EXAMPLE),
        paths=Paths(state_dir=Path("/shared/het 100%"), journal=Path("/srv/j/journal.db")),
        slurm=SlurmSettings(bin_dir=Path("/opt/slurm/bin"), conf=Path("/opt/slurm/etc/s.conf")),
        source=Path("het.yaml"),
    )
    lines = systemd_unit(config, "slurm", "slurm").splitlines()
    assert 'ReadWritePaths="-/shared/het 100%%"' in lines
    assert "ReadWritePaths=-/srv/j" in lines
    assert 'RequiresMountsFor="/shared/het 100%%"' in lines
    assert not any("/run/slurm-het" in line for line in lines), "RuntimeDirectory makes it"
    assert "Environment=SLURM_CONF=/opt/slurm/etc/s.conf" in lines
    stop = next(line for line in lines if line.startswith("ExecStopPost="))
    assert stop.endswith(f"{Path.cwd()}/het.yaml /opt/slurm/bin/scontrol accel")


def test_words_of_a_unit() -> None:
    assert unit_words(["a", "b c", 'd"e', "%n", "$HOME", "\\"]) == (
        'a "b c" "d\\"e" "%%n" "$$HOME" "\\\\"'
    )


# --- under a real systemd ---


@pytest.fixture(scope="module")
def host() -> Iterator[tuple[SystemdHost, Cluster]]:
    """A sandbox without hetd, and a systemd that has hetd's unit and runs nothing yet."""
    with own_sandbox(hetd=False, slurm_user="slurm") as box:
        test_only = (  # PrivateTmp hides the sandbox, and perhaps the checkout
            f"[Service]\nBindPaths={box.dir}\nBindReadOnlyPaths={CHECKOUT}\n"
            f"Environment=SLURM_CONF={box.layout.slurm_conf}\nRestartSec=1\n"
            f"StandardOutput=append:{box.layout.output_of('hetd')}\nStandardError=inherit\n"
        )
        units = {
            "hetd.service": systemd_unit(load_config(box.config_path), "slurm", "slurm"),
            "hetd.service.d/test.conf": test_only,
        }
        try:
            systemd = SystemdHost(box.dir.parent, Machine(units, {box.dir: str(box.dir)}))
        except CannotBootError as error:
            pytest.skip(str(error))
        try:
            yield systemd, Cluster(box)
        finally:
            systemd.stop()


def main_pid(systemd: SystemdHost) -> int:
    """hetd's process id, as seen out here."""
    inside = systemd.systemctl("show", "-p", "MainPID", "--value", "hetd").stdout.strip()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                status = (entry / "status").read_text()
                same = os.stat(entry / "ns" / "pid").st_ino == os.stat(
                    f"/proc/{systemd.pid}/ns/pid"
                ).st_ino  # fmt: skip
            except OSError:
                continue
            if same and re.search(rf"^NSpid:.*\t{inside}$", status, re.MULTILINE):
                return int(entry.name)
    raise AssertionError(f"hetd does not run: {systemd.systemctl('status', 'hetd').stdout}")


@pytest.mark.slurm
def test_hetd_under_systemd(host: tuple[SystemdHost, Cluster]) -> None:
    """Ready only when the gate is closed; confined; killed, hung, stopped: the gate opens."""
    systemd, cluster = host
    started = systemd.systemctl("start", "hetd")
    assert started.returncode == 0, systemd.systemctl(
        "status", "hetd"
    ).stdout + cluster.box.layout.log_tail("hetd")
    assert cluster.gate() == "DOWN", "systemctl start returns with READY=1"
    assert "STATUS" not in started.stdout
    assert systemd.systemctl("show", "-p", "StatusText", "--value", "hetd").stdout == "leading\n"

    pid = main_pid(systemd)
    status = Path(f"/proc/{pid}/status").read_text()
    for wanted in (
        rf"^Uid:\t{pwd.getpwnam('slurm').pw_uid}\t", r"^NoNewPrivs:\t1$", r"^Seccomp:\t2$",
        r"^CapBnd:\t0+$", r"^CapEff:\t0+$",
    ):  # fmt: skip
        assert re.search(wanted, status, re.MULTILINE), wanted
    key = cluster.sbatch("--gres=gpu:2", script="module load rocm\nsleep 1", user="nobody")
    cluster.wait_started(key)
    assert cluster.planned(key), "the solver's process works inside as well"

    with cluster.gate_opens():
        os.kill(pid, signal.SIGKILL)
    cluster.wait("it is back", lambda: cluster.gate() == "DOWN")

    with cluster.gate_opens():  # the watchdog ends it
        os.kill(main_pid(systemd), signal.SIGSTOP)
    cluster.wait("it is back", lambda: cluster.gate() == "DOWN")

    state = load_config(cluster.box.config_path).paths.state_dir
    away = state.with_name("away")
    gone = time.monotonic()
    state.rename(away)  # as if its storage were unmounted
    cluster.wait("the gate is open", lambda: cluster.gate() == "UP", 15)
    time.sleep(5)  # over several starts that come to nothing
    assert cluster.gate() == "UP"
    log = cluster.box.layout.output_of("hetd").read_text()
    assert f"{state}/lease: No such file or directory" in log
    assert "226" not in systemd.systemctl("status", "hetd").stdout
    assert time.monotonic() - gone < 60
    if state.exists():
        shutil.rmtree(state)
    away.rename(state)
    cluster.wait("it is back", lambda: cluster.gate() == "DOWN", 30)

    assert systemd.systemctl("stop", "hetd").returncode == 0
    assert cluster.gate() == "UP"
    assert not list((cluster.box.dir / "run").glob("*.sock"))
    native = cluster.sbatch("--gres=gpu:1", script="sleep 1")
    cluster.wait_started(native)
