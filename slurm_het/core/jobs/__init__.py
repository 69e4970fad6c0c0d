"""From a job as Slurm has it to a task that can be planned.

At submission: request (what the job asks for) → classify (what it is) → pools (where it fits) →
admission (what it becomes); mark keeps that in the job. In the gate: reading makes a task of a job,
by waits (does Slurm let it wait?), demand (what it asks of each node), pools (where it may run) and
gres_choice (must its request name a type?); task_pools puts the tasks in order.
"""
