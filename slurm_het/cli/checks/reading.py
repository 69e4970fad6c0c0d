"""Reads what the checks look at: Slurm, the files beside slurm.conf, and hetd."""

from __future__ import annotations

import os
import pwd
import socket
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from slurm_het.cli.checks.site import AssociationKey, ControllerHost, Installation
from slurm_het.cli.hetd_client import call
from slurm_het.cli.hetd_status import ask_devices
from slurm_het.errors import HetError, SlurmError
from slurm_het.settings import Config
from slurm_het.slurm.cli import CliSlurm
from slurm_het.slurm.records import parse_fields

DEFAULT_CONF = "/etc/slurm/slurm.conf"
MAX_FILE = 1 << 20
MAX_DEPTH = 5  # of files that include others


async def read_site(settings: Config) -> Installation:
    """All that the checks look at. Raises HetError where Slurm does not answer."""
    slurm = CliSlurm(settings.slurm)
    snapshot, conf = await slurm.snapshot(), await slurm.configuration()
    if settings.telemetry.on:
        snapshot = replace(snapshot, measured=ask_devices(settings.paths.control_socket))
    words = await partition_words(slurm)
    etc = conf_dir(settings, conf)
    lua = {path: text_of(path) for path in (*_glob(etc, "*.lua"), *_glob(etc, "*/*.lua"))}
    return Installation(
        settings, snapshot, conf, words,
        associations=await _associations(slurm, conf),
        modes=_modes([*lua, *filter(None, [settings.source])]),
        controller=_controller(settings, conf, etc, lua) if is_controller(conf) else None,
    )  # fmt: skip


def conf_dir(settings: Config, conf: Mapping[str, str]) -> Path:
    """Where slurm.conf is, and what lies beside it.

    slurmctld's own path: a configless host has a copy elsewhere, and without the hook's files.
    """
    named = conf.get("SLURM_CONF") or settings.slurm.conf or os.environ.get("SLURM_CONF")
    return Path(named or DEFAULT_CONF).parent


async def partition_words(slurm: CliSlurm) -> dict[str, dict[str, str]]:
    """All that Slurm tells of each partition, by its words. Raises SlurmError."""
    shown = await slurm.ask("scontrol", "-o", "-a", "show", "partition")
    return {f["PartitionName"]: f for f in map(parse_fields, shown.splitlines()) if f}


def is_controller(conf: Mapping[str, str]) -> bool:
    """Whether slurmctld runs, or may run, on this host."""
    here = socket.gethostname()
    hosts = {v.partition("(")[0] for k, v in conf.items() if k.startswith("SlurmctldHost")}
    return bool(hosts & {here, here.partition(".")[0], "localhost"})


def _controller(
    settings: Config, conf: Mapping[str, str], etc: Path, lua: Mapping[Path, str]
) -> ControllerHost:
    scripts = (v for k, v in conf.items() if k.startswith("EpilogSlurmctld"))
    named = (Path(p) for v in scripts for p in v.split(",") if p.startswith("/"))
    epilogs = {path: text_of(path) for path in named}
    silence, supervised, gate = "", True, ""
    troubles: tuple[str, ...] = ()
    allowed: int | None = None
    try:
        status = call(settings.paths.control_socket, {"op": "status"})
        supervised = status.get("supervised", True) is not False
        gate = "" if status.get("leading") is False else str(status.get("gate", ""))
        allowed = status.get("memory_max_mib")
        troubles = tuple(map(str, status.get("troubles", ())))
    except HetError as error:
        silence = error.message
    text = included(etc / "slurm.conf", conf.get("ClusterName", ""))
    strangers = tuple(name for name in sorted(settings.operators) if not _known(name))
    return ControllerHost(
        etc, lua, text, epilogs, silence, supervised, gate, troubles, allowed, strangers
    )


def _known(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except (KeyError, ValueError):
        return False
    return True


async def _associations(slurm: CliSlurm, conf: Mapping[str, str]) -> tuple[AssociationKey, ...]:
    if "associations" not in conf.get("AccountingStorageEnforce", ""):
        return ()
    cluster = f"cluster={conf.get('ClusterName', '')}"
    try:
        shown = await slurm.ask(
            "sacctmgr", "-n", "-P", "show", "assoc", "where", cluster,
            "format=account,user,partition",
        )  # fmt: skip
    except SlurmError:  # slurmdbd is down: jobs run without it, and so does this
        return ()
    rows = (line.split("|") for line in shown.splitlines())
    return tuple(AssociationKey(*row) for row in rows if len(row) == 3 and row[1])


def included(path: Path, cluster: str, depth: int = 0) -> str:
    """slurm.conf with the files that it includes; '' where it cannot be read."""
    lines = []
    for line in text_of(path).splitlines():
        key, _, name = line.strip().partition(" ")
        if key.lower() == "include" and depth < MAX_DEPTH:
            name = name.strip().replace("%c", cluster)
            lines.append(included(path.parent / name, cluster, depth + 1))
        else:
            lines.append(line)
    return "\n".join(lines)


def _glob(directory: Path, pattern: str) -> Iterator[Path]:
    try:
        yield from sorted(directory.glob(pattern))
    except OSError:
        return


def text_of(path: Path) -> str:
    """A file's text, as much as counts; '' where it cannot be read."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(MAX_FILE)
    except OSError:
        return ""


def _modes(files: list[Path]) -> dict[Path, int]:
    modes = {}
    for path in dict.fromkeys(p for file in files for p in (file.parent, file)):
        try:
            modes[path] = path.stat().st_mode
        except OSError:  # it is gone, or in a directory that is closed to who asks
            continue
    return modes
