"""hetd's unit, by what slurmctld says of its site."""

from __future__ import annotations

import pytest

from slurm_het.cli.systemd_unit import unit_of_site
from slurm_het.config import load_config
from slurm_het.sizes import JOBS, needed_mib
from tests.support.world import EXAMPLES

SITE = load_config(EXAMPLES / "het.yaml")


@pytest.mark.parametrize(
    ("said", "user", "jobs"),
    [
        pytest.param({"SlurmUser": "root(0)", "MaxJobCount": "10000"}, "root", JOBS, id="root's"),
        pytest.param({"SlurmUser": "hpc(64030)"}, "hpc", JOBS, id="unknown on this host"),
        pytest.param({"MaxJobCount": "150000"}, "root", 150_000, id="a large site"),
    ],
)
def test_what_is_not_given_is_as_the_site_has_it(
    said: dict[str, str], user: str, jobs: int
) -> None:
    lines = unit_of_site(SITE, said).splitlines()
    assert f"User={user}" in lines
    assert f"Group={user}" in lines
    assert f"MemoryMax={needed_mib(jobs)}M" in lines


def test_what_is_given_goes_before_it() -> None:
    said = {"SlurmUser": "root(0)", "MaxJobCount": "150000"}
    lines = unit_of_site(SITE, said, "slurm", "hpc", 5).splitlines()
    assert {"User=slurm", "Group=hpc", f"MemoryMax={needed_mib(5)}M"} <= set(lines)
