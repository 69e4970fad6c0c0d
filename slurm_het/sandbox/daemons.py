"""The daemons of a sandbox: munged, Slurm's, and the database of its accounting."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from slurm_het.errors import HetError, SlurmError
from slurm_het.sandbox import database, procs
from slurm_het.sandbox.accounting import CLUSTER
from slurm_het.sandbox.layout import (
    SandboxLayout,
    account,
    checked_dir,
    program,
    require_root,
    search_path,
)
from slurm_het.sandbox.procs import Process

BOOT_SECONDS = 120.0  # each takes a second or two; machines that do much else are slow
SUPERVISOR = "supervisor"


class Daemons:
    """The daemons in one sandbox directory, and commands that talk to them."""

    def __init__(self, directory: Path) -> None:
        """Attach to `directory`; `Sandbox.up` makes a new one."""
        self.layout = SandboxLayout(checked_dir(directory))
        self._complaint = ""  # of the last command that was asked while waiting

    @property
    def dir(self) -> Path:
        """The directory that holds all of the sandbox."""
        return self.layout.dir

    @property
    def config_path(self) -> Path:
        """The slurm-het configuration, het.yaml."""
        return self.layout.het_config

    @property
    def root(self) -> str:
        """The root whose Slurm runs here, '' for this machine's own or when nothing runs.

        Commands for the sandbox must run in the same root.
        """
        marker = self.layout.marker
        text = marker.read_text() if marker.exists() else ""
        return str(json.loads(text)["root"]) if text else ""

    @property
    def env(self) -> dict[str, str]:
        """The environment in which Slurm's and slurm-het's commands talk to this sandbox."""
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM", "SBATCH_"))}
        return inherited | {
            "SLURM_CONF": str(self.layout.slurm_conf),
            "HET_CONFIG": str(self.config_path),
            "PATH": f"{self.layout.bin}:{search_path()}",
        }

    @property
    def slurm_user(self) -> str:
        """SlurmUser, as whom hetd runs too."""
        facts = json.loads(self.layout.marker.read_text() or "{}")
        return str(facts.get("slurm_user", "root"))

    def run(
        self, argv: Sequence[str], user: str | None = None, **kw: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run a command against this sandbox, optionally as another user (needs root).

        Unless `kw` says otherwise: output captured as text, at most 60 s, in the work directory.
        """
        options: dict[str, Any] = {"text": True, "timeout": 60, "cwd": self.layout.work}
        options["errors"] = "replace"  # a job's name may be any bytes
        if "stdout" not in kw and "stderr" not in kw:
            options["capture_output"] = True
        env = self.env
        if user is not None:
            require_root("sandbox run --user")
            options |= {"user": user, "group": account(user).pw_gid, "extra_groups": []}
            env |= {"USER": user, "LOGNAME": user}
        options |= {"env": env, "check": False}
        done: subprocess.CompletedProcess[str] = subprocess.run(list(argv), **(options | kw))
        return done

    def daemons(self) -> list[Process]:
        """The daemons this sandbox started and recorded, alive or not."""
        return procs.read_recorded(self.layout.run)

    @property
    def running(self) -> bool:
        """Whether any of its daemons is alive."""
        return any(process.alive for process in self.daemons())

    def require_running(self) -> None:
        """Raise `HetError` with the remedy if there is no live sandbox here."""
        if not self.running:
            raise HetError(
                f"no sandbox is running in {self.dir}",
                f"start one: slurm-het sandbox up --dir {self.dir}",
            )

    def start_munged(self) -> None:
        """Start munged and wait until it listens."""
        private = self.dir / "munge"
        argv = [program("munged"), "--foreground", f"--socket={self.layout.munge_socket}"]
        argv += [f"--key-file={private / 'key'}", f"--seed-file={private / 'seed'}"]
        argv += [f"--pid-file={private / 'pid'}", f"--log-file={private / 'log'}"]
        self._spawn("munged", argv)
        self._wait_for("munged listens", "munged", self.layout.munge_socket.exists)

    def start_slurmctld(self) -> None:
        """Start slurmctld; it answers a moment later."""
        self._spawn("slurmctld", [program("slurmctld"), "-D"])

    def restart_slurmctld(self) -> None:
        """Stop slurmctld, start it on its saved state, and wait until it answers."""
        procs.end(self._alive("slurmctld"), 60.0)  # killed, it would forget jobs
        self.start_slurmctld()
        self._wait_for("slurmctld answers", "slurmctld", self._answers)

    def kill_slurmd(self, node: str) -> bool:
        """Kill -9 a node's slurmd, as if the node had died; whether it was alive."""
        return self._kill(f"slurmd-{node}")

    def start_slurmd(self, node: str) -> bool:
        """Start a node's slurmd unless it runs; whether it had to be."""
        if self._alive(f"slurmd-{node}"):
            return False
        self._spawn(f"slurmd-{node}", [program("slurmd"), "-D", "-N", node])
        return True

    def start_mariadbd(self) -> bool:
        """Start the database unless it runs, and wait until it listens; whether it had to be."""
        if self._alive("mariadbd"):
            return False
        self.layout.database_socket.unlink(missing_ok=True)
        self._spawn("mariadbd", database.server(self.layout, self.slurm_user), self.slurm_user)
        self._wait_for("mariadbd listens", "mariadbd", self.layout.database_socket.exists)
        return True

    def kill_mariadbd(self) -> bool:
        """Kill -9 the database, as if its host had died; whether it was alive."""
        return self._kill("mariadbd")

    def start_slurmdbd(self) -> bool:
        """Start slurmdbd unless it runs, and wait until it answers; whether it had to be."""
        if self._alive("slurmdbd"):
            return False
        where = {database.SOCKET_VARIABLE: str(self.layout.database_socket)}
        self._spawn("slurmdbd", [program("slurmdbd"), "-D"], self.slurm_user, where)
        self._wait_for("slurmdbd answers", "slurmdbd", self._keeps_accounts)
        return True

    def kill_slurmdbd(self) -> bool:
        """Kill -9 slurmdbd, as if its host had died; whether it was alive."""
        return self._kill("slurmdbd")

    def restart_slurmdbd(self) -> None:
        """Stop slurmdbd, start it on its database, and wait until it answers."""
        procs.end(self._alive("slurmdbd"), 30.0)
        self.start_slurmdbd()

    def sacctmgr(self, calls: Iterable[Sequence[str]]) -> None:
        """Run sacctmgr once for each list of words. Raises SlurmError with the first that fails."""
        for words in calls:
            try:
                done = self.run(["sacctmgr", "-i", *words])
            except subprocess.TimeoutExpired as error:
                raise self._sacctmgr_error(words, str(error)) from error
            if done.returncode != 0:
                raise self._sacctmgr_error(words, done.stdout + done.stderr)

    def _sacctmgr_error(self, words: Sequence[str], said: str) -> SlurmError:
        tail = self.layout.log_tail("slurmdbd")
        return SlurmError(f"sacctmgr {' '.join(words)}: {said.strip()}\n{tail}")

    def wait_registered(self, tres: Iterable[str]) -> None:
        """Wait until slurmdbd knows what slurmctld counts, and can tell it of changes."""
        wanted = set(tres)
        self._wait_for(
            "slurmctld is registered with slurmdbd",
            "slurmctld",
            lambda: self._registered(wanted) and self._answers(),
        )

    def wait_idle(self, nodes: int) -> None:
        """Wait until all of so many nodes are idle."""
        self._wait_for("all nodes are idle", "slurmctld", lambda: self._all_idle(nodes))

    def _alive(self, name: str) -> list[Process]:
        return [p for p in self.daemons() if p.name == name and p.alive]

    def _kill(self, name: str) -> bool:
        found = self._alive(name)
        for process in found:
            (self.layout.run / f"{process.name}.pid").unlink()  # we know that it is gone
        procs.end(found, 0.0, signal.SIGKILL)
        return bool(found)

    def _spawn(
        self, name: str, argv: Sequence[str], user: str = "root", env: dict[str, str] | None = None
    ) -> Process:
        env = self.env | {procs.MARK: str(self.dir)} | (env or {})
        log, record = self.layout.output_of(name), self.layout.run
        return procs.spawn(name, argv, env, log, record, account(user))

    def _wait_for(self, what: str, log: str, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + BOOT_SECONDS
        while True:
            dead = [p.name for p in self.daemons() if not p.alive and p.name != SUPERVISOR]
            if dead:
                tail = self.layout.log_tail(dead[0])
                raise SlurmError(f"{dead[0]} ended while waiting until {what}\n{tail}")
            if ready():
                return
            if time.monotonic() > deadline:
                tail = self.layout.log_tail(log)
                said = f"not within {BOOT_SECONDS:.0f} s: {what}\n{self._complaint}{tail}"
                raise SlurmError(said)
            time.sleep(0.1)

    def _answers(self) -> bool:
        return " is UP" in self._ask("scontrol", "ping")

    def _all_idle(self, count: int) -> bool:
        listed = self._ask("sinfo", "-h", "-N", "-o", "%N %T")
        nodes = dict(line.split() for line in listed.splitlines())
        return len(nodes) == count and set(nodes.values()) == {"idle"}

    def _keeps_accounts(self) -> bool:
        return "root" in self._ask("sacctmgr", "-nP", "show", "account", "format=account")

    def _registered(self, tres: set[str]) -> bool:
        listed = self._ask("sacctmgr", "-nP", "show", "tres", "format=type,name").split()
        port = self._ask("sacctmgr", "-nP", "show", "cluster", CLUSTER, "format=controlport")
        counted = {line.replace("|", "/").strip("/") for line in listed}
        return tres <= counted and port.strip() not in ("", "0")

    def _ask(self, *argv: str) -> str:
        """The output of a Slurm command; empty while its daemon is not there yet."""
        try:
            done = self.run(argv, timeout=2)
        except subprocess.TimeoutExpired as error:
            self._complaint = f"{error}\n"
            return ""
        self._complaint = done.stderr
        return done.stdout
