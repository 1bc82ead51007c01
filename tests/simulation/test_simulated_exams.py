"""What simulated exams must be: lawful DICOM, the same every time, and true where they say the lesion is."""

from __future__ import annotations

from io import BytesIO
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset

from dosremc_node.records import Laterality, View
from dosremc_node.simulation import (
    FILMS,
    SCREENING_VIEWS,
    SIMULATION_VERSION,
    VENDORS,
    Film,
    Order,
    SimulatedImage,
    film_exam,
    film_exam_as_is,
    simulate_exam,
    simulate_view,
    simulation_sha256,
)
from dosremc_node.simulation.breast import FIELD_HEIGHT_MM, GRID_MM, _texture
from dosremc_node.simulation.women import anatomy

COARSE = 6.0


def read(image: SimulatedImage) -> Dataset:
    return dcmread(BytesIO(image.content))


def brightness(dataset: Dataset) -> NDArray[np.float64]:
    """Grey between 0 (air) and 1, whatever the photometric interpretation; padding is 0."""
    stored = dataset.pixel_array.astype(np.float64)
    low, high = float(dataset.WindowCenter) - dataset.WindowWidth / 2, float(dataset.WindowCenter) + dataset.WindowWidth / 2
    grey = np.clip((stored - low) / (high - low), 0, 1)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        grey = 1 - grey
    if "PixelPaddingValue" in dataset:
        grey[stored == dataset.PixelPaddingValue] = 0
    return grey


@pytest.mark.parametrize("vendor", VENDORS)
def test_the_same_order_gives_the_same_bytes(vendor: str) -> None:
    """Two runs of one order agree in every byte, and another seed differs in every UID."""
    order = Order(7, VENDORS[vendor], Laterality.LEFT, COARSE)
    first, second, other = simulate_exam(order), simulate_exam(order), simulate_exam(Order(8, VENDORS[vendor], Laterality.LEFT, COARSE))
    assert first == second
    assert not {image.sop_instance_uid for image in first.images} & {image.sop_instance_uid for image in other.images}
    assert first.study_instance_uid != other.study_instance_uid


@pytest.mark.parametrize("vendor", VENDORS)
def test_an_exam_is_one_study_of_four_views(vendor: str) -> None:
    """All four views belong to one woman and one study, each with its side and view in the header."""
    exam = simulate_exam(Order(3, VENDORS[vendor], None, COARSE))
    headers = [read(image) for image in exam.images]
    assert {(header.PatientID, header.StudyInstanceUID) for header in headers} == {(headers[0].PatientID, exam.study_instance_uid)}
    seen = [(header.ImageLaterality, header.ViewCodeSequence[0].CodeMeaning) for header in headers]
    assert seen == [("L", "cranio-caudal"), ("L", "medio-lateral oblique"), ("R", "cranio-caudal"), ("R", "medio-lateral oblique")]
    assert all(image.lesion is None for image in exam.images)


@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize(("laterality", "view"), SCREENING_VIEWS)
def test_the_truth_lies_where_the_image_changed(vendor: str, laterality: Laterality, view: View) -> None:
    """The image with the cancer differs from the one without it at the place that the truth names, in stored coordinates."""
    ill = simulate_view(Order(11, VENDORS[vendor], laterality, COARSE), laterality, view)
    well = simulate_view(Order(11, VENDORS[vendor], None, COARSE), laterality, view)
    change = np.clip(brightness(read(ill)) - brightness(read(well)), 0, None) ** 4
    rows, columns = np.indices(change.shape)
    assert ill.lesion is not None
    centre = ((columns + 0.5) * change).sum() / change.sum(), ((rows + 0.5) * change).sum() / change.sum()
    assert np.hypot(centre[0] - ill.lesion.centre[0], centre[1] - ill.lesion.centre[1]) < ill.lesion.radius


@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize(("laterality", "view"), SCREENING_VIEWS)
def test_patient_orientation_says_where_the_chest_wall_is(vendor: str, laterality: Laterality, view: View) -> None:
    """Rows that run to the front start at the chest wall, where the breast touches the border."""
    header = read(simulate_view(Order(2, VENDORS[vendor], None, COARSE), laterality, view))
    grey = brightness(header)
    chest_wall_left = grey[:, 3].sum() > grey[:, -4].sum()
    assert header.PatientOrientation[0] == ("A" if chest_wall_left else "P")
    assert chest_wall_left == {"A": laterality is Laterality.LEFT, "B": True, "C": laterality is Laterality.RIGHT, "D": False}[vendor]
    upside_down = "H" in header.PatientOrientation[1] or (view is View.CC and header.PatientOrientation[1] == laterality.value)
    assert upside_down == VENDORS[vendor].rotated


def test_vendors_differ_by_more_than_a_scale_factor() -> None:
    """No straight line turns one vendor's image of a breast into another's: what is left is a part of the breast's contrast."""
    pitch = 0.5
    images = {}
    for key, vendor in VENDORS.items():
        grey = brightness(read(simulate_view(Order(4, vendor, None, pitch / vendor.pitch_mm), Laterality.LEFT, View.CC)))
        images[key] = grey[::-1, ::-1] if vendor.rotated else grey
    breast = np.min(list(images.values()), axis=0) > 0.1
    for one, other in combinations(VENDORS, 2):
        x, y = images[one][breast], images[other][breast]
        residual = y - np.polyval(np.polyfit(x, y, 1), x)
        assert residual.std() > 0.15 * y.std(), (one, other)


@given(seed=st.integers(0, 2**31), laterality=st.sampled_from(Laterality), view=st.sampled_from([View.CC, View.MLO]))
@settings(max_examples=200, deadline=None)
def test_lesions_lie_inside_the_breast(seed: int, laterality: Laterality, view: View) -> None:
    """Every lesion's centre lies within the breast's depth and height, and a malignant breast has exactly one that is malignant."""
    body = anatomy(seed, laterality, view, malignant=True)
    _, middle = body.nipple_mm
    assert sum(lesion.kind.malignant for lesion in body.lesions) == 1
    for lesion in body.lesions:
        assert 0 < lesion.x_mm < body.depth_mm
        assert abs(lesion.y_mm - middle) < body.half_height_mm
        assert 0 < lesion.y_mm < FIELD_HEIGHT_MM


def test_the_tissue_has_the_power_spectrum_of_breasts() -> None:
    """Between 0.05 and 0.4 cycles per mm the power falls as 1 / f**3.17, within the spread that was measured on women."""
    power = 0.0
    for seed in range(8):
        field = _texture(View.CC, np.random.default_rng(seed))
        window = np.outer(np.hanning(field.shape[0]), np.hanning(field.shape[1]))
        power = power + np.abs(np.fft.fft2(field * window)) ** 2
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(field.shape[0], GRID_MM), np.fft.fftfreq(field.shape[1], GRID_MM), indexing="ij"))
    band = (frequency > 0.05) & (frequency < 0.4)
    slope = np.polyfit(np.log(frequency[band]), np.log(power[band]), 1)[0]
    assert -3.17 - 0.3 < slope < -3.17 + 0.3


def test_a_changed_simulation_needs_a_new_version() -> None:
    """The digest of parameters and source belongs to the version: whoever changes one changes the other."""
    assert (SIMULATION_VERSION, simulation_sha256()) == (2, "246b9e6b243227f6766f5af804743f46d91d59aa40b71a912471f09d0f8778e6")


# --- The film exam ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("film", FILMS, ids=lambda film: film.case)
def test_the_film_exam_keeps_its_pixels(film: Film) -> None:
    """Under the new headers lie the very bytes of the public files, as one woman's study."""
    as_is = [dcmread(BytesIO(content)) for content in film_exam_as_is(film)]
    headers = [read(image) for image in film_exam(film).images]
    assert [header.PixelData for header in headers] == [header.PixelData for header in as_is]
    assert len({header.StudyInstanceUID for header in as_is}) == 4
    assert len({header.StudyInstanceUID for header in headers}) == 1
    assert {header.Manufacturer for header in headers} == {"Simulated Vendor A"}
    assert {header.ManufacturerModelName for header in headers} == {"Film Digitiser"}
    assert {header.PresentationIntentType for header in headers} == {"FOR PRESENTATION"}
