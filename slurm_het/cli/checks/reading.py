"""Reads what the checks look at: Slurm, the files beside slurm.conf, and hetd."""

from __future__ import annotations

import os
import pwd
import re
import socket
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from slurm_het.cli.checks.hook import MAIN, OURS
from slurm_het.cli.checks.host_reading import (
    closed_to,
    hook_complaint,
    is_file,
    local_storage,
    owner_of,
    scripts_of,
)
from slurm_het.cli.checks.site import AssociationKey, ControllerHost, Installation, slurm_user
from slurm_het.cli.hetd_client import call
from slurm_het.cli.hetd_status import ask_devices
from slurm_het.errors import HetError, SlurmError
from slurm_het.resources import data_dir
from slurm_het.settings import Config, SlurmSettings
from slurm_het.slurm.accounts import enforced
from slurm_het.slurm.cli import CliSlurm
from slurm_het.slurm.records import parse_fields
from slurm_het.vendors import load_vendors

DEFAULT_CONF = "/etc/slurm/slurm.conf"
MAX_FILE = 1 << 20
MAX_DEPTH = 5  # of files that include others
_INCLUDE = re.compile(r"\s*include\s+([^\s#]\S*)", re.IGNORECASE)
_CONTINUED = re.compile(r"\\[ \t\r]*\n")


async def read_site(settings: Config) -> Installation:
    """All that the checks look at. Raises HetError where Slurm does not answer."""
    slurm = CliSlurm(settings.slurm)
    snapshot, conf = await slurm.snapshot(), await slurm.configuration()
    if settings.telemetry.on:
        snapshot = replace(snapshot, measured=ask_devices(settings.paths.control_socket))
    words = await shown_partitions(slurm)
    etc = conf_dir(settings.slurm, conf)
    lua = {path: text_of(path) for path in (*_glob(etc, "*.lua"), *_glob(etc, "*/*.lua"))}
    return Installation(
        settings, snapshot, conf, words,
        associations=await _associations(slurm, conf),
        modes=_modes([*lua, *filter(None, [settings.source])]),
        by_prolog=_by_prolog(settings),
        controller=_controller(settings, conf, etc, lua) if is_controller(conf) else None,
    )  # fmt: skip


def conf_dir(slurm: SlurmSettings, conf: Mapping[str, str]) -> Path:
    """Where slurm.conf is, and what lies beside it.

    slurmctld's own path: a configless host has a copy elsewhere, and without the hook's files.
    """
    named = conf.get("SLURM_CONF") or slurm.conf or os.environ.get("SLURM_CONF")
    return Path(named or DEFAULT_CONF).parent


async def shown_partitions(slurm: CliSlurm) -> dict[str, dict[str, str]]:
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
    shipped, ours = data_dir("job_submit"), [path for path in lua if path.name in OURS]
    state, save = settings.paths.state_dir, Path(conf.get("StateSaveLocation", ""))
    host = ControllerHost(
        etc, lua, included(etc / "slurm.conf", conf.get("ClusterName", "")),
        {path: text_of(path) for path in scripts_of(conf, "EpilogSlurmctld")},
        strangers=tuple(name for name in sorted(settings.operators) if not _known(name)),
        closed=closed_to(slurm_user(conf), ours),
        shipped={path.name: text_of(path) for path in _glob(shipped, "*.lua")},
        shipped_in=shipped,
        hook_complaint=hook_complaint(Path(conf.get("SlurmctldLogFile", "")), etc / MAIN),
        local_state=local_storage(state, save),
        prologs={path: text_of(path) for path in scripts_of(conf, "PrologSlurmctld")},
    )  # fmt: skip
    try:
        status = call(settings.paths.control_socket, {"op": "status"})
    except HetError as error:
        return replace(host, hetd_silence=error.message)
    config = str(status.get("config", ""))
    return replace(
        host, supervised=status.get("supervised", True) is not False,
        hetd_gate="" if status.get("leading") is False else str(status.get("gate", "")),
        troubles=tuple(map(str, status.get("troubles", ()))),
        memory_max_mib=status.get("memory_max_mib"),
        hetd_user=owner_of(settings.paths.control_socket),
        hetd_config="" if is_file(config, settings.source) else config,
    )  # fmt: skip


def _by_prolog(settings: Config) -> frozenset[str]:
    known = load_vendors(settings.paths.vendors)
    names = {name for pool in settings.policy.pools for name in pool.vendors if name in known}
    return frozenset(n for n in names if known[n].environment.slurm_flag == "opencl_env")


def _known(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except (KeyError, ValueError):
        return False
    return True


async def _associations(slurm: CliSlurm, conf: Mapping[str, str]) -> tuple[AssociationKey, ...]:
    if "associations" not in enforced(conf):
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


def included(path: Path, cluster: str) -> str:
    """slurm.conf with the files that it includes, each line whole; '' where it cannot be read."""
    return "\n".join(_lines(path, path.parent, cluster, 0))


def _lines(path: Path, etc: Path, cluster: str, depth: int) -> Iterator[str]:
    for line in _CONTINUED.sub(" ", text_of(path)).splitlines():
        found = _INCLUDE.match(line)
        if found and depth < MAX_DEPTH:
            name = found[1].replace("%c", cluster)
            # From slurm.conf's directory; 22.05: from that of the file with this line.
            there = etc / name if (etc / name).is_file() else path.parent / name
            yield from _lines(there, etc, cluster, depth + 1)
        else:
            yield line


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
