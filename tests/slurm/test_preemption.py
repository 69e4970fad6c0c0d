"""What slurmctld's configuration and sacctmgr say of preemption, as 22.05, 24.11 and 26.05 do."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from slurm_het.core.preemption import NO_PREEMPTION, QosPreemption
from slurm_het.errors import SlurmError
from slurm_het.settings import SlurmSettings
from slurm_het.slurm.cli import CliSlurm
from slurm_het.slurm.preemption import preemption_of, qos_of
from slurm_het.slurm.qos import PATIENCE, SECONDS, QosReader, parse_qos
from slurm_het.slurm.records import parse_partitions

PRINTED = """\
normal||0||cluster||00:00:00||||
idle|OverPartQOS,DenyOnLimit|1||cancel|1-00:01:00|00:00:20||||
off||1||off||||||
high||100|idle,off|requeue,within||00:00:00||||
torn|
"""
CONF = {
    "PreemptType": "preempt/qos",
    "PreemptMode": "GANG,SUSPEND",
    "PreemptExemptTime": "00:02:00",
    "SchedulerParameters": "bf_interval=1,preempt_youngest_first,preempt_reorder_count=3",
}


def test_qos_as_sacctmgr_prints_them() -> None:
    assert {name: qos_of(said) for name, said in parse_qos(PRINTED).items()} == {
        "normal": QosPreemption(),
        "idle": QosPreemption(
            1, modes=frozenset({"CANCEL"}), exempt_seconds=86_460, grace_seconds=20,
            over_partition=True,
        ),
        "off": QosPreemption(1),
        "high": QosPreemption(
            100, frozenset({"idle", "off"}), frozenset({"REQUEUE", "WITHIN"})
        ),
    }  # fmt: skip


def test_the_cluster_as_scontrol_prints_it() -> None:
    made = preemption_of(CONF, {})
    assert (made.by, sorted(made.modes), made.exempt_seconds) == ("qos", ["GANG", "SUSPEND"], 120)
    assert (made.youngest_first, made.reorder_count, made.min_exempt_priority) == (True, 3, None)
    newer = {"PreemptParameters": "min_exempt_priority=9,youngest_first,reorder_count=0"}
    made = preemption_of(CONF | newer | {"SchedulerParameters": ""}, {})
    assert (made.youngest_first, made.reorder_count, made.min_exempt_priority) == (True, 0, 9)


@pytest.mark.parametrize(
    "said", [{"PreemptMode": "OFF"}, {"PreemptType": "preempt/none"}, {"PreemptType": "(null)"}]
)
def test_without_preemption(said: dict[str, str]) -> None:
    assert preemption_of(CONF | said, {}) == NO_PREEMPTION
    assert preemption_of({}, {}) == NO_PREEMPTION


def test_a_partition_says_its_tier_mode_grace_and_qos() -> None:
    text = (
        "PartitionName=low QoS=part GraceTime=30 PriorityTier=3 PreemptMode=GANG,SUSPEND State=UP"
    )
    (partition,) = parse_partitions(text)
    assert (partition.tier, partition.grace_seconds, partition.qos) == (3, 30, "part")
    assert partition.preempt_modes == {"GANG", "SUSPEND"}
    (plain,) = parse_partitions("PartitionName=a QoS=N/A GraceTime=0 PriorityTier=1")
    assert (plain.tier, plain.grace_seconds, plain.qos) == (1, 0, "")


PROGRAMS = {
    "scontrol": """case "$*" in
        --version) echo slurm 24.11.5;;
        *config*) echo "PreemptType = preempt/qos"; echo "PreemptMode = REQUEUE";;
        *node) echo "NodeName=a1 State=IDLE Partitions=a";;
        *partition) echo "PartitionName=a State=UP";;
        esac""",
    "squeue": """echo '{"jobs": []}'""",
    "sacctmgr": """[ -e "$0.hangs" ] && exec sleep 60; echo "high||5|idle|cluster||||||" """,
}


def test_nothing_waits_for_a_slurmdbd_that_does_not_answer(tmp_path: Path) -> None:
    for name, script in PROGRAMS.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    hangs = tmp_path / "sacctmgr.hangs"

    async def look() -> list[tuple[float, int]]:
        slurm, seen = CliSlurm(SlurmSettings(bin_dir=tmp_path, timeout_seconds=30)), []
        for _ in range(2):
            began = time.monotonic()
            snapshot = await slurm.snapshot()
            seen.append((time.monotonic() - began, len(snapshot.preemption.qos)))
        return seen

    hangs.touch()
    (first, none), (second, _) = asyncio.run(look())
    assert (none, first < 2 * PATIENCE, second < PATIENCE) == (0, True, True)
    hangs.unlink()
    assert [known for _, known in asyncio.run(look())] == [1, 1]


def test_who_does_not_tell_the_qos_is_asked_again_and_they_are_as_they_were(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, answers = [1000.0], [PRINTED, ""]
    monkeypatch.setattr("slurm_het.slurm.qos.time.monotonic", lambda: clock[0])
    asked = 0

    async def run(*_arguments: str) -> str:
        nonlocal asked
        asked += 1
        if not answers:
            raise SlurmError("slurmdbd is down")
        return answers.pop()

    async def reads() -> list[bool]:
        reader, known = QosReader(run), []
        for _ in range(6):
            known.append(bool(await reader.read()))
            await asyncio.sleep(0)  # it asks beside all else
            clock[0] += SECONDS / 2 + 1
        return known

    assert asyncio.run(reads()) == [False, False, True, True, True, True]
    assert asked == 5  # two until it told; then after a minute, and from then on each time
