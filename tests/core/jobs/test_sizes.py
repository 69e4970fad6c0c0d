"""memory=auto: what a user's program took before is what it is given."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from slurm_het.core.jobs.admission import Admitted, admit_message
from slurm_het.core.jobs.sizes import LEAST_RUNS, MOST_RUNS, died_of, size_of_runs, with_run
from slurm_het.core.jobs.trials import Trial, Trials, learned_gib, program_of
from slurm_het.core.model import Job
from slurm_het.core.policy import Policy, Rule
from slurm_het.core.syntax.script import read_script
from tests.support.world import inventory, policy

GIB = 1024
HERE = policy()
SERVE = "vllm serve m --port 8000"
AUTO = f"#!/bin/bash\n#HET memory=auto share=yes scenario=inference vendors=nvidia\n{SERVE}\n"


@pytest.mark.parametrize(
    ("peaks", "gib"),
    [
        ((), 0),
        ((20 * GIB,) * (LEAST_RUNS - 1), 0),
        ((20 * GIB,) * LEAST_RUNS, 23),
        ((10 * GIB, 20 * GIB, 5 * GIB), 23),
        ((100,) * 3, 1),
    ],
)
def test_the_size_is_a_little_more_than_nearly_all_runs_took(
    peaks: tuple[int, ...], gib: int
) -> None:
    assert size_of_runs(peaks) == gib


def test_runs_of_long_ago_are_forgotten() -> None:
    peaks: tuple[int, ...] = (40 * GIB,)
    for _ in range(MOST_RUNS):
        peaks = with_run(peaks, 10 * GIB)
    assert size_of_runs(peaks) == 12


@pytest.mark.parametrize("spread", [0.01, 0.05, 0.1])
def test_it_covers_later_runs_and_saves_memory(spread: float) -> None:
    """200 programs that take 4 to 30 GiB, whose users ask for a whole card of 48 GiB or for twice
    what they need, as they do; each runs 40 times, and differs a little from run to run."""
    rng = random.Random(7)
    runs = covered = asked_for = given = 0
    for _ in range(200):
        usual = rng.uniform(4, 30) * GIB
        asked = 48 if rng.random() < 0.5 else min(48, -(-2 * usual // GIB))
        peaks: tuple[int, ...] = ()
        for _ in range(40):
            peak = int(usual * rng.lognormvariate(0, spread))
            if gib := size_of_runs(peaks):
                runs += 1
                covered += peak <= gib * GIB
                given += gib
                asked_for += int(asked)
            peaks = with_run(peaks, peak)
    assert covered >= 0.98 * runs, covered / runs
    assert given <= 0.7 * asked_for, given / asked_for


def known(*peaks: int, script: str = AUTO) -> Trials:
    program = program_of(read_script(script))
    return Trials([Trial("ann", program, "nvidia", well=True, peaks=peaks)])


def admitted(trials: Trials, rules: Policy = HERE, **sent: str) -> Admitted:
    base = {"user_name": "ann", "script": AUTO, "tres_per_node": "gpu:1"}
    made = admit_message(base | sent, rules, inventory(), trials=trials)
    assert isinstance(made, Admitted)
    return made


def test_a_job_is_given_what_its_program_took_before() -> None:
    made = admitted(known(20 * GIB, 19 * GIB, 20 * GIB))
    assert made.fields["tres_per_node"] == "shard:23"
    assert "23 GiB per device: memory=auto (#HET on line 2), by its runs before" in (
        made.classification.evidence
    )
    assert not made.classification.problems


@pytest.mark.parametrize(
    ("trials", "sent"),
    [
        (known(20 * GIB), {}),
        (Trials(), {}),
        (known(*[20 * GIB] * 3), {"user_name": "bob"}),  # what others run says nothing
        (known(*[20 * GIB] * 3), {"script": AUTO.replace("vllm serve", "python infer.py #")}),
    ],
)
def test_what_is_not_known_gets_a_whole_device(trials: Trials, sent: dict[str, str]) -> None:
    made = admitted(trials, HERE, **sent)
    assert "tres_per_node" not in made.fields
    assert any("a whole device: memory=auto" in text for text in made.classification.evidence)


def test_what_its_user_names_goes_first() -> None:
    script = AUTO.replace("#HET ", "#HET memory=9G ").replace("memory=auto", "", 1)
    both = AUTO.replace("#HET memory=auto", "#HET memory=9G\n#HET memory=auto")
    trials = known(*[20 * GIB] * 3)
    assert admitted(trials, script=script).fields["tres_per_node"] == "shard:9"
    assert admitted(trials, script=both).fields["tres_per_node"] == "shard:9"


def test_a_rule_may_say_so() -> None:
    rule = Rule("serving", ("vllm",), share=True, memory_auto=True)
    script = AUTO.replace("#HET memory=auto share=yes", "#HET")
    made = admitted(known(*[20 * GIB] * 3), replace(policy(), rules=(rule,)), script=script)
    assert made.fields["tres_per_node"] == "shard:23"


def ended(number: int, **fields: int | str) -> Job:
    base: dict[str, int | str] = {"state": "COMPLETED", "nodes": "n", "user": "ann"}
    base |= {"submit_time": number, "start_time": number, "end_time": number + 9}
    return Job(number, **(base | fields))  # type: ignore[arg-type]  # by name


def test_only_runs_that_went_well_are_learned_from_and_each_once() -> None:
    trials = Trials()
    for job, peak in (
        (ended(1), 5), (ended(1), 5), (ended(2), 0), (ended(3, state="CANCELLED"), 9),
        (ended(4, state="FAILED", exit_code=1), 9), (ended(5), 7),
    ):  # fmt: skip
        trials.put(trials.after(job, "p", "nvidia", peak)[1])
    (trial,) = trials.of("ann", "p", ["nvidia"])
    assert trial.peaks == (5, 7)
    assert learned_gib([trial]) == 0


def died(number: int, peak_gib: float, share: str = "shard:23") -> tuple[Job, int]:
    job = ended(number, state="FAILED", exit_code=1, tres_per_node=share)
    return job, int(peak_gib * GIB)


def test_who_died_of_his_share_is_given_half_as_much_again_the_next_time() -> None:
    """Else a program that has grown would die of what it took before, for ever."""
    trials = known(*[20 * GIB] * 3)
    (before,) = trials.all()
    job, mib = died(7, 22.5)
    after = trials.after(job, before.program, "nvidia", mib, died_of(job, mib, HERE))[1]
    trials.put(after)
    assert learned_gib([after]) == 35
    assert (after.well, after.failures, after.says) == (True, 0, "worked"), "not the vendor's fault"
    assert admitted(trials).fields["tres_per_node"] == "shard:35"
    assert trials.after(job, before.program, "nvidia", mib, 23)[0] == after, "heard once more"


@pytest.mark.parametrize(
    ("ended_as", "share"),
    [
        (died(7, 22.5), 23), (died(7, 20.6), 0), (died(7, 0), 0), (died(7, 22.5, "gpu:1"), 0),
        (died(7, 22.5, "\x00"), 0), ((ended(7, tres_per_node="shard:23"), 23 * GIB), 0),
    ],
)  # fmt: skip
def test_who_died_of_his_share(ended_as: tuple[Job, int], share: int) -> None:
    assert died_of(*ended_as, HERE) == share
