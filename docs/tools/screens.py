"""The pictures of docs/screens, of what the programs show on a real Slurm: `./dev screens`.

A sandbox with staged jobs; each program runs on a terminal of its own, and rich draws what it
printed. The page is photographed by Chromium, where that is installed.
"""

from __future__ import annotations

import fcntl
import io
import json
import os
import pty
import random
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path
from typing import NamedTuple

import msgspec
from rich.console import Console
from rich.text import Text

from slurm_het.cli.documents import PageDocument, PageMoment
from slurm_het.cli.page_view import DAY, STEP
from slurm_het.sandbox.cluster import Sandbox

SCREENS = Path(__file__).parents[1] / "screens"
COLUMNS, LINES = 112, 60
PATIENCE = 60.0
PAUSE = 2.0
SCRIPT = """#!/bin/bash
{loads}
{program}
sleep 3000
"""
"""Nothing of it is here, and it goes on: what counts is what it says."""
FONT = "'DejaVu Sans Mono', Menlo, Consolas, monospace"


class Staged(NamedTuple):
    """A job: its user and name, what it asks, what its script loads and runs."""

    user: str
    name: str
    asks: str
    loads: str
    program: str


JOBS = (
    Staged("games", "llm-8gpu", "--gres=gpu:8 -t 8:00:00", "module load cuda", "torchrun train.py"),
    Staged("news", "ft-rocm", "--gres=gpu:4 -t 2:00:00", "module load rocm", "deepspeed ft.py"),
    Staged("news", "sweep", "--gres=gpu:2 -t 3:00:00 -a 0-1", "module load rocm", "python fit.py"),
    Staged("irc", "vllm-7b", "--gres=shard:24 -t 4:00:00", "module load cuda", "vllm serve m"),
    Staged("irc", "whisper", "--gres=shard:10 -t 1:00:00", "module load cuda", "python infer.py"),
    Staged("mail", "pangu", "--gres=npu:8 -t 1-00:00", "module load cann", "python train.py"),
    Staged("games", "llm-16", "-N2 --gres=gpu:8 -t 9:00:00", "module load cuda", "torchrun t.py"),
    Staged("irc", "eval", "--gres=gpu:a100:4 -t 12:00:00", "module load cuda", "python eval.py"),
    Staged("mail", "held", "--gres=gpu:1 -H", "module load cuda", "python train.py"),
)
"""In the order of their submission; the last three wait."""
WAIT = 3
SETTLED = {"held", "busy", "behind", "kept"}


def main() -> None:
    """Write all pictures."""
    SCREENS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="het-") as base:
        Path(base).chmod(0o711)  # munged, and other users' jobs, have to get through
        with Sandbox.up(Path(base, "box")) as box:
            box.run(["scontrol", "update", "NodeName=dcu1", "State=DRAIN", "Reason=bad fan"])
            ids = [_submitted(box, job) for job in JOBS]
            _settled(box)
            _draw(box, ids[-WAIT])
            _photograph(box, Path(base, "page"))


def _draw(box: Sandbox, waits: str) -> None:
    """The programs on their terminals; `waits` is a job that does."""
    for name, command in {
        "het-squeue": ["het-squeue"],
        "het-squeue-start": ["het-squeue", "--start"],
        "het-squeue-totals": ["het-squeue", "--totals"],
        "het-sinfo": ["het-sinfo"],
        "slurm-het-status": ["slurm-het", "status"],
        "slurm-het-why": ["slurm-het", "why", waits],
    }.items():
        drawn = picture(on_terminal(box, command), " ".join(command))
        (SCREENS / f"{name}.svg").write_text(drawn)


def _submitted(box: Sandbox, job: Staged) -> str:
    """Submit a job; its id."""
    script = box.layout.work / f"{job.name}.sh"
    script.write_text(SCRIPT.format(loads=job.loads, program=job.program))
    script.chmod(0o755)
    command = ["sbatch", "--parsable", "-J", job.name, "-o", "/dev/null", *job.asks.split()]
    done = box.run([*command, f"{script}"], user=job.user)
    if done.returncode:
        sys.exit(f"{job.name}: {done.stderr}")
    time.sleep(PAUSE)  # each is planned by itself, as on most days
    return done.stdout.strip()


def _settled(box: Sandbox) -> None:
    """Wait until all run that can."""
    deadline = time.monotonic() + PATIENCE
    waiting: list[dict[str, str]] = []
    while time.monotonic() < deadline:
        told = json.loads(box.run(_program(["het-squeue", "--json"])).stdout)
        waiting = [job for job in told["jobs"] if job["state"] == "PENDING"]
        if len(waiting) == WAIT and {job["reason_code"] for job in waiting} <= SETTLED:
            time.sleep(3)
            return
        time.sleep(0.5)
    sys.exit(
        f"the jobs did not settle: {[(j['name'], j['state'], j['reason_code']) for j in waiting]}"
    )


def _program(command: list[str]) -> list[str]:
    """A program of ours, by this Python."""
    modules = {"het-squeue": "squeue", "het-sinfo": "sinfo", "slurm-het": "admin"}
    return [sys.executable, "-m", f"slurm_het.cli.{modules[command[0]]}", *command[1:]]


def on_terminal(box: Sandbox, command: list[str]) -> str:
    """What a command prints on a terminal, with its colours."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    env = {k: v for k, v in box.env.items() if k != "NO_COLOR"}
    env |= {"TERM": "xterm-256color", "LC_ALL": "C.UTF-8", "COLUMNS": str(COLUMNS)}
    with subprocess.Popen(_program(command), env=env, stdin=its, stdout=its, stderr=its) as child:
        os.close(its)
        said = b""
        while part := _read(ours):
            said += part
        child.wait(PATIENCE)
    os.close(ours)
    return said.decode("utf-8", "replace").replace("\r\n", "\n")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # the other side is closed
        return b""


def picture(said: str, title: str) -> str:
    """A terminal that shows it, as SVG."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), legacy_windows=False)
    console.print(Text.from_ansi(said.rstrip()), soft_wrap=True)
    drawn = console.export_svg(title=title)
    local = re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL)  # it would load these
    return local.replace("Fira Code, monospace", FONT)


def _photograph(box: Sandbox, directory: Path) -> None:
    """The page in a browser."""
    browser = shutil.which("chromium")
    if not browser:
        print("no chromium here: page.png stays as it is")
        return
    make = _program(["slurm-het", "page", "--out", str(directory), "--renewed", "30"])
    box.run(make)
    _stage_a_day(directory / "staff" / "page.json")
    box.run(make)
    subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
         "--disable-background-networking", f"--user-data-dir={directory}/profile",
         "--window-size=1100,1640", f"--screenshot={SCREENS}/page.png",
         (directory / "staff" / "index.html").as_uri()],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip


def _stage_a_day(page: Path) -> None:
    """Moments of a day that was not, as a page that is made next finds them."""
    told = msgspec.json.decode(page.read_bytes(), type=PageDocument)
    now, chance = told.day[-1], random.Random(3)  # noqa: S311 - a picture
    used = {pool.pool: pool.used for pool in told.pools}
    day: list[PageMoment] = []
    for ago in range(DAY - STEP, STEP, -STEP):
        for pool in told.pools:
            step = chance.choice([-2, -1, 0, 0, 0, 1, 2])
            used[pool.pool] = min(pool.devices, max(0, used[pool.pool] + step))
        waiting = max(0, sum(used.values()) - 30)
        longest = day[-1].longest_seconds + STEP if day and waiting else 0
        moment = msgspec.structs.replace(
            now, time=now.time - ago, used=dict(used), waiting=waiting,
            longest_seconds=longest % (3 * 3600),
        )  # fmt: skip
        day.append(moment)
    page.write_bytes(msgspec.json.encode(msgspec.structs.replace(told, day=day)))


if __name__ == "__main__":
    main()
