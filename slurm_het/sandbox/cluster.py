"""A real Slurm cluster on one machine: slurmctld, a slurmd per emulated node, munged, hetd."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from slurm_het.errors import HetError, SlurmError
from slurm_het.sandbox import procs
from slurm_het.sandbox import root as slurm_root
from slurm_het.sandbox.layout import (
    SandboxLayout,
    account,
    checked_dir,
    free_ports,
    program,
    require_own_name,
    require_root,
    search_path,
    slurm_version,
)
from slurm_het.sandbox.procs import Process
from slurm_het.sandbox.render import SandboxPlan, write_all
from slurm_het.sandbox.topology import DEFAULT_TOPOLOGY, Topology, load_topology

BOOT_SECONDS = 120.0  # each takes a second or two; machines that do much else are slow
HETD_SECONDS = 60.0
SUPERVISOR = "supervisor"
HETD_ARGV = (sys.executable, "-c", "from slurm_het.daemon.app import main; main()")

Say = Callable[[str], None]


def _quiet(_line: str) -> None:
    pass


class Sandbox:
    """A running sandbox; leaving it as a context manager takes it down."""

    def __init__(self, directory: Path) -> None:
        """Attach to `directory`; `Sandbox.up` makes a new one."""
        self.layout = SandboxLayout(checked_dir(directory))

    @classmethod
    def up(
        cls,
        directory: Path,
        topology: Topology | Path | None = None,
        *,
        hetd: bool = True,
        hook: bool = True,
        overrides: Mapping[str, Any] | None = None,
        slurm_user: str = "root",
        say: Say = _quiet,
    ) -> Self:
        """Start a sandbox and wait until every node is idle; on any failure take it down again.

        `overrides` are merged into het.yaml; slurmctld and hetd run as `slurm_user`; `say` gets
        progress lines.
        """
        require_root("sandbox up")
        require_own_name()
        version = slurm_version()
        if not isinstance(topology, Topology):
            topology = load_topology(topology or DEFAULT_TOPOLOGY)
        if hetd:
            _require_hetd()
        sandbox = cls(directory)
        sandbox._claim(say)
        with ExitStack() as undo:
            undo.callback(sandbox.down)
            ports = free_ports(len(topology.nodes) + 1)
            sandbox.layout.make_dirs(topology.nodes, owner=account(slurm_user).pw_uid)
            options = overrides or {}
            write_all(
                SandboxPlan(sandbox.layout, topology, version, ports, hook, options, slurm_user)
            )
            facts: dict[str, Any] = {"nodes": topology.nodes, "ports": [ports.start, ports.stop]}
            facts["slurm_user"] = slurm_user
            facts["root"] = slurm_root.current()
            sandbox.layout.marker.write_text(json.dumps(facts))
            sandbox._boot(topology.nodes, say)
            if hetd:
                say("starting hetd under its supervisor")
                sandbox.start_hetd()
            undo.pop_all()
        return sandbox

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

    def restart_slurmctld(self) -> None:
        """Stop slurmctld, start it on its saved state, and wait until it answers."""
        running = [p for p in self.daemons() if p.name == "slurmctld"]
        procs.end(running, 60.0)  # killed, it would forget jobs
        self._start_slurmctld()
        self._wait_for("slurmctld answers", "slurmctld", self._answers)

    def kill_slurmd(self, node: str) -> bool:
        """Kill -9 a node's slurmd, as if the node had died; whether it was alive."""
        found = [p for p in self.daemons() if p.name == f"slurmd-{node}" and p.alive]
        for process in found:
            (self.layout.run / f"{process.name}.pid").unlink()  # we know that it is gone
        procs.end(found, 0.0, signal.SIGKILL)
        return bool(found)

    def start_slurmd(self, node: str) -> bool:
        """Start a node's slurmd unless it runs; whether it had to be."""
        if any(p.name == f"slurmd-{node}" and p.alive for p in self.daemons()):
            return False
        self._spawn(f"slurmd-{node}", [program("slurmd"), "-D", "-N", node])
        return True

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

    def _boot(self, nodes: Sequence[str], say: Say) -> None:
        say(f"starting munged, slurmctld and {len(nodes)} slurmd")
        self._start_munged()
        self._start_slurmctld()
        for node in nodes:
            self.start_slurmd(node)
        say("waiting until all nodes are idle")
        self._wait_for("all nodes are idle", "slurmctld", lambda: self._all_idle(len(nodes)))

    def _start_munged(self) -> None:
        private = self.dir / "munge"
        argv = [program("munged"), "--foreground", f"--socket={self.layout.munge_socket}"]
        argv += [f"--key-file={private / 'key'}", f"--seed-file={private / 'seed'}"]
        argv += [f"--pid-file={private / 'pid'}", f"--log-file={private / 'log'}"]
        self._spawn("munged", argv)
        self._wait_for("munged listens", "munged", self.layout.munge_socket.exists)

    def _start_slurmctld(self) -> None:
        self._spawn("slurmctld", [program("slurmctld"), "-D"])

    def _spawn(self, name: str, argv: Sequence[str], user: str = "root") -> Process:
        env = self.env | {procs.MARK: str(self.dir)}
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
                raise SlurmError(f"not within {BOOT_SECONDS:.0f} s: {what}\n{tail}")
            time.sleep(0.1)

    def _answers(self) -> bool:
        return " is UP" in self._ask("scontrol", "ping")

    def _all_idle(self, count: int) -> bool:
        listed = self._ask("sinfo", "-h", "-N", "-o", "%N %T")
        nodes = dict(line.split() for line in listed.splitlines())
        return len(nodes) == count and set(nodes.values()) == {"idle"}

    def _ask(self, *argv: str) -> str:
        """The output of a Slurm command; empty while slurmctld is not there yet."""
        try:
            return self.run(argv, timeout=2).stdout
        except subprocess.TimeoutExpired:
            return ""

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
