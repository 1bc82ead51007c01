"""Digital Mammography X-Ray Image Storage - For Presentation (DICOM PS3.3 A.27): complete headers for pixels from anywhere."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from io import BytesIO

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, DigitalMammographyXRayImageStorageForPresentation, ExplicitVRLittleEndian

from dosremc_node.records import Laterality, View
from dosremc_node.simulation.processing import chest_wall_right
from dosremc_node.simulation.vendors import Vendor

IMPLEMENTATION_CLASS_UID = UID("2.25.300316046318513946178364553183943562003")
VIEW_CODES = {View.CC: ("399162004", "cranio-caudal"), View.MLO: ("399368009", "medio-lateral oblique")}
OPPOSITE = {"A": "P", "P": "A", "L": "R", "R": "L", "FR": "HL", "FL": "HR"}


@dataclass(frozen=True, slots=True)
class Examination:
    """Who was examined, when, and under which study."""

    study_uid: UID
    patient_id: str
    patient_name: str
    birth_date: date
    taken: datetime
    accession_number: str
    description: str


@dataclass(frozen=True, slots=True)
class Acquisition:
    """One image's own values. ``number`` counts the images of the exam from 1; spacing is at the detector, in mm."""

    sop_instance_uid: UID
    series_uid: UID
    number: int
    laterality: Laterality
    view: View
    spacing_mm: float
    thickness_mm: float
    window: tuple[float, float]


def presentation_image(exam: Examination, taken: Acquisition, vendor: Vendor, detector: str = "DIRECT") -> Dataset:
    """Everything but the pixels; add them with `pixels_into` or as an encapsulated stream."""
    dataset = Dataset()
    _patient_and_study(dataset, exam)
    _series_and_equipment(dataset, exam, taken, vendor)
    _image(dataset, exam, taken)
    _grey_scale(dataset, taken, vendor)
    _detector(dataset, exam, taken, vendor, detector)
    _technique(dataset, taken, vendor)
    _anatomy(dataset, taken)
    dataset.PatientOrientation = list(patient_orientation(vendor, taken.laterality, taken.view))
    return dataset


def patient_orientation(vendor: Vendor, laterality: Laterality, view: View) -> tuple[str, str]:
    """The directions of rows and columns (Patient Orientation (0020,0020)): outward of the upper border lies the side or the head."""
    rows = "P" if chest_wall_right(vendor, laterality) else "A"
    medial = "R" if laterality is Laterality.LEFT else "L"
    columns = medial if view is View.CC else f"F{medial}"
    return rows, OPPOSITE[columns] if vendor.rotated else columns


def pixels_into(dataset: Dataset, pixels: bytes, shape: tuple[int, int], bits_stored: int) -> None:
    """Describe and add 16-bit little endian pixels of ``shape`` (rows, columns)."""
    dataset.Rows, dataset.Columns = shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, bits_stored, bits_stored - 1
    dataset.add_new(0x7FE00010, "OW", pixels)


def encoded(dataset: Dataset, transfer_syntax: str) -> Dataset:
    """The data set with its native pixels compressed as ``transfer_syntax`` asks, without loss, in place."""
    if UID(transfer_syntax).is_compressed:
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.compress(transfer_syntax, generate_instance_uid=False)
    return dataset


def part10(dataset: Dataset, transfer_syntax: str = ExplicitVRLittleEndian) -> bytes:
    """The data set as a whole Part 10 file, without anything that changes from one run to the next."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = UID(transfer_syntax)
    meta.ImplementationClassUID = IMPLEMENTATION_CLASS_UID
    meta.ImplementationVersionName = "DOSREMC_SIM_1"
    dataset.file_meta = meta
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def code(value: str, meaning: str, scheme: str = "SCT") -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def _patient_and_study(dataset: Dataset, exam: Examination) -> None:
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.PatientName, dataset.PatientID = exam.patient_name, exam.patient_id
    dataset.PatientBirthDate, dataset.PatientSex = exam.birth_date.strftime("%Y%m%d"), "F"
    dataset.PatientAge = f"{(exam.taken.date() - exam.birth_date).days // 365:03d}Y"
    dataset.StudyInstanceUID = exam.study_uid
    dataset.StudyDate, dataset.StudyTime = exam.taken.strftime("%Y%m%d"), exam.taken.strftime("%H%M%S")
    dataset.StudyID, dataset.AccessionNumber = "1", exam.accession_number
    dataset.StudyDescription = exam.description
    dataset.ReferringPhysicianName = ""


def _series_and_equipment(dataset: Dataset, exam: Examination, taken: Acquisition, vendor: Vendor) -> None:
    dataset.Modality = "MG"
    dataset.SeriesInstanceUID, dataset.SeriesNumber = taken.series_uid, taken.number
    dataset.SeriesDate, dataset.SeriesTime = dataset.StudyDate, dataset.StudyTime
    dataset.SeriesDescription = f"{taken.laterality} {taken.view}"
    dataset.PresentationIntentType = "FOR PRESENTATION"
    dataset.Manufacturer, dataset.ManufacturerModelName = vendor.manufacturer, vendor.model
    dataset.SoftwareVersions, dataset.DeviceSerialNumber = vendor.software_version, f"SIM-{vendor.key}-001"
    dataset.InstitutionName, dataset.StationName = "Simulated Hospital", f"SIM{vendor.key}"
    dataset.PerformedProcedureStepDescription = exam.description


def _image(dataset: Dataset, exam: Examination, taken: Acquisition) -> None:
    dataset.SOPClassUID = DigitalMammographyXRayImageStorageForPresentation
    dataset.SOPInstanceUID = taken.sop_instance_uid
    dataset.InstanceNumber = 1
    dataset.ImageType = ["DERIVED", "PRIMARY"]
    dataset.DerivationDescription = "Processed for presentation"
    time = exam.taken.replace(minute=(exam.taken.minute + taken.number) % 60).strftime("%H%M%S")
    dataset.AcquisitionDate, dataset.AcquisitionTime = dataset.StudyDate, time
    dataset.ContentDate, dataset.ContentTime = dataset.StudyDate, time
    dataset.LossyImageCompression, dataset.BurnedInAnnotation = "00", "NO"
    dataset.QualityControlImage = "NO"


def _grey_scale(dataset: Dataset, taken: Acquisition, vendor: Vendor) -> None:
    inverse = vendor.photometric_interpretation == "MONOCHROME1"
    dataset.SamplesPerPixel, dataset.PixelRepresentation = 1, 0
    dataset.PhotometricInterpretation = vendor.photometric_interpretation
    dataset.PresentationLUTShape = "INVERSE" if inverse else "IDENTITY"
    dataset.PixelIntensityRelationship, dataset.PixelIntensityRelationshipSign = "LOG", 1 if inverse else -1
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = "0", "1", "US"
    dataset.WindowCenter, dataset.WindowWidth = taken.window
    dataset.WindowCenterWidthExplanation = "NORMAL"
    if vendor.voi_function != "LINEAR":
        dataset.VOILUTFunction = vendor.voi_function
    if vendor.padding_value is not None:
        dataset.add_new(0x00280120, "US", vendor.padding_value)


def _detector(dataset: Dataset, exam: Examination, taken: Acquisition, vendor: Vendor, detector: str) -> None:
    dataset.ImagerPixelSpacing = [taken.spacing_mm, taken.spacing_mm]
    dataset.DetectorType = detector
    dataset.DetectorConfiguration = "AREA"
    dataset.DetectorID = f"SIM-{vendor.key}-DETECTOR"
    dataset.DateOfLastDetectorCalibration = exam.taken.strftime("%Y%m%d")
    dataset.DetectorTemperature = "25"
    dataset.FieldOfViewShape = "RECTANGLE"
    dataset.FieldOfViewOrigin = [0, 0]
    dataset.FieldOfViewRotation = "180" if vendor.rotated else "0"
    dataset.FieldOfViewHorizontalFlip = "YES" if taken.laterality in vendor.mirrored else "NO"
    dataset.DetectorActiveShape = "RECTANGLE"


def _technique(dataset: Dataset, taken: Acquisition, vendor: Vendor) -> None:
    dataset.KVP, dataset.ExposureTime, dataset.XRayTubeCurrent = vendor.kvp, 900, 100
    dataset.Exposure, dataset.ExposureInuAs = 90, 90000
    dataset.AnodeTargetMaterial, dataset.FilterMaterial = vendor.anode, vendor.filter_material
    dataset.Grid, dataset.FocalSpots = "RECIPROCATING", 0.3
    dataset.DistanceSourceToDetector, dataset.DistanceSourceToPatient = 660, 640
    dataset.EstimatedRadiographicMagnificationFactor = round(660 / 640, 4)
    dataset.BodyPartThickness, dataset.CompressionForce = round(taken.thickness_mm), 110
    dataset.ExposureControlMode, dataset.ExposureStatus = "AUTOMATIC", "NORMAL"
    dataset.RelativeXRayExposure, dataset.OrganDose, dataset.EntranceDoseInmGy = 300, 0.015, 5
    dataset.HalfValueLayer = 0.5


def _anatomy(dataset: Dataset, taken: Acquisition) -> None:
    dataset.ImageLaterality, dataset.OrganExposed = taken.laterality.value, "BREAST"
    dataset.BodyPartExamined = "BREAST"
    dataset.AnatomicRegionSequence = Sequence([code("76752008", "Breast")])
    dataset.ViewPosition = taken.view.value
    dataset.PositionerType = "MAMMOGRAPHIC"
    dataset.PositionerPrimaryAngle = 0 if taken.view is View.CC else 45
    view = code(*VIEW_CODES[taken.view])
    view.ViewModifierCodeSequence = Sequence()
    dataset.ViewCodeSequence = Sequence([view])
    dataset.BreastImplantPresent, dataset.PartialView = "NO", "NO"
    dataset.AcquisitionContextSequence = Sequence()
