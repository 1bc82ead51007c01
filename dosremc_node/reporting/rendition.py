"""The same document once more for a destination that wants it otherwise: under another SOP class, or from another maker's name.

It is another SOP instance then, with UIDs that follow from the original's and from what is different (promise 4). Everything else stays
byte for byte as it was rendered.
"""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO

import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import UID

from dosremc_node.records import Document
from dosremc_node.reporting.identity import derived_uid
from dosremc_node.reporting.patient import write_as_copied


def rendition(original: Document, sop_class_uid: str, manufacturer: str = "", model: str = "") -> Document:
    """``original`` as an instance of ``sop_class_uid``; a manufacturer and a model that are not empty take the place of its own.

    The algorithm stays what Contributing Equipment (0018,A001) says. The classes of structured reports differ in what they allow, not in
    their modules, and our reports hold nothing that one of them forbids (PS3.3 A.35.2, A.35.3, A.35.13): no SCOORD3D, and by-reference
    relationships in the Mammography CAD SR only. The same arguments give the same bytes.
    """
    different = (sop_class_uid, manufacturer, model)
    uid = derived_uid("rendition", original.sop_instance_uid, *different)
    series_uid = derived_uid("rendition series", original.series_instance_uid, *different)
    dataset = pydicom.dcmread(BytesIO(original.content))
    if manufacturer:
        dataset.Manufacturer = manufacturer
    if model:
        dataset.ManufacturerModelName = model
    return as_instance(original, dataset, sop_class_uid, uid, series_uid)


def as_instance(original: Document, dataset: Dataset, sop_class_uid: str, sop_instance_uid: str, series_instance_uid: str) -> Document:
    """``original`` with ``dataset`` as its content, under these UIDs."""
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = UID(sop_class_uid)
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = UID(sop_instance_uid)
    dataset.SeriesInstanceUID = series_instance_uid
    write_as_copied(dataset)
    buffer = BytesIO()
    pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    return replace(
        original,
        sop_class_uid=sop_class_uid,
        sop_instance_uid=sop_instance_uid,
        series_instance_uid=series_instance_uid,
        content=buffer.getvalue(),
    )
