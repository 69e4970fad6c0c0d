"""What Slurm must know of a cluster's accelerators, from the vendors' profiles.

gres.conf, with the device files and Flags of each node, and the TaskProlog, which sets each
vendor's variables right for a task and unsets all others'.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from slurm_het.core.catalog import DeviceType, is_slice, model_of
from slurm_het.core.policy import Policy
from slurm_het.core.syntax import gres, hostlist
from slurm_het.core.syntax.gres import Gres
from slurm_het.errors import HetError
from slurm_het.templating import render
from slurm_het.vendors import Vendor
from slurm_het.vendors.profile import SLURM_SETS, variables

DEV = "/dev"


@dataclass(frozen=True, slots=True)
class NodeCards:
    """The devices of one type in a node, and the GRES name that they are registered by.

    `typed`: they are registered by their type too; else that name is the type (`gpu`).
    """

    type: str
    vendor: str
    devices: int
    gres: str = "gpu"
    typed: bool = True


@dataclass(frozen=True, slots=True)
class NodesAlike:
    """Nodes that are alike, their cards in the order of gres.conf, and how many shards each has."""

    nodes: tuple[str, ...]
    host_list: str
    cards: tuple[NodeCards, ...]
    shards: int = 0


def alike(nodes: Iterable[tuple[str, str]], policy: Policy) -> list[NodesAlike]:
    """Nodes by what they have, from their names and the `Gres=` that Slurm has for them.

    Only GRES that the configuration knows is looked at; nodes without any are left out. Raises
    HetError where a card's type is unknown; that of cards without one is their GRES name.
    """
    by_gres: dict[str, list[str]] = {}
    for name, text in nodes:
        by_gres.setdefault(text, []).append(name)
    kinds = []
    for text, names in by_gres.items():
        host_list = hostlist.fold_for_slurm(names)
        have = gres.parse(text)
        own = [one for one in have if one.name in policy.gres]
        shared = [one.count for one in own if policy.gres[one.name].shared]
        cards = tuple(
            _node_cards(one, host_list, policy.types)
            for one in own
            if not policy.gres[one.name].shared
        )
        if cards:
            kinds.append(NodesAlike(tuple(names), host_list, cards, sum(shared)))
    return kinds


def _node_cards(have: Gres, host_list: str, types: Mapping[str, DeviceType]) -> NodeCards:
    name = have.type or have.name
    known = types.get(name) or types.get(model_of(name, types))
    if known is None:
        what = f"no vendor has a type {name!r}"
        if not have.type:
            what = f"its cards have no type, and none is called {name}"
        raise HetError(
            f"node {host_list}, {have}: {what}", f"describe {name} under `types:` of het.yaml"
        )
    return NodeCards(name, known.vendor, have.count, have.name, typed=bool(have.type))


def gres_conf(kinds: Iterable[NodesAlike], vendors: Mapping[str, Vendor], dev: str = DEV) -> str:
    """gres.conf. `dev` is where the device files are; those elsewhere than in /dev are emulated.

    Raises HetError for an unknown vendor.
    """
    kinds = list(kinds)
    lines = [line for kind in kinds for line in _gres_lines(kind, vendors, dev)]
    nodes = [(kind.host_list, features(kind)) for kind in kinds]
    return render("gres.conf.j2", lines=lines, nodes=nodes)


def task_prolog(
    kinds: Iterable[NodesAlike],
    vendors: Mapping[str, Vendor],
    path: str = "",
    constrained: bool = False,
) -> str:
    """The TaskProlog, a shell script. `path` is put before a task's PATH.

    `constrained`: cgroup.conf says ConstrainDevices=yes, so a task counts its own devices from 0.
    """
    kinds = [kind for kind in kinds if _gpu_cards(kind)]
    of_one: dict[str, list[str]] = {}
    mixed = []
    for kind in kinds:
        names = {cards.vendor for cards in _gpu_cards(kind)}
        if len(names) == 1:
            of_one.setdefault(names.pop(), []).extend(kind.nodes)
        else:
            mixed.append((kind.nodes, _parts(kind, vendors)))
    return render(
        "task_prolog.sh.j2",
        path=path,
        every=variables(vendors.values()),
        of_one=[(nodes, _known(name, vendors)) for name, nodes in of_one.items()],
        mixed=mixed,
        slurm_sets=SLURM_SETS,
        constrained=constrained,
    )


def flag(kind: NodesAlike, vendors: Mapping[str, Vendor]) -> str:
    """The one `Flags=` of a node's gpu lines: Slurm wants the same in all of them."""
    flags = {_known(cards.vendor, vendors).environment.slurm_flag for cards in _gpu_cards(kind)}
    names = {cards.vendor for cards in _gpu_cards(kind)}
    return flags.pop() if len(flags) == len(names) == 1 else "opencl_env"


def device_files(kind: NodesAlike, vendors: Mapping[str, Vendor]) -> tuple[str, ...]:
    """The device files of one node as gres.conf names them: /dev/nvidia[0-7]."""
    seen: dict[str, int] = {}
    files = []
    for cards in kind.cards:
        devices = _known(cards.vendor, vendors).devices
        start = seen.get(devices.each, 0)
        files.append(devices.numbered(cards.devices, start))
        seen[devices.each] = start + cards.devices
    return tuple(files)


def _gres_lines(kind: NodesAlike, vendors: Mapping[str, Vendor], dev: str) -> Iterable[str]:
    files = device_files(kind, vendors)
    if dev == DEV and any(is_slice(cards.type) for cards in kind.cards):
        library = _known(kind.cards[0].vendor, vendors).autodetect  # it alone tells their files
        yield f"NodeName={kind.host_list} AutoDetect={library}"
        return
    for cards, file in zip(kind.cards, files, strict=True):
        where = dev.rstrip("/") + file.removeprefix("/dev")
        type_ = f" Type={cards.type}" if cards.typed else ""
        words = f" Flags={flag(kind, vendors)}" if cards.gres == "gpu" else ""
        yield f"NodeName={kind.host_list} Name={cards.gres}{type_} File={where}{words}"
    if kind.shards:
        yield f"NodeName={kind.host_list} Name=shard Count={kind.shards}"


def features(kind: NodesAlike) -> str:
    """What stands in the nodes' `Features=`, so that plain Slurm finds a type and a vendor too."""
    return ",".join(dict.fromkeys(w for cards in kind.cards for w in (cards.type, cards.vendor)))


def _gpu_cards(kind: NodesAlike) -> tuple[NodeCards, ...]:
    """Of other GRES names Slurm tells a task nothing."""
    return tuple(cards for cards in kind.cards if cards.gres == "gpu")


def _parts(kind: NodesAlike, vendors: Mapping[str, Vendor]) -> list[tuple[Vendor, str]]:
    """Of a node with several vendors: each with its devices, as Slurm and as it counts them.

    `4:0 5:1`: Slurm's fifth device is its first. Slurm counts in the order of gres.conf.
    """
    owners = [cards.vendor for cards in _gpu_cards(kind) for _ in range(cards.devices)]
    found = []
    for name in dict.fromkeys(owners):
        places = [place for place, owner in enumerate(owners) if owner == name]
        pairs = " ".join(f"{place}:{own}" for own, place in enumerate(places))
        found.append((_known(name, vendors), pairs))
    return found


def _known(name: str, vendors: Mapping[str, Vendor]) -> Vendor:
    if name not in vendors:
        hint = f"add its profile; there are: {', '.join(vendors)}"
        raise HetError(f"nothing is known of the vendor {name!r}", hint)
    return vendors[name]
