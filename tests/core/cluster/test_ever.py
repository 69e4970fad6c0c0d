"""Whether a task could ever start: as if it were asked of the nodes with nothing on them."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from slurm_het.core.cluster.fit import could_ever_start, could_start
from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.cluster.occupancy import emptied, taken_whole
from slurm_het.core.model import Node, Slot
from tests.support.world import inventory, task

NV1 = inventory().nodes["nv1"]


def node(name: str, cards: int, lost: int, held: int, cpus: int) -> Node:
    """A node with so many cards, of which the first are lost, and the last are held."""
    devices = tuple(
        replace(device, node=name, trouble="lost", excess_gib=device.memory_gib)
        if device.index < lost else replace(device, node=name)
        for device in NV1.devices[:cards]
    )  # fmt: skip
    devices = tuple(
        taken_whole(device, "1") if device.index >= cards - held else device for device in devices
    )
    return replace(
        NV1, name=name, devices=devices, cpus=cpus, cpus_free=max(0, cpus - held),
        idle=not held, ailing=lost > 0,
    )  # fmt: skip


COUNTS = st.tuples(
    st.integers(1, 8), st.integers(0, 1), st.integers(0, 8), st.sampled_from([4, 64])
)


@given(
    st.lists(COUNTS, min_size=1, max_size=4),
    st.lists(st.integers(1, 8), min_size=1, max_size=2),
    st.sampled_from([1, 8]),
)
def test_it_is_what_could_start_if_nothing_ran(
    sizes: list[tuple[int, int, int, int]], slots: list[int], cpus: int
) -> None:
    """Whatever the order of the nodes, and how many cards each has, or has lost."""
    nodes = {f"n{n}": node(f"n{n}", *size) for n, size in enumerate(sizes)}
    asked = task("9", slots=tuple(Slot(count, cpus, 1024) for count in slots))
    empty = Inventory({name: emptied(one) for name, one in nodes.items()})
    assert could_ever_start(asked, Inventory(nodes)) is could_start(asked, empty)
