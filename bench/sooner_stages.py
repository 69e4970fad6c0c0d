"""The queues that bench sooner stages, as data: what waits, beside what, and what starts it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

PLAIN = "#!/bin/sh\nsleep 900\n"
Words = tuple[str, ...]


class Pool(NamedTuple):
    """A pool of the default topology: two equal nodes."""

    partition: str
    nodes: tuple[str, str]
    type: str
    devices: int
    cpus: int
    gib: int


POOLS = (
    Pool("train-nv", ("nv1", "nv2"), "a100", 8, 64, 512),
    Pool("train-amd", ("amd1", "amd2"), "mi300x", 8, 96, 1024),
    Pool("train-ascend", ("asc1", "asc2"), "910b", 8, 96, 768),
    Pool("train-dcu", ("dcu1", "dcu2"), "k100ai", 8, 64, 512),
    Pool("infer-nv", ("l40s1", "l40s2"), "l40s", 4, 64, 256),
    Pool("infer-ascend", ("asi1", "asi2"), "310p", 4, 48, 256),
    Pool("infer-mlu", ("mlu1", "mlu2"), "mlu370", 4, 48, 256),
)


@dataclass(frozen=True)
class Staged:
    """A job that waits beside `busy` ones, which Slurm places; the command that starts it at once,
    as a pattern, and half of that change, which does not: there may be none."""

    name: str
    options: Words
    command: str = ""
    busy: tuple[Words, ...] = ()
    half: str = ""
    script: str = PLAIN


@dataclass(frozen=True)
class Trap:
    """A script whose evidence allows the devices of these nodes alone, all of which are busy."""

    name: str
    script: str
    nodes: Words
    options: Words = ()


def on(node: str, pool: Pool, *options: str) -> Words:
    """The options of a job that Slurm itself places on a node."""
    return ("-w", node, "-p", pool.partition, "-t", "60", "--mem=1G", *options)


def full(pool: Pool, *nodes: str) -> tuple[Words, ...]:
    """Jobs that have all devices of these nodes, or of all."""
    return tuple(on(name, pool, f"--gres=gpu:{pool.devices}") for name in nodes or pool.nodes)


def _one(pool: Pool, *options: str, devices: int = 1) -> Words:
    return ("-t", "60", f"--gres=gpu:{pool.type}:{devices}", *options)


def _time(pool: Pool) -> Staged:
    """All nodes are reserved from two hours on; half of what is lacking is not enough."""
    asks = ("-t", "240", *_one(pool)[2:])
    return Staged("time", asks, r"TimeLimit=1:\d+:00", half="TimeLimit=3:00:00")


def _cpus(pool: Pool) -> Staged:
    taken, own = pool.cpus * 5 // 8, pool.cpus * 7 // 8
    half = (own + pool.cpus - taken) // 2
    busy = tuple(on(name, pool, f"-c{taken}") for name in pool.nodes)
    return Staged(
        "cpus", _one(pool, f"-c{own}", "--mem=1G"), r"CPUsPerTask=\d+ NumCPUs", busy,
        f"CPUsPerTask={half} NumCPUs={half} MinCPUsNode={half}",
    )  # fmt: skip


def _memory(pool: Pool) -> Staged:
    busy = tuple((*on(name, pool), f"--mem={pool.gib * 5 // 8}G") for name in pool.nodes)
    asks = _one(pool, f"--mem={pool.gib * 3 // 4}G")
    return Staged("memory", asks, r"MinMemoryNode=\d+", busy, f"MinMemoryNode={pool.gib * 576}")


def _memory_per_cpu(pool: Pool) -> Staged:
    busy = tuple((*on(name, pool), f"--mem={pool.gib * 5 // 8}G") for name in pool.nodes)
    asks = _one(pool, "-c4", f"--mem-per-cpu={pool.gib * 3 // 16}G")
    half = f"MinMemoryCPU={pool.gib * 144}"
    return Staged("memory per CPU", asks, r"MinMemoryCPU=\d+", busy, half)


def _exclude(pool: Pool) -> Staged:
    """There is no half: who leaves out all that there is would be refused."""
    free, taken = pool.nodes
    asks = _one(pool, "-x", free, devices=2)
    return Staged("exclude", asks, r"ExcNodeList=", full(pool, taken))


def _begin(pool: Pool) -> Staged:
    asks = _one(pool, "--begin=now+2hours")
    return Staged("begin", asks, r"StartTime=now", half="StartTime=now+1hour")


def _nodes(pool: Pool) -> Staged:
    asks = _one(pool, "-N2", devices=pool.devices)
    return Staged("nodes", asks, r"NumNodes=1", full(pool, pool.nodes[0]))


def _devices(pool: Pool) -> Staged:
    """Where Slurm lets the GRES of a queued job be replaced: from 24.11 on."""
    first, second = pool.nodes
    taken = pool.devices // 2
    busy = (*full(pool, first), on(second, pool, f"--gres=gpu:{taken}"))
    half = f"Gres=gpu:{pool.type}:{pool.devices - taken // 2}"
    asks = _one(pool, devices=pool.devices)
    return Staged("devices", asks, rf"Gres=gpu:{pool.type}:{taken}", busy, half)


KINDS: Mapping[str, Callable[[Pool], Staged]] = {
    "time": _time, "cpus": _cpus, "memory": _memory, "memory per CPU": _memory_per_cpu,
    "exclude": _exclude, "begin": _begin, "nodes": _nodes, "devices": _devices,
}  # fmt: skip
NEWER = {"devices"}
RESERVED = {"time"}

NV, AMD, ASCEND, DCU, L40S, _, MLU = POOLS
ANOTHER_KIND = (
    Staged(
        "another vendor", ("-t", "20", "--gres=gpu:2"), r"slurm-het ask .*vendors=", full(NV)
    ),
    Staged(
        "another scenario", ("-t", "20", "--gres=gpu:2"), r"slurm-het ask .*scenario=inference",
        script="#!/bin/sh\nmodule load cuda\nsleep 900\n",
    ),
)  # fmt: skip

NO_REMEDY = (
    *(Staged(f"{pool.type} is full", _one(pool, "-c1", "--mem=1G"), busy=full(pool))
      for pool in POOLS),
    Staged("it is held", _one(NV, "-H")),
    Staged("it is too large", _one(NV, "-N3", devices=8)),
    Staged("it waits for another's end", _one(MLU, "-d", "singleton", "-J", "alone"),
           busy=(on("mlu1", MLU, "-J", "alone"),)),
)  # fmt: skip


def _script(*lines: str) -> str:
    return "\n".join(("#!/bin/sh", *lines, "sleep 900", ""))


def traps() -> Iterator[Trap]:
    """Twenty of them: pools of their vendor are full, and those of others idle."""
    nvidia = {
        "module": _script("module load cuda/12.4"),
        "image": _script("singularity exec nvcr.io/nvidia/pytorch:24.01 python t.py"),
        "program": _script("nvidia-smi"),
        "variable": _script("export CUDA_HOME=/opt/cuda"),
        "compiler": _script("nvcc -o x x.cu"),
        "directive": _script("#HET vendors=nvidia"),
        "type": _script("#HET types=a100,l40s"),
        "container": _script("apptainer exec --nv t.sif python t.py"),
    }
    nodes = (*NV.nodes, *L40S.nodes)
    yield from (Trap(f"nvidia: {name}", script, nodes) for name, script in nvidia.items())
    yield Trap("nvidia: GRES", PLAIN, NV.nodes, ("--gres=gpu:a100:2",))
    yield Trap("nvidia: constraint", PLAIN, NV.nodes, ("-C", "a100"))
    yield Trap("nvidia: comment", PLAIN, nodes, ("--comment=het:vendors=nvidia",))
    amd = {
        "module": _script("module load rocm/6.2"),
        "program": _script("rocm-smi"),
        "compiler": _script("hipcc -o x x.cpp"),
        "directive": _script("#HET vendors=amd"),
    }
    yield from (Trap(f"amd: {name}", script, AMD.nodes) for name, script in amd.items())
    ascend = {
        "module": _script("module load cann/8.0"),
        "program": _script("npu-smi info"),
        "variable": _script("export ASCEND_RT_VISIBLE_DEVICES=0"),
    }
    nodes = (*ASCEND.nodes, "asi1", "asi2")
    yield from (Trap(f"ascend: {name}", script, nodes) for name, script in ascend.items())
    yield Trap("hygon: module", _script("module load dtk/24.04"), DCU.nodes)
    yield Trap("hygon: program", _script("hy-smi"), DCU.nodes)


FULL_FOR_TRAPS = ((NV, AMD), (ASCEND, DCU))
"""The pools that are full at once: the others are idle, and would start what is sent there."""
