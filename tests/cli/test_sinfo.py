"""het-sinfo's screen and its JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner

from slurm_het.cli import sinfo as module
from slurm_het.cli.documents import DOCUMENTS, schema_of
from slurm_het.cli.map_screen import MapLook, legend, map_lines, type_lines
from slurm_het.cli.render import width
from slurm_het.core.policy import Limits
from slurm_het.core.views.device_map import DeviceMap, MapOptions, device_map
from slurm_het.core.views.job_rows import as_planned
from slurm_het.core.views.probes import ProbeOptions
from tests.cli.test_squeue import TYPICAL, FakeSlurm
from tests.support.squeue_cluster import CONFIG, NODES, POLICY, node, snapshot

SCHEMAS = Path(__file__).parents[2] / "docs" / "schemas"


def made(nodes: tuple[object, ...] = NODES) -> DeviceMap:
    """The map of the typical jobs."""
    taken = replace(snapshot(*TYPICAL), nodes=nodes)  # type: ignore[arg-type]
    options = MapOptions(ProbeOptions(memory=None))
    return device_map(as_planned(taken, POLICY, Limits()), options)


def look(terminal: int | None = None, *, blocks: bool = True) -> MapLook:
    """How to draw it."""
    return MapLook(blocks, terminal, header=True, at=lambda t: f"<{int(t)}>")


def test_a_cell_for_each_device() -> None:
    assert map_lines(made(), look()) == [
        "POOL      NODES    TYPE   GIB DEVICES  WHY IDLE",
        "train-nv  nv1      a100    80 ████hhhh 4-7 held for job 110 until <1700013600>",
        "train-nv  nv2      a100    80 hhhhhhhh held for job 110 until <1700013600>",
        "train-amd amd[1-2] mi300x 192 ██████-- 6-7 nobody waits for it",
        "infer-nv  l40s1    l40s    48 ▆h--     1 held for job 111, which starts next; 2-3 nobody "
        "waits for it",
    ]


def test_without_utf_8_all_is_ascii() -> None:
    shown = made()
    lines = map_lines(shown, look(80, blocks=False)) + legend(shown, look(80, blocks=False))
    assert all(line.isascii() for line in lines)
    assert any("6h--" in line for line in lines)


@pytest.mark.parametrize("terminal", [60, 80, 200])
def test_no_line_is_wider_than_the_terminal(terminal: int) -> None:
    long = replace(NODES[0], state="IDLE+DRAIN", reason="a fan that " + "does not turn " * 12)
    shown = made((long, *NODES[1:]))
    lines = map_lines(shown, look(terminal)) + type_lines(shown.types, look(terminal))
    assert max(map(width, lines)) <= terminal
    text = " ".join(" ".join(lines).split())
    assert text.count("does not turn") == 12


def test_500_equal_nodes_are_one_line() -> None:
    nodes = tuple(node(f"n{i:03}", "gpu:a100:8", "train-nv") for i in range(500))
    taken = replace(snapshot(), nodes=nodes)
    shown = device_map(as_planned(taken, POLICY, Limits()), MapOptions())
    (line,) = map_lines(shown, look(80))[1:]
    assert line.split()[1:3] == ["n[000-499]", "(500)"]


def test_many_devices_on_a_node_are_counted() -> None:
    shown = made((node("mig1", "gpu:a100:56", "train-nv"),))
    assert map_lines(shown, look())[1].split()[4] == "·x56"


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_published_schema_is_the_one_of_the_code(name: str) -> None:
    published = (SCHEMAS / f"{name}.json").read_text()
    assert published == schema_of(name), "python -m slurm_het.cli.documents docs/schemas"


def test_json_is_as_its_schema_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config = tmp_path / "het.yaml"
    config.write_text(f"{CONFIG}paths: {{control_socket: {tmp_path}/control.sock}}\n")
    monkeypatch.setattr(module, "slurm_of", lambda config: FakeSlurm(config.slurm))
    result = CliRunner().invoke(module.sinfo, ["--config", str(config), "--json"])
    document = json.loads(result.stdout)
    jsonschema.validate(document, json.loads((SCHEMAS / "het-sinfo.json").read_text()))
    assert {n["node"] for n in document["nodes"]} == {n.name for n in NODES}
    told = document["nodes"][0]["devices"][4]["idle"]
    assert (told["cause"], told["job"]) == ("held", "110")


@pytest.mark.parametrize("text", ["soon", "1-", "4:xx"])
def test_a_time_limit_that_is_none(text: str) -> None:
    result = CliRunner().invoke(module.sinfo, ["-t", text])
    assert "no time limit" in str(result.exception)
