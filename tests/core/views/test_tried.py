"""What `slurm-het try` says of a submission is what happens to the job that it becomes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from slurm_het.core.jobs.submission import Charged, Submission, Submitter, message_of
from slurm_het.core.jobs.trials import NO_TRIALS
from slurm_het.core.memory_defaults import MemoryDefaults
from slurm_het.core.model import Snapshot
from slurm_het.core.policy import Limits
from slurm_het.core.site_limits import Limit, Qos, SiteLimits
from slurm_het.core.syntax.sbatch import read_arguments, read_script_options
from slurm_het.core.views.tried import Answer, Circumstances, Tried, try_it
from slurm_het.errors import HetError
from tests.core.views.test_sooner import CUDA, NOW, PLAIN, full, on
from tests.support.world import gated, policy

ANN = Submitter("ann", 1000, ("staff",))
CLUSTER = MemoryDefaults(per_cpu=1024)
UNNAMED = Charged()


def submission(words: str, script: str = PLAIN) -> Submission:
    options = read_script_options(script) | read_arguments(words.split()).options
    return Submission(options, script, ANN)


def tried(
    words: str,
    script: str = PLAIN,
    taken: Snapshot | None = None,
    charged: Charged | None = UNNAMED,
) -> Tried:
    site = Circumstances(taken or on(), policy(), Limits(), CLUSTER, NO_TRIALS, charged)
    return try_it(submission(words, script), site, str)


@pytest.mark.parametrize(
    ("words", "script", "answer", "why"),
    [
        ("--gres=gpu:2 -t 60", PLAIN, "now", ""),
        ("", "#!/bin/sh\n#SBATCH -G a100:16 -N2\n./x\n", "now", ""),
        ("--gpus=16", CUDA, "now", ""),
        ("-N2 --gpus-per-node=8 --ntasks-per-node=8 -c 8", CUDA, "now", ""),
        ("--gres=gpu:a100:9", PLAIN, "never", "9 a100"),
        ("--gres=gpu:a100:1 --mem=900G", PLAIN, "never", "900 GiB"),
        ("--gres=gpu:h100:1", PLAIN, "never", "h100"),
        ("-N3 --gres=gpu:a100:8", PLAIN, "never", "3 nodes, and cpu allows 1; no pool has nodes"),
        ("-N3 --gres=gpu:8 -p accel", PLAIN, "slurm", "no pool has nodes enough"),
        ("-N3 --gres=gpu:8 -p train-nv", PLAIN, "never", "3 nodes, and train-nv allows 2"),
        ("--gpus=24", "#!/bin/sh\nmodule load rocm\n./x\n", "never", "no pool has nodes enough"),
        ("--gres=shard:49", CUDA, "never", "49 GiB"),
        ("--gres=shard:500", PLAIN, "never", "a share of more than"),
        ("-n 8", PLAIN, "slurm", "no accelerator"),
        ("--gres=gpu:0", PLAIN, "slurm", "no accelerator"),
        ("--gres=gpu:1 -w nv1", PLAIN, "never", "--nodelist"),
        ("--gres=gpu:1 -p accel -w nv1", PLAIN, "slurm", "--nodelist"),
        ("--gres=gpu:1 -p cpu", PLAIN, "never", "partition cpu is not ours"),
        ("--gres=gpu:1 -p accel -C [a100*1]", PLAIN, "slurm", "brackets"),
        ("--gres=gpu:1 -H", PLAIN, "unknown", "held"),
        ("--gres=gpu:1 -d afterok:7", PLAIN, "unknown", "Dependency afterok:7"),
        ("--gres=gpu:1 -b now+2hours", PLAIN, "unknown", "BeginTime"),
        ("--gres=gpu:1 -b 16:00", PLAIN, "unknown", "BeginTime"),
        ("--gres=gpu:1 -b 1970-01-01", PLAIN, "now", ""),
        ("--tres-per-task=gres/gpu=1", PLAIN, "unknown", "--tres-per-task is not read"),
        ("--ntasks-per-gpu=2 -n4", PLAIN, "unknown", "--ntasks-per-gpu is not read"),
        ("--gres=gpu:1 -F nodes.txt", PLAIN, "slurm", "--nodefile"),
        ("--gres=gpu:1 : -n2", PLAIN, "slurm", "heterogeneous"),
        ("--gres=gpu:1", "#!/bin/sh\n#SBATCH hetjob\n#SBATCH -n2\n", "slurm", "heterogeneous"),
    ],
)
def test_the_answer(words: str, script: str, answer: Answer, why: str) -> None:
    made = tried(words, script)
    assert made.answer == answer, made
    assert why.lower() in made.why.lower()
    assert (made.foreseen.start == NOW) == (answer == "now")


def test_it_comes_last_and_what_would_start_it_sooner_is_told_as_options() -> None:
    first = gated(5, tres_per_node="gpu:mi300x:8", nodes_min=2, tasks=2, cpus=2)
    taken = on(*full("nv1", "nv2"), first)
    made = tried("--gres=gpu:2 -t 60", PLAIN, taken)
    assert made.answer == "later"
    assert made.foreseen.start == NOW + 5 * 3600
    options = [one.change.option for one in made.changes]
    assert "#HET vendors=nvidia,ascend" in options  # amd's are the first job's
    assert not [option for option in options if "amd" in option]


def test_the_message_is_sbatchs() -> None:
    sent = message_of(submission("-N2-4 -n 8 -c 4 --mem-per-gpu=8G --gpus-per-task=l40s:1 -t 1-2"))
    expected = {
        "min_nodes": "2", "max_nodes": "4", "num_tasks": "8", "cpus_per_task": "4",
        "min_cpus": "32", "mem_per_tres": "gpu:8192", "tres_per_task": "gpu:l40s:1",
        "time_limit": "1560",
    }  # fmt: skip
    assert sent.items() >= expected.items()
    assert "pn_min_memory" not in sent


@pytest.mark.parametrize(
    ("text", "minutes"),
    [("30", "30"), ("30:30", "31"), ("4:00:00", "240"), ("1-12", "2160"), ("1-12:30", "2190"),
     ("unlimited", "unlimited")],
)  # fmt: skip
def test_time_limits(text: str, minutes: str) -> None:
    assert message_of(submission(f"-t {text}"))["time_limit"] == minutes


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [("4", 4, 4), ("2-4", 2, 4), ("2k", 2048, 2048), ("8,2,4", 2, 8), ("1-3,5", 1, 5),
     ("1-4:2", 1, 3), ("2-8:2", 2, 8)],
)  # fmt: skip
def test_numbers_of_nodes(text: str, least: int, most: int) -> None:
    sent = message_of(submission(f"-N {text}"))
    assert (sent["min_nodes"], sent["max_nodes"]) == (str(least), str(most))


@pytest.mark.parametrize(
    "words",
    ["-N 2,", "-N 2-", "-N -2", "-t soon", "--mem=lots", "-N many", "-c x", "-a abc", "-b soon"],
)
def test_what_sbatch_would_refuse_is_told(words: str) -> None:
    with pytest.raises(HetError):
        tried(f"--gres=gpu:1 {words}")


def test_memory_that_nobody_names_is_the_clusters_default() -> None:
    busy = tuple(replace(n, memory_alloc_mib=n.memory_mib - 2048) for n in on().nodes)
    taken = replace(on(), nodes=busy)
    assert tried("--gres=gpu:1", taken=taken).answer == "now"
    assert tried("--gres=gpu:1 -c 4", taken=taken).answer != "now"
    assert tried("--gres=gpu:1 --mem=0", taken=taken).answer != "now"


def test_the_limits_are_those_of_the_account_and_the_qos_that_slurm_gives_it() -> None:
    used = Qos("limited", users={1000: (Limit("MaxTRESPU", "gres/gpu", 4, 4),)})
    taken = replace(on(), limits=SiteLimits(qos=(used,)))
    assert tried("--gres=gpu:1", taken=taken).answer == "now"
    made = tried("--gres=gpu:1", taken=taken, charged=Charged("vision", "limited"))
    assert (made.answer, "QOS limited" in made.why) == ("unknown", True)


def test_a_default_that_is_not_known_makes_nothing_impossible() -> None:
    only = frozenset({"vision"})
    taken = on()
    closed = tuple(replace(p, allow_accounts=only) for p in taken.partitions)
    taken = replace(taken, partitions=closed)
    assert tried("--gres=gpu:1", taken=taken, charged=Charged("vision")).answer == "now"
    assert tried("--gres=gpu:1", taken=taken, charged=Charged("other")).answer == "never"
    assert tried("--gres=gpu:1", taken=taken, charged=None).answer == "unknown"
    assert tried("--gres=gpu:1 -A vision", taken=taken, charged=None).answer == "now"


def test_of_an_array_the_first_task_is_told() -> None:
    made = tried("--gres=gpu:1 --array=0-7:2,9%3")
    assert (made.answer, made.tasks) == ("now", 5)
    assert tried("--gres=gpu:1").tasks == 1


@pytest.mark.parametrize(("asked", "offered"), [("--gres", True), ("--gpus-per-node", False)])
def test_another_gres_is_offered_only_where_it_replaces_the_first(
    asked: str, offered: bool
) -> None:
    taken = on(*full("nv1"), *full("nv2", devices="gpu:a100:3(IDX:0-2)"))
    value = "gpu:a100:8" if asked == "--gres" else "a100:8"
    options = [one.change.option for one in tried(f"{asked}={value}", PLAIN, taken).changes]
    assert ("--gres=gpu:a100:5" in options) == offered
    assert bool([option for option in options if "--gres" in option]) == offered


def test_fewer_nodes_are_offered_only_where_they_hold_the_tasks() -> None:
    taken = on(*full("nv1"))
    nodes = "-N2 --gres=gpu:a100:8"
    options = [one.change.option for one in tried(nodes, PLAIN, taken).changes]
    assert "--nodes=1" in options
    made = tried(f"{nodes} -n2 --ntasks-per-node=1", PLAIN, taken)
    assert made.answer == "later"
    assert not [one for one in made.changes if one.kind == "nodes"]
