"""Simulated exams: four views of one woman on one vendor's unit, with what is true of each view."""

from __future__ import annotations

import hashlib
import inspect
import json
from dataclasses import asdict, dataclass
from datetime import date

from pydicom.uid import UID

from dosremc_node.records import Laterality, Point, View
from dosremc_node.simulation import breast, lesions, processing, women
from dosremc_node.simulation.breast import Anatomy, expose
from dosremc_node.simulation.dicom import Acquisition, Examination, encoded, part10, pixels_into, presentation_image
from dosremc_node.simulation.processing import process, stored_position
from dosremc_node.simulation.uids import moment, uid
from dosremc_node.simulation.vendors import VENDORS, Vendor
from dosremc_node.simulation.women import POPULATION, Population, anatomy

SIMULATION_VERSION = 2
SCREENING_VIEWS = (
    (Laterality.LEFT, View.CC), (Laterality.LEFT, View.MLO), (Laterality.RIGHT, View.CC), (Laterality.RIGHT, View.MLO),
)  # fmt: skip
HALF_SIZE = 2.0


@dataclass(frozen=True, slots=True)
class Truth:
    """A malignant lesion in stored image coordinates: its centre (column, row) and radius in pixels."""

    centre: Point
    radius: float


@dataclass(frozen=True, slots=True)
class SimulatedImage:
    """One view as a whole Part 10 file; ``lesion`` is the malignant one, None where there is none."""

    laterality: Laterality
    view: View
    sop_instance_uid: str
    content: bytes
    lesion: Truth | None

    @property
    def name(self) -> str:
        """Side and view, such as ``LCC``."""
        return f"{self.laterality}{self.view}"


@dataclass(frozen=True, slots=True)
class SimulatedExam:
    """The images of one study."""

    study_instance_uid: str
    manufacturer: str
    malignant: Laterality | None
    images: tuple[SimulatedImage, ...]


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be simulated: the woman ``seed`` on a vendor's unit, one of her breasts malignant or none.

    ``binning`` 1 gives the detector's full matrix, 2 half of it in each direction.
    """

    seed: int
    vendor: Vendor
    malignant: Laterality | None = None
    binning: float = HALF_SIZE
    population: Population = POPULATION

    def uid(self, *parts: object) -> UID:
        """A UID that follows from this order, this version of the simulation, and ``parts``."""
        return uid(SIMULATION_VERSION, self.vendor.key, self.seed, self.malignant, self.binning, self.population, *parts)


def simulate_exam(order: Order) -> SimulatedExam:
    """A screening exam: left and right, CC and MLO. The same order gives the same bytes."""
    images = tuple(simulate_view(order, laterality, view) for laterality, view in SCREENING_VIEWS)
    return SimulatedExam(order.uid("study"), order.vendor.manufacturer, order.malignant, images)


def simulate_view(order: Order, laterality: Laterality, view: View) -> SimulatedImage:
    """One of the exam's views."""
    vendor = order.vendor
    body = anatomy(order.seed, laterality, view, malignant=laterality is order.malignant, population=order.population)
    exposure = expose(body, vendor.pitch_mm * order.binning)
    pixels = process(exposure, vendor, laterality, body.seed)
    shape = (int(pixels.shape[0]), int(pixels.shape[1]))
    taken = _acquisition(order, laterality, view, body, exposure.pitch_mm)
    dataset = presentation_image(_examination(order), taken, vendor)
    pixels_into(dataset, pixels.astype("<u2").tobytes(), shape, vendor.bits_stored)
    lesion = _truth(body, vendor, laterality, exposure.pitch_mm, shape)
    return SimulatedImage(
        laterality, view, taken.sop_instance_uid, part10(encoded(dataset, vendor.transfer_syntax), vendor.transfer_syntax), lesion
    )


def simulation_sha256(population: Population = POPULATION) -> str:
    """What freezes the simulation: a digest over its version, its vendors, its population and its source."""
    sources = [inspect.getsource(module) for module in (breast, lesions, processing, women)]
    parameters = {
        "version": SIMULATION_VERSION,
        "vendors": {key: asdict(vendor) for key, vendor in VENDORS.items()},
        "population": asdict(population),
    }
    return hashlib.sha256(json.dumps([parameters, sources], sort_keys=True).encode()).hexdigest()


def _examination(order: Order) -> Examination:
    seed, vendor = order.seed, order.vendor
    return Examination(
        study_uid=order.uid("study"),
        patient_id=f"SIM-{vendor.key}-{seed:06d}",
        patient_name=f"Simulated^{vendor.key}{seed:06d}",
        birth_date=date(1950 + seed % 25, 1 + seed % 12, 1 + seed % 28),
        taken=moment(seed),
        accession_number=f"SIM{vendor.key}{seed:06d}",
        description="Simulated screening mammography",
    )


def _acquisition(order: Order, laterality: Laterality, view: View, body: Anatomy, pitch_mm: float) -> Acquisition:
    vendor = order.vendor
    return Acquisition(
        sop_instance_uid=order.uid("image", laterality, view),
        series_uid=order.uid("series", laterality, view),
        number=SCREENING_VIEWS.index((laterality, view)) + 1,
        laterality=laterality,
        view=view,
        spacing_mm=round(pitch_mm, 4),
        thickness_mm=body.thickness_mm,
        window=((vendor.black + vendor.white) / 2, abs(vendor.white - vendor.black) + 1.0),
    )


def _truth(body: Anatomy, vendor: Vendor, laterality: Laterality, pitch_mm: float, shape: tuple[int, int]) -> Truth | None:
    for lesion in body.lesions:
        if lesion.kind.malignant:
            position = (lesion.x_mm / pitch_mm, lesion.y_mm / pitch_mm)
            return Truth(stored_position(vendor, laterality, position, shape), lesion.radius_mm / pitch_mm)
    return None
