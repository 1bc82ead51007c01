"""Whose report it is: the patient and study modules, copied byte by byte from an image.

A PACS files a report by these attributes, so they must not differ from the images' in a single byte, however odd they
are: a birth date ``00000000``, a name in a character set that this program cannot read. Nothing is decoded, and so nothing
of it can appear in a warning.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pydicom
from pydicom.charset import STAND_ALONE_ENCODINGS, convert_encodings, decode_bytes, default_encoding, python_encoding
from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag

REQUIRED: Final = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "StudyID",
    "ReferringPhysicianName",
)
"""Type 2 in the Patient and General Study modules (PS3.3 C.7.1.1, C.7.2.1): present, and empty where the image has none."""

COPIED: Final = (
    *REQUIRED,
    "IssuerOfPatientID",
    "IssuerOfPatientIDQualifiersSequence",
    "TypeOfPatientID",
    "PatientBirthTime",
    "OtherPatientIDsSequence",
    "OtherPatientNames",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
    "EthnicGroup",
    "PatientComments",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "IssuerOfAccessionNumberSequence",
    "StudyDescription",
    "PhysiciansOfRecord",
    "NameOfPhysiciansReadingStudy",
    "ProcedureCodeSequence",
)

_CHARACTER_SET: Final = "SpecificCharacterSet"
_MULTI_BYTE_EXTENSIONS: Final = frozenset(f"ISO 2022 IR {number}" for number in (58, 87, 149, 159))
_TIMEZONE: Final = "TimezoneOffsetFromUTC"
_LONGEST: Final = 0xFFFE


def read_identity(path: Path) -> Dataset:
    """The part of an image's header that `copy_modules`, `timezone_offset` and `when_taken` need."""
    return read_header(path, *COPIED, _CHARACTER_SET, _TIMEZONE)


def read_header(path: Path, *keywords: str) -> Dataset:
    """Some attributes of a received image, undecoded."""
    return pydicom.dcmread(path, stop_before_pixels=True, force=True, specific_tags=list(keywords))


def copy_modules(source: Dataset, target: Dataset) -> None:
    """Give ``target`` the patient and study modules of ``source``, with their character set."""
    target.pop(_CHARACTER_SET, None)
    terms = character_set(source)
    if terms:
        target.SpecificCharacterSet = terms
    for keyword in REQUIRED:
        setattr(target, keyword, None)
    _copy(source, target, [Tag(keyword) for keyword in COPIED])


def write_as_copied(dataset: Dataset) -> None:
    """Have the writer take the copied elements as they are: otherwise it would decode them and encode them anew."""
    terms = dataset.get(_CHARACTER_SET)
    encoding = convert_encodings(terms) if terms else default_encoding
    dataset.set_original_encoding(is_implicit_vr=False, is_little_endian=True, character_encoding=encoding)


def character_set(source: Dataset) -> list[str]:
    """The terms of Specific Character Set (0008,0005); none where one is unknown, which says as much to any reader."""
    value = source.get(_CHARACTER_SET) or ""
    terms = [value] if isinstance(value, str) else [str(term or "") for term in value]
    if any(term not in python_encoding for term in terms):
        return []
    if len(terms) > 1 and any(term in STAND_ALONE_ENCODINGS for term in terms):
        return []
    if terms[0] in _MULTI_BYTE_EXTENSIONS:
        # Not allowed as the first term (PS3.3 C.12.1.1.2): what was meant is ASCII, until an escape sequence comes.
        terms.insert(0, "")
    return terms if any(terms) else []


def text_of(source: Dataset, keyword: str) -> str:
    """An attribute decoded, to be read by people: what its character set has no sign for is replaced by U+FFFD."""
    encodings = convert_encodings(character_set(source) or [""])
    text = decode_bytes(_bytes(source, Tag(keyword)), encodings, {0x0A, 0x0D, 0x3D, 0x5E})
    return text.strip("\0 ")


def timezone_offset(source: Dataset) -> str:
    """Timezone Offset From UTC as the image has it; empty where it has none."""
    return _bytes(source, Tag(_TIMEZONE)).decode("ascii", "replace").strip("\0 ")


def when_taken(source: Dataset) -> str:
    """Study Date and Study Time as ``YYYYMMDDhhmmss``, midday where the time is missing; nonsense where the image has nonsense."""
    day, time = (_bytes(source, Tag(keyword)).decode("ascii", "replace").strip("\0 ") for keyword in ("StudyDate", "StudyTime"))
    return day + (time.partition(".")[0].ljust(6, "0") if time else "120000")


def _copy(source: Dataset, target: Dataset, tags: list[BaseTag]) -> None:
    for tag in tags:
        if tag not in source:
            continue
        if dictionary_VR(tag) == "SQ":
            _copy_sequence(source, target, tag)
        else:
            target[tag] = _raw(tag, _bytes(source, tag))


def _copy_sequence(source: Dataset, target: Dataset, tag: BaseTag) -> None:
    items = []
    for item in source[tag].value or ():
        copied = Dataset()
        _copy(item, copied, _known_tags(item))
        write_as_copied(copied)
        items.append(copied)
    if items:
        target.add_new(tag, "SQ", items)


def _known_tags(item: Dataset) -> list[BaseTag]:
    # Not by iterating over the data set itself, which would decode its elements.
    return [tag for tag in sorted(item.keys()) if dictionary_has_tag(tag)]


def _bytes(source: Dataset, tag: BaseTag) -> bytes:
    element = source.get_item(tag)
    value = element.value if element is not None else None
    return value if isinstance(value, bytes) else b""


def _raw(tag: BaseTag, value: bytes) -> RawDataElement:
    value = value[:_LONGEST]
    value += b" " * (len(value) % 2)
    return RawDataElement(tag, dictionary_VR(tag), len(value), value, 0, False, True)
