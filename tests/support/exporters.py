"""het-exporters that replay what a test writes, one for each node of a sandbox."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from slurm_het.sandbox.layout import free_ports

EVERY = 0.25


class Exporters:
    """Each node's exporter, and the file that it replays. Amounts are GiB."""

    def __init__(self, base: Path, nodes: Mapping[str, tuple[str, int, int]]) -> None:
        """By node: the vendor, how many devices, and the GiB of each."""
        self.base, self.nodes = base, nodes
        self.ports = dict(zip(nodes, free_ports(len(nodes)), strict=True))
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def settings(self, **more: Any) -> dict[str, Any]:
        """The section `telemetry:` of het.yaml that asks them."""
        exporters = {node: f"127.0.0.1:{port}" for node, port in self.ports.items()}
        return {"exporters": exporters, "every_seconds": 0.5, "steady_seconds": 1, **more}

    def say(
        self,
        node: str,
        used: Mapping[int, float] = {},
        *,
        lost: tuple[int, ...] = (),
        processes: Mapping[int, list[tuple[int, float]]] = {},
        **more: Any,
    ) -> None:
        """What the node's devices say from now on: GiB in use by index, those that are lost, the
        processes (pid, GiB) on each; and `age`."""
        vendor, count, gib = self.nodes[node]
        devices = [
            {
                "index": index, "vendor": vendor, "model": "Test", "address": f"0000:0{index}:00.0",
                "memory_total_mib": gib * 1024,
                "memory_used_mib": int(used.get(index, 0.4) * 1024),
                "processes": [{"pid": pid, "memory_mib": int(of * 1024)}
                              for pid, of in processes.get(index, ())],
            }
            for index in range(count) if index not in lost
        ]  # fmt: skip
        file = self.base / f"{node}.json"
        new = file.with_suffix(".new")
        new.write_text(json.dumps({"devices": devices, **more}))
        new.rename(file)

    def start(self, node: str) -> subprocess.Popen[bytes]:
        """Start the exporter of a node."""
        listen = f"127.0.0.1:{self.ports[node]}"
        argv = [sys.executable, "-m", "slurm_het.telemetry.exporter", "--listen", listen]
        argv += ["--every", str(EVERY), "--replay", str(self.base / f"{node}.json")]
        self.running[node] = subprocess.Popen(argv)
        return self.running[node]


@contextmanager
def exporters(base: Path, nodes: Mapping[str, tuple[str, int, int]]) -> Iterator[Exporters]:
    """Exporters of these nodes, all of whose devices are idle."""
    made = Exporters(base, nodes)
    try:
        for node in nodes:
            made.say(node)
            made.start(node)
        yield made
    finally:
        for process in made.running.values():
            process.kill()
            process.wait()
