"""sbatch's options, as its users write them."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_het.core.syntax.sbatch import (
    of_plugins,
    read_arguments,
    read_environment,
    read_script_options,
)
from slurm_het.errors import HetError


@pytest.mark.parametrize(
    ("words", "options", "rest"),
    [
        ("-N2 -n 4 --gres=gpu:2 job.sh -t 5", {"nodes": "2", "ntasks": "4", "gres": "gpu:2"},
         ("job.sh", "-t", "5")),
        ("--time 4:00:00 --exclusive job.sh", {"time": "4:00:00", "exclusive": ""}, ("job.sh",)),
        ("--exclusive=user -sHt5", {"exclusive": "user", "oversubscribe": "", "hold": "",
                                    "time": "5"}, ()),
        ("--gpus-per-n=8 --part=gpu", {"gpus-per-node": "8", "partition": "gpu"}, ()),
        ("-p a -p b", {"partition": "b"}, ()),
        ("-- -x", {}, ("-x",)),
        ("-", {}, ("-",)),
        ("-N1 : -n2 job.sh", {"nodes": "1", "hetjob": "", "ntasks": "2"}, ("job.sh",)),
        ("hetjob", {}, ("hetjob",)),
    ],
)  # fmt: skip
def test_arguments(words: str, options: dict[str, str], rest: tuple[str, ...]) -> None:
    assert read_arguments(words.split()) == (options, rest)


@pytest.mark.parametrize(
    ("words", "told"),
    [("--gpus-per", "did you mean --gpus-per-node or"), ("--tiem=5", "did you mean --time?"),
     ("--container-entry job.sh", "If it is a plugin's, write --container-entry=VALUE"),
     ("--memory 4G job.sh", "no option --memory of its own"), ("--=5", "no option --"),
     ("--gpu-per-node=8", "did you mean --gpus-per-node?"),
     ("--gress=gpu:1", "did you mean --gres?"), ("--tume=5", "did you mean --time?"),
     ("-N", "-N needs a value"), ("-y", "no option -y"), ("--nodes", "needs a value")],
)  # fmt: skip
def test_what_sbatch_does_not_know_is_told(words: str, told: str) -> None:
    with pytest.raises(HetError) as caught:
        read_arguments(words.split())
    assert told in str(caught.value)


SCRIPT = """#!/bin/bash -l
# two nodes
#SBATCH -N 2 --gres=gpu:8   # all of each
#SBATCH --job-name="a b"

#SBATCH --time=1-12
module load cuda
#SBATCH --gres=gpu:1
"""


def test_the_lines_of_a_script_end_with_its_first_command() -> None:
    options = {"nodes": "2", "gres": "gpu:8", "job-name": "a b", "time": "1-12"}
    assert read_script_options(SCRIPT) == options
    parts = "#!/bin/sh\n#SBATCH -N2\n#SBATCH packjob\n#SBATCH -n4\n"
    assert read_script_options(parts) == {"nodes": "2", "hetjob": "", "ntasks": "4"}
    with pytest.raises(HetError, match="line 2: sbatch has no option --gpuss"):
        read_script_options("#!/bin/sh\n#SBATCH --gpuss=2\n")
    with pytest.raises(HetError, match="line 1: No closing quotation"):
        read_script_options("#SBATCH --comment='x\n")


@pytest.mark.parametrize(
    ("line", "options", "plugins"),
    [
        ("--container-image=nvcr.io\\#nvidia/pytorch:24.01-py3",
         {"container-image": "nvcr.io#nvidia/pytorch:24.01-py3"}, ["container-image"]),
        ("--environment=/capstor/my.toml -N2", {"environment": "/capstor/my.toml", "nodes": "2"},
         ["environment"]),
        ("--image docker:x/y:1 --module=gpu", {"image": "docker:x/y:1", "module": "gpu"},
         ["image", "module"]),
        ("--container-name=a --container-env=b", {"container-name": "a", "container-env": "b"},
         ["container-env", "container-name"]),
        ("--container-writable --qos=a", {"container-writable": "", "qos": "a"},
         ["container-writable"]),
        ("--oom-kill-step=1 --container-type=x --spread-segments --resv-ports",
         {"oom-kill-step": "1", "container-type": "x", "spread-segments": "", "resv-ports": ""},
         []),
    ],
)  # fmt: skip
def test_options_of_plugins_are_told_from_sbatchs(
    line: str, options: dict[str, str], plugins: list[str]
) -> None:
    assert read_script_options(f"#!/bin/sh\n#SBATCH {line}\n") == options
    assert of_plugins({**options, "hetjob": ""}) == plugins
    if "--image " not in line and "#" not in line:  # a script could be the next word
        assert read_arguments([*line.split(), "--", "job.sh"]) == (options, ("job.sh",))


def test_the_environment() -> None:
    environment = {"SBATCH_TIMELIMIT": "30", "SBATCH_GRES": "gpu:1", "HOME": "/root"}
    assert read_environment(environment) == {"time": "30", "gres": "gpu:1"}


@given(st.text(max_size=200), st.lists(st.text(max_size=20), max_size=10))
def test_nothing_that_people_write_makes_it_fail_otherwise(text: str, words: list[str]) -> None:
    for read in (lambda: read_arguments(words), lambda: read_script_options("#SBATCH " + text)):
        with contextlib.suppress(HetError):
            read()
