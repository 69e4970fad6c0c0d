"""Why a job was placed where it is, and not on other nodes: room that is kept for others."""

from __future__ import annotations

from dataclasses import dataclass

from slurm_het.core.reasons.base import FEW, TellTime


@dataclass(frozen=True, slots=True)
class Spared:
    """What the prices kept for jobs to be expected, or had to take from them, with a placement.

    So many `places` are left for jobs that need `devices` of one of these `types` on a node, and it
    `took` so many. `whole`: that is all that the nodes have. `jobs` of them are expected until
    `until` (epoch seconds; 0: the config says what to expect, and not how many).
    """

    places: int
    took: int
    devices: int
    types: tuple[str, ...]
    whole: bool = False
    jobs: float = 0.0
    until: float = 0.0

    def told(self, at: TellTime) -> str:
        """The sentence, without a full stop: "keeps 8 whole a100 nodes for ..."."""
        return f"{self._does()} for {self._jobs()}{self._expected(at)}"

    def _does(self) -> str:
        count = self.places + self.took
        if not self.took:
            return f"keeps {count} {self._room(count)}"
        if self.places:
            return f"takes {self.took} of {count} {self._room(count)}"
        return f"takes the last {f'{count} ' if count > 1 else ''}{self._room(count)}"

    def _room(self, count: int) -> str:
        plural = "" if count == 1 else "s"
        types = f"{'|'.join(self.types)} " if len(self.types) <= FEW else ""
        if self.whole:
            return f"whole {types}node{plural}"
        if self.devices == 1:
            return f"free {types}device{plural}"
        return f"place{plural} for {self.devices} {types}devices on one node"

    def _jobs(self) -> str:
        if self.devices == 1:
            return "jobs that can use no others"
        return f"jobs of {self.devices} devices" if self.whole else "such jobs"

    def _expected(self, at: TellTime) -> str:
        if not self.until:
            return ", which expected_jobs names"
        number = round(self.jobs)
        many = f"about {number} of which are" if number > 1 else "one of which is"
        return f", {many if number else 'less than one of which is'} expected by {at(self.until)}"
