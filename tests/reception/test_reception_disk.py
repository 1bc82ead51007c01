"""Disks that fill up, forbid, or hang on a database that is busy: refused with the right status, and served again by itself."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from sqlalchemy import event

from dosremc_node.artifacts import ArtifactKind, ArtifactStore, open_store
from dosremc_node.configuration import load
from dosremc_node.ledger.overview import list_studies
from dosremc_node.node import open_node
from dosremc_node.settings import StorageSettings
from dosremc_node.workflow import receive

MEGABYTE = 1 << 20
SUCCESS, FAILURE, NO_SPACE = 0x0000, 0x0110, 0xA700


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 MB."""
    folder = tmp_path / "small-disk"
    folder.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "none", folder], check=False, capture_output=True, text=True)
    if mount.returncode:
        pytest.skip(f"no small file system can be mounted here: {mount.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture
def small_store(small_disk: Path) -> ArtifactStore:
    return open_store(StorageSettings(folder=small_disk / "artifacts"))


def test_a_disk_is_never_filled_and_serves_again_once_there_is_room(
    listen: Callable, connect: Callable, mammogram: Callable[..., Dataset], small_store: ArtifactStore
) -> None:
    """Objects are taken until the space to be kept free would be touched, then refused with 0xA700, and taken again when some has gone."""
    association = connect(listen(store=small_store, keep_free_megabytes=20).port)
    answers = [association.send_c_store(mammogram(kilobytes=8 * 1024)).Status for _ in range(8)]
    assert answers == [SUCCESS] * 6 + [NO_SPACE] * 2
    assert small_store.free_bytes() > 10 * MEGABYTE
    assert list(small_store.incoming.iterdir()) == []
    for key in list(small_store.keys(ArtifactKind.IMAGE))[:2]:
        small_store.remove(key)
    assert association.send_c_store(mammogram(kilobytes=8 * 1024)).Status == SUCCESS


def test_an_object_that_grows_into_the_space_to_be_kept_free_is_refused(
    listen: Callable, connect: Callable, mammogram: Callable[..., Dataset], small_store: ArtifactStore
) -> None:
    """It began when there was room enough; what was written of it goes, and a small one still fits."""
    association = connect(listen(store=small_store, keep_free_megabytes=20).port)
    assert association.send_c_store(mammogram(kilobytes=60 * 1024)).Status == NO_SPACE
    assert list(small_store.incoming.iterdir()) == []
    assert association.send_c_store(mammogram()).Status == SUCCESS


def test_a_disk_that_is_full_in_mid_object_refuses_it(
    listen: Callable, connect: Callable, mammogram: Callable[..., Dataset], small_store: ArtifactStore
) -> None:
    """Nothing is kept free, and the kernel says no: 0xA700, no file, the association goes on."""
    association = connect(listen(store=small_store, keep_free_megabytes=0).port)
    assert association.send_c_store(mammogram(kilobytes=8 * 1024)).Status == SUCCESS
    assert association.send_c_store(mammogram(kilobytes=60 * 1024)).Status == NO_SPACE
    assert list(small_store.incoming.iterdir()) == []
    assert association.send_c_store(mammogram()).Status == SUCCESS


def test_a_read_only_spool_is_a_failure_and_heals(
    listen: Callable, connect: Callable, mammogram: Callable[..., Dataset], small_disk: Path, small_store: ArtifactStore
) -> None:
    """A file system that was remounted read-only, as kernels do after an error, gives 0x0110; writable again, Success."""
    association = connect(listen(store=small_store).port)
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    assert association.send_c_store(mammogram()).Status == FAILURE
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    assert association.send_c_store(mammogram()).Status == SUCCESS


def test_a_ledger_whose_disk_is_full_refuses_and_heals(
    listen: Callable, connect: Callable, mammogram: Callable[..., Dataset], small_disk: Path, tmp_path: Path
) -> None:
    """Where no row can be written there is no Success; with room again the same object is taken, once."""
    node = open_node(load(None, [f"storage.folder={tmp_path}/artifacts", f"database.url=sqlite:///{small_disk}/ledger.sqlite"]))
    association, data = connect(listen(partial(receive, node), store=node.store).port), mammogram()
    filler = small_disk / "filler"
    descriptor = os.open(filler, os.O_WRONLY | os.O_CREAT)
    while os.statvfs(small_disk).f_bfree:
        os.write(descriptor, bytes(MEGABYTE))
    os.close(descriptor)
    assert association.send_c_store(data).Status == FAILURE
    filler.unlink()
    assert association.send_c_store(data).Status == SUCCESS
    (study,) = list_studies(node.ledger)
    assert study.images == 1
    node.ledger.close()


def test_a_locked_ledger_makes_the_sender_wait_and_then_fail(
    listen: Callable, connect: Callable, mammogram: Callable[..., Dataset], tmp_path: Path
) -> None:
    """Another program that holds the database for longer than anyone waits: no Success without a row, and the next try succeeds."""
    node = open_node(load(None, [f"storage.folder={tmp_path}/artifacts", f"database.url=sqlite:///{tmp_path}/ledger.sqlite"]))
    node.ledger.close()
    event.listen(node.ledger.engine, "connect", lambda connection, _: connection.execute("PRAGMA busy_timeout=200"))
    association, data = connect(listen(partial(receive, node), store=node.store).port), mammogram()
    other = sqlite3.connect(tmp_path / "ledger.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert association.send_c_store(data).Status == FAILURE
    assert list_studies(node.ledger) == []
    other.execute("ROLLBACK")
    other.close()
    assert association.send_c_store(data).Status == SUCCESS
    node.ledger.close()
