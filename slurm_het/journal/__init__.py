"""The journal: what was decided, why, and what came of it. SQLite; Slurm stays the truth."""

from slurm_het.journal.history import History, PastTask
from slurm_het.journal.journal import Journal, Planning
from slurm_het.journal.keeper import Keeper, Records

__all__ = ["History", "Journal", "Keeper", "PastTask", "Planning", "Records"]
