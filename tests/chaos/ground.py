"""What a sandbox with faults stands on, and how it fails: hetd's storage, Slurm's programs."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

from slurm_het.sandbox.layout import program
from tests.chaos.faults import FAIL_OPEN_SECONDS

OWNER = "slurm"
WRAPPER = """#!/bin/sh
# Slurm's {name}; it fails as the file `faults` beside it says: a line `what how`.
real={path}
what={name}
case "$#$*" in
  0) what=update ;;  # of a job: told on stdin
  *update*PartitionName=*) what=gate ;;
  *show*) [ "$what" = squeue ] || what=show ;;
esac
how=$(sed -n "s/^$what //p" {base}/faults 2>/dev/null)
case "$how" in
  fail) echo "broken for a test" >&2; exit 1 ;;
  empty) exit 0 ;;
  half) "$real" "$@" | head -c 300; exit 0 ;;
  hang) sleep 40; exit 1 ;;
  errors) echo '{{"errors": [{{"error": "slurm_load_jobs"}}], "jobs": []}}'; exit 0 ;;
  denied) echo "Access/permission denied for job 1" >&2; exit 1 ;;
  noop) exit 0 ;;
  done-error) "$real" "$@"; echo "Unspecified error" >&2; exit 1 ;;
  late) sleep 12 ;;
  busy) echo "Resource temporarily unavailable" >&2; exit 1 ;;
esac
exec "$real" "$@"
"""


class Ground:
    """What a sandbox with faults stands on: a file system for hetd's state, Slurm's programs.

    Where none can be mounted (a small Debian tree), it is a directory, and some faults cannot be
    made. Raises subprocess.CalledProcessError if mounting fails.
    """

    def __init__(self, base: Path) -> None:
        self.base, self.state, self.bin = base, base / "state", base / "bin"
        self.state.mkdir(parents=True)
        self.bin.mkdir()
        tools = "mkfs.ext4", "mount", "umount", "fsfreeze"
        self.mounted = all(map(shutil.which, tools))
        if self.mounted:
            image = base / "state.img"
            with image.open("wb") as file:
                file.truncate(24 << 20)
            self.run("mkfs.ext4", "-q", str(image))
            self.disk = base / "disk"
            self.disk.mkdir()
            self.run("mount", "-o", "loop", str(image), str(self.disk))
            self.attach()
        shutil.chown(self.state, OWNER)
        for name in ("scontrol", "squeue"):
            text = WRAPPER.format(name=name, base=base, path=program(name))
            (self.bin / name).write_text(text)
            (self.bin / name).chmod(0o755)
        self.broken: dict[str, str] = {}

    def attach(self) -> None:
        """Have the file system in its place."""
        self.run("mount", "--bind", str(self.disk), str(self.state))

    def detach(self) -> None:
        """Take it away, as a file server goes; who has files open keeps these."""
        self.run("umount", "-l", str(self.state))

    def run(self, *argv: str) -> None:
        """A command that must succeed."""
        subprocess.run(argv, check=True, capture_output=True, timeout=30)

    @property
    def overrides(self) -> dict[str, Any]:
        """What het.yaml says of it."""
        return {
            "paths": {"state_dir": str(self.state), "journal": str(self.state / "journal.db")},
            "slurm": {"bin_dir": str(self.bin)},
            "planner": {
                "poll_seconds": 1.0, "grace_seconds": 3.0, "retry_seconds": 5.0,
                "fail_open_seconds": FAIL_OPEN_SECONDS,
            },
        }  # fmt: skip

    def fail(self, what: str, how: str = "") -> None:
        """From now on Slurm's program fails so; '' is that it works."""
        self.broken = {k: v for k, v in (self.broken | {what: how}).items() if v}
        new = self.base / "faults.new"
        new.write_text("".join(f"{k} {v}\n" for k, v in self.broken.items()))
        new.replace(self.base / "faults")

    def close(self) -> None:
        """Take it away."""
        if not self.mounted:
            return
        undo = (
            ("fsfreeze", "-u", self.disk),
            ("umount", "-l", self.state),
            ("umount", "-l", self.disk),
        )
        for argv in (list(map(str, words)) for words in undo):
            subprocess.run(argv, check=False, capture_output=True, timeout=30)
