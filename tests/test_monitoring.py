"""The alert rules and the dashboard: right in form, and about what is really told."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from bench.prometheus import RULES
from slurm_het.core.policy import Limits
from slurm_het.core.views.accuracy import Accuracy
from slurm_het.core.views.device_map import MapOptions, device_map
from slurm_het.core.views.job_rows import make_view
from slurm_het.core.views.metrics import PREFIX, HetdFacts, families
from slurm_het.core.views.probes import ProbeOptions
from slurm_het.telemetry.device import DeviceReading
from slurm_het.telemetry.host_watch import HostReading, HostWatch
from slurm_het.telemetry.metrics import DeviceCollector
from tests.support.world import EXAMPLES, gated, policy, snapshot

DASHBOARD = EXAMPLES / "grafana" / "slurm-het.json"
DOCS = EXAMPLES.parent / "docs" / "metrics.md"
OF_HOSTS = DOCS.with_name("telemetry.md")
ALSO = {"slurm_answers", "build_info"}  # of the command itself


def told() -> set[str]:
    """The names that are told."""
    view = make_view(snapshot(gated(1)), policy(), Limits())
    shown = device_map(view.prepared, MapOptions(ProbeOptions(memory=None)))
    hetd = HetdFacts(True, "closed", True, 0, 1.0, 1.0, 0, Accuracy(3, 2, 1.0, 2.0))
    return {PREFIX + name for name in {f.name for f in families(view, shown, hetd)} | ALSO}


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["panels"]
    return found


def test_only_what_is_told_is_asked_for() -> None:
    asked = [rule["expr"] for rule in rules()]
    asked += [target["expr"] for panel in panels() for target in panel["targets"]]
    named = {name for expr in asked for name in re.findall(r"slurm_\w+", expr)}
    assert named
    assert named <= told()


def test_each_name_and_each_alert_is_in_the_docs() -> None:
    text = DOCS.read_text()
    assert [name for name in sorted(told()) if f"`{name}`" not in text] == []
    assert [r["alert"] for r in rules() if f"`{r['alert']}`" not in text] == []


def test_each_name_of_the_exporter_is_in_the_docs_with_its_labels() -> None:
    device = DeviceReading(0, "nvidia", "a", "m", 1, 1, (), 0.5, "gone")
    watch = HostWatch(lambda _: HostReading((device,)), 60.0, 1.0)
    watch.look()
    text = OF_HOSTS.read_text()
    samples = [sample for made in DeviceCollector(watch).collect() for sample in made.samples]
    rows = [f"| `{sample.name}` | {', '.join(sample.labels)} |" for sample in samples]
    assert len(rows) == 10
    assert [row for row in rows if row.replace("  ", " ") not in text] == []


def test_panels_lie_beside_each_other() -> None:
    ids = [panel["id"] for panel in panels()]
    assert len(set(ids)) == len(ids)
    cells = [
        (x, y)
        for p in (panel["gridPos"] for panel in panels())
        for x in range(p["x"], p["x"] + p["w"])
        for y in range(p["y"], p["y"] + p["h"])
    ]
    assert len(set(cells)) == len(cells), "two panels overlap"
    assert max(x for x, _ in cells) < 24


def _series(name: str, values: str, labels: str = "") -> dict[str, str]:
    return {"series": f"{PREFIX}{name}{{instance='ctl'{labels}}}", "values": values}


NORMAL = {"up": "1", "intake_open": "0", "leader": "1", "troubles": "0", "slurm_answers": "1",
          "last_cycle_duration_seconds": "0.3", "pool_mode,mode='plan'": "1"}  # fmt: skip
SILENT = {"up": "0", "pool_mode,mode='plan'": "_"}
FAULTS: dict[str, dict[str, str]] = {
    "SlurmHetGateShutOnNobody": SILENT,
    "SlurmHetDown": {**SILENT, "intake_open": "1"},
    "SlurmHetSlurmDoesNotAnswer": {"slurm_answers": "0"},
    "SlurmHetPlansNothing": {"last_cycle_timestamp_seconds": "0"},
    "SlurmHetCyclesAreSlow": {"last_cycle_duration_seconds": "12"},
    "SlurmHetGateOpen": {"intake_open": "1"},
    "SlurmHetHasTroubles": {"troubles": "1"},
    "SlurmHetDevicesUnhealthy": {"idle_devices,cause='unhealthy'": "2"},
    "SlurmHetForeignUse": {"idle_devices,cause='foreign-use'": "2"},
    "SlurmHetMissing": {"up": "_"},
    "": {},
    "none: no pool is in plan": {"intake_open": "1", "pool_mode,mode='plan'": "0"},
}
BESIDE = {"SlurmHetGateShutOnNobody": {"SlurmHetDown"}}


@pytest.mark.parametrize("alert", FAULTS)
def test_an_alert_comes_by_its_fault_alone(alert: str, tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if not promtool:
        pytest.skip("not installed: prometheus (./dev setup installs it)")
    values = {**NORMAL, "last_cycle_timestamp_seconds": "", **FAULTS[alert]}
    series = []
    for key, value in values.items():
        name, _, label = key.partition(",")
        steady = f"{value}x120" if value != "_" else "_x120"
        text = "0+60x120" if key == "last_cycle_timestamp_seconds" and not value else steady
        series.append(_series(name, text, f",{label},pool='p'" if label else ""))
    expected = {alert, *BESIDE.get(alert, set())}
    summaries = {rule["alert"]: rule for rule in rules()}
    tests = []
    for name, rule in summaries.items():
        labels = {"severity": rule["labels"]["severity"], "instance": "ctl"}
        if "sum by (pool)" in rule["expr"]:
            labels = {"severity": rule["labels"]["severity"], "pool": "p"}
        if name == "SlurmHetMissing":
            labels.pop("instance")
        notes = {k: v.replace("{{ $labels.pool }}", "p") for k, v in rule["annotations"].items()}
        fires = [{"exp_labels": labels, "exp_annotations": notes}] if name in expected else []
        tests.append({"eval_time": "60m", "alertname": name, "exp_alerts": fires})
    file = tmp_path / "test.yml"
    case = {"interval": "1m", "input_series": series, "alert_rule_test": tests}
    document = {"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": [case]}
    file.write_text(yaml.safe_dump(document))
    done = subprocess.run([promtool, "test", "rules", str(file)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
