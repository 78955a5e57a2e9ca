"""Bonded network devices, from /sys/class/net."""

import os
from collections.abc import Iterator

from gnomon_exporter.collector import NoData
from gnomon_exporter.families import GaugeMetricFamily
from gnomon_exporter.paths import Paths
from gnomon_exporter.reading import attribute, read


class BondingCollector:
    """How many devices each bond is made of, and how many of them have a link."""

    def __init__(self, paths: Paths) -> None:
        self._class = paths.sys("class/net")

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield both numbers for each bond.

        One that disappears meanwhile is left out. Raises NoData without the bonding module.
        """
        try:
            bonds = read(f"{self._class}/bonding_masters").split()
        except FileNotFoundError:
            raise NoData("the bonding module is not loaded") from None
        slaves = GaugeMetricFamily(
            "node_bonding_slaves", "Network devices that a bond is made of.", labels=["master"]
        )
        active = GaugeMetricFamily(
            "node_bonding_active",
            "Network devices of a bond that have a link.",
            labels=["master"],
        )
        for bond in bonds:
            try:
                states = self._states(bond)
            except FileNotFoundError:
                continue
            slaves.add_metric([bond], len(states))
            active.add_metric([bond], states.count("up"))
        yield slaves
        yield active

    def _states(self, bond: str) -> list[str]:
        """Return the link states of the devices in a bond."""
        # The links to them say what bonding/slaves says, without waiting for the lock that
        # every change of the network holds.
        folder = f"{self._class}/{bond}"
        lower = [name for name in os.listdir(folder) if name.startswith("lower_")]
        states = [attribute(f"{folder}/{name}/bonding_slave/mii_status") for name in lower]
        return [state for state in states if state is not None]
