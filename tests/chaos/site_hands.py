"""Carries out what a site's admins do."""

from __future__ import annotations

from collections.abc import Callable

from slurm_het.sandbox.cluster import Sandbox
from tests.chaos.site import LIMITS, NO_LIMIT, limits_in

SACCTMGR_SECONDS = 12  # slurmdbd may be away
Done = tuple[bool, str]


class SiteHands:
    """sacctmgr, scontrol of reservations, slurmdbd and its database. Raises as Sandbox.run does."""

    def __init__(self, box: Sandbox) -> None:
        self.box = box

    def do(self, verb: str, *args: str) -> Done:
        """One of site.VERBS."""
        verbs: dict[str, Callable[..., Done]] = {
            "limit": self._limit,
            "reserve": lambda name, *s: self._run(
                "scontrol", "create", "reservation", f"ReservationName={name}", *s
            ),
            "re-reserve": lambda name, *s: self._run(
                "scontrol", "update", f"ReservationName={name}", *s
            ),
            "unreserve": lambda name: self._run("scontrol", "delete", f"ReservationName={name}"),
            "dbd-kill": lambda: (self.box.kill_slurmdbd(), ""),
            "dbd-start": lambda: (self.box.start_slurmdbd(), ""),
            "db-kill": lambda: (self.box.kill_mariadbd(), ""),
            "db-start": self._start_database,
        }
        return verbs[verb](*args)

    def unheard(self) -> bool:
        """Whether slurmctld has a limit yet that sacctmgr has taken away.

        One that finds no slurmdbd as it starts reads its associations from a file (22.05), and
        hears of no change then, until it is started anew.
        """
        shown = self.box.run(["scontrol", "-o", "show", "assoc_mgr", "flags=qos,assoc"]).stdout
        return any(value != NO_LIMIT for value in limits_in(shown).values())

    def free(self) -> None:
        """Delete the reservations, as far as Slurm does that: it keeps those that jobs wait for."""
        shown = self.box.run(["scontrol", "-o", "show", "reservation"]).stdout
        for line in shown.splitlines():
            if line.startswith("ReservationName="):
                self._run("scontrol", "delete", line.split()[0])

    def _run(self, *argv: str) -> Done:
        done = self.box.run(list(argv), timeout=SACCTMGR_SECONDS)
        return done.returncode == 0, (done.stdout + done.stderr).strip()[-300:]

    def _limit(self, index: str, value: str) -> Done:
        return self._run("sacctmgr", "-i", *LIMITS[int(index)].told(int(value)))

    def _start_database(self) -> Done:
        return self.box.start_mariadbd(), ""
