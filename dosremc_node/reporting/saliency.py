"""The saliency map: what of a positive view drove its score, as numbers over the image (Segmentation, PS3.3 A.51).

A mammogram is a projection, most without a Frame of Reference, none with a plane in the patient's space. A Parametric Map, which would be the
natural home, wants such a plane; we invent none. A Segmentation needs no geometry where it names the image that it is derived from and has a
pixel for each of that one's. So the map is a fractional segmentation of "what drove the score", whose fraction is the saliency.
Viewers that fuse by geometry cannot lay it over the image; programs that go by pixels can.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import SegmentationStorage

from dosremc_node.records import Document, DocumentKind, ImageScore, Picture
from dosremc_node.reporting import codes, wording
from dosremc_node.reporting.document import Case, Draft, coded, finish
from dosremc_node.reporting.drawing import to_view
from dosremc_node.reporting.identity import derived_uid
from dosremc_node.reporting.image_header import patient_orientation
from dosremc_node.reporting.patient import read_header

_FULL: Final = 255
"""The stored value of a saliency of 1."""
_SEGMENT: Final = 1
_SEGMENT_NUMBER, _SEGMENT_IDENTIFICATION = 0x0062000B, 0x0062000A


def saliency_map(case: Case, score: ImageScore, place: int) -> Document | None:
    """The map of one image; None where there is nothing to make it from. The IOD has no predecessor, as that of a capture has none."""
    picture = case.picture_of(score)
    if picture is None:
        return None
    content = _image(as_stored(picture))
    header = read_header(case.headers[score.sop_instance_uid], "PatientOrientation", "LossyImageCompression")
    content.PatientOrientation = list(patient_orientation(header) or ())
    content.LossyImageCompression = "01" if header.get("LossyImageCompression") == "01" else "00"
    content.SegmentSequence = [_segment(case)]
    content.SharedFunctionalGroupsSequence = [_shared(case, score)]
    content.ReferencedSeriesSequence = [_series(case, score)]
    description = wording.saliency_description(score)
    sop_class_uid = str(SegmentationStorage)
    return finish(case, Draft(DocumentKind.SALIENCY, description, content, place, score.sop_instance_uid, sop_class_uid, modality="SEG"))


def as_stored(picture: Picture) -> NDArray[np.uint8]:
    """The map laid into the stored image, shape (rows, columns), 0 where the network saw nothing or no breast."""
    image = picture.image
    saliency = cv2.resize(picture.saliency, image.breast.shape[::-1], interpolation=cv2.INTER_LINEAR)
    saliency = np.where(image.breast, saliency, np.float32(0.0))
    laid = cv2.warpAffine(saliency, to_view(image.geometry, 1.0), (image.columns, image.rows), flags=cv2.INTER_LINEAR)
    return np.rint(np.clip(laid, 0.0, 1.0) * _FULL).astype(np.uint8)


def _image(pixels: NDArray[np.uint8]) -> Dataset:
    """Segmentation Image, Image Pixel, Multi-frame Functional Groups and Dimension: one frame, one segment."""
    image = Dataset()
    image.ImageType = ["DERIVED", "PRIMARY"]
    image.ContentLabel, image.ContentDescription, image.ContentCreatorName = "SALIENCY", wording.SHORT_RESEARCH_USE, ""
    image.NumberOfFrames, image.Rows, image.Columns, image.SamplesPerPixel = 1, *pixels.shape, 1
    image.PhotometricInterpretation = "MONOCHROME2"
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 8, 8, 7, 0
    image.SegmentationType, image.SegmentationFractionalType, image.MaximumFractionalValue = "FRACTIONAL", "PROBABILITY", _FULL
    image.DimensionOrganizationSequence, image.DimensionIndexSequence, image.PerFrameFunctionalGroupsSequence = _only_frame()
    content = pixels.tobytes()
    image.add_new("PixelData", "OB", content + b"\0" * (len(content) % 2))
    return image


def _only_frame() -> tuple[list[Dataset], list[Dataset], list[Dataset]]:
    organization, index, frame, content = (Dataset() for _ in range(4))
    organization.DimensionOrganizationUID = index.DimensionOrganizationUID = derived_uid("dimension", "segment")
    index.DimensionIndexPointer, index.FunctionalGroupPointer = _SEGMENT_NUMBER, _SEGMENT_IDENTIFICATION
    content.DimensionIndexValues = [_SEGMENT]
    frame.FrameContentSequence = [content]
    return [organization], [index], [frame]


def _segment(case: Case) -> Dataset:
    segment = Dataset()
    segment.SegmentNumber, segment.SegmentLabel = _SEGMENT, codes.SALIENCY.meaning
    segment.SegmentDescription = wording.SALIENCY
    segment.SegmentAlgorithmType, segment.SegmentAlgorithmName = "AUTOMATIC", wording.plain(case.release.algorithm_name)
    segment.SegmentedPropertyCategoryCodeSequence = [coded(codes.SPATIAL_CONCEPT)]
    segment.SegmentedPropertyTypeCodeSequence = [coded(codes.SALIENCY)]
    return segment


def _shared(case: Case, score: ImageScore) -> Dataset:
    """Derivation Image, which takes the place of all geometry, and Segment Identification (PS3.3 table A.51-2)."""
    groups, identification = Dataset(), Dataset()
    identification.ReferencedSegmentNumber = _SEGMENT
    groups.SegmentIdentificationSequence = [identification]
    groups.DerivationImageSequence = [_derivation(case, score)]
    return groups


def _derivation(case: Case, score: ImageScore) -> Dataset:
    source, item = case.reference_to(score), Dataset()
    source.PurposeOfReferenceCodeSequence = [coded(codes.SOURCE_OF_PROCESSING)]
    source.SpatialLocationsPreserved = "YES"
    item.DerivationDescription = wording.intended_use(case.release)[:1024]
    item.DerivationCodeSequence = [coded(codes.SEGMENTATION)]
    item.SourceImageSequence = [source]
    return item


def _series(case: Case, score: ImageScore) -> Dataset:
    series = Dataset()
    series.SeriesInstanceUID = case.image_of(score).header.series_instance_uid
    series.ReferencedInstanceSequence = [case.reference_to(score)]
    return series
