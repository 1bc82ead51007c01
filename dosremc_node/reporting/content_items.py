"""Content items below others, with what highdicom leaves out: items by reference (PS3.3 C.17.3.2.4)."""

from __future__ import annotations

from typing import Final, TypeVar

from highdicom.sr import (
    ContainerContentItem,
    DeviceObserverIdentifyingAttributes,
    NumContentItem,
    ObserverContext,
    RelationshipTypeValues,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes as standard
from pydicom.sr.coding import Code
from pydicom.tag import Tag

from dosremc_node.reporting import codes
from dosremc_node.reporting.document import Case
from dosremc_node.reporting.wording import plain

_CONTENT: Final = Tag("ContentSequence")
_Item = TypeVar("_Item", bound=Dataset)


def below(item: _Item, *items: Dataset) -> _Item:
    """``item`` with ``items`` below it. Not by its attribute, where highdicom would refuse an item by reference."""
    if items:
        item.add_new(_CONTENT, "SQ", list(items))
    return item


def container(
    name: Code, relationship: RelationshipTypeValues | None, *items: Dataset, template: str | None = None
) -> ContainerContentItem:
    """A section whose items stand each for itself; ``template`` is its number in PS3.16."""
    section = ContainerContentItem(name, is_content_continuous=False, template_id=template, relationship_type=relationship)
    return below(section, *items)


def percentage(name: Code, fraction: float, relationship: RelationshipTypeValues) -> NumContentItem:
    """A fraction (0..1) in per cent: readers print the text, programs read the float, which keeps every digit."""
    item = NumContentItem(name, 100.0 * fraction, codes.PERCENT, relationship_type=relationship)
    item.MeasuredValueSequence[0].NumericValue = f"{100 * fraction:.1f}"
    return item


def reference(relationship: RelationshipTypeValues, *place: int) -> Dataset:
    """Another item of the same report, by its place: 1 for the root, then the number of a child on each level."""
    item = Dataset()
    item.RelationshipType = relationship.value
    item.ReferencedContentItemIdentifier = list(place)
    return item


def device_observer(case: Case) -> ObserverContext:
    """Who observed: the release, as a device (PS3.16 TID 1004)."""
    release = case.release
    device = DeviceObserverIdentifyingAttributes(
        uid=release.device_uid,
        name=case.node_name,
        manufacturer_name=plain(release.manufacturer),
        model_name=plain(release.algorithm_name),
    )
    return ObserverContext(observer_type=standard.DCM.Device, observer_identifying_attributes=device)
