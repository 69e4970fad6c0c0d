"""slurm-het try from the outside: what it reads, says and leaves as its exit code."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import jsonschema
import pytest
from click.testing import CliRunner, Result

from slurm_het.cli import try_job as module
from slurm_het.core.model import Job, Snapshot
from slurm_het.errors import HetError, SlurmError
from tests.support.squeue_cluster import CONFIG, running, snapshot

Try = Callable[..., Result]
SCHEMA = Path(__file__).parents[2] / "docs" / "schemas" / "slurm-het-try.json"
CUDA = "#!/bin/sh\n#SBATCH --gres=gpu:2 -t 60\nmodule load cuda\n./x\n"


class FakeSlurm:
    """Slurm on which some jobs run."""

    jobs: tuple[Job, ...] = ()
    conf: ClassVar[dict[str, str]] = {}
    hides: frozenset[str] = frozenset()
    also: tuple[Job, ...] = ()

    def __init__(self, _settings: object) -> None:
        pass

    async def snapshot(self, *also: Job) -> Snapshot:
        """They, on a small cluster."""
        FakeSlurm.also = also
        return snapshot(*FakeSlurm.jobs)

    async def configuration(self) -> dict[str, str]:
        """It deals out no host memory."""
        return {"SelectTypeParameters": "CR_CORE"} | FakeSlurm.conf

    async def ask(self, program: str, *_arguments: str) -> str:
        """Its slurmdbd is down."""
        raise SlurmError(f"{program}: it does not answer")

    async def hidden(self) -> frozenset[str]:
        """What PrivateData says."""
        return FakeSlurm.hides


@pytest.fixture
def attempt(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Try:
    """`slurm-het try` with these words; `script` is the file job.sh, or standard input."""
    config, file = tmp_path / "het.yaml", tmp_path / "job.sh"
    config.write_text(f"{CONFIG}paths: {{control_socket: {tmp_path}/control.sock}}\n")
    monkeypatch.setattr(module, "slurm_of", lambda config: FakeSlurm(config.slurm))
    FakeSlurm.jobs, FakeSlurm.conf, FakeSlurm.hides = (), {}, frozenset()

    def _attempt(*words: str, script: str = CUDA, given: str | bytes | None = None) -> Result:
        file.write_text(script)
        what = [] if given is not None else [str(file)]
        argv = ["--config", str(config), *words, *what]
        return CliRunner().invoke(module.try_job, argv, input=given)

    return _attempt


def test_now_where_and_why_there(attempt: Try) -> None:
    made = attempt()
    assert made.stdout.splitlines() == [
        "now on nv1:0-1",
        "  read as: training, on nvidia devices (line 3 loads cuda)",
        "    because vendors nvidia: line 3 loads cuda",
        "    because training: the site's default_scenario",
    ]
    assert made.exit_code == 0
    assert attempt(given=CUDA).stdout == made.stdout
    assert attempt("-", given=CUDA).stdout == made.stdout


def test_later_and_what_would_start_it_sooner(attempt: Try) -> None:
    FakeSlurm.jobs = (running(1, "nv[1-2]", *["gpu:a100:8(IDX:0-7)"] * 2),)
    made = attempt()
    assert made.exit_code == 3
    first, *_ = made.stdout.splitlines()
    assert ", at the latest: needs 2 free on one node" in first
    FakeSlurm.jobs = (running(1, "nv1", "gpu:a100:8(IDX:0-7)"),)
    made = attempt("-N2", "--gpus-per-node=8", script="#!/bin/sh\nmodule load cuda\n./x\n")
    assert "--nodes=1" in made.stdout
    assert "scontrol" not in made.stdout


def test_never(attempt: Try) -> None:
    made = attempt("--gres=gpu:a100:9")
    assert made.stdout.startswith("never: ")
    assert made.exit_code == 4


def test_what_plain_slurm_places(attempt: Try) -> None:
    made = attempt("--wrap", "hostname", script="")
    assert made.stdout.startswith("plain Slurm would place it: it asks for no accelerator")
    assert made.exit_code == 3


def test_what_is_not_looked_at_is_told(attempt: Try) -> None:
    made = attempt("--contiguous")
    assert "  not looked at: --contiguous" in made.stdout
    plugins = CUDA.replace("-t 60", "-t 60 --container-image=x --uenv=y")
    made = attempt(script=plugins)
    assert made.exit_code == 0, made.output
    told = (
        "not looked at: --container-image, --uenv, which sbatch takes only where a plugin adds it"
    )
    assert f"  {told}" in made.stdout


def test_what_is_wrong_is_told(attempt: Try) -> None:
    made = attempt(script=f"{CUDA}#HET vendors=nvidai\n")
    assert "  wrong: #HET on line 5: vendors=nvidai: nvidai is no vendor" in made.stdout


@pytest.mark.parametrize("words", [(), ("--gres=gpu:a100:9",), ("-n4", "--gres=gpu:0")])
def test_json_is_as_its_schema_says(attempt: Try, words: tuple[str, ...]) -> None:
    FakeSlurm.jobs = (running(1, "nv[1-2]", *["gpu:a100:8(IDX:0-7)"] * 2),)
    said = json.loads(attempt("--json", *words).stdout)
    jsonschema.validate(said, json.loads(SCHEMA.read_text()))


def test_mistakes_are_named(attempt: Try) -> None:
    for words, told in ((("--tiem=4",), "did you mean --time?"), (("-t", "soon"), "no time limit")):
        error = attempt(*words).exception
        assert isinstance(error, HetError)
        assert told in str(error)
    error = attempt("/nowhere/job.sh", "--gres=gpu:1", given="").exception
    assert isinstance(error, HetError)
    assert "/nowhere/job.sh cannot be read" in str(error)


def test_limits_of_an_account_that_is_not_known_are_not_looked_at_and_that_is_said(
    attempt: Try,
) -> None:
    remark = "limits of accounts and QOS are not looked at: name -A and -q"
    FakeSlurm.conf = {"AccountingStorageType": "accounting_storage/slurmdbd"}
    assert f"  {remark}" in attempt().stdout
    assert json.loads(attempt("--json").stdout)["remarks"] == [remark]
    assert remark not in attempt("-A", "vision", "-q", "normal", "-L", "matlab:2").stdout
    (tried,) = FakeSlurm.also
    assert (tried.account, tried.qos, tried.licenses) == ("vision", "normal", "matlab:2")


@pytest.mark.parametrize("hides", ["jobs", "nodes", "reservations"])
def test_what_slurm_hides_is_said(attempt: Try, hides: str) -> None:
    FakeSlurm.hides = frozenset({hides, "usage"})
    assert f"  Slurm may keep {hides} from you" in attempt().stdout
    assert len(json.loads(attempt("--json").stdout)["remarks"]) == 1


def test_an_array_has_a_first_task(attempt: Try) -> None:
    assert attempt("--array=0-3").stdout.startswith("its first task: now on nv1:0-1")
    assert json.loads(attempt("--json", "--array=0-3").stdout)["tasks"] == 4


def test_text_in_another_encoding_is_no_failure(attempt: Try) -> None:
    made = attempt("--json", "-J", "caf\udce9", given=CUDA.encode() + b"# caf\xe9\n")
    assert json.loads(made.stdout)["answer"] == "now"
    made = attempt("--json", "--gres=gpu:1", "--wrap", "module load cuda/\udce9", given="")
    assert json.loads(made.stdout)["answer"] == "now"
    made = attempt("--json", "-p", "caf\udce9")
    assert "caf?" in json.loads(made.stdout)["why"]
