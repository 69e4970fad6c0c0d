"""Writes a sandbox's configuration: Slurm's files, the hook, het.yaml, devices and stand-ins."""

from __future__ import annotations

import os
import secrets
import shutil
import stat
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from ClusterShell.NodeSet import RESOLVER_NOGROUP, NodeSet

from slurm_het.config import load_config
from slurm_het.errors import HetError
from slurm_het.node_files import device_files, gres_conf, task_prolog
from slurm_het.resources import data_dir
from slurm_het.sandbox.accounting import Accounting
from slurm_het.sandbox.layout import SandboxLayout, account
from slurm_het.sandbox.topology import INTAKE, Topology
from slurm_het.slurm.versions import SlurmVersion
from slurm_het.templating import hook_config, render
from slurm_het.vendors import load_vendors

SCHEDULER_PARAMETERS = ",".join(
    (
        "disable_job_shrink",  # a late ReqNodeList must not shrink a job that has started
        # Measured on 22.05, from the update that moves a job until its script runs: mean 2.1 s
        # (at most 2.7 s) by default, 0.6 s (1.7 s) with the first of these, 0.6 s (1.0 s) with
        # both. The rest is slurmctld's loop, which looks for new work once per second.
        "batch_sched_delay=0",
        "bf_interval=1",
        "default_queue_depth=1000",  # a pinned job may sit behind many that wait in the intake
    )
)
LONGEST_TIME = "365-0"  # without one two jobs can hang 24.11.5: cli/checks/partitions.py
STANDINS = (
    "accelerate", "deepspeed", "lmdeploy", "mindie_server", "mindieservice_daemon", "module",
    "msrun", "python", "sglang", "torchrun", "trtllm-serve", "tritonserver", "vllm",
)  # fmt: skip
OWN_PROGRAMS = ("het-squeue", "het-sinfo", "slurm-het", "hetd")

_NULL_DEVICE = os.makedev(1, 3)


@dataclass(frozen=True)
class SandboxPlan:
    """Everything that decides what a sandbox's files say."""

    layout: SandboxLayout
    topology: Topology
    version: SlurmVersion
    ports: range
    hook: bool
    overrides: Mapping[str, Any]
    slurm_user: str = "root"
    accounting: Accounting | None = None

    @property
    def slurmdbd_port(self) -> int:
        """The port after those of slurmctld and the nodes."""
        return self.ports[-1]


def write_all(plan: SandboxPlan) -> None:
    """Write every file the daemons need; the directories must exist."""
    _write_devices(plan)
    _write_programs(plan.layout)
    key = plan.layout.dir / "munge" / "key"
    key.touch(mode=0o600)
    key.write_bytes(secrets.token_bytes(1024))
    etc = plan.layout.etc
    (etc / "het.yaml").write_text(_het_yaml(plan))
    if plan.hook:
        _write_hook(plan)
    (etc / "slurm.conf").write_text(_slurm_conf(plan))
    if plan.topology.network:
        (etc / "topology.conf").write_text(plan.topology.network)
    if plan.accounting:
        _write_accounting(plan)
    vendors = load_vendors()
    kinds = [group.kind for group in plan.topology.accelerator_groups]
    (etc / "gres.conf").write_text(gres_conf(kinds, vendors, str(plan.layout.dir / "dev")))
    (etc / "cgroup.conf").write_text(f"CgroupPlugin={plan.version.cgroup_plugin}\n")
    prolog = etc / "task_prolog"
    prolog.write_text(task_prolog(kinds, vendors, str(plan.layout.bin)))
    prolog.chmod(0o755)


def _write_accounting(plan: SandboxPlan) -> None:
    path = plan.layout.etc / "slurmdbd.conf"
    path.touch(mode=0o600)  # slurmdbd refuses one that others may read, or that is another's
    os.chown(path, account(plan.slurm_user).pw_uid, -1)
    values = {"layout": plan.layout, "slurm_user": plan.slurm_user, "port": plan.slurmdbd_port}
    path.write_text(render("sandbox_slurmdbd.conf.j2", **values))


def deep_merge(base: dict[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `extra` over it, mapping by mapping."""
    merged = dict(base)
    for key, value in extra.items():
        old = merged.get(key)
        if isinstance(old, dict) and isinstance(value, Mapping):
            value = deep_merge(old, value)
        merged[key] = value
    return merged


def _slurm_conf(plan: SandboxPlan) -> str:
    topology = plan.topology
    nodes = [
        {"name": name, "group": group, "port": port}
        for (name, group), port in zip(
            [(name, group) for group in topology.groups for name in group.nodes],
            plan.ports[1 : 1 + len(topology.nodes)],
            strict=True,
        )
    ]
    event_script = plan.layout.etc / "het_event.lua"
    text = render(
        "sandbox_slurm.conf.j2",
        layout=plan.layout,
        slurm_user=plan.slurm_user,
        controller_port=plan.ports[0],
        gres_types=_gres_types(topology),
        scheduler_parameters=SCHEDULER_PARAMETERS,
        hook=plan.hook,
        event_script=event_script if plan.hook and event_script.exists() else "",
        nodes=nodes,
        partitions=_partitions(plan),
    )
    if topology.network:
        text += f"\nTopologyPlugin={topology.network_plugin}\n"
    return _with_accounting(text, plan) if plan.accounting else text


def _with_accounting(text: str, plan: SandboxPlan) -> str:
    """slurm.conf with slurmdbd and what the section says; Slurm complains of a key said twice."""
    made = {
        "AccountingStorageType": "accounting_storage/slurmdbd",
        "AccountingStorageHost": "localhost",
        "AccountingStoragePort": str(plan.slurmdbd_port),
        "AccountingStoragePass": str(plan.layout.munge_socket),  # munge's password is its socket
        **(plan.accounting or Accounting()).conf(plan.topology.tres()),
    }
    kept = [line for line in text.splitlines() if line.partition("=")[0] not in made]
    return "\n".join([*kept, "", *(f"{key}={value}" for key, value in made.items()), ""])


def _partitions(plan: SandboxPlan) -> dict[str, dict[str, str]]:
    """Each partition's line by its keys: the intake, then the pools."""
    topology = plan.topology
    nodes = topology.partitions()
    default = next(iter([*topology.cpu_partitions(), *nodes]))
    intake = ",".join(group.name for group in topology.accelerator_groups)
    common = {"MaxTime": LONGEST_TIME, "DefaultTime": "60"}
    lines = {INTAKE: {"Nodes": intake, **common, "State": "UP"}}
    for name, hosts in nodes.items():
        is_default = "YES" if name == default else "NO"
        lines[name] = {"Nodes": hosts, **common, "Default": is_default, "State": "UP"}
    return plan.accounting.partition_lines(lines) if plan.accounting else lines


def _aliases() -> dict[str, str]:
    """GRES names that users may write though all cards are registered as gpu; their vendors."""
    return {gres: name for name, vendor in load_vendors().items() for gres in vendor.gres}


def _gres_types(topology: Topology) -> str:
    # npu, mlu and dcu may have no devices: listed, sbatch lets users ask by these names and the
    # hook turns them into gpu. Not listed, sbatch refuses them before any hook is asked.
    shards = ["shard"] if any(group.shards for group in topology.groups) else []
    return ",".join(dict.fromkeys(["gpu", *shards, *_aliases(), *topology.gres_names()]))


def accelerators(topology: Topology) -> dict[str, Any]:
    """What het.yaml says of a topology's pools, types and GRES names."""
    names = topology.gres_names()
    return {
        "pools": topology.pools(),
        "types": topology.types(),
        "aliases": {gres: vendor for gres, vendor in _aliases().items() if gres not in names},
        "registered": {c.gres: c.vendor for c in topology.cards() if c.gres != "gpu"},
    }


def _het_yaml(plan: SandboxPlan) -> str:
    topology = plan.topology
    text = render(
        "het.yaml.j2",
        intake=INTAKE,
        **accelerators(topology),
        default_vendor=topology.accelerator_groups[0].vendor,
        run=plan.layout.run,
        state=plan.layout.dir / "state",
    )
    if not plan.overrides:
        return text
    merged = deep_merge(yaml.safe_load(text), plan.overrides)
    return yaml.safe_dump(merged, sort_keys=False)


def _write_hook(plan: SandboxPlan) -> None:
    source = data_dir("job_submit")
    if not (source / "job_submit.lua").exists():
        raise HetError(f"there is no hook in {source}", "start the sandbox with --no-hook")
    for script in sorted(source.glob("*.lua")):
        copy = Path(shutil.copy(script, plan.layout.etc))
        copy.chmod(0o755)
    text = hook_config(load_config(plan.layout.het_config))
    (plan.layout.etc / "het_hook_config.lua").write_text(text)


def _write_devices(plan: SandboxPlan) -> None:
    vendors = load_vendors()
    for group in plan.topology.accelerator_groups:
        for files in device_files(group.kind, vendors):
            for name in NodeSet(files.removeprefix("/dev/"), resolver=RESOLVER_NOGROUP):
                path = plan.layout.dir / "dev" / name
                path.parent.mkdir(parents=True, exist_ok=True)
                if not path.exists():
                    os.mknod(path, stat.S_IFCHR | 0o666, _NULL_DEVICE)


def _write_programs(layout: SandboxLayout) -> None:
    standin = Path(shutil.copy(data_dir("templates") / "standins" / "standin", layout.bin))
    standin.chmod(0o755)
    for name in STANDINS:
        (layout.bin / name).symlink_to("standin")
    for name in OWN_PROGRAMS:
        installed = Path(sys.executable).parent / name
        if installed.exists():
            (layout.bin / name).symlink_to(installed)
