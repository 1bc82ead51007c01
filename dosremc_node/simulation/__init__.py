"""The simulated breast, the vendors' physics and processing, and a simulated modality.

The room makes test and demonstration studies: four-view exams of women who never lived, on four vendors' units that differ in
curve, sharpness, noise, pixel pitch, bit depth, photometric interpretation, padding, orientation and compression; two real film exams under the
headers of a unit; and a modality that sends them by C-STORE. The same seed gives the same bytes.
"""

from dosremc_node.simulation.exam import (
    HALF_SIZE,
    SCREENING_VIEWS,
    SIMULATION_VERSION,
    Order,
    SimulatedExam,
    SimulatedImage,
    Truth,
    simulate_exam,
    simulate_view,
    simulation_sha256,
)
from dosremc_node.simulation.film import FILMS, Film, film_exam, film_exam_as_is
from dosremc_node.simulation.modality import Sent, send
from dosremc_node.simulation.vendors import VENDORS, Vendor
from dosremc_node.simulation.women import POPULATION, Population

__all__ = [
    "FILMS",
    "HALF_SIZE",
    "POPULATION",
    "SCREENING_VIEWS",
    "SIMULATION_VERSION",
    "VENDORS",
    "Film",
    "Order",
    "Population",
    "Sent",
    "SimulatedExam",
    "SimulatedImage",
    "Truth",
    "Vendor",
    "film_exam",
    "film_exam_as_is",
    "send",
    "simulate_exam",
    "simulate_view",
    "simulation_sha256",
]
