"""The presentation state: outlines and scores as annotations that a viewer lays over the original image (GSPS, PS3.3 A.33.1).

A presentation state takes the place of the image's own grey scale, so it repeats the one that the image asks for. The drawing is
made of highdicom's items. Its whole presentation state insists on attributes that odd images lack, and so it is not used.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
from highdicom.pr import AnnotationUnitsValues, GraphicAnnotation, GraphicLayer, GraphicObject, GraphicTypeValues, TextObject
from pydicom.dataset import Dataset
from pydicom.uid import GrayscaleSoftcopyPresentationStateStorage
from pydicom.valuerep import DSfloat

from dosremc_node.records import Document, DocumentKind, ImageScore
from dosremc_node.reporting import wording
from dosremc_node.reporting.document import Case, Draft, closed_outline, evidence_of, finish
from dosremc_node.reporting.grey_scale import GREY_SCALE_KEYWORDS, repeat_grey_scale
from dosremc_node.reporting.identity import tracking_uid
from dosremc_node.reporting.image_header import imager_pixel_spacing
from dosremc_node.reporting.patient import read_header

LAYER: Final = GraphicLayer(layer_name="AI", order=1, description="Regions that drove the score")
_PIXEL, _DISPLAY = AnnotationUnitsValues.PIXEL, AnnotationUnitsValues.DISPLAY
_LAST_LINE: Final = (0.0, 0.96, 1.0, 1.0)
"""Left, top, right and bottom of the displayed area, as parts of it."""


def presentation_state(case: Case, score: ImageScore, place: int) -> Document:
    """The annotations of one positive image.

    The IOD has no predecessor: the summary of the same revision names the superseded states with the other documents.
    """
    header = read_header(case.headers[score.sop_instance_uid], "ImagerPixelSpacing", *GREY_SCALE_KEYWORDS)
    content = Dataset()
    content.ContentLabel = f"AI_{score.laterality}_{score.view}"
    content.ContentDescription, content.ContentCreatorName = wording.SHORT_RESEARCH_USE, ""
    content.Laterality = str(score.laterality)
    content.ReferencedSeriesSequence = [_series(case, score)]
    content.DisplayedAreaSelectionSequence = [_displayed_area(case, score, header)]
    content.GraphicAnnotationSequence = [_annotation(case, score)]
    content.GraphicLayerSequence = [LAYER]
    repeat_grey_scale(header, content)
    description = wording.presentation_description(score)
    sop_class_uid = str(GrayscaleSoftcopyPresentationStateStorage)
    kind = DocumentKind.PRESENTATION_STATE
    return finish(case, Draft(kind, description, content, place, score.sop_instance_uid, sop_class_uid, modality="PR"))


def _series(case: Case, score: ImageScore) -> Dataset:
    series = Dataset()
    series.SeriesInstanceUID = case.image_of(score).header.series_instance_uid
    series.ReferencedImageSequence = [case.reference_to(score)]
    return series


def _displayed_area(case: Case, score: ImageScore, header: Dataset) -> Dataset:
    """The whole image."""
    image, area = case.image_of(score).header, Dataset()
    area.ReferencedImageSequence = [case.reference_to(score)]
    area.DisplayedAreaTopLeftHandCorner, area.DisplayedAreaBottomRightHandCorner = [1, 1], [image.columns, image.rows]
    area.PresentationSizeMode = "SCALE TO FIT"
    if spacing := imager_pixel_spacing(header):
        area.PresentationPixelSpacing = [DSfloat(value, auto_format=True) for value in spacing]
    else:
        area.PresentationPixelAspectRatio = [1, 1]
    return area


def _annotation(case: Case, score: ImageScore) -> GraphicAnnotation:
    return GraphicAnnotation(
        referenced_images=[evidence_of(case.image_of(score))],
        graphic_layer=LAYER,
        graphic_objects=list(_outlines(case, score)),
        text_objects=[*_labels(score), TextObject(wording.SHORT_RESEARCH_USE, _DISPLAY, bounding_box=_LAST_LINE)],
    )


def _outlines(case: Case, score: ImageScore) -> Iterable[GraphicObject]:
    """In pixels, from the upper left corner of the upper left pixel, as our own outlines are."""
    for number, finding in enumerate(score.findings):
        yield GraphicObject(
            graphic_type=GraphicTypeValues.POLYLINE,
            graphic_data=closed_outline(finding),
            units=_PIXEL,
            tracking_id=wording.tracking_identifier(score, number),
            tracking_uid=tracking_uid(case.node_name, case.release.release_id, score.sop_instance_uid, number),
        )


def _labels(score: ImageScore) -> Iterable[TextObject]:
    """Each probability at the highest point of its outline."""
    for finding in score.findings:
        points = np.asarray(finding.outline)
        column, row = points[points[:, 1].argmin()]
        yield TextObject(wording.percent(finding.probability), _PIXEL, anchor_point=(float(column), float(row)), anchor_point_visible=False)
