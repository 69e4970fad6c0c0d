"""A real systemd as PID 1 of namespaces of its own: this machine's files under an overlay.

Nothing of it is seen outside, and all of it is gone when its PID 1 is killed.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

SYSTEMD = Path("/lib/systemd/systemd")
SCRIPT = r"""
set -e
echo $$ > "$CGROUP/cgroup.procs"
exec unshare --fork --pid --mount --uts --ipc --cgroup --propagation private \
    bash -ec "$INNER" inner
"""
# The overlay's upper layer is in memory; `$BIND` keeps its real directory, for its sockets.
INNER = r"""
mount -t tmpfs -o size=64m tmpfs "$BASE"
root=$BASE/root
mkdir -p "$BASE/up" "$BASE/work" "$root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$BASE/up,workdir=$BASE/work" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount --bind "$BIND" "$root$BIND"
# Nothing starts that was not asked for: it might clean up or set what is the real machine's.
rm -rf "$root"/lib/systemd/system/*.wants "$root"/etc/systemd/system/*.wants
cp -r "$UNITS/." "$root/etc/systemd/system/"
cd "$root"
mkdir oldroot
pivot_root . oldroot
umount -l oldroot
export container=other
exec /lib/systemd/systemd --system --unit=idle.target --log-target=console --show-status=no
"""
IDLE = "[Unit]\nDescription=Nothing\nDefaultDependencies=no\n"


class CannotBootError(Exception):
    """Why a systemd cannot run here."""


class SystemdHost:
    """Boot with `SystemdHost(base, bind, units)`; `systemctl` talks to it; `stop` ends it all."""

    def __init__(self, base: Path, bind: Path, units: Mapping[str, str]) -> None:
        if not SYSTEMD.exists():
            raise CannotBootError("systemd is not installed")
        if re.search(r"^\S+ \S+ \S+ \S+ /usr ", Path("/proc/self/mountinfo").read_text(), re.M):
            raise CannotBootError("/usr is another tree's: the overlay would show this machine's")
        self.log = base / "log"
        places = {"units": base / "units", "root": base / "mnt"}
        for path in places.values():
            path.mkdir()
        for name, text in {"idle.target": IDLE, **units}.items():
            path = places["units"] / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        self.cgroup = _cgroup2() / f"het-test-{os.getpid()}"
        self.cgroup.mkdir()
        env = os.environ | {
            "CGROUP": str(self.cgroup), "BASE": str(places["root"]), "BIND": str(bind),
            "UNITS": str(places["units"]), "INNER": INNER,
        }  # fmt: skip
        with self.log.open("wb") as log:
            self.unshare = subprocess.Popen(
                ["bash", "-ec", SCRIPT], env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        try:
            self.pid = self._wait_running()
        except CannotBootError:
            self.stop()
            raise

    def _wait_running(self) -> int:
        """PID 1's id out here, once it has booted."""
        deadline = time.monotonic() + 60
        children = Path(f"/proc/{self.unshare.pid}/task/{self.unshare.pid}/children")
        while time.monotonic() < deadline and self.unshare.poll() is None:
            with contextlib.suppress(OSError, ValueError, IndexError):
                self.pid = int(children.read_text().split()[0])
                # Until it has its new root the outer systemctl would not find it: it is refused.
                if self.systemctl("is-system-running").stdout.strip() in {"running", "degraded"}:
                    return self.pid
            time.sleep(0.2)
        raise CannotBootError(f"systemd did not boot: {self.log.read_text()[-800:].strip()}")

    def systemctl(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run systemctl inside."""
        argv = ["nsenter", "-t", str(self.pid), "-m", "-p", "-u", "-i", "-C", "systemctl", *words]
        return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)

    def stop(self) -> None:
        """Kill PID 1, and with it every process inside; remove its control groups."""
        for pid in map(int, self._inside()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.unshare.wait(10)
        self.unshare.kill()
        self.unshare.wait()
        deadline = time.monotonic() + 5
        while self.cgroup.exists() and time.monotonic() < deadline:
            for directory, _, _ in os.walk(self.cgroup, topdown=False):
                with contextlib.suppress(OSError):  # busy until its processes are reaped
                    os.rmdir(directory)
            time.sleep(0.05)

    def _inside(self) -> list[str]:
        pids = []
        for path in self.cgroup.rglob("cgroup.procs"):
            with contextlib.suppress(OSError):
                pids += path.read_text().split()
        return pids


def _cgroup2() -> Path:
    for line in Path("/proc/mounts").read_text().splitlines():
        _, where, kind, options, *_ = line.split()
        if kind == "cgroup2" and "rw" in options.split(",") and os.access(where, os.W_OK):
            return Path(where)
    raise CannotBootError("no writable cgroup2 file system is mounted")
