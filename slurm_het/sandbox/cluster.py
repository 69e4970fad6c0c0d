"""A real Slurm cluster on one machine: slurmctld, a slurmd per emulated node, munged, hetd."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from slurm_het.errors import HetError
from slurm_het.sandbox import database, procs
from slurm_het.sandbox import root as slurm_root
from slurm_het.sandbox.accounting import Accounting
from slurm_het.sandbox.daemons import SUPERVISOR, Daemons
from slurm_het.sandbox.layout import (
    account,
    free_ports,
    require_own_name,
    require_programs,
    require_root,
    require_users,
)
from slurm_het.sandbox.render import SandboxPlan, write_all
from slurm_het.sandbox.topology import DEFAULT_TOPOLOGY, Topology, accounting_for, load_topology

HETD_SECONDS = 60.0
HETD_ARGV = (sys.executable, "-c", "from slurm_het.daemon.app import main; main()")

Say = Callable[[str], None]


def _quiet(_line: str) -> None:
    pass


class Sandbox(Daemons):
    """A running sandbox; leaving it as a context manager takes it down."""

    @classmethod
    def up(
        cls,
        directory: Path,
        topology: Topology | Path | None = None,
        *,
        hetd: bool = True,
        hook: bool = True,
        accounting: bool | Accounting = False,
        overrides: Mapping[str, Any] | None = None,
        slurm_user: str = "root",
        say: Say = _quiet,
    ) -> Self:
        """Start a sandbox and wait until every node is idle; on any failure take it down again.

        `accounting` adds slurmdbd on a database, filled from a given section, or from the
        topology's own or the default one. `overrides` are merged into het.yaml; slurmctld and hetd
        run as `slurm_user`; `say` gets progress lines.
        """
        require_root("sandbox up")
        require_own_name()
        if not isinstance(topology, Topology):
            topology = load_topology(topology or DEFAULT_TOPOLOGY)
        section = accounting_for(topology, accounting)
        version = require_programs(accounting=section is not None)
        require_users(section.users if section else ())
        if hetd:
            _require_hetd()
        sandbox = cls(directory)
        sandbox._claim(say)
        with ExitStack() as undo:
            undo.callback(sandbox.down)
            ports = free_ports(len(topology.nodes) + 2)
            sandbox.layout.make_dirs(topology.nodes, owner=account(slurm_user).pw_uid)
            plan = SandboxPlan(
                sandbox.layout, topology, version, ports, hook, overrides or {}, slurm_user, section
            )
            write_all(plan)
            sandbox._boot(plan, say)
            if hetd:
                say("starting hetd under its supervisor")
                sandbox.start_hetd()
            undo.pop_all()
        return sandbox

    def down(self, keep_logs: bool = False) -> None:
        """Stop every process of the sandbox and remove its directory; safe to repeat."""
        require_root("sandbox down")
        if not self.layout.marker.exists():
            return
        self.stop_hetd()
        daemons = self.daemons()
        munged = [process for process in daemons if process.name == "munged"]
        slurm = [process for process in daemons if process not in munged]
        # Job steps first: a slurmd waits for them, and nobody needs their last words.
        procs.end(procs.strays(self.dir), 0.0, signal.SIGKILL)
        procs.end(slurm, 5.0)
        procs.end(procs.strays(self.dir), 0.0, signal.SIGKILL)
        procs.end(munged, 2.0)
        for path in self.dir.iterdir():
            if path in (self.layout.marker, self.layout.log) and keep_logs:
                continue
            _remove(path)
        if not keep_logs:
            self.dir.rmdir()

    def start_hetd(self) -> None:
        """Start hetd under its supervisor and wait until it says it is ready."""
        config = str(self.config_path)
        supervise = [sys.executable, "-m", "slurm_het.supervise", "--config", config]
        supervise += ["--status-file", str(self._hetd_status), "--restart-seconds", "2", "--"]
        argv = [*supervise, *HETD_ARGV, "--config", config]
        supervisor = self._spawn(SUPERVISOR, argv, user=self.slurm_user)
        deadline = time.monotonic() + HETD_SECONDS
        while self._hetd_state()[1] != "ready":
            if time.monotonic() > deadline or not supervisor.alive:
                raise HetError(
                    f"hetd did not become ready\n{self.layout.log_tail(SUPERVISOR)}",
                    "or start the sandbox without it: --no-hetd",
                )
            time.sleep(0.05)

    def stop_hetd(self) -> None:
        """Stop the supervisor and hetd; the supervisor opens the gate on its way out."""
        procs.end([p for p in self.daemons() if p.name == SUPERVISOR], 10.0)
        (self.layout.run / f"{SUPERVISOR}.pid").unlink(missing_ok=True)
        self._hetd_status.unlink(missing_ok=True)

    def hetd_pid(self) -> int | None:
        """The pid of hetd, or None while it does not run."""
        pid, _ = self._hetd_state()
        return pid if pid and procs.start_time(pid) else None

    def kill_hetd(self, number: int = signal.SIGKILL) -> None:
        """Send hetd a signal; its supervisor deals with the consequences."""
        pid = self.hetd_pid()
        if pid is None:
            raise HetError("hetd is not running", "start it: Sandbox.start_hetd()")
        os.kill(pid, number)

    def _claim(self, say: Say) -> None:
        """Make the directory ours: clear a dead sandbox, refuse a live one and foreign files."""
        if self.running:
            raise HetError(
                f"a sandbox is already running in {self.dir}",
                f"use it, or stop it first: slurm-het sandbox down --dir {self.dir}",
            )
        if self.layout.marker.exists():
            say(f"removing the leftovers of a dead sandbox in {self.dir}")
            self.down()
        try:
            self.dir.mkdir(parents=True, exist_ok=True)
            if any(self.dir.iterdir()):
                raise HetError(f"{self.dir} has other files in it", "choose another --dir")
            self.layout.marker.touch(exist_ok=False)
        except OSError as error:
            hint = "choose another --dir"
            raise HetError(f"cannot use {self.dir}: {error.strerror}", hint) from error

    def _boot(self, plan: SandboxPlan, say: Say) -> None:
        nodes, ports = plan.topology.nodes, plan.ports
        facts = {"nodes": nodes, "ports": [ports.start, ports.stop]}
        more = {"slurm_user": plan.slurm_user, "root": slurm_root.current()}
        self.layout.marker.write_text(json.dumps(facts | more))
        say(f"starting munged, slurmctld and {len(nodes)} slurmd")
        self.start_munged()
        if plan.accounting:
            say("starting MariaDB and slurmdbd")
            database.make(self.layout, plan.slurm_user)
            self.start_mariadbd()
            self.start_slurmdbd()
            self.sacctmgr(plan.accounting.calls_before())
        self.start_slurmctld()
        for node in nodes:
            self.start_slurmd(node)
        if plan.accounting:
            say("adding accounts, users and their limits")
            self.wait_registered(plan.accounting.counted(plan.topology.tres()))
            self.sacctmgr(plan.accounting.calls_after())
        say("waiting until all nodes are idle")
        self.wait_idle(len(nodes))

    @property
    def _hetd_status(self) -> Path:
        return self.layout.run / "hetd.status"

    def _hetd_state(self) -> tuple[int, str]:
        """The pid and `starting` or `ready`, as the supervisor writes them; 0 without hetd."""
        words: list[str] = []
        with suppress(FileNotFoundError):
            words = self._hetd_status.read_text().split()
        return (int(words[0]), words[1]) if len(words) == 2 else (0, "")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.down()


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _require_hetd() -> None:
    if importlib.util.find_spec("slurm_het.daemon.app") is None:
        raise HetError("hetd is not part of this installation", "start with --no-hetd")
