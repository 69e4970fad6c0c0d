"""The examples: every script is classified as examples/README.md says; het.yaml loads."""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import fields

import pytest
import yaml

from slurm_het.config import KEYS, load_config
from slurm_het.core.catalog import DeviceType
from slurm_het.core.jobs.admission import Admitted, admit_message
from slurm_het.core.jobs.pools import fitting_pools, fitting_types, own_first
from slurm_het.core.policy import ExpectedJob, GresName, Rule, Weights
from slurm_het.core.syntax import gres
from slurm_het.core.syntax.constraint import parse_features
from slurm_het.settings import (
    HookSettings,
    PageSettings,
    Paths,
    PlannerSettings,
    SlurmSettings,
    TelemetrySettings,
)
from tests.support.world import EXAMPLES, inventory, policy

README = (EXAMPLES / "README.md").read_text()
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in README.splitlines()
    if line.startswith("|") and ".sh" in line
]
SECTIONS = {
    "weights": Weights, "hook": HookSettings, "planner": PlannerSettings, "paths": Paths,
    "slurm": SlurmSettings, "telemetry": TelemetrySettings, "page": PageSettings,
}  # fmt: skip
OPTIONS = {
    "gres": "tres_per_node",
    "gpus-per-node": "tres_per_node",
    "gpus": "tres_per_job",
    "constraint": "features",
    "job-name": "name",
    "nodes": "min_nodes",
}


def submitted(script: str) -> dict[str, str]:
    """What the hook sends for a script: its #SBATCH options, normalised, and its text."""
    sent = {"script": script, "user_name": "ann"}
    for line in re.findall(r"^#SBATCH (.+)$", script, re.MULTILINE):
        for option in shlex.split(line):
            key, _, value = option.removeprefix("--").partition("=")
            if key in OPTIONS:
                value = f"gpu:{value}" if key.startswith("gpus") else value
                sent[OPTIONS[key]] = value
    return sent


def test_the_table_has_every_script_and_each_can_be_run() -> None:
    scripts = sorted(p.name for p in (EXAMPLES / "jobs").glob("*.sh"))
    assert scripts == sorted(row[0] for row in ROWS)
    for name in scripts:
        path = EXAMPLES / "jobs" / name
        lines = path.read_text().splitlines()
        assert lines[0].startswith("#!"), name
        assert lines[1].startswith("# "), name
        assert os.access(path, os.X_OK), name


@pytest.mark.parametrize(("name", "scenario", "vendors", "gib", "pools"), ROWS)
def test_a_script_gets_what_the_table_says(
    name: str, scenario: str, vendors: str, gib: str, pools: str
) -> None:
    sent = submitted((EXAMPLES / "jobs" / name).read_text())
    if scenario == "untouched":
        assert not any(key.startswith("tres_") for key in sent)
        return
    answer = admit_message(sent, policy(), inventory())
    assert isinstance(answer, Admitted)
    what = answer.classification
    assert what.scenario == scenario
    assert (", ".join(what.vendors) or "any") == vendors
    assert (str(what.memory_gib) if what.memory_gib else "-") == gib
    assert reachable(answer.fields.get("features", sent.get("features", ""))) >= set(
        pools.split(", ")
    )
    types = fitting_types(what, inventory().types, policy())
    largest = {p.partition: inventory().largest_of(p.partition) for p in policy().pools}
    able = fitting_pools(what, types, largest, policy())
    found = {p.partition for p in own_first(able, what, types)}
    by_features = reachable(sent.get("features", ""))
    assert found & by_features == set(pools.split(", "))
    for field in ("tres_per_node", "tres_per_job"):
        names = {g.name for g in gres.parse(answer.fields.get(field, sent.get(field, "")))}
        assert names <= {"gpu", "shard"}


def reachable(features: str) -> set[str]:
    """The pools with a node that satisfies the features."""
    allowed = parse_features(features)
    nodes = [n for n in inventory().nodes.values() if allowed.allows(n.features)]
    return {p for n in nodes for p in n.partitions} & {p.partition for p in policy().pools}


def test_the_site_configuration_loads_and_shows_the_defaults() -> None:
    config = load_config(EXAMPLES / "het.yaml")
    plain = type(config)(config.policy)
    assert config.hook == plain.hook
    assert config.planner == plain.planner
    assert config.paths == plain.paths
    assert config.telemetry == plain.telemetry
    assert config.page == plain.page
    assert config.policy.types["a100"].memory_gib == 80
    assert config.policy.types["a100"].tflops == 312


def test_the_site_configuration_shows_every_key() -> None:
    text = (EXAMPLES / "het.yaml").read_text()
    assert [key for key in KEYS if not re.search(rf"^(# )?{key}:", text, re.MULTILINE)] == []
    shown = yaml.safe_load(text)
    for section, kind in SECTIONS.items():
        assert shown[section].keys() == {field.name for field in fields(kind)}
    for kind in (DeviceType, ExpectedJob, GresName, Rule):
        names = [field.name for field in fields(kind)]
        assert [name for name in names if not re.search(rf"\b{name}\b", text)] == []
