"""End to end: mistakes of a configuration (tests/data/mistakes.yaml), as `check` tells them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from slurm_het.cli.hetd_client import call
from slurm_het.errors import HetError
from slurm_het.sandbox.cluster import HETD_ARGV, Sandbox
from tests.support.cluster import Cluster, own_sandbox

pytestmark = [pytest.mark.slurm, pytest.mark.in_turn("24.11")]

SITE = """
nodes:
- {name: "a[1-2]", type: a100, vendor: nvidia, devices: 4, memory_gib_per_device: 80,
   cpus: 64, memory_gib: 512, pool: train-nv, scenario: training}
- {name: "b[1-2]", type: l40s, vendor: nvidia, devices: 4, memory_gib_per_device: 48,
   shards_per_device: 48, cpus: 64, memory_gib: 512, pool: infer-nv, scenario: inference}
- {name: c1, type: my-asic, vendor: ascend, devices: 8, memory_gib_per_device: 32,
   cpus: 64, memory_gib: 512, pool: train-asic, scenario: training}
- {name: cpu1, cpus: 32, memory_gib: 128, pool: cpu}
"""
DATA = Path(__file__).parents[1] / "data" / "mistakes.yaml"
GROUPS: dict[str, list[dict[str, Any]]] = yaml.safe_load(DATA.read_text())
Found = list[dict[str, Any]]


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    with own_sandbox(SITE, slurm_user="slurm") as sandbox:
        yield sandbox


def found_by(box: Sandbox, config: Path) -> Found:
    done = box.run(["slurm-het", "check", "--config", str(config), "--json"])
    assert done.returncode in {0, 1}, done.stderr
    found: Found = json.loads(done.stdout)["findings"]
    return found


def with_keys(text: str, keys: Mapping[str, Any]) -> str:
    """het.yaml with these keys, by their path."""
    data = yaml.safe_load(text)
    for path, value in keys.items():
        *parents, last = path.split(".")
        inner = data
        for name in parents:
            inner = inner.setdefault(name, {})
        if value is None:
            inner.pop(last, None)
        else:
            inner[last] = value
    return yaml.safe_dump(data, sort_keys=False)


def with_conf(text: str, keys: Mapping[str, Any]) -> str:
    """slurm.conf with these keys; a list is one on several lines."""
    for key, value in keys.items():
        lines = [f"{key}={one}" for one in (value if isinstance(value, list) else [value])]
        kept = [line for line in text.splitlines() if not line.startswith(f"{key}=")]
        text = "\n".join([*([] if value is None else lines), *kept, ""])
    return text


def with_words(text: str, lines: Mapping[str, Mapping[str, Any]]) -> str:
    """slurm.conf with other words in the lines that begin so."""
    for start, words in lines.items():
        (line,) = re.findall(rf"^{re.escape(start)} .*$", text, re.MULTILINE)
        kept = [word for word in line.split() if word.partition("=")[0] not in words]
        new = [f"{key}={value}" for key, value in words.items() if value is not None]
        text = text.replace(line, " ".join([*kept, *new]))
    return text


class Ground:
    """The site, on which mistakes are made and taken back."""

    def __init__(self, box: Sandbox) -> None:
        self.box, self.etc, self.cluster = box, box.layout.etc, Cluster(box)
        self.config = box.config_path
        self.kept = {path: path.read_bytes() for path in self._files()}
        self.modes = {path: path.stat().st_mode for path in self.kept}
        self.others: list[subprocess.Popen[bytes]] = []

    def _files(self) -> list[Path]:
        return [*self.etc.glob("*.lua"), self.etc / "slurm.conf", self.config]

    def make(self, mistakes: list[dict[str, Any]]) -> None:
        """Make them all."""
        het, conf = self.config.read_text(), (self.etc / "slurm.conf").read_text()
        for one in mistakes:
            het = with_keys(het, one.get("het", {}))
            conf = with_words(with_conf(conf, one.get("conf", {})), one.get("words", {}))
        self.config.write_text(het)
        self._configure(conf)
        for one in mistakes:
            if words := one.get("deed", ""):
                self.deed(words)

    def deed(self, words: str) -> None:
        """A mistake that is no line of a configuration."""
        what, _, name = words.rpartition(" ")
        path = self.etc / name
        deeds: dict[str, Callable[[], object]] = {
            "remove": path.unlink,
            "chmod 600": lambda: path.chmod(0o600),
            "chmod 666": lambda: path.chmod(0o666),
            "age": lambda: path.write_text(f"{path.read_text()}\n-- as it was before\n"),
            "submit": self._submit,
            "no": self.box.stop_hetd,
            "own": self._own_script,
            "hetd of": self._hetd_of_nobody,
        }
        deeds[what or words]()

    def _submit(self) -> None:
        script = self.etc / "job_submit.lua"
        # Slurm loads what is newer than before, by whole seconds, and `_touch` is ahead of time.
        time.sleep(max(0.0, min(4.0, script.stat().st_mtime + 1.1 - time.time())))
        script.touch()
        self.cluster.sbatch("--gres=gpu:1", "--hold", "-p", "accel")

    def _touch(self) -> None:
        script = self.etc / "job_submit.lua"
        os.utime(script, (time.time() + 2,) * 2)

    def _own_script(self) -> None:
        room = self.etc / "slurm-het"
        room.mkdir()
        for path in self.etc.glob("*.lua"):
            shutil.move(path, room)
        text = "function slurm_job_submit() return 0 end\nslurm_job_modify = slurm_job_submit\n"
        (self.etc / "job_submit.lua").write_text(f"{text}return slurm.SUCCESS\n")

    def _hetd_of_nobody(self) -> None:
        """With a copy of het.yaml, and sockets where nobody may make them."""
        self.box.stop_hetd()
        room = self.box.dir.parent / "nobody"
        room.mkdir()
        shutil.chown(room, "nobody")
        paths = {
            f"paths.{key}": str(room / name)
            for key, name in (
                ("hook_socket", "h"), ("control_socket", "c"), ("event_socket", "e"),
                ("journal", "journal.db"), ("state_dir", "."),
            )
        }  # fmt: skip
        text = with_keys(self.config.read_text(), {**paths, "mode": "shadow"})
        (room / "het.yaml").write_text(text)
        self.config = room / "other.yaml"
        self.config.write_text(text)
        argv = [*HETD_ARGV, "--config", str(room / "het.yaml")]
        self.others.append(subprocess.Popen(argv, env=self.box.env, user="nobody", cwd="/"))
        self.cluster.wait("it answers", lambda: self._answers(room / "c"))

    def _answers(self, socket: Path) -> bool:
        try:
            return bool(call(socket, {"op": "status"}))
        except HetError:
            return False

    def _configure(self, conf: str) -> None:
        path = self.etc / "slurm.conf"
        if path.read_text() != conf:
            path.write_text(conf)
            self.box.restart_slurmctld()

    def undo(self) -> None:
        """The site as it was."""
        for process in self.others:
            process.terminate()
            process.wait(20)
        shutil.rmtree(self.etc / "slurm-het", ignore_errors=True)
        conf = self.kept[self.etc / "slurm.conf"].decode()
        self._configure(conf)
        for path, data in self.kept.items():
            path.write_bytes(data)
            path.chmod(self.modes[path])
        self._touch()
        self.config = self.box.config_path
        if not self.box.hetd_pid():
            self.box.start_hetd()
        self.cluster.clear()


@contextmanager
def mistaken(box: Sandbox, mistakes: list[dict[str, Any]]) -> Iterator[Ground]:
    ground = Ground(box)
    try:
        ground.make(mistakes)
        yield ground
    finally:
        ground.undo()


def is_told(one: dict[str, Any], found: Found) -> bool:
    """Whether this mistake is among what is told, with a remedy."""
    place = str(one["place"])
    return any(
        (f["place"].endswith(place[4:]) if place.startswith("...") else
         f["place"].startswith(place))
        and one["says"] in f["what"] and f["remedy"]
        for f in found
    )  # fmt: skip


@pytest.mark.parametrize("group", GROUPS)
def test_each_mistake_is_told_with_place_and_remedy(box: Sandbox, group: str) -> None:
    mistakes = GROUPS[group]
    with mistaken(box, mistakes) as ground:
        wanted = [one["name"] for one in mistakes]
        found: Found = []

        def all_told() -> bool:
            found[:] = found_by(box, ground.config)
            return all(is_told(one, found) for one in mistakes)

        deadline = time.monotonic() + 30  # slurmctld, and hetd, take a moment
        while not all_told() and time.monotonic() < deadline:
            time.sleep(0.5)
        missed = [one["name"] for one in mistakes if not is_told(one, found)]
    assert missed == [], (wanted, found)


def test_of_the_site_as_it_is_nothing_is_told(box: Sandbox) -> None:
    Cluster(box).wait("nothing is told", lambda: found_by(box, box.config_path) == [], 30)
    assert sum(map(len, GROUPS.values())) >= 24
