"""What `slurm-het try` says of a submission is what happens to the job that it becomes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from slurm_het.core.jobs.submission import Submission, Submitter, message_of
from slurm_het.core.jobs.trials import NO_TRIALS
from slurm_het.core.memory_defaults import MemoryDefaults
from slurm_het.core.model import Snapshot
from slurm_het.core.policy import Limits
from slurm_het.core.syntax.sbatch import read_arguments, read_script_options
from slurm_het.core.views.tried import Answer, Circumstances, Tried, try_it
from slurm_het.errors import HetError
from tests.core.views.test_sooner import CUDA, NOW, PLAIN, full, on
from tests.support.world import gated, policy

ANN = Submitter("ann", 1000, ("staff",))
CLUSTER = MemoryDefaults(per_cpu=1024)


def submission(words: str, script: str = PLAIN) -> Submission:
    options = read_script_options(script) | read_arguments(words.split()).options
    return Submission(options, script, ANN)


def tried(words: str, script: str = PLAIN, taken: Snapshot | None = None) -> Tried:
    site = Circumstances(taken or on(), policy(), Limits(), CLUSTER, NO_TRIALS)
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
        ("-N3 --gres=gpu:a100:8", PLAIN, "slurm", "no pool has nodes enough"),
        ("-n 8", PLAIN, "slurm", "no accelerator"),
        ("--gres=gpu:0", PLAIN, "slurm", "no accelerator"),
        ("--gres=gpu:1 -w nv1", PLAIN, "slurm", "--nodelist"),
        ("--gres=gpu:1 -p cpu", PLAIN, "slurm", "partition cpu is not ours"),
        ("--gres=gpu:1 -C [a100*1]", PLAIN, "slurm", "brackets"),
        ("--gres=gpu:1 -H", PLAIN, "unknown", "held"),
        ("--gres=gpu:1 -d afterok:7", PLAIN, "unknown", "Dependency afterok:7"),
        ("--gres=gpu:1 -b now+2hours", PLAIN, "unknown", "BeginTime"),
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


@pytest.mark.parametrize("words", ["-t soon", "--mem=lots", "-N many", "-c x"])
def test_what_sbatch_would_refuse_is_told(words: str) -> None:
    with pytest.raises(HetError):
        tried(f"--gres=gpu:1 {words}")


def test_memory_that_nobody_names_is_the_clusters_default() -> None:
    busy = tuple(replace(n, memory_alloc_mib=n.memory_mib - 2048) for n in on().nodes)
    taken = replace(on(), nodes=busy)
    assert tried("--gres=gpu:1", taken=taken).answer == "now"
    assert tried("--gres=gpu:1 -c 4", taken=taken).answer != "now"
    assert tried("--gres=gpu:1 --mem=0", taken=taken).answer != "now"
