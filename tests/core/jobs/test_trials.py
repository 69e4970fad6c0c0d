"""How programs fared before: which ends count, how trials are weighed, and what comes of that."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from slurm_het.core.jobs.admission import Admitted, admit_message
from slurm_het.core.jobs.mark import decode_comment
from slurm_het.core.jobs.trials import (
    AFRESH,
    MOST_OF_USER,
    Trial,
    Trials,
    program_of,
    weigh_trials,
    went_well,
)
from slurm_het.core.model import Classification, Job
from slurm_het.core.policy import Policy, Rule
from slurm_het.core.syntax.script import read_script
from tests.support.world import inventory, policy

PROGRAM = "srun python train.py --lr 0.1 --out run1"
FAILED: dict[str, Any] = {"state": "FAILED", "exit_code": 1}


def ended(number: int = 12, **fields: Any) -> Job:
    """A job that ended well ten seconds after its start, unless the fields say otherwise."""
    times = {"submit_time": 100 * number, "start_time": 100 * number + 5}
    times["end_time"] = times["start_time"] + 10
    base: dict[str, Any] = {"state": "COMPLETED", "nodes": "nv1", "user": "ann"}
    return Job(number, **(base | times | fields))


def after(*jobs: Job, vendor: str = "nvidia") -> Trial:
    """What is known of one program after these jobs."""
    trials = Trials()
    for job in jobs:
        trials.put(trials.after(job, "p", vendor)[1])
    (trial,) = trials.of("ann", "p", [vendor]) or (Trial("ann", "p", vendor),)
    return trial


@pytest.mark.parametrize(
    ("fields", "well"),
    [
        ({}, True),
        (FAILED, False),
        (FAILED | {"exit_code": 0, "exit_signal": 11}, False),
        (FAILED | {"end_time": 10_000}, None),  # it came to its work
        (FAILED | {"exit_code": 0, "exit_signal": 53}, None),  # its output could not be opened
        (FAILED | {"exit_code": 137}, None),  # killed
        (FAILED | {"nodes": "", "start_time": 0}, None),
        ({"state": "CANCELLED", "exit_signal": 15}, None),
        ({"state": "NODE_FAIL", "exit_code": 1}, None),
        ({"state": "TIMEOUT"}, None),
        ({"state": "PREEMPTED", "exit_code": 1}, None),
        ({"state": "OUT_OF_MEMORY", "exit_code": 1}, None),
    ],
)
def test_only_some_ends_say_something_of_the_devices(
    fields: dict[str, Any], well: bool | None
) -> None:
    assert went_well(ended(**fields)) is well


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ("srun python train.py --lr 0.2 --out run2", True),
        ("# a comment\nexport SEED=7\nsrun python train.py", True),
        ("srun python train.py --lr 0.1\nsrun python train.py --lr 0.2", True),
        ("srun python evaluate.py --lr 0.1 --out run1", False),
        ("module load rocm\nsrun python train.py", False),
        ("srun apptainer exec --rocm x.sif python train.py", False),
    ],
)
def test_a_program_is_known_by_what_is_launched(other: str, same: bool) -> None:
    assert (program_of(read_script(other)) == program_of(read_script(PROGRAM))) is same


@pytest.mark.parametrize(
    "text",
    ["", "#!/bin/bash\n#SBATCH -n1", "X=1", "bash", "srun --pty zsh"],
)
def test_a_session_is_no_program(text: str) -> None:
    assert program_of(read_script(text)) == ""


def test_odd_bytes_are_no_error() -> None:
    assert len(program_of(read_script("\udcff\x00 x"))) == 12


def test_a_later_success_outweighs_a_failure_and_many_failures_a_success() -> None:
    fails = [ended(n, **FAILED) for n in range(20, 20 + AFRESH)]
    assert after(fails[0]).says == "failed"
    assert after(fails[0], ended(30)).says == "worked"
    assert after(ended(10), fails[0]).says == "worked"
    assert after(ended(10), *fails).says == "failed"
    assert after(ended(10), *fails, ended(30)).says == "worked"


def test_what_was_taken_in_already_changes_nothing_nor_does_each_task_of_an_array() -> None:
    """hetd asks for all that ended when it starts; an array is submitted once."""
    assert after(ended(10), ended(20, **FAILED), ended(10)) == after(ended(10), ended(20, **FAILED))
    tasks = [
        ended(n, array_job_id=20, submit_time=2000, start_time=2001, end_time=2000 + n, **FAILED)
        for n in range(20, 30)
    ]
    assert after(ended(10), *tasks).says == "worked"


def trial(vendor: str, says: str) -> Trial:
    return Trial("ann", "p", vendor, 1.0, says == "worked", int(says == "failed"), 0, "7")


@pytest.mark.parametrize(
    ("allowed", "failed", "worked", "left"),
    [
        ("amd nvidia", "nvidia", "", "amd"),
        ("amd nvidia", "nvidia", "amd", "amd"),
        ("amd nvidia", "nvidia amd", "", "amd nvidia"),  # on all alike: it says nothing
        ("nvidia", "nvidia", "", "nvidia"),  # nowhere else is a better guess
        ("nvidia", "nvidia", "amd", "amd"),
        ("nvidia", "", "amd", "amd"),
        ("amd nvidia", "", "amd", "amd nvidia"),  # the others are none the worse for it
        ("amd nvidia", "ascend", "", "amd nvidia"),
    ],
)
def test_where_it_failed_is_left_out_as_long_as_any_remain(
    allowed: str, failed: str, worked: str, left: str
) -> None:
    known = [trial(v, "failed") for v in failed.split()]
    known += [trial(v, "worked") for v in worked.split()]
    vendors, why = weigh_trials(allowed.split(), known)
    assert vendors == tuple(left.split())
    assert bool(why) is (left != allowed)


def test_the_table_is_bounded_for_each_user() -> None:
    """The newest stay, and nobody's flood takes another's."""
    trials = Trials([Trial("bob", "p", "amd", 1.0, well=True)])
    gone = [
        old
        for n in range(MOST_OF_USER + 5)
        for old in trials.put(Trial("ann", f"{n}", "amd", 1.0, well=True))
    ]
    assert [old.program for old in gone] == [f"{n}" for n in range(5)]
    assert not any(old.says for old in gone), "what takes their place says so"
    assert len(trials.all()) == MOST_OF_USER + 1
    assert trials.of("bob", "p", ["amd"])


# --- what comes of it at submit ------------------------------------------------------------


def known_of(*found: tuple[str, str], user: str = "ann", script: str = PROGRAM) -> Trials:
    """(vendor, says) of a program."""
    program = program_of(read_script(script))
    return Trials(trial(v, says)._replace(user=user, program=program) for v, says in found)


def submitted(
    trials: Trials, script: str = PROGRAM, site: Policy | None = None, **sent: Any
) -> Classification:
    base = {"tres_per_node": "gpu:1", "user_name": "ann", "script": script}
    default = replace(policy(), default_vendors=("amd", "nvidia"))
    made = admit_message(base | sent, site or default, inventory(), trials=trials)
    assert isinstance(made, Admitted)
    mark = decode_comment(made.fields["admin_comment"])
    assert mark
    assert mark.classification.program == made.classification.program
    return made.classification


def test_where_it_failed_it_does_not_go_again_and_why_says_so() -> None:
    what = submitted(known_of(("nvidia", "failed")))
    assert what.vendors == ("amd",)
    assert "vendors amd: it failed within moments on nvidia (job 7)" in what.evidence
    (told,) = what.problems
    assert told.startswith("on amd devices: it failed within moments on nvidia (job 7); #HET")


def test_without_defaults_all_that_are_here_remain() -> None:
    site = replace(policy(), default_vendors=())
    what = submitted(known_of(("nvidia", "failed")), site=site)
    assert what.vendors == ("amd", "ascend", "cambricon", "hygon")


@pytest.mark.parametrize(
    ("script", "sent", "vendors"),
    [
        ("#HET vendors=nvidia\n", {}, "nvidia"),  # what its user says
        ("#HET vendors=any\n", {}, ""),
        ("", {"comment": "het:vendors=nvidia"}, "nvidia"),
        ("", {"features": "a100"}, "nvidia"),
        ("", {"partition": "train-nv"}, ""),
        ("", {"tres_per_node": "gpu:a100:1"}, "nvidia"),
        ("module load cuda\n", {}, "nvidia"),  # a sure sign
        ("export CUDA_VISIBLE_DEVICES=0\n", {}, "amd hygon"),  # a hint
        ("", {"user_name": "bob"}, "amd nvidia"),  # another's history is not his
        ("", {"user_name": ""}, "amd nvidia"),
    ],
)
def test_what_goes_before_it(script: str, sent: dict[str, Any], vendors: str) -> None:
    text = script + PROGRAM
    trials = known_of(("nvidia", "failed"), ("amd", "worked"), script=text)
    assert submitted(trials, text, **sent).vendors == tuple(vendors.split())


def test_a_rule_of_the_site_goes_before_it_and_the_site_can_do_without_it() -> None:
    trials = known_of(("nvidia", "failed"))
    rule = Rule("ours", job_names=("x",), vendors=("nvidia",))
    ruled = replace(policy(), default_vendors=("amd", "nvidia"), rules=(rule,))
    assert submitted(trials, site=ruled, name="x").vendors == ("nvidia",)
    off = replace(policy(), default_vendors=("amd", "nvidia"), history_days=0.0)
    what = submitted(trials, site=off)
    assert (what.vendors, what.program) == (("amd", "nvidia"), "")


@pytest.mark.parametrize("sent", [{"tres_per_node": "gpu:a100:1"}, {"script": "#HET memory=100G"}])
def test_it_never_keeps_a_job_from_the_only_devices_that_could_hold_it(
    sent: dict[str, Any],
) -> None:
    """Without it: as if nothing were known."""
    script = sent.get("script", "") + "\n" + PROGRAM
    trials = known_of(("amd", "failed"), ("nvidia", "failed"), script=script)
    only_amd = known_of(("amd", "failed"), script=script)
    base = {k: v for k, v in sent.items() if k != "script"}
    for known in (trials, only_amd):
        assert submitted(known, script, **base) == submitted(Trials(), script, **base)
