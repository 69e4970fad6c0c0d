"""What an update of a job says, and how: as a line on scontrol's stdin, for the arguments of a
program are public (/proc).

scontrol takes such a line apart at blanks that are not between quotes, and keeps the quotes. Its
line editor takes some bytes for commands, so that only plain ASCII goes this way.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from slurm_het.core.jobs.mark import MARK, without_blanks
from slurm_het.core.model import Job
from slurm_het.slurm.versions import SlurmVersion

LONGEST = 4000  # bytes; a scontrol without readline reads 4095


def counted_tasks(jobs: Iterable[Job]) -> dict[str, str]:
    """How many tasks those of these jobs have whose tasks Slurm may count anew at an update, by
    their keys, and by its id for what is unsplit of an array."""
    counted = {}
    for job in jobs:
        if job.ntasks_per_node or job.ntasks_per_gpu:
            counted[job.key] = str(job.tasks)
            if job.unsplit:
                counted[str(job.array_job_id)] = str(job.tasks)
    return counted


def with_tasks(
    key: str, fields: Mapping[str, str], counted: Mapping[str, str], version: SlurmVersion
) -> Mapping[str, str]:
    """The fields of an update, and NumTasks= where Slurm would set another number than is asked
    for: srun starts that many, and --gpus-per-task has that many devices."""
    tasks = counted.get(key) or counted.get(key.partition("_")[0])
    if not tasks or "NumTasks" in fields or not version.recounts_tasks(fields):
        return fields
    return {**fields, "NumTasks": tasks}


def update_line(key: str, fields: Mapping[str, str]) -> bytes | None:
    """The line; None where scontrol would read something else, or would not read it all."""
    words = [f"JobId={key}", *(f"{name}={_sayable(name, value)}" for name, value in fields.items())]
    line = " ".join(("update", *words))
    plain = line.isascii() and line.isprintable() and len(line) <= LONGEST
    return f"{line}\n".encode() if plain and all(map(_one_word, words)) else None


def _sayable(name: str, value: str) -> str:
    if name != "AdminComment":
        return value
    if value.startswith(MARK):
        return without_blanks(value)
    if MARK in value or re.fullmatch(r"""[^\s"']*""", value):
        return value  # behind a site's own text, no line; one word, or none
    # Words to people: the quotes stay.
    plain = value.encode("ascii", "replace").decode().replace("'", "`").replace('"', "`")
    return f'"{plain}"'


def _one_word(word: str) -> bool:
    if " " in word:
        return bool(re.fullmatch(r"""\w+="[^"']*\"""", word))
    return word.count('"') % 2 == 0 == word.count("'") % 2
