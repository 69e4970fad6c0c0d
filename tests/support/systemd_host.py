"""A real systemd as PID 1 of namespaces of its own: a machine's files under an overlay.

Nothing of it is seen outside, and all of it is gone when its PID 1 is killed.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
INSIDE = ("-m", "-p", "-u", "-i", "-n", "-C")
SYSTEMD = Path("/lib/systemd/systemd")
SCRIPT = r"""
set -e
echo $$ > "$CGROUP/cgroup.procs"
exec unshare --fork --pid --mount --uts --ipc --cgroup --propagation private ${NAME:+--net} \
    bash -ec "$INNER" inner
"""
# The overlay's upper layer is in memory. What `$BINDS` names (WHAT WHERE, a line each) is real, for
# its sockets. A host with a name has devices of its own.
INNER = r"""
mount -t tmpfs -o size=512m tmpfs "$BASE"
root=$BASE/root
mkdir -p "$BASE/up" "$BASE/work" "$root"
mount -t overlay overlay -o "lowerdir=$LOWER,upperdir=$BASE/up,workdir=$BASE/work" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
if [ "$NAME" ]; then
    echo "$NAME" > "$root/etc/hostname"
    mount -t tmpfs -o mode=755 tmpfs "$root/dev"
    cp -a /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty "$root/dev"
    mkdir "$root/dev/pts"
    mount -t devpts -o newinstance,ptmxmode=666 devpts "$root/dev/pts"
    ln -s pts/ptmx "$root/dev/ptmx"
else
    mount --rbind /dev "$root/dev"
fi
mount -t tmpfs -o mode=755 tmpfs "$root/run"
while read -r what where; do
    mkdir -p "$root$where"
    mount --bind "$what" "$root$where"
done <<< "$BINDS"
# Nothing starts that was not asked for: it might clean up or set what is the real machine's.
rm -rf "$root"/lib/systemd/system/*.wants "$root"/etc/systemd/system/*.wants
cp -r "$UNITS/." "$root/etc/systemd/system/"
cd "$root"
mount --move . / # not pivot_root(8), which Debian testing has not
export container=other
exec chroot . /lib/systemd/systemd --system --unit=idle.target --log-target=console --show-status=no
"""
IDLE = "[Unit]\nDescription=Nothing\nDefaultDependencies=no\n"


class CannotBootError(Exception):
    """Why a systemd cannot run here."""


@dataclass(frozen=True)
class Machine:
    """What a host is made of.

    `layers` are its files, the upper ones first; `binds` the directories that it shares, by their
    places in it. One with a `name` has it as its host name, and a network that only `cable` leaves.
    """

    units: Mapping[str, str]
    binds: Mapping[Path, str]
    name: str = ""
    layers: Sequence[Path] = (Path("/"),)


class SystemdHost:
    """Boot with `SystemdHost(base, machine)`; `systemctl` talks to it; `stop` ends it all."""

    def __init__(self, base: Path, machine: Machine) -> None:
        base.mkdir(exist_ok=True)
        if not SYSTEMD.exists():
            raise CannotBootError("systemd is not installed")
        mounts = Path("/proc/self/mountinfo").read_text()
        ours = Path("/") in machine.layers
        if ours and re.search(r"^\S+ \S+ \S+ \S+ /usr ", mounts, re.MULTILINE):
            raise CannotBootError("/usr is another tree's: the overlay would show this machine's")
        self.log = base / "log"
        places = {"units": base / "units", "root": base / "mnt"}
        for path in places.values():
            path.mkdir()
        for name, text in {"idle.target": IDLE, **machine.units}.items():
            path = places["units"] / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        self.cgroup = _cgroup2() / f"het-test-{os.getpid()}{machine.name}"
        self.cgroup.mkdir()
        env = os.environ | {
            "CGROUP": str(self.cgroup), "BASE": str(places["root"]), "NAME": machine.name,
            "LOWER": ":".join(map(str, machine.layers)), "UNITS": str(places["units"]),
            "BINDS": "\n".join(f"{what} {where}" for what, where in machine.binds.items()),
            "INNER": INNER,
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
        return self.run("systemctl", *words)

    def run(self, *argv: str, seconds: float = 60) -> subprocess.CompletedProcess[str]:
        """Run a program inside, as root."""
        enter = ["nsenter", "-t", str(self.pid), *INSIDE, *argv]
        return subprocess.run(
            enter, capture_output=True, text=True, timeout=seconds, check=False, env={"PATH": PATH}
        )

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
