"""A fifth vendor, whom the release knows nothing of, and what an upgrade of its software does to its images.

The simulation itself is frozen: these are its second vendor's parameters, changed.
"""

from __future__ import annotations

from dataclasses import replace

from dosremc_node.simulation import VENDORS

DOMAIN = "fifth"
MANUFACTURER = "Simulated Vendor E"

FIFTH = replace(
    VENDORS["B"],
    key="E",
    manufacturer=MANUFACTURER,
    model="Simulator E One",
    software_version="E1.0",
    noise_gain=1.4,
    blur_mm=0.28,
    gamma=1.35,
    sharpening=0.9,
    sharpening_mm=3.0,
)

UPGRADED = replace(FIFTH, software_version="E2.0", sharpening=2.4, sharpening_mm=1.2, gamma=0.8, shoulder=0.1)
