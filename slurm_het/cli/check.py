"""slurm-het check: is the configuration right for the Slurm that runs here?"""

from __future__ import annotations

import asyncio
import os
import stat
import sys
from pathlib import Path

import click

from slurm_het.config import load_config
from slurm_het.core.model import NodeRecord, Partition, Snapshot
from slurm_het.core.policy import model_of
from slurm_het.core.syntax import gres, hostlist
from slurm_het.core.syntax.gres import Gres
from slurm_het.core.syntax.printable import clean
from slurm_het.settings import Config
from slurm_het.slurm.cli import CliSlurm
from slurm_het.templating import hook_config

DEFAULT_CONF = "/etc/slurm/slurm.conf"


@click.command()
@click.option("--config", type=click.Path(path_type=Path), help="The configuration (het.yaml).")
def check(config: Path | None) -> None:
    """Compare the configuration with the live Slurm and the hook's, and see who may write them.

    Exit code 1 if something is wrong.

    \b
    Example:
      slurm-het check --config examples/het.yaml
    """
    settings = load_config(config)
    snapshot = asyncio.run(CliSlurm(settings.slurm).snapshot())
    errors, remarks = findings(settings, snapshot)
    errors += open_files(settings) + stale_hook_config(settings)
    for text in errors:
        click.echo(clean(f"wrong:  {text}"))
    for text in remarks:
        click.echo(clean(f"remark: {text}"))
    nodes = sum(bool(n.gres) for n in snapshot.nodes)
    click.echo(f"{settings.source}: {len(errors)} wrong, {len(remarks)} remarks;"
               f" {len(settings.policy.pools)} pools, {nodes} accelerator nodes")  # fmt: skip
    sys.exit(1 if errors else 0)


def findings(settings: Config, snapshot: Snapshot) -> tuple[list[str], list[str]]:
    """What is wrong, and what is worth a look, in words with the remedy."""
    errors = _partitions(settings, snapshot)
    remarks: list[str] = []
    accelerated = [n for n in snapshot.nodes if _types(n, settings)]
    for node in accelerated:
        _node(node, settings, errors, remarks)
    errors += _unused_pools(settings, accelerated)
    return errors, remarks


def open_files(settings: Config) -> list[str]:
    """The files that slurmctld and hetd obey, and their directories, that others may write.

    Nothing is said of what is not there, as the hook on a host without slurmctld.
    """
    files = [
        *sorted(_etc(settings).glob("*.lua")),
        *sorted(_etc(settings).glob("*/*.lua")),
        *filter(None, [settings.source]),
    ]
    out = []
    for path in dict.fromkeys(p for file in files for p in (file.parent, file)):
        mode = _mode(path)
        if mode & (stat.S_IWGRP | stat.S_IWOTH):
            out.append(f"{path} is {stat.filemode(mode)}: who can write it decides what jobs"
                       f" become; chmod go-w {path}")  # fmt: skip
    return out


def stale_hook_config(settings: Config) -> list[str]:
    """Whether the hook reads something else than this configuration, if it is here to be read.

    Beside slurm.conf, or in a directory there that a site with a hook of its own has made.
    """
    out = []
    etc, name = _etc(settings), "het_hook_config.lua"
    for path in (etc / name, *sorted(etc.glob(f"*/{name}"))):
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        if text != hook_config(settings):
            out.append(f"{path} is not what this configuration says: slurm-het hook-config >"
                       f" {path}.new, rename that, and touch job_submit.lua")  # fmt: skip
    return out


def _etc(settings: Config) -> Path:
    return Path(settings.slurm.conf or os.environ.get("SLURM_CONF") or DEFAULT_CONF).parent


def _mode(path: Path) -> int:
    """A file's mode; 0 if it is gone, or in a directory that is closed to who asks."""
    try:
        return path.stat().st_mode
    except OSError:
        return 0


def _partitions(settings: Config, snapshot: Snapshot) -> list[str]:
    known = {p.name: p for p in snapshot.partitions}
    valid = ", ".join(sorted(known))
    out = []
    intake = settings.policy.intake_partition
    for name in (intake, *(p.partition for p in settings.policy.pools)):
        if name not in known:
            out.append(f"Slurm has no partition {name!r}; it has: {valid}")
    if intake in known:
        out += _time_limits(known[intake], [known[p.partition] for p in settings.policy.pools
                                            if p.partition in known])  # fmt: skip
        inside = set(hostlist.expand(known[intake].nodes))
        for pool in settings.policy.pools:
            record = known.get(pool.partition)
            missing = sorted(set(hostlist.expand(record.nodes)) - inside) if record else []
            if missing:
                out.append(f"nodes {hostlist.fold(missing)} of {pool.partition} are not in the"
                           f" intake {intake}: jobs could not fall back to them")  # fmt: skip
    return out


def _time_limits(intake: Partition, pools: list[Partition]) -> list[str]:
    if intake.default_minutes is not None or intake.max_minutes is not None:
        return []
    limited = [pool.name for pool in pools if pool.max_minutes is not None]
    if not limited:
        return []
    return [f"the intake {intake.name} has neither DefaultTime nor MaxTime: Slurm shows a job that"
            f" names no time as unlimited, and {', '.join(limited)} with its MaxTime would never"
            " take it; give the intake a DefaultTime"]  # fmt: skip


def _types(node: NodeRecord, settings: Config) -> list[str]:
    return [model_of(g.type or g.name, settings.policy.types) for g in _devices(node, settings)]


def _devices(node: NodeRecord, settings: Config) -> list[Gres]:
    names = settings.policy.gres
    return [g for g in gres.parse(node.gres) if g.name in names and not names[g.name].shared]


def _node(node: NodeRecord, settings: Config, errors: list[str], remarks: list[str]) -> None:
    names = sorted({g.name for g in _devices(node, settings)})
    if len(names) > 1:
        errors.append(f"node {node.name} has devices of several names ({', '.join(names)}):"
                      " Slurm numbers each from 0, and which of them a job holds is not told apart;"
                      " make them types of one GRES name")  # fmt: skip
    pools = [p for p in settings.policy.pools if p.partition in node.partitions]
    if not pools:
        remarks.append(f"node {node.name} has accelerators and is in no pool: never planned")
    for type_name in _types(node, settings):
        known = settings.policy.types.get(type_name)
        if known is None:
            errors.append(f"node {node.name}: type {type_name!r} is not known; describe it under"
                          " types: (vendor, memory_gib)")  # fmt: skip
            continue
        for pool in pools:
            if known.vendor not in pool.vendors:
                errors.append(f"node {node.name}: {type_name} is of {known.vendor}, its pool"
                              f" {pool.partition} is for {', '.join(pool.vendors)}")  # fmt: skip
        if type_name not in node.features:
            errors.append(f"node {node.name} lacks the Feature {type_name!r}: with the gate open"
                          " plain Slurm could not keep jobs to their type; add it")  # fmt: skip
    for pool in pools:
        if pool.partition not in node.features:
            remarks.append(f"node {node.name} lacks the Feature {pool.partition!r}: needed where"
                           " a type is in pools of both scenarios")  # fmt: skip


def _unused_pools(settings: Config, nodes: list[NodeRecord]) -> list[str]:
    return [
        f"pool {pool.partition} has no node with accelerators"
        for pool in settings.policy.pools
        if not any(pool.partition in n.partitions for n in nodes)
    ]
