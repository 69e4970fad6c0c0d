"""What users read at submit."""

from __future__ import annotations

from dataclasses import replace

import pytest

from slurm_het.core.cluster.capacity import capacity_of
from slurm_het.core.jobs.admission import Admitted, Refused, admit_message
from slurm_het.core.jobs.told import Tell, told
from slurm_het.core.policy import ImpossibleMemory, Rule
from tests.support.world import inventory, policy, snapshot


def lines(script: str, tell: Tell = "problems", **sent: str) -> tuple[str, ...]:
    fields = {"tres_per_node": "gpu:1", "script": script} | sent
    return told(admit_message(fields, policy(), inventory()), tell)


@pytest.mark.parametrize(
    ("script", "tell", "expected"),
    [
        ("module load rocm\npython train.py", "problems", ()),
        ("module load rocm\npython train.py", "all",
         ("training, on amd devices (line 1 loads rocm)",)),
        ("#HET memory=40G vendors=amd\n", "all",
         ("training, on amd devices of 40 GiB or more (#HET on line 1)",)),
        ("#HET vendors=nvidai", "nothing", ()),
        ("#HET scenario=infernce", "problems",
         ("#HET on line 1: scenario=infernce is no scenario, did you mean inference?;"
          " valid: training, inference",)),
        ("#HET memory=900G", "problems",
         ("900 GiB per device: #HET on line 1, but the largest that it may use (a100) has 80 GiB:"
          " it is read as 80G",)),
    ],
)  # fmt: skip
def test_a_line_or_two_where_the_answer_matters(
    script: str, tell: Tell, expected: tuple[str, ...]
) -> None:
    assert lines(script, tell) == expected


def test_a_hostile_directive_is_a_few_short_lines() -> None:
    said = lines("\n".join(f"#HET {'x' * 200}{n}=1" for n in range(40)))
    assert len(said) == 3
    assert all(len(line) <= 300 for line in said)


@pytest.mark.parametrize(
    ("chosen", "asked", "memory", "told_as"),
    [
        ("largest", "#HET memory=100G vendors=nvidia", 80, "it is read as 80G"),
        ("largest", "#HET memory=100G vendors=nvidia scenario=inference", 80, "it is read as 80G"),
        ("ignore", "#HET memory=100G vendors=nvidia", 0, "it counts as not said"),
    ],
)
def test_impossible_memory_is_what_the_admin_chose(
    chosen: ImpossibleMemory, asked: str, memory: int, told_as: str
) -> None:
    site = replace(policy(), impossible_memory=chosen)
    made = admit_message({"tres_per_node": "gpu:1", "script": asked}, site, inventory())
    assert isinstance(made, Admitted)
    assert made.classification.memory_gib == memory
    assert told(made, "problems")[0].endswith(f"(a100) has 80 GiB: {told_as}")


def test_impossible_memory_is_refused_where_the_admin_chose_that() -> None:
    """Only what its user said in a directive: a rule of the site is not the user's mistake."""
    site = replace(policy(), impossible_memory="refuse")
    sent = {"tres_per_node": "gpu:1", "script": "#HET memory=100G vendors=nvidia"}
    made = admit_message(sent, site, inventory())
    assert isinstance(made, Refused)
    assert str(made.why).endswith("the largest that it may use (a100) has 80 GiB")
    ruled = replace(site, rules=(Rule("big", job_names=("x",), memory_gib=900),))
    made = admit_message({"tres_per_node": "gpu:1", "name": "x"}, ruled, inventory())
    assert isinstance(made, Admitted)
    assert made.classification.memory_gib == 80


def test_impossible_memory_never_keeps_a_job_from_the_devices_that_could_hold_it() -> None:
    """The largest are excluded by its user."""
    sent = {"tres_per_node": "gpu:8", "script": "#HET memory=900G vendors=nvidia,amd"}
    known = capacity_of(snapshot(), policy())
    made = admit_message(sent | {"exc_nodes": "amd[1-2]"}, policy(), inventory(), known)
    assert isinstance(made, Admitted)
    assert made.classification.memory_gib == 80
    assert "read as 80G" in told(made, "problems")[0]


def test_srun_is_read_by_its_command() -> None:
    sent = {"tres_per_node": "gpu:1", "command": "python 'my infer.py'"}
    verdict = admit_message(sent, policy(), inventory())
    assert told(verdict, "all")[0].startswith("inference")
