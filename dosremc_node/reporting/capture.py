"""The secondary capture: a positive view as a picture with the result burnt in, for whatever shows no more than pictures."""

from __future__ import annotations

from pydicom.dataset import Dataset
from pydicom.uid import SecondaryCaptureImageStorage

from dosremc_node.records import Document, DocumentKind, ImageScore
from dosremc_node.reporting import codes, wording
from dosremc_node.reporting.document import Case, Draft, coded, finish
from dosremc_node.reporting.drawing import Colours, draw
from dosremc_node.reporting.image_header import patient_orientation
from dosremc_node.reporting.patient import read_header


def capture(case: Case, score: ImageScore, place: int) -> Document | None:
    """The picture of one image (PS3.3 A.8.1); None where there is nothing to draw it from.

    Its modality is OT, so that it is hung beside the mammograms and never in place of one. The IOD has no predecessor: what a later
    capture supersedes stands in its derivation in words, and the summary names the superseded captures with the other documents.
    """
    picture = case.picture_of(score)
    if picture is None:
        return None
    content = _image(draw(picture, score, case.release.statement))
    header = read_header(case.headers[score.sop_instance_uid], "PatientOrientation", "LossyImageCompression")
    content.PatientOrientation = list(patient_orientation(header) or ())
    content.LossyImageCompression = "01" if header.get("LossyImageCompression") == "01" else "00"
    content.ImageLaterality = str(score.laterality)
    content.SourceImageSequence = [_source(case, score)]
    content.DerivationDescription = wording.derivation(score, case.revision, case.release)
    description = wording.capture_description(score)
    sop_class_uid = str(SecondaryCaptureImageStorage)
    return finish(case, Draft(DocumentKind.CAPTURE, description, content, place, score.sop_instance_uid, sop_class_uid, modality="OT"))


def _image(pixels: Colours) -> Dataset:
    """The modules of the picture itself: General Image, Image Pixel, SC Equipment."""
    image = Dataset()
    image.ImageType = ["DERIVED", "SECONDARY"]
    image.ConversionType = "WSD"
    image.BurnedInAnnotation = "YES"
    image.Rows, image.Columns, image.SamplesPerPixel = *pixels.shape[:2], 3
    image.PhotometricInterpretation, image.PlanarConfiguration = "RGB", 0
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 8, 8, 7, 0
    content = pixels.tobytes()
    image.add_new("PixelData", "OB", content + b"\0" * (len(content) % 2))
    return image


def _source(case: Case, score: ImageScore) -> Dataset:
    item = case.reference_to(score)
    item.PurposeOfReferenceCodeSequence = [coded(codes.SOURCE_OF_PROCESSING)]
    item.SpatialLocationsPreserved = "NO"
    return item
