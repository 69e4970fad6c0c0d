"""What `het-squeue -i 2` asks of slurmctld and sends to a terminal, beside squeue -i 2.

    ./dev bench refresh [--seconds 60] [--no-record]
    R=$(./dev root 24.11); sh templates/enter_root.sh $R python -m bench.refresh

A sandbox with hetd has 28 jobs that run and 28 that wait; nothing changes but the time. Each
program runs as a plain user in a terminal of 24 by 80 for so long: het-squeue -i 2; then squeue
-i 2, beside which `scontrol show node` is asked at each of its refreshes, as who wants to know of
nodes does.

calls       of that user, of any kind, as sdiag counts them; to start with: those of het-squeue once
clears      of the whole screen
bytes       of a refresh after the first
"""

from __future__ import annotations

import os
import pty
import pwd
import re
import select
import signal
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from bench import in_sandbox
from bench.results import head, publish, recorded, table
from bench.sooner_stages import POOLS
from slurm_het.errors import HetError
from slurm_het.sandbox.cluster import Sandbox
from slurm_het.sandbox.layout import slurm_version

USER = "nobody"
EVERY = 2
QUIET_SECONDS = 0.3  # so long nothing is sent: a refresh has ended
END_SECONDS = 20.0
COLUMNS = "", "refreshes", "calls", "a refresh", "clears", "bytes, median", "bytes, most"
SLEEP = "#!/bin/sh\nsleep 1800\n"


@dataclass(frozen=True)
class Watched:
    """What a program sent, a part for each refresh, and how many calls its user has made."""

    parts: tuple[bytes, ...]
    calls: int

    def row(self, name: str, first: bytes) -> list[str]:
        """A row of the table; what comes before the part with these words is not a screen yet."""
        screen = next((n for n, part in enumerate(self.parts) if first in part), 0)
        after = [len(part) for part in self.parts[screen + 1 :]] or [0]
        refreshes = len(self.parts) - screen
        clears = sum(part.count(b"\x1b[2J") + part.count(b"\x1b[J") for part in self.parts)
        figures = [f"{self.calls}", f"{self.calls / refreshes:.1f}", f"{clears}"]
        return [name, f"{refreshes}", *figures, f"{statistics.median(after):.0f}", f"{max(after)}"]


def fill(box: Sandbox) -> None:
    """Jobs that run and jobs that wait. Raises HetError if they do not."""
    for pool in POOLS:
        for _ in range(4):
            busy = ("-p", pool.partition, "-t", "60", "--mem=1G", f"--gres=gpu:{pool.devices // 2}")
            in_sandbox.submit(box, *busy, script=SLEEP)
    running = ("squeue", "-h", "-a", "-t", "R", "-o", "%A")
    if not in_sandbox.within(120.0, lambda: len(in_sandbox.ok(box, *running).split()) == 28):
        raise HetError("not all of the jobs run that were to")
    for pool in POOLS:
        for count in (1, 2, pool.devices, pool.devices):
            in_sandbox.submit(box, f"--gres=gpu:{pool.type}:{count}", "-t", "50", "--mem=1G",
                              script=SLEEP)  # fmt: skip


def calls(box: Sandbox) -> int:
    """How often the user has called slurmctld since `sdiag -r`."""
    text = in_sandbox.ok(box, "sdiag")
    by_user = text.partition("statistics by user")[2]
    found = re.search(rf"^\s*{USER}\s+\(\s*\d+\) count:(\d+)", by_user, re.M)
    return int(found.group(1)) if found else 0


def watch(box: Sandbox, seconds: float, argv: Sequence[str], aside: Sequence[str] = ()) -> Watched:
    """Run it in a terminal for so long; after each refresh run what is to be asked aside."""
    in_sandbox.ok(box, "sdiag", "-r")
    pid, fd = pty.fork()
    if pid == 0:
        _become(box, argv)
    parts, part, until = [], b"", time.monotonic() + seconds
    try:
        while time.monotonic() < until:
            if select.select([fd], [], [], QUIET_SECONDS)[0]:
                part += os.read(fd, 65536)
            elif part:
                parts.append(part)
                part = b""
                if aside:
                    box.run(aside, user=USER)
    finally:
        _end(pid, fd)
    return Watched(tuple(parts), calls(box))


def _become(box: Sandbox, argv: Sequence[str]) -> None:
    """The program, as the user, in place of this process."""
    try:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        who = pwd.getpwnam(USER)
        os.setgroups([])
        os.setgid(who.pw_gid)
        os.setuid(who.pw_uid)
        env = box.env | {"TERM": "xterm", "LC_ALL": "C.UTF-8", "LINES": "24", "COLUMNS": "80"}
        os.chdir("/")
        os.execvpe(argv[0], list(argv), env)  # noqa: S606  # in a terminal of its own
    finally:
        os._exit(127)


def _end(pid: int, fd: int) -> None:
    """Ctrl-C; SIGKILL for what goes on all the same."""
    os.kill(pid, signal.SIGINT)
    until = time.monotonic() + END_SECONDS
    while not os.waitpid(pid, os.WNOHANG)[0]:
        if time.monotonic() > until:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            break
        try:
            if select.select([fd], [], [], 0.1)[0]:
                os.read(fd, 65536)
        except OSError:  # its end of the terminal is closed
            time.sleep(0.1)
    os.close(fd)


def main() -> None:
    """Print the table, and put it into RESULTS.md."""
    parser = recorded(__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="of each program (60)")
    options = parser.parse_args()
    het = (sys.executable, "-m", "slurm_het.cli.squeue")
    with in_sandbox.fresh() as box:
        fill(box)
        time.sleep(5.0)
        in_sandbox.ok(box, "sdiag", "-r")
        in_sandbox.ok(box, *het, user=USER)
        once = calls(box)
        ours = watch(box, options.seconds, (*het, "-i", f"{EVERY}"))
        nodes = ("scontrol", "show", "node")
        theirs = watch(box, options.seconds, ("squeue", "-i", f"{EVERY}"), nodes)
    rows = [ours.row("het-squeue -i 2", b"JOBID"), theirs.row("squeue -i 2, nodes", b"JOBID")]
    load = f"Slurm {slurm_version().text}, load {os.getloadavg()[0]:.0f}"
    command = f"./dev bench refresh --seconds {options.seconds:g}"
    text = [*head("refresh", command, load), f"het-squeue once: {once} calls.", "",
            *table(COLUMNS, rows)]  # fmt: skip
    publish(text, options)


if __name__ == "__main__":
    main()
