"""Chaos: a seeded stream of what users, admins and failures do, and a checker of what came of it.

`events.py` makes the stream from a seed, `run.py` does it to a sandbox while `recorder.py` writes
down what Slurm says, and `check.py` (pure) reads these records. `./dev chaos --help`.

With `--site` there are accounts, limits, reservations and preemption (`site*.py`); with `--faults`
what hetd stands on fails (`fault*.py`, `ground.py`). `plants.py` has a hetd and a supervisor with
faults of their own, which the checks must find.
"""
