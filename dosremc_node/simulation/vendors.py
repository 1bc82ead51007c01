"""Four simulated vendors. They differ by more than a scale factor: curve, sharpening, noise, blur, pixel pitch, bit depth,
photometric interpretation, padding, orientation, window, compression; so a network that knows one of them is lost on the next.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydicom.uid import ExplicitVRLittleEndian, JPEGLSLossless

from dosremc_node.records import Laterality


@dataclass(frozen=True, slots=True)
class Vendor:
    """How one vendor's detector sees and its workstation processes.

    ``photons_per_mm2`` before the breast; ``noise_gain`` multiplies the noise that is left; ``grain_mm`` is its correlation
    length. ``equalisation`` lifts the thin rim (0..1). ``sharpening`` adds that many times the difference to a blur of
    ``sharpening_mm``. ``toe`` and ``shoulder`` bend the curve, ``gamma`` tilts it. ``clip`` gives the percentiles of the breast
    that become black and white. ``mirrored`` names the sides that are stored flipped so that every chest wall is on the left;
    ``rotated`` turns the image by 180 degrees. ``padding_value`` fills ``padding_mm`` of the border (None: no padding). ``transfer_syntax`` is how its
    files are encoded.
    """

    key: str
    manufacturer: str
    model: str
    software_version: str
    pitch_mm: float
    photons_per_mm2: float
    noise_gain: float
    grain_mm: float
    blur_mm: float
    equalisation: float
    sharpening: float
    sharpening_mm: float
    gamma: float
    toe: float
    shoulder: float
    clip: tuple[float, float]
    bits_stored: int
    black: int
    white: int
    photometric_interpretation: str
    padding_value: int | None = None
    padding_mm: float = 0.0
    mirrored: tuple[Laterality, ...] = ()
    rotated: bool = False
    voi_function: str = "LINEAR"
    transfer_syntax: str = ExplicitVRLittleEndian
    anode: str = "TUNGSTEN"
    filter_material: str = "RHODIUM"
    kvp: float = 29.0

    @property
    def name(self) -> str:
        return f"Simulated Vendor {self.key}"


VENDOR_A = Vendor(
    key="A", manufacturer="Simulated Vendor A", model="Simulator A 3000", software_version="A1.4",
    pitch_mm=0.070, photons_per_mm2=9.0e4, noise_gain=1.0, grain_mm=0.0, blur_mm=0.10,
    equalisation=0.35, sharpening=0.55, sharpening_mm=1.6, gamma=1.0, toe=0.25, shoulder=0.25, clip=(2.0, 99.8),
    bits_stored=12, black=0, white=4095, photometric_interpretation="MONOCHROME2",
)  # fmt: skip

VENDOR_B = Vendor(
    key="B", manufacturer="Simulated Vendor B", model="Simulator B Essential", software_version="B53.40",
    pitch_mm=0.094, photons_per_mm2=4.5e4, noise_gain=1.8, grain_mm=0.45, blur_mm=0.36,
    equalisation=0.85, sharpening=0.0, sharpening_mm=2.0, gamma=1.6, toe=0.0, shoulder=0.55, clip=(0.5, 99.95),
    bits_stored=14, black=16383, white=600, photometric_interpretation="MONOCHROME1",
    padding_value=0, padding_mm=4.0, mirrored=(Laterality.RIGHT,), voi_function="SIGMOID",
    anode="RHODIUM", filter_material="RHODIUM", kvp=30.0,
)  # fmt: skip

VENDOR_C = Vendor(
    key="C", manufacturer="Simulated Vendor C", model="Simulator C Inspiration", software_version="C VB30",
    pitch_mm=0.085, photons_per_mm2=6.0e4, noise_gain=1.1, grain_mm=0.25, blur_mm=0.12,
    equalisation=0.70, sharpening=1.5, sharpening_mm=1.1, gamma=0.60, toe=0.50, shoulder=0.0, clip=(8.0, 99.4),
    bits_stored=12, black=180, white=3100, photometric_interpretation="MONOCHROME2",
    padding_value=3200, padding_mm=3.0, rotated=True, anode="MOLYBDENUM", filter_material="MOLYBDENUM", kvp=28.0,
)  # fmt: skip

VENDOR_D = Vendor(
    key="D", manufacturer="Simulated Vendor D", model="Simulator D Amulet", software_version="D7.2-1",
    pitch_mm=0.050, photons_per_mm2=7.0e4, noise_gain=1.5, grain_mm=0.55, blur_mm=0.22,
    equalisation=0.15, sharpening=1.6, sharpening_mm=6.0, gamma=1.25, toe=0.70, shoulder=0.0, clip=(6.0, 99.0),
    bits_stored=10, black=1000, white=40, photometric_interpretation="MONOCHROME1",
    padding_value=1023, padding_mm=6.0, mirrored=(Laterality.RIGHT,), rotated=True, voi_function="LINEAR_EXACT",
    transfer_syntax=JPEGLSLossless, anode="TUNGSTEN", filter_material="ALUMINUM", kvp=31.0,
)  # fmt: skip

VENDORS: dict[str, Vendor] = {vendor.key: vendor for vendor in (VENDOR_A, VENDOR_B, VENDOR_C, VENDOR_D)}
