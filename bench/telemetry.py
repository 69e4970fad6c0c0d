"""What it costs hetd that 1,000 nodes of 8 devices tell of themselves, beside a hetd without that.

Usage: ./dev bench telemetry [--nodes 1000] [--every 15] [--rounds 4] [--cycles 12]

Cycles (observe, prepare, decide; first-fit) run in a thread, as hetd's do, on the cluster of `./dev
bench scale`. In turn: without any telemetry, and with hetd's reader, which asks as many exporters
over HTTP; one process answers for all of them. One node of a hundred has a card that a stranger
fills. The CPU time of a cycle is its thread's own; the wall time has in it what other threads and
processes take.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import statistics
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from bench.scale import CASES, LIMITS, expected, policy, snapshot
from slurm_het.core.assignment.first_fit import greedy
from slurm_het.core.cluster.ailing import Sample, SlurmPlace
from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.model import Snapshot
from slurm_het.core.planner.pins import Pins
from slurm_het.core.planner.proposal import Memory, decide, observe, prepare
from slurm_het.core.worth.forecast import Forecast
from slurm_het.daemon.telemetry import Recorded, Telemetry
from slurm_het.daemon.tidying import THRESHOLD
from slurm_het.settings import TelemetrySettings
from slurm_het.telemetry.report import HostReport

STRANGERS = 100  # of so many nodes one has a stranger


@dataclass
class Times:
    """Milliseconds of the cycles of one kind."""

    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)

    def told(self) -> str:
        """Their medians."""
        cpu, wall = statistics.median(self.cpu), statistics.median(self.wall)
        return f"cpu {cpu:7.1f} ms, wall {wall:7.1f} ms ({len(self.cpu)} cycles)"


def reports(inventory: Inventory) -> dict[str, HostReport]:
    """What each node says: what Slurm has given away is in use, and on some nodes more."""
    told = {}
    for number, node in enumerate(inventory.nodes.values()):
        more = 1024 * node.devices[0].memory_gib // 2 if number % STRANGERS == 0 else 400
        told[node.name] = HostReport(
            0.0,
            tuple(
                Sample(
                    d.index, d.vendor, 1024 * d.occupied_gib + more * (d.index == 0),
                    1024 * d.memory_gib, model=d.type,
                    slurm=SlurmPlace("gpu", d.index, len(node.devices)),
                )
                for d in node.devices
            ),
        )  # fmt: skip
    return told


async def serve(port: int, told: dict[str, bytes]) -> None:
    """Answer for all nodes: /NAME/devices."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        name = head.split(b"/", 2)[1].decode()
        writer.write(b"HTTP/1.0 200 OK\r\n\r\n" + told[name])
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", port, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


class Bench:
    """hetd's cycle and its telemetry, without Slurm."""

    def __init__(self, given: Snapshot, settings: TelemetrySettings) -> None:
        self.given, self.rules = given, policy()
        self.memory = Memory(Pins(0.0, 0.0))
        self.recorded = Recorded(observe(given, self.rules, self.memory, 0.0).inventory, 0.0)
        self.telemetry = Telemetry(settings, lambda: self.recorded)
        self.forecast: Forecast | None = None
        self.ailing = 0

    def cycle(self) -> float:
        """One cycle; its CPU seconds."""
        began, ticks = time.thread_time(), time.monotonic()
        given = replace(self.given, measured=self.telemetry.measured())
        observed = observe(given, self.rules, self.memory, ticks)
        self.recorded = Recorded(observed.inventory, ticks)
        prepared = prepare(observed, LIMITS, self.memory, ticks)
        self.forecast = self.forecast or expected(prepared.room, prepared.queue.tasks)
        decide(prepared, self.forecast, greedy)
        self.ailing = sum(node.ailing for node in observed.inventory.nodes.values())
        return time.thread_time() - began

    async def cycles(self, count: int, times: Times) -> None:
        """Some cycles, with pauses as hetd's."""
        for _ in range(count):
            began = time.perf_counter()
            cpu = await asyncio.to_thread(self.cycle)
            times.wall.append(1e3 * (time.perf_counter() - began))
            times.cpu.append(1e3 * cpu)
            await asyncio.sleep(0.2)


def rss_mib(pid: int | str = "self") -> float:
    """Resident memory of a process now."""
    text = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in text.splitlines() if "VmRSS" in line) / 1024


async def measure(args: argparse.Namespace) -> None:
    """Print the figures."""
    given = snapshot(CASES[0], args.nodes, args.tasks, 1)
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.telemetry", "--serve", "--nodes", str(args.nodes),
        "--tasks", str(args.tasks), stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    if child.stdout is None:
        raise SystemExit("no server")
    port = int(await child.stdout.readline())
    exporters = {f"n[0-{args.nodes - 1}]": f"127.0.0.1:{port}/{{node}}"}
    bench = Bench(given, TelemetrySettings(exporters, every_seconds=args.every, stale_seconds=600))
    await bench.cycles(3, Times())
    without, beside, heard = Times(), Times(), Times()
    hear = bench.telemetry.hear

    def timed(news: object) -> None:
        began, cpu = time.perf_counter(), time.thread_time()
        hear(news)  # type: ignore[arg-type]  # whatever comes
        heard.wall.append(1e3 * (time.perf_counter() - began))
        heard.cpu.append(1e3 * (time.thread_time() - cpu))

    bench.telemetry.hear = timed  # type: ignore[method-assign]
    memory = []
    for _ in range(args.rounds):
        await bench.cycles(args.cycles, without)
        bench.telemetry.start()
        while len(bench.telemetry.heard) < args.nodes:
            await asyncio.sleep(0.1)
        await asyncio.sleep(4)
        await bench.cycles(args.cycles, beside)
        memory.append(rss_mib())
        silent = len(bench.telemetry.failures)
        print(f"{len(bench.telemetry.heard)} nodes heard, {silent} silent, {bench.ailing} ail")
        await bench.telemetry.stop()
        bench.telemetry.begin(bench.telemetry.settings)
    child.terminate()
    print("without", without.told())
    print("beside ", beside.told())
    print("a frame", heard.told(), f"sum of a round {sum(heard.cpu) / args.rounds:.1f} ms")
    print("resident memory after each round:", " ".join(f"{m:.0f}" for m in memory), "MiB")


def main() -> None:
    """Serve, or measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--tasks", type=int, default=100)
    parser.add_argument("--every", type=float, default=15.0, help="seconds between samples (15)")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--cycles", type=int, default=12, help="of each kind in a round (12)")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    gc.set_threshold(*THRESHOLD)
    if args.serve:
        given = snapshot(CASES[0], args.nodes, args.tasks, 1)
        inventory = observe(given, policy(), Memory(Pins(0.0, 0.0)), 0.0).inventory
        told = {n: msgspec.json.encode(r) for n, r in reports(inventory).items()}
        asyncio.run(serve(0, told))
    else:
        asyncio.run(measure(args))


if __name__ == "__main__":
    main()
