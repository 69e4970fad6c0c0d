"""vagrant/: its scripts are docs/install.md's steps, word for word; the Vagrantfile is one."""

from __future__ import annotations

import re
import shutil
import subprocess
import textwrap
from pathlib import Path

import pytest

from slurm_het.config import load_config

REPO = Path(__file__).resolve().parents[1]
VAGRANT = REPO / "vagrant"
DOCS = (REPO / "docs" / "install.md").read_text()
SCRIPT = (VAGRANT / "provision" / "slurm_het.sh").read_text()
STEPS = re.findall(r"^ +# step: (.+)\n((?:.*\n)*?) +# end$", SCRIPT, re.MULTILINE)
TOLD = DOCS + (REPO / "docs" / "telemetry.md").read_text()
DOCUMENTED = re.findall(r"^<!-- step: (.+) -->\n\n((?: {4}.*\n)+)", TOLD, re.MULTILINE)


def test_the_documented_steps_are_the_scripts() -> None:
    assert len(STEPS) == 5
    scripts = {name: textwrap.dedent(text) for name, text in STEPS}
    assert scripts == {name: textwrap.dedent(text) for name, text in DOCUMENTED}


def test_slurm_conf_is_as_documented() -> None:
    """The lines that docs/install.md asks for, but for its names of nodes and partitions."""
    lines = (VAGRANT / "etc" / "slurm.conf").read_text().splitlines()
    for key in ("GresTypes", "SchedulerParameters", "JobSubmitPlugins", "EpilogSlurmctld"):
        documented = re.findall(rf"^ {{4}}({key}=\S+)", DOCS, re.MULTILINE)
        assert len(documented) == 1
        assert documented[0] in lines


def test_its_configuration_is_valid() -> None:
    config = load_config(VAGRANT / "etc" / "het.yaml")
    conf = (VAGRANT / "etc" / "slurm.conf").read_text()
    for name in (config.policy.intake_partition, *(p.partition for p in config.policy.pools)):
        assert f"PartitionName={name} " in conf
    shared = re.findall(r"^StateSaveLocation=(/\S+?)/", conf, re.MULTILINE)
    assert [str(config.paths.state_dir.parent)] == shared


def test_every_host_has_a_script_and_every_node_is_a_host() -> None:
    lines = (VAGRANT / "hosts").read_text().splitlines()
    roles = {line.split()[0]: line.split()[2] for line in lines if not line.startswith("#")}
    conf = (VAGRANT / "etc" / "slurm.conf").read_text()
    for role in set(roles.values()):
        assert f"\n{role}() {{" in (VAGRANT / "provision" / f"{role}.sh").read_text()
    nodes = re.findall(r"^NodeName=(\S+)", conf, re.MULTILINE)
    assert nodes == [name for name, role in roles.items() if role == "compute"]
    controllers = re.findall(r"^SlurmctldHost=(\S+)", conf, re.MULTILINE)
    assert controllers == [name for name, role in roles.items() if role == "controller"]


@pytest.mark.skipif(not shutil.which("vagrant"), reason="vagrant is not installed")
def test_vagrant_finds_no_fault_in_it() -> None:
    argv = ["vagrant", "validate", "--ignore-provider"]
    done = subprocess.run(
        argv, cwd=VAGRANT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
