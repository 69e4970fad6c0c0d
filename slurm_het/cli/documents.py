"""What `--json` prints: documents whose keys are only ever added to.

docs/schemas/ has the JSON schema of each, made from the classes here: `python -m
slurm_het.cli.documents docs/schemas` writes them.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from slurm_het.core.cluster.holdings import HeldDevices
from slurm_het.core.reasons import TellTime
from slurm_het.core.reasons.idle import Cause, Idle
from slurm_het.core.views.device_map import DeviceMap
from slurm_het.core.views.free import NodeFree, PoolFree
from slurm_het.core.views.job_rows import Ask
from slurm_het.core.views.learned import LearnedProgram
from slurm_het.core.views.totals import Summary, Totals


class SourceDocument(Struct, kw_only=True):
    """When (epoch seconds), from which Slurm, with which configuration; what could not be read."""

    time: int
    slurm: str
    config: str
    warnings: list[str]


class IdleDocument(Struct, kw_only=True):
    """Why a device is idle: the code, and the words. `time` are epoch seconds, null where there is
    none: until when it is held for `job`, or from when it is reserved."""

    cause: Cause
    job: str | None
    time: int | None
    text: str


class DeviceDocument(Struct, kw_only=True):
    """One device; `idle` is null while jobs hold it, or any memory of it."""

    index: int
    type: str
    vendor: str
    memory_gib: int
    occupied_gib: int
    holders: list[str]
    idle: IdleDocument | None


class NodeDocument(Struct, kw_only=True):
    """One node and its devices."""

    node: str
    pools: list[str]
    state: str
    reason: str
    cpus: int
    cpus_free: int
    memory_mib: int
    memory_free_mib: int
    devices: list[DeviceDocument]


class LargestDocument(Struct, kw_only=True):
    """The largest job that would start now: `devices` on each of `nodes`; 0 is none."""

    devices: int
    nodes: int
    on: list[str]
    share_gib: int


class TypeDocument(Struct, kw_only=True):
    """The devices of one type and memory in a pool."""

    pool: str
    scenario: str
    state: str
    vendor: str
    type: str
    memory_gib: int
    devices: int
    idle: int
    starts_now: int
    occupied_gib: int
    largest: LargestDocument


class MapDocument(Struct, kw_only=True):
    """het-sinfo --json."""

    types: list[TypeDocument]
    nodes: list[NodeDocument]
    source: SourceDocument


class JobDocument(Struct, kw_only=True):
    """One job. Times are epoch seconds, 0 where Slurm has none; `waited_seconds` is squeue's
    PendingTime; what is expected is null and [] unless --start asks for it."""

    id: str
    job_id: int
    array_job_id: int | None
    user: str
    account: str
    qos: str
    name: str
    partition: str
    pool: str
    scenario: str | None
    types: list[str]
    devices: list[HeldDevices]
    memory_gib: int
    asks: Ask | None
    state: str
    seconds: int
    waited_seconds: int
    time_limit_minutes: int | None
    priority: int
    submit_time: int
    start_time: int
    reason: str
    slurm_reason: str
    evidence: list[str]
    readable: bool
    expected_start: int | None
    expected_nodes: list[str]
    reason_code: str | None
    action: str


class GateDocument(Struct, kw_only=True):
    """The gate: as hetd has it, or as Slurm alone shows it where `hetd` is false."""

    state: str
    bypass: bool
    intake: str
    intake_state: str
    modes: dict[str, str]
    hetd: bool


class QueueDocument(Struct, kw_only=True):
    """het-squeue --json. What was not asked for is left out."""

    jobs: list[JobDocument] | UnsetType = UNSET
    free: list[PoolFree] | UnsetType = UNSET
    nodes: list[NodeFree] | UnsetType = UNSET
    totals: Totals | UnsetType = UNSET
    gate: GateDocument
    source: SourceDocument


class StatusDocument(Struct, kw_only=True):
    """slurm-het status --json. `code` is its exit code; the intake's State is null while slurmctld
    is silent, and so is the summary."""

    state: str
    code: int
    words: str
    intake: str
    intake_state: str | None
    summary: Summary | None


class LearnedDocument(Struct, kw_only=True):
    """slurm-het learned --json. Times are epoch seconds; parts are of the time limit, 0..1."""

    programs: list[LearnedProgram]


DOCUMENTS: dict[str, type[Struct]] = {
    "het-sinfo": MapDocument,
    "het-squeue": QueueDocument,
    "slurm-het-learned": LearnedDocument,
    "slurm-het-status": StatusDocument,
}
"""By program, what it prints with --json."""


def map_document(made: DeviceMap, source: dict[str, Any], at: TellTime) -> dict[str, Any]:
    """The device map as it is printed."""
    document: dict[str, Any] = msgspec.to_builtins(made)
    for node, told in zip(made.nodes, document["nodes"], strict=True):
        for device, one in zip(node.devices, told["devices"], strict=True):
            one["idle"] = device.idle and _idle(device.idle, at)
    return document | {"source": source}


def _idle(idle: Idle, at: TellTime) -> dict[str, Any]:
    return {
        "cause": str(idle.cause),
        "job": idle.job or None,
        "time": int(idle.time) or None,
        "text": idle.told(at),
    }


def schema_of(name: str) -> str:
    """The JSON schema of a program's document, as text."""
    draft = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": f"{name} --json"}
    return msgspec.json.format(
        msgspec.json.encode(draft | msgspec.json.schema(DOCUMENTS[name])), indent=1
    ).decode() + "\n"  # fmt: skip


if __name__ == "__main__":
    for document_name in DOCUMENTS:
        Path(sys.argv[1], f"{document_name}.json").write_text(schema_of(document_name))
