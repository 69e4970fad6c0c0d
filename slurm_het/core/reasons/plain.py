"""Why a job waits in words that name nobody: for those who are not to see names."""

from __future__ import annotations

from collections.abc import Mapping

PLAIN: Mapping[str, str] = {
    "busy": "too few devices are free",
    "host": "too few CPUs or too little host memory is free beside the devices",
    "whole-node": "it takes nodes alone, or those with free devices are another job's alone",
    "behind": "what is free goes to jobs of higher priority",
    "kept": "the nodes are kept for another job until it starts",
    "reserved": "a reservation of Slurm's has the nodes, or has them too soon",
    "next": "the next plan releases it",
    "starting": "Slurm starts it on its nodes",
    "no-plan": "it could start, and no hetd plans",
    "no-node": "the nodes that fit are down, drained, excluded, or in no pool that is UP",
    "ailing": "devices that would do are not well",
    "never": "no pool could hold it, none lets it in, or it asks for more than a limit ever allows",
    "limit": "a limit of the site's holds it back",
    "held": "its user or an admin holds it",
    "dependency": "jobs that it depends on have not ended",
    "begin": "its begin time is to come",
    "array": "as many tasks of its array run as its user lets run",
    "slurm-places": "plain Slurm places it",
    "returned": "it was released, and did not start",
    "slurm": "Slurm has a reason of its own",
}
"""By code (codes.ACTIONS), what is so."""
