"""What users read at submit."""

from __future__ import annotations

import pytest

from slurm_het.core.jobs.admission import admit_message
from slurm_het.core.jobs.told import Tell, told
from tests.support.world import inventory, policy


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
          " it counts as not said",)),
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


def test_srun_is_read_by_its_command() -> None:
    sent = {"tres_per_node": "gpu:1", "command": "python 'my infer.py'"}
    verdict = admit_message(sent, policy(), inventory())
    assert told(verdict, "all")[0].startswith("inference")
