"""What every artifact store must do, whatever it is made of."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dosremc_node.artifacts import ArtifactKind, ArtifactStore, IncomingFile, content_key, derived_key, open_store, parse_key
from dosremc_node.errors import ArtifactDamaged, ArtifactMissing, WrongArtifactKey
from dosremc_node.settings import StorageSettings

ADDRESSED = [kind for kind in ArtifactKind if kind.is_content_addressed]

OpenStore = Callable[[], ArtifactStore]


@pytest.fixture(params=["folder"])
def open_again(request: pytest.FixtureRequest, tmp_path: Path) -> OpenStore:
    """Opens the same store, each time as a program that has just started would."""
    return lambda: open_store(StorageSettings(folder=tmp_path / "deep" / "artifacts"))


@pytest.fixture
def store(open_again: OpenStore) -> ArtifactStore:
    return open_again()


def received(store: ArtifactStore, content: bytes) -> tuple[IncomingFile, str]:
    file = IncomingFile(store.incoming)
    file.write(content)
    return file, file.finish()


@pytest.mark.parametrize("kind", ADDRESSED)
def test_bytes_come_back_under_the_key_of_their_digest(open_again: OpenStore, kind: ArtifactKind) -> None:
    """What was put is read back unchanged by another program, under a key made of kind and SHA-256 digest."""
    content = b"a mammogram"
    digest = hashlib.sha256(content).hexdigest()
    assert open_again().put(kind, content) == f"{kind}/{digest[:2]}/{digest}" == content_key(kind, digest)
    assert open_again().read(content_key(kind, digest)) == content


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=2000))
def test_any_bytes_make_the_round_trip(store: ArtifactStore, content: bytes) -> None:
    """Whatever the bytes are, none at all included, they come back."""
    assert store.read(store.put(ArtifactKind.DOCUMENT, content)) == content


def test_the_same_bytes_twice_are_one_artifact(store: ArtifactStore) -> None:
    """Putting the same bytes again gives the same key and no second artifact."""
    assert store.put(ArtifactKind.IMAGE, b"once") == store.put(ArtifactKind.IMAGE, b"once")
    assert len(list(store.keys(ArtifactKind.IMAGE))) == 1


def test_derived_bytes_go_by_name_and_are_replaced(store: ArtifactStore) -> None:
    """A network input lies under the name that its maker gave it, and a newer one takes its place."""
    name = "ab" * 32 + "-" + "0f" * 32
    key = store.put_derived(ArtifactKind.INPUT, name, b"old")
    assert store.put_derived(ArtifactKind.INPUT, name, b"new") == key == derived_key(ArtifactKind.INPUT, name)
    assert store.read(key) == b"new"


def test_a_received_file_is_adopted_without_a_copy(store: ArtifactStore) -> None:
    """Adoption moves the very file that was written into the store, and nothing is left in the incoming folder."""
    file, digest = received(store, b"pixels")
    number = file.path.stat().st_ino
    key = store.adopt(ArtifactKind.IMAGE, file.path, digest)
    file.close()
    assert key == content_key(ArtifactKind.IMAGE, digest)
    assert store.read(key) == b"pixels"
    with store.local(key) as path:
        assert path.stat().st_ino == number
    assert list(store.incoming.iterdir()) == []


def test_only_incoming_files_are_adopted(store: ArtifactStore, tmp_path: Path) -> None:
    """A file from elsewhere is not taken: it might be on another file system, or belong to somebody."""
    stranger = tmp_path / "stranger"
    stranger.write_bytes(b"")
    with pytest.raises(ValueError, match="adopted"):
        store.adopt(ArtifactKind.IMAGE, stranger, hashlib.sha256(b"").hexdigest())
    assert stranger.exists()


def test_damage_shows_when_the_bytes_are_read(store: ArtifactStore) -> None:
    """Bytes that changed on the disk are refused, and putting the right ones again heals the artifact."""
    key = store.put(ArtifactKind.IMAGE, b"right")
    with store.local(key) as path:
        path.write_bytes(b"wrong")
    with pytest.raises(ArtifactDamaged, match=hashlib.sha256(b"wrong").hexdigest()):
        store.read(key)
    store.put(ArtifactKind.IMAGE, b"right")
    assert store.read(key) == b"right"


def test_what_is_not_there_is_said_to_be_missing(store: ArtifactStore) -> None:
    """Reading what was never put names the key; asking whether it exists, and removing it, are no errors."""
    key = content_key(ArtifactKind.IMAGE, "0" * 64)
    with pytest.raises(ArtifactMissing, match=key):
        store.read(key)
    with pytest.raises(ArtifactMissing, match=key), store.local(key):
        pass
    assert not store.exists(key)
    store.remove(key)


def test_removed_is_gone(store: ArtifactStore) -> None:
    """After its removal an artifact is neither there nor listed, and the others still are."""
    gone, kept = store.put(ArtifactKind.IMAGE, b"gone"), store.put(ArtifactKind.IMAGE, b"kept")
    assert store.exists(gone)
    store.remove(gone)
    assert not store.exists(gone)
    assert list(store.keys(ArtifactKind.IMAGE)) == [kept]


def test_keys_are_listed_by_kind_and_in_order(store: ArtifactStore) -> None:
    """Each kind lists its own keys only, sorted, and every listed key can be parsed and read."""
    images = {store.put(ArtifactKind.IMAGE, bytes([number])) for number in range(20)}
    store.put(ArtifactKind.DOCUMENT, b"report")
    listed = list(store.keys(ArtifactKind.IMAGE))
    assert listed == sorted(images)
    assert {parse_key(key)[0] for key in listed} == {ArtifactKind.IMAGE}
    assert list(store.keys(ArtifactKind.SALIENCY)) == []


def test_of_what_can_be_made_again_the_newest_is_kept(store: ArtifactStore) -> None:
    """The oldest go until the rest is within the bound, an older one that was made again counts as new, and other kinds are left alone."""
    image = store.put(ArtifactKind.IMAGE, b"x" * 1000)
    keys = [store.put_derived(ArtifactKind.INPUT, f"{number:02x}", b"x" * 100) for number in range(10)]
    assert store.keep_newest(ArtifactKind.INPUT, 1000) == 0
    store.put_derived(ArtifactKind.INPUT, "00", b"y" * 100)
    assert store.keep_newest(ArtifactKind.INPUT, 350) == 7
    assert list(store.keys(ArtifactKind.INPUT)) == [keys[0], *keys[8:]]
    assert store.keep_newest(ArtifactKind.INPUT, 0) == 3
    assert store.exists(image)


@pytest.mark.parametrize("kind", ADDRESSED)
def test_what_cannot_be_made_again_is_never_dropped(store: ArtifactStore, kind: ArtifactKind) -> None:
    """Images, documents and saliency maps go one by one or not at all."""
    key = store.put(kind, b"kept")
    with pytest.raises(ValueError, match="made again"):
        store.keep_newest(kind, 0)
    assert store.exists(key)


def test_many_writers_of_the_same_bytes_agree(store: ArtifactStore) -> None:
    """Eight writers of one content at once all get the same key, and the bytes are whole."""
    content = b"x" * 100_000
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: store.put(ArtifactKind.IMAGE, content), range(32)))
    assert len(keys) == 1
    assert store.read(keys.pop()) == content
    assert list(store.incoming.iterdir()) == []


@pytest.mark.parametrize(
    "key",
    [
        "",
        "images",
        "images/ab",
        "secrets/ab/" + "ab" * 32,
        "images/ab/" + "cd" * 32,
        "images/../" + "../" * 20 + "etc/passwd",
        "images/ab/" + "AB" * 32,
        "images/ab/" + "ab" * 32 + "\n",
        "images/ab/" + "ab" * 32 + "/..",
        "inputs/../../etc",
        "inputs/--/--",
        "incoming/ab/" + "ab" * 32,
        "/etc/passwd",
    ],
)
def test_no_key_leads_out_of_the_store(store: ArtifactStore, key: str) -> None:
    """A key that the store cannot have given is refused by every method that takes one."""
    for method in (store.read, store.exists, store.remove):
        with pytest.raises(WrongArtifactKey):
            method(key)
    with pytest.raises(WrongArtifactKey), store.local(key):
        pass


def test_names_and_kinds_must_fit(store: ArtifactStore) -> None:
    """Derived bytes have no digest for a key, addressed ones no name, and names hold nothing but digests and dashes."""
    with pytest.raises(WrongArtifactKey):
        store.put(ArtifactKind.INPUT, b"derived")
    with pytest.raises(WrongArtifactKey):
        store.put_derived(ArtifactKind.IMAGE, "ab" * 32, b"addressed")
    for name in ("", "a", "../ab", "ab/cd", "1.2.840", "ab" * 150):
        with pytest.raises(WrongArtifactKey):
            store.put_derived(ArtifactKind.INPUT, name, b"")


def test_free_space_is_told(store: ArtifactStore) -> None:
    """The store says how many bytes it can still keep."""
    assert store.free_bytes() > 0
