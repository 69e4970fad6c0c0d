"""What differs between Slurm versions, as data; each line with the fact it rests on.

Seen on 22.05.8 (Debian 12), 24.11.5 (Debian 13) and 26.05 (Debian testing).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from slurm_het.errors import SlurmError


@dataclass(frozen=True, slots=True)
class SlurmVersion:
    """A Slurm release, and what we may ask of it."""

    major: int
    minor: int
    text: str

    @property
    def tuple(self) -> tuple[int, int]:
        """(year, month), which is how Slurm numbers releases."""
        return self.major, self.minor

    @property
    def squeue_json(self) -> str:
        """squeue's option. 24.11 has data_parser v0.0.40-42, 26.05 has 42-45; 22.05 has one."""
        return "--json" if self.tuple < (24, 5) else "--json=v0.0.42"

    @property
    def tres_prefix(self) -> str:
        """How the job_submit plugin spells GRES: 22.05 refuses `gres/`, newer ones `gres:`."""
        return "gres:" if self.tuple < (23, 2) else "gres/"

    @property
    def rewrites_gres(self) -> bool:
        """Whether an update replaces a pending job's GRES (22.05 merges it with the old one)."""
        return self.tuple >= (23, 11)


def parse_version(text: str) -> SlurmVersion:
    """Read `slurm-wlm 22.05.8` or `slurm 24.11.5`. Raises SlurmError."""
    match = re.search(r"\b(\d{2})\.(\d{2})\.\S+", text)
    if not match:
        raise SlurmError(f"cannot read Slurm's version from {text[:80]!r}")
    return SlurmVersion(int(match.group(1)), int(match.group(2)), match.group())
