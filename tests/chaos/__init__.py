"""Chaos: a seeded stream of what users, admins and failures do, and a checker of what came of it.

`events.py` makes the stream from a seed, `run.py` does it to a sandbox while `recorder.py` writes
down what Slurm says, and `check.py` (pure) reads these records. `./dev chaos --help`.
"""
