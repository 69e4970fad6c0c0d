"""How well job scripts are understood: each is classified, and held against an answer by hand.

A set is a folder of scripts with an `expected.tsv`: file, scenario (training, inference, either,
or alone: plain Slurm's), vendors (`amd|hygon`, or any), GiB of a device (or -), a note.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import shlex
import statistics
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from slurm_het.config import load_config
from slurm_het.core.cluster.inventory import Inventory, take_inventory
from slurm_het.core.jobs.classify import classify
from slurm_het.core.jobs.constraint_hints import meant_by, vendors_named
from slurm_het.core.jobs.request import from_message
from slurm_het.core.model import Classification, NodeRecord, Partition, Snapshot
from slurm_het.core.policy import GresName, Policy
from slurm_het.errors import HetError

_NAMES = {"npu": "ascend", "mlu": "cambricon", "dcu": "hygon", "hpu": "habana", "xpu": "intel"}
"""GRES names that the vendors' sites have."""
_SHORT = {
    "-p": "--partition", "-C": "--constraint", "-N": "--nodes", "-G": "--gpus", "-A": "--account",
    "-J": "--job-name",
}  # fmt: skip
_FIELDS = {
    "--partition": "partition", "--constraint": "features", "--gres": "tres_per_node",
    "--gpus-per-node": "tres_per_node", "--gpus": "tres_per_job",
    "--gpus-per-task": "tres_per_task", "--tres-per-task": "tres_per_task",
    "--gpus-per-socket": "tres_per_socket",
    "--job-name": "name", "--account": "account", "--comment": "comment", "--nodes": "min_nodes",
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A script and the answer by hand."""

    file: str
    scenario: str
    vendors: frozenset[str]
    memory_gib: int
    text: str


class Verdict(NamedTuple):
    """What came of a case: ok, wrong vendor, may land wrong, scenario, memory, narrowed, alone."""

    case: Case
    kind: str
    got: Classification | None


def read_cases(folder: Path) -> list[Case]:
    """The cases of a set."""
    cases = []
    with (folder / "expected.tsv").open(newline="") as lines:
        for row in csv.DictReader(lines, delimiter="\t"):
            vendors = row["vendors"]
            text = (folder / row["file"]).read_bytes().decode("utf-8", "replace")
            named = frozenset() if vendors in {"any", "-"} else frozenset(vendors.split("|"))
            memory = int(row["memory"]) if row["memory"].isdecimal() else 0
            cases.append(Case(row["file"], row["scenario"], named, memory, text))
    return cases


def message_of(text: str) -> dict[str, str]:
    """The hook's message for a script with #SBATCH lines, or a `#CMD:` line."""
    arguments: list[str] = []
    words = ""
    for line in text.splitlines():
        if line.startswith("#SBATCH "):
            arguments += _split(line[8:])
        elif line.startswith(("#CMD-ONLY:", "#CMD:")):
            command = line.partition(":")[2].strip()
            arguments += _split(command)[1:]
            words = command
    sent: dict[str, str] = {"script": text if not words else f"#!/bin/sh\n{words}\n"}
    at = 0
    while at < len(arguments):
        name, equals, value = arguments[at].partition("=")
        if not name.startswith("--"):
            name, value, equals = (
                _SHORT.get(name[:2], name),
                arguments[at][2:].lstrip("="),
                name[2:],
            )
        if name in _FIELDS and not equals:
            at += 1
            value = arguments[at] if at < len(arguments) else ""
        field = _FIELDS.get(name)
        if field == "min_nodes":
            value = value.partition("-")[0]
        if field and field.startswith("tres"):
            value = ",".join(_gres(item, name) for item in value.split(",") if item)
            value = f"{sent[field]},{value}" if field in sent else value
        if field:
            sent[field] = value
        at += 1
    return sent


def _split(text: str) -> list[str]:
    try:
        return shlex.split(text, comments=True)
    except ValueError:
        return text.split()


def _gres(item: str, option: str) -> str:
    return item if option in {"--gres", "--tres-per-task"} else f"gpu:{item}"


def own_names() -> dict[str, GresName]:
    """The vendors' own GRES names, as a site has them that takes them for gpu."""
    return {name: GresName(alias_of="gpu", vendors=(vendor,)) for name, vendor in _NAMES.items()}


def cluster(policy: Policy) -> Inventory:
    """A node of each type of the catalogue, with the features that sites give them."""
    arch = {"mi210": "gfx90a", "mi250x": "gfx90a", "mi300x": "gfx942"}
    nodes = []
    for number, (name, kind) in enumerate(sorted(policy.types.items())):
        gib = kind.memory_gib
        features = {"gpu", "intel" if number % 2 else "amd", name, f"gpu{gib}g", f"hbm{gib}g",
                    f"{gib}gb", f"{name}-{gib}g", f"vram{gib}"}  # fmt: skip
        features |= {arch[name]} if name in arch else set()
        inside = tuple(p.partition for p in policy.pools if kind.vendor in p.vendors)
        nodes.append(
            NodeRecord(f"n{number}", "IDLE", f"gpu:{name}:8", 128, memory_mib=1 << 20,
                       features=frozenset(features), partitions=inside)
        )  # fmt: skip
    partitions = tuple(Partition(p.partition) for p in policy.pools)
    return take_inventory(Snapshot(0.0, (), tuple(nodes), partitions), policy)


def judge(case: Case, policy: Policy, inventory: Inventory) -> Verdict:
    """Classify a case and hold it against the answer. The policy has no default vendors."""
    try:
        request = from_message(message_of(case.text))
    except HetError:
        return Verdict(case, "ok" if case.scenario == "alone" else "unreadable", None)
    got = classify(request, policy, inventory)
    if case.scenario == "alone":
        return Verdict(case, "ok", got)
    vendors = frozenset(got.vendors)
    if case.vendors and vendors and not vendors <= case.vendors:
        kind = "wrong vendor"
    elif case.vendors and not vendors:
        kind = "may land on a wrong vendor"
    elif (
        vendors
        and not case.vendors
        and vendors != meant_by(request.features, inventory, policy).vendors
    ):
        kind = "vendor kept from others"
    elif case.scenario not in {"either", got.scenario}:
        kind = "scenario"
    elif case.memory_gib != got.memory_gib:
        kind = "memory"
    else:
        kind = "ok"
    return Verdict(case, kind, got)


def print_types(policy: Policy) -> None:
    """How many typed requests name a type that the catalogue knows, or whose vendor its name tells.

    tests/cases/types.tsv has types met in public scripts, up to ten for each first letter and
    option; rare ones are many in it. Those marked are one site's own names, which no table knows.
    """
    known, told, own, count = 0, 0, 0, 0
    with Path("tests/cases/types.tsv").open(newline="") as lines:
        for row in csv.DictReader(lines, delimiter="\t"):
            scripts, name = int(row["scripts"]), row["type"]
            count += scripts
            known += scripts * (name in policy.types)
            told += scripts * (name not in policy.types and bool(vendors_named([name], policy)))
            own += scripts * bool(row["note"])
    print(
        f"types: {count} typed requests; {known} name a type of the catalogue, {told} a brand or a"
        f" generation, {own} a site's own type: {100 * (known + told) / (count - own):.0f} % of the"
        f" others, {100 * (known + told) / count:.0f} % of all"
    )


def main() -> int:
    """Judge the sets and print what differs; 1 if a vendor is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "sets", nargs="*", type=Path, default=[Path("tests/cases"), Path("tests/cases/second")]
    )
    parser.add_argument("--config", type=Path, default=Path("examples/het.yaml"))
    options = parser.parse_args()
    # What a site's rules say is its admin's word, and no sign.
    policy = replace(load_config(options.config).policy, default_vendors=(), rules=())
    policy = replace(policy, gres=own_names() | policy.gres)
    inventory = cluster(policy)
    wrong = 0
    print_types(policy)
    for folder in options.sets:
        verdicts = [judge(case, policy, inventory) for case in read_cases(folder)]
        kinds = Counter(v.kind for v in verdicts)
        print(
            f"{folder}: {len(verdicts)} scripts; " + ", ".join(f"{k} {n}" for k, n in kinds.items())
        )
        for v in verdicts:
            if v.kind != "ok":
                _print(v)
        wrong += kinds["wrong vendor"]
        times = [_seconds(v.case, policy, inventory) for v in verdicts]
        print(f"  {statistics.median(times) * 1e6:.0f} µs to read and classify one, median; "
              f"most {max(times) * 1e6:.0f}")  # fmt: skip
    return 1 if wrong else 0


def _print(verdict: Verdict) -> None:
    case, got = verdict.case, verdict.got
    expected = (
        f"{case.scenario}, {'|'.join(sorted(case.vendors)) or 'any'}, {case.memory_gib or '-'}"
    )
    said = "unreadable"
    if got:
        said = f"{got.scenario}, {'|'.join(got.vendors) or 'any'}, {got.memory_gib or '-'}"
    print(f"  {verdict.kind}: {case.file}: expected {expected}; got {said}")
    for line in got.evidence if got else ():
        print(f"      {line}")


def _seconds(case: Case, policy: Policy, inventory: Inventory) -> float:
    sent = message_of(case.text)
    started = time.perf_counter()
    with contextlib.suppress(HetError):
        classify(from_message(sent), policy, inventory)
    return time.perf_counter() - started


if __name__ == "__main__":
    raise SystemExit(main())
