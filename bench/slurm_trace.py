"""A trace of short jobs of mixed vendors and sizes for the sandbox's default cluster.

Pure: a seed gives the same jobs, scripts and arrival times. What users ask is drawn by fixed
shares: sizes from a part of a card to two whole nodes, scripts for one vendor, for two, or for
any; both scenarios. Nothing here depends on what slurm-het does with it.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

TRAINING_DEVICES = 64
INFERENCE_DEVICES = 24
DEVICES = TRAINING_DEVICES + INFERENCE_DEVICES
"""What `slurm_het/data/sandbox_topology.yaml` has."""

LEAST_GIB = {"nvidia": 48, "ascend": 24, "cambricon": 48, "any": 24}
"""The smallest inference card that a script for the vendor may meet, in GiB."""


@dataclass(frozen=True)
class Code:
    """What a script is written for: `words` in it, and the partitions its user would name."""

    words: str
    partitions: tuple[str, ...]
    directives: str = ""


TRAINING: Mapping[str, tuple[int, Code]] = {
    "nvidia": (25, Code("module load cuda/12.4\ntorchrun train.py", ("train-nv",))),
    "amd": (15, Code("module load rocm/6.2\ntorchrun train.py", ("train-amd",))),
    "ascend": (15, Code("module load cann/8.0\nmsrun pretrain.py", ("train-ascend",))),
    "hygon": (10, Code("module load dtk/24.04\ntorchrun train.py", ("train-dcu",))),
    "a100|mi300x": (
        10,
        Code(
            "accelerate launch train.py",
            ("train-nv", "train-amd"),
            "#SBATCH --constraint=a100|mi300x",
        ),
    ),
    "any": (
        25,
        Code(
            "accelerate launch train.py",
            ("train-nv", "train-amd", "train-ascend", "train-dcu"),
            "#HET vendors=any",
        ),
    ),
}
INFERENCE: Mapping[str, tuple[int, Code]] = {
    "nvidia": (30, Code("module load cuda/12.4\nvllm serve model", ("infer-nv",))),
    "ascend": (15, Code("module load cann/8.0\nmindie_server model", ("infer-ascend",))),
    "cambricon": (15, Code("module load neuware/3.8\npython infer.py", ("infer-mlu",))),
    "any": (
        40,
        Code(
            "python batch_infer.py",
            ("infer-nv", "infer-ascend", "infer-mlu"),
            "#HET vendors=any",
        ),
    ),
}
"""Scripts by vendor, with how frequent each is in %. Who can run anywhere names all partitions."""

TRAINING_SIZES = {(1, 1): 40, (1, 2): 20, (1, 4): 20, (1, 8): 15, (2, 8): 5}
"""(nodes, devices per node) → %."""
INFERENCE_SIZES = {1: 25, 2: 10, 4: 5, 0: 60}
"""Whole cards → %; 0 is a part of one, of a size in SHARES."""
SHARES = (4, 8, 12, 16, 20, 24)
SECONDS = (8.0, 24.0)
"""The shortest and longest run."""
LIMITS = (1, 1, 2, 3)
"""Time limits, minutes, drawn evenly: users ask for several times what they need."""


@dataclass(frozen=True)
class Entry:
    """One job: when it comes (seconds from the start), what it says and what it takes.

    `devices` counts a part of a card as that part; `options` are sbatch's, the same for every
    scheduler; `partitions` is what its user names where nobody chooses for them.
    """

    number: int
    arrival: float
    kind: str
    scenario: str
    seconds: float
    devices: float
    options: tuple[str, ...]
    script: str
    partitions: tuple[str, ...]


def make_trace(jobs: int, load: float, seed: int) -> list[Entry]:
    """`jobs` jobs whose work arrives at `load` times what the cluster can do, evenly spread.

    Training and inference come in the proportion in which the cluster has devices for them.
    """
    rng = random.Random(seed)
    drawn = _draw(jobs, rng)
    horizon = sum(e.devices * e.seconds for e in drawn) / (load * DEVICES)
    times = sorted(rng.uniform(0, horizon) for _ in drawn)
    rng.shuffle(drawn)
    return [
        Entry(n, at, e.kind, e.scenario, e.seconds, e.devices, e.options, e.script, e.partitions)
        for n, (at, e) in enumerate(zip(times, drawn, strict=True))
    ]


def _draw(jobs: int, rng: random.Random) -> list[Entry]:
    """Jobs in no order yet: the scenario with less work for its devices gets the next one."""
    work = {"training": 0.0, "inference": 0.0}
    drawn: list[Entry] = []
    while len(drawn) < jobs:
        behind = work["training"] / TRAINING_DEVICES <= work["inference"] / INFERENCE_DEVICES
        entry = _training(rng) if behind else _inference(rng)
        work[entry.scenario] += entry.devices * entry.seconds
        drawn.append(entry)
    return drawn


def _training(rng: random.Random) -> Entry:
    vendor, code = _pick(TRAINING, rng)
    nodes, count = rng.choices(list(TRAINING_SIZES), list(TRAINING_SIZES.values()))[0]
    if "|" in vendor:
        nodes = 1  # nobody trains on two vendors' nodes at once, and plain A|B would allow it
    size = f"{nodes}x{count}" if nodes > 1 else str(count)
    options = (f"--nodes={nodes}", f"--gres=gpu:{count}", f"--cpus-per-task={4 * count}")
    return _entry(f"train {vendor} {size}", "training", nodes * count, options, code, rng)


def _inference(rng: random.Random) -> Entry:
    vendor, code = _pick(INFERENCE, rng)
    count = rng.choices(list(INFERENCE_SIZES), list(INFERENCE_SIZES.values()))[0]
    if count:
        options = (f"--gres=gpu:{count}", f"--cpus-per-task={2 * count}")
        # Whoever asks for whole cards says what for: one card could be for either scenario.
        return _entry(f"infer {vendor} {count}", "inference", count, options, code, rng, count)
    gib = rng.choice(SHARES)
    share = gib / LEAST_GIB[vendor]
    options = (f"--gres=shard:{gib}", "--cpus-per-task=2")
    return _entry(f"infer {vendor} share", "inference", share, options, code, rng)


def _pick(codes: Mapping[str, tuple[int, Code]], rng: random.Random) -> tuple[str, Code]:
    vendor = rng.choices(list(codes), [share for share, _ in codes.values()])[0]
    return vendor, codes[vendor][1]


def _entry(
    kind: str,
    scenario: str,
    devices: float,
    options: tuple[str, ...],
    code: Code,
    rng: random.Random,
    whole: int = 0,
) -> Entry:
    seconds = round(rng.uniform(*SECONDS), 1)
    directives = [code.directives] if code.directives else []
    if whole:
        directives.append("#HET scenario=inference")
    head = "\n".join(["#!/bin/bash", *directives])
    return Entry(
        number=0,
        arrival=0.0,
        kind=kind,
        scenario=scenario,
        seconds=seconds,
        devices=devices,
        options=(*options, f"--time={rng.choice(LIMITS)}", f"--job-name={kind.replace(' ', '-')}"),
        script=f"{head}\nexport STANDIN_SECONDS={seconds}\n{code.words}\n",
        partitions=code.partitions,
    )
