"""Releases are written whole, read back as they were, and refused once anything in them has changed."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import numpy_helper

from dosremc_node.errors import BankDoesNotFit, NodeError, NoSuchRelease, ReleaseDamaged, ReleaseExists, ReleaseUnreadable
from dosremc_node.records import Domain, PreprocessingSpec
from dosremc_node.releases import ReleaseFacts, ReleaseShelf, default_shelf, filters_sha256, write_release
from dosremc_node.releases.manifest import Manifest
from dosremc_node.settings import ReleaseSettings

Bank = dict[str, NDArray[np.float32]]


def test_round_trip(tmp_path: Path, facts: ReleaseFacts, backbone: bytes, banks: dict[Domain, Bank]) -> None:
    """What is written is what is read: record, graph, banks to the last bit, and the evidence."""
    written = write_release(tmp_path, facts, backbone, banks)
    shelf = ReleaseShelf([tmp_path])
    loaded = shelf.load("first")

    shelf.verify("first")
    assert shelf.names() == ("first",)
    assert loaded.release == written
    assert loaded.backbone() == backbone
    assert loaded.evidence["metrics"] == facts.metrics
    for domain, bank in banks.items():
        assert {name: values.tobytes() for name, values in loaded.bank(domain).items()} == {n: v.tobytes() for n, v in bank.items()}


def test_rounding_is_sealed_where_it_is_allowed(tmp_path: Path, facts: ReleaseFacts, backbone: bytes, banks: dict[Domain, Bank]) -> None:
    """A release allows TF32 and half precision only where its manifest says so, and nobody can switch it on afterwards."""
    write_release(tmp_path, replace(facts, release_id="exact"), backbone, banks)
    write_release(tmp_path, replace(facts, release_id="rounded", allows_tf32=True, half_precision_tolerance=0.02), backbone, banks)
    shelf = ReleaseShelf([tmp_path])
    exact, rounded = (shelf.load(name).release for name in ("exact", "rounded"))
    assert (exact.allows_tf32, exact.half_precision_tolerance) == (False, None)
    assert (rounded.allows_tf32, rounded.half_precision_tolerance) == (True, 0.02)

    manifest = tmp_path / "exact" / "release.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"allows_tf32": True}))
    with pytest.raises(ReleaseDamaged, match=r"release\.json"):
        shelf.verify("exact")


def test_folder_format(shelf: ReleaseShelf) -> None:
    """The folder holds what the format promises, nothing else, and is readable by others."""
    folder = shelf.load("first").folder
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())

    assert files == ["backbone.onnx", "banks/hologic.safetensors", "banks/siemens.safetensors", "operating.json", "release.json"]
    assert folder.stat().st_mode & 0o777 == 0o755
    assert [path.name for path in folder.parent.iterdir()] == ["first"]


def test_memory_layout_is_not_written(tmp_path: Path, facts: ReleaseFacts, backbone: bytes, banks: dict[Domain, Bank]) -> None:
    """A bank whose arrays are views with odd strides is written by its values."""
    strided = {name: np.repeat(values, 2)[::2] for name, values in banks[Domain("hologic")].items()}
    write_release(tmp_path, facts, backbone, {Domain("hologic"): strided})

    read = ReleaseShelf([tmp_path]).load("first").bank(Domain("hologic"))
    for name, values in banks[Domain("hologic")].items():
        np.testing.assert_array_equal(read[name], values)


def test_same_content_same_digests_new_device(tmp_path: Path, facts: ReleaseFacts, backbone: bytes, banks: dict[Domain, Bank]) -> None:
    """Two releases of the same weights share every digest, and each has a Device UID of its own."""
    first = write_release(tmp_path, facts, backbone, banks)
    second = write_release(tmp_path, replace(facts, release_id="second", parent="first"), backbone, banks)

    assert second.banks == first.banks
    assert second.filters_sha256 == first.filters_sha256
    assert second.preprocessing_sha256 == first.preprocessing_sha256
    assert second.device_uid != first.device_uid
    assert second.device_uid.startswith("2.25.")


def test_filters_digest_is_of_the_filters(backbone: bytes, banks: dict[Domain, Bank]) -> None:
    """It is the same whatever the graph holds for the bank and in whatever order, and another once a filter moves by one bit."""
    names = set(banks[Domain("hologic")])
    before = filters_sha256(backbone, names)
    model = onnx.load_model_from_string(backbone)
    tensors = {tensor.name: numpy_helper.to_array(tensor).copy() for tensor in reversed(model.graph.initializer)}

    def digest() -> str:
        model.graph.ClearField("initializer")
        model.graph.initializer.extend(numpy_helper.from_array(values, name) for name, values in tensors.items())
        return filters_sha256(model.SerializeToString(), names)

    tensors["bn.weight"] = tensors["bn.weight"] * 3
    assert digest() == before
    tensors["conv.weight"] = np.nextafter(tensors["conv.weight"], np.float32(9))
    assert digest() != before


def test_preprocessing_digest_covers_every_field(facts: ReleaseFacts) -> None:
    """No field of the preprocessing spec can change without its digest."""
    spec = facts.preprocessing
    changed = [
        replace(spec, height=9), replace(spec, width=9), replace(spec, grey_scale="x"), replace(spec, crop="x"),
        replace(spec, normalisation="x"), replace(spec, chest_wall="right"), replace(spec, version=2),
    ]  # fmt: skip
    assert len(changed) == len(PreprocessingSpec.__slots__)
    assert len({each.sha256 for each in [spec, *changed]}) == len(changed) + 1


@pytest.mark.parametrize("name", ["../first", "first/", ".", "..", "", ".hidden", "FIRST", "first\n", "a b"])
def test_a_release_id_is_no_path(shelf: ReleaseShelf, tmp_path: Path, facts: ReleaseFacts, name: str) -> None:
    """An id that could lead out of the shelf, or is not there, is refused in words."""
    with pytest.raises(NoSuchRelease):
        shelf.load(name)
    with pytest.raises(ValueError, match="release_id"):
        write_release(tmp_path / "other", replace(facts, release_id=name), onnx.ModelProto().SerializeToString(), {})


def test_a_release_never_changes(shelf: ReleaseShelf, facts: ReleaseFacts, backbone: bytes, banks: dict[Domain, Bank]) -> None:
    """Writing an id that is taken is refused and leaves the release as it was."""
    folder = shelf.load("first").folder
    with pytest.raises(ReleaseExists):
        write_release(folder.parent, facts, backbone, {Domain("hologic"): banks[Domain("hologic")]})
    shelf.verify("first")


def test_an_unfinished_release_is_not_there(
    tmp_path: Path, facts: ReleaseFacts, backbone: bytes, banks: dict[Domain, Bank], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is full half-way leaves no release and no rubbish."""

    def full(_source: Path, _target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(OSError, match="No space"):
        write_release(tmp_path, facts, backbone, banks)
    assert list(tmp_path.iterdir()) == []
    assert ReleaseShelf([tmp_path]).names() == ()


@pytest.mark.parametrize(
    ("spoiled", "why"),
    [
        ({"bn.bias": None}, "lacks bn.bias"),
        ({"fc.weight": np.ones(2, np.float32)}, "fc.weight"),
        ({"bn.bias": np.ones(3, np.float32)}, r"bn.bias is float32 \(3,\)"),
        ({"bn.bias": np.ones(2, np.float64)}, "bn.bias is float64"),
    ],
)
def test_a_bank_that_does_not_fit_is_not_written(shelf: ReleaseShelf, facts: ReleaseFacts, spoiled: Bank, why: str) -> None:
    """A bank with a missing, foreign or misshapen entry is refused by name before anything is written."""
    first = shelf.load("first")
    banks = {domain: first.bank(domain) for domain in first.release.banks}
    bank = {name: values for name, values in (banks[Domain("siemens")] | spoiled).items() if values is not None}
    with pytest.raises(BankDoesNotFit, match=why):
        write_release(first.folder.parent, replace(facts, release_id="second"), first.backbone(), banks | {Domain("siemens"): bank})
    assert shelf.names() == ("first",)


@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_flipped_bit_is_noticed(shelf: ReleaseShelf, data: st.DataObject) -> None:
    """Whichever bit of a weight file or of the operating points flips, the release is refused."""
    folder = shelf.load("first").folder
    path = data.draw(st.sampled_from(sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "release.json")))
    whole = path.read_bytes()
    position, bit = data.draw(st.integers(0, len(whole) - 1)), data.draw(st.integers(0, 7))
    path.write_bytes(whole[:position] + bytes([whole[position] ^ 1 << bit]) + whole[position + 1 :])
    try:
        with pytest.raises(ReleaseDamaged, match=path.name):
            shelf.verify("first")
    finally:
        path.write_bytes(whole)


@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_edited_line_of_the_manifest_is_noticed(shelf: ReleaseShelf, data: st.DataObject) -> None:
    """No value in the manifest can be edited: the seal no longer holds, or the field refuses it."""
    path = shelf.load("first").folder / "release.json"
    whole = path.read_text()
    fields: dict[str, object] = json.loads(whole)
    key = data.draw(st.sampled_from(sorted(fields)))
    others: st.SearchStrategy[object] = st.one_of(st.none(), st.text(max_size=8), st.integers(), st.just({}))
    other = data.draw(others.filter(lambda value: value != fields[key]))
    path.write_text(json.dumps(fields | {key: other}))
    try:
        with pytest.raises(NodeError, match=r"release\.json"):
            shelf.verify("first")
    finally:
        path.write_text(whole)


@pytest.mark.parametrize(("field", "what"), [("filters_sha256", "the filters"), ("preprocessing_sha256", "the preprocessing")])
def test_a_sealed_lie_is_noticed(shelf: ReleaseShelf, field: str, what: str) -> None:
    """A manifest that is sealed but claims other filters or another preprocessing than the files hold is refused."""
    path = shelf.load("first").folder / "release.json"
    manifest = Manifest.model_validate_json(path.read_bytes())
    path.write_text(manifest.model_copy(update={field: "0" * 64}).sealed().model_dump_json())
    with pytest.raises(ReleaseDamaged, match=what):
        shelf.verify("first")


def test_missing_files_and_other_folders_are_named(shelf: ReleaseShelf) -> None:
    """A missing file is named, and a release under another's name is not taken for it."""
    folder = shelf.load("first").folder
    shutil.copytree(folder, folder.parent / "impostor")
    with pytest.raises(ReleaseUnreadable, match="belongs to the release first"):
        shelf.load("impostor")
    (folder / "banks" / "siemens.safetensors").unlink()
    with pytest.raises(ReleaseUnreadable, match=r"banks/siemens\.safetensors"):
        shelf.verify("first")


def test_no_damaged_part_is_given_out(shelf: ReleaseShelf) -> None:
    """A graph or bank that was damaged after the release was loaded is refused when it is asked for."""
    loaded = shelf.load("first")
    for file in ("backbone.onnx", "banks/hologic.safetensors"):
        (loaded.folder / file).write_bytes(b"nothing")
    with pytest.raises(ReleaseDamaged):
        loaded.backbone()
    with pytest.raises(ReleaseDamaged):
        loaded.bank(Domain("hologic"))


def test_a_domain_without_a_bank_is_refused(shelf: ReleaseShelf) -> None:
    """Asking for a domain that the release does not have says which it has."""
    with pytest.raises(BankDoesNotFit, match="hologic, siemens"):
        shelf.load("first").bank(Domain("ge"))


def test_shelves_in_order(tmp_path: Path, facts: ReleaseFacts, backbone: bytes, banks: dict[Domain, Bank]) -> None:
    """The earlier folder's release is taken where an id lies in both, and a folder that is not there is no error."""
    write_release(tmp_path / "a", replace(facts, approver="a"), backbone, banks)
    write_release(tmp_path / "b", replace(facts, approver="b"), backbone, banks)
    write_release(tmp_path / "b", replace(facts, release_id="second"), backbone, banks)
    shelf = ReleaseShelf([tmp_path / "none", tmp_path / "a", tmp_path / "b"])

    assert shelf.names() == ("first", "second")
    assert shelf.load("first").release.approver == "a"


def test_the_settings_folder_is_on_the_default_shelf(
    tmp_path: Path, facts: ReleaseFacts, backbone: bytes, banks: dict[Domain, Bank]
) -> None:
    """What lies in the settings' folder is found beside what came with the program."""
    write_release(tmp_path, facts, backbone, banks)
    assert "first" in default_shelf(ReleaseSettings(folder=tmp_path)).names()
    assert "first" not in default_shelf(ReleaseSettings()).names()
