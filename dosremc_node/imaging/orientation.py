"""Which way the breast lies in the image: decided from the image, cross-checked with what the header says."""

from __future__ import annotations

from enum import IntEnum

from pydicom.dataset import Dataset

from dosremc_node.imaging.geometry import Orientation
from dosremc_node.records import Laterality

_PLAUSIBLE = 0.5
"""The header is believed if the breast touches the edge it names at least this much of the most touched edge."""


class Edge(IntEnum):
    """An edge of the stored image, in the order of `Outline.contacts`."""

    LEFT = 0
    TOP = 1
    RIGHT = 2
    BOTTOM = 3


def orientation(dataset: Dataset, laterality: Laterality, contacts: tuple[int, int, int, int]) -> Orientation:
    """How to turn the image so that the chest wall is on the left, and the head (oblique) or the outer side (craniocaudal) up.

    ``contacts`` is how many pixels of each edge the breast touches. What is up is taken from Patient Orientation (0020,0020; PS3.3 C.7.6.1.1.1),
    and only where it agrees with the image about the chest wall.
    """
    directions = _patient_orientation(dataset)
    chest_wall = _chest_wall(_named_edge(directions), laterality, contacts)
    transpose = chest_wall in (Edge.TOP, Edge.BOTTOM)
    mirror = chest_wall in (Edge.RIGHT, Edge.BOTTOM)
    agrees = _named_edge(directions) is chest_wall
    downwards = directions[0 if transpose else 1]
    return Orientation(transpose, mirror, upend=agrees and _points_up(downwards, laterality))


def _patient_orientation(dataset: Dataset) -> tuple[str, str]:
    """The directions of the rows and of the columns, such as ('P', 'FL'); empty texts where the header has none or nonsense."""
    try:
        row, column = (str(value).strip().upper() for value in dataset.PatientOrientation)
    except (AttributeError, TypeError, ValueError, NotImplementedError):
        return ("", "")
    return (row, column) if set(row + column) <= set("AFHLPR") else ("", "")


def _named_edge(directions: tuple[str, str]) -> Edge | None:
    """Where the header says that the chest wall is: the edge that a row or column starts from when it runs to the front."""
    row, column = directions
    edges = {("A", ""): Edge.LEFT, ("P", ""): Edge.RIGHT, ("", "A"): Edge.TOP, ("", "P"): Edge.BOTTOM}
    return edges.get((row[:1] if row[:1] in ("A", "P") else "", column[:1] if column[:1] in ("A", "P") else ""))


def _chest_wall(named: Edge | None, laterality: Laterality, contacts: tuple[int, int, int, int]) -> Edge:
    longest = max(contacts)
    usual = Edge.LEFT if laterality is Laterality.LEFT else Edge.RIGHT
    for edge in (named, usual):
        if edge is not None and contacts[edge] >= _PLAUSIBLE * longest:
            return edge
    return Edge(contacts.index(longest))


def _points_up(downwards: str, laterality: Laterality) -> bool:
    """Whether the direction in which the image runs down is one that should run up: to the head, or to the breast's own outer side."""
    return downwards[:1] == "H" or downwards[:1] == laterality.value
