"""Whether devices are what Slurm and the configuration take them for, by what they say."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from slurm_het.cli.checks.site import Finding, Installation
from slurm_het.core.cluster.ailing import what_ails_node
from slurm_het.core.cluster.inventory import take_inventory
from slurm_het.core.measured import Measured
from slurm_het.core.model import Device, Node
from slurm_het.core.policy import Policy
from slurm_het.core.syntax import hostlist

PRIVILEGED = 1024
"""Ports below are for root, and for whom systemd lets use one."""
NEAR = 0.1
"""So much less than a card's name says its driver may give: an L40S of 48 GiB has 45."""


def of_devices(site: Installation) -> Iterator[Finding]:
    """Devices of another memory or model than they are registered with, those alike as one."""
    policy = site.settings.policy
    found: dict[tuple[str, str], list[str]] = {}
    for node in take_inventory(site.snapshot, policy).nodes.values():
        said = site.snapshot.measured.get(node.name, ())
        for measured in said:
            if device := _device(node, measured):
                for complaint in _wrong(device, measured, policy):
                    found.setdefault(complaint, []).append(node.name)
        if said and len(said) < len(node.devices):
            found.setdefault(_too_few(node, len(said)), []).append(node.name)
    for (what, remedy), names in found.items():
        yield Finding(f"node {hostlist.fold(dict.fromkeys(names))}", what, remedy)


def _device(node: Node, measured: Measured) -> Device | None:
    """The device that it is of, or one like it."""
    if measured.of_node:
        return node.devices[0] if len({device.type for device in node.devices}) == 1 else None
    return next((device for device in node.devices if device.index == measured.index), None)


def _wrong(device: Device, measured: Measured, policy: Policy) -> Iterator[tuple[str, str]]:
    gib = measured.total_gib
    if gib and abs(gib - device.memory_gib) > NEAR * device.memory_gib:
        yield (
            f"a {device.type} there has {gib} GiB by its driver, and is planned as one of"
            f" {device.memory_gib} GiB",
            "correct memory_gib under types: in het.yaml, or the count of shards",
        )
    known = policy.types.get(measured.model) if measured.model else None
    if known and device.type in policy.types and not policy.types.means(device.type, known.name):
        yield (
            f"a {device.type} there is a {measured.model!r} by its driver",
            "correct its type in Gres= and gres.conf",
        )


def _too_few(node: Node, told: int) -> tuple[str, str]:
    return (
        f"Slurm has {len(node.devices)} devices, and its drivers tell of {told}",
        "see `slurm-het devices` there; correct Gres= and gres.conf, or the vendor's driver",
    )


def troubles(site: Installation) -> Iterator[Finding]:
    """Devices that must not be used."""
    for name, measured in site.snapshot.measured.items():
        for one in measured:
            if one.trouble and not one.of_node:
                yield Finding(
                    f"node {name}, device {one.index}", f"is not planned: {one.trouble}",
                    "mend it, or drain the node", remark=True,
                )  # fmt: skip
        if said := what_ails_node(measured):
            yield Finding(
                f"node {name}", f"{said}; so none is kept from jobs",
                "mend it, or drain the node", remark=True,
            )  # fmt: skip


def unplaced(site: Installation) -> Iterator[Finding]:
    """Nodes whose devices are heard, and none of them is known to be a certain one of Slurm's."""
    measured = site.snapshot.measured.items()
    names = [name for name, rows in measured if any(m.of_node for m in rows)]
    if names:
        yield Finding(
            f"node {hostlist.fold(names)}",
            "which of Slurm's devices is which is not known of all that its exporter tells of, so"
            " what they say keeps no job from one of them",
            "run het-exporter there, not only the vendor's exporter; `journalctl -u het-exporter`"
            " says why `slurmd -G` did not tell it; restart it after a change of gres.conf",
            remark=True,
        )


def forged(site: Installation) -> Iterator[Finding]:
    """Exporters whom a user of the node could stand in for, where jobs are ended by their word."""
    telemetry = site.settings.telemetry
    ports = {url: _port(url) for url in telemetry.exporters.values()}
    high = sorted(url for url, port in ports.items() if port is None or port >= PRIVILEGED)
    if telemetry.fence == "end" and high:
        yield Finding(
            "het.yaml, telemetry.fence",
            f"end goes by the word of whoever listens at {high[0]}: while het-exporter is down"
            " any user of the node may, and have others' jobs ended",
            f"have het-exporter listen at a port below {PRIVILEGED} (slurm-het systemd-unit"
            " --exporter :987), or fence: tell",
        )  # fmt: skip


def _port(url: str) -> int | None:
    try:
        return urlsplit(url if "://" in url else f"http://{url}").port
    except ValueError:  # `{node}` may stand for it
        return None


CHECKS = (of_devices, troubles, unplaced, forged)
