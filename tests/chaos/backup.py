"""Two slurmctlds, each on a host of its own, in a sandbox that has two hetds."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from slurm_het.sandbox.cluster import Sandbox
from slurm_het.sandbox.procs import end
from tests.e2e.test_standby import UNSHARE, Controller

HOSTS = "SlurmctldHost=ctl1(127.0.0.1)\nSlurmctldHost=ctl2(127.0.0.2)"
TAKEOVER_SECONDS = 10
READY_SECONDS = 90.0


def can_have_hosts() -> bool:
    """Whether namespaces of host names and mounts can be made here."""
    return subprocess.run([*UNSHARE, "true"], capture_output=True, check=False).returncode == 0


class Backup:
    """A first slurmctld and its backup in place of the sandbox's one.

    `runs` are the directories of the sockets of the hetds beside them.
    """

    def __init__(self, box: Sandbox, runs: tuple[Path, Path]) -> None:
        self.box = box
        conf = box.layout.slurm_conf
        text = conf.read_text().replace("SlurmctldHost=localhost(127.0.0.1)", HOSTS)
        timeout = f"SlurmctldTimeout={TAKEOVER_SECONDS}"
        conf.write_text(re.sub("^SlurmctldTimeout=.*", timeout, text, flags=re.MULTILINE))
        listed = box.run(["sinfo", "-h", "-N", "-o", "%N"]).stdout
        nodes = list(dict.fromkeys(listed.split()))
        end([p for p in box.daemons() if p.name == "slurmctld"], 10.0)
        (box.layout.run / "slurmctld.pid").unlink(missing_ok=True)  # we know that it is gone
        for name, run in zip(("ctl1", "ctl2"), runs, strict=True):
            (box.dir / name).symlink_to(run)  # where its hook looks for hetd
        self.both = [Controller(box, name) for name in ("ctl1", "ctl2")]
        for node in nodes:  # they must know of the second
            box.kill_slurmd(node)
            box.start_slurmd(node)
        deadline = time.monotonic() + READY_SECONDS
        while self._idle() != set(nodes) and time.monotonic() < deadline:
            time.sleep(0.5)
        shutil.copy(conf, box.dir / "slurm.conf.both")

    def _idle(self) -> set[str]:
        return set(self.box.run(["sinfo", "-h", "-N", "-t", "idle", "-o", "%N"]).stdout.split())

    def pids(self) -> list[int]:
        """The slurmctlds that live."""
        return [c.process.pid for c in self.both if c.process.poll() is None]

    @contextmanager
    def first_away(self) -> Iterator[None]:
        """The first one ends, the backup takes over; then it is given back as docs/gate.md says."""
        first, second = self.both
        first.stop()
        try:
            yield
        finally:
            second.stop()
            first.start()
            second.start()

    def close(self) -> None:
        """End both."""
        for controller in self.both:
            controller.kill()
