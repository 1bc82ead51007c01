"""A folder that files are put into, by anybody who may."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dosremc_node.errors import LedgerUnavailable, OutcomesUnreadable
from dosremc_node.outcomes.folder import WatchedFolder

read: list[str] = []


@pytest.fixture
def folder(tmp_path: Path) -> WatchedFolder:
    read.clear()
    return WatchedFolder(tmp_path, quiet_seconds=0)


def note(file: Path) -> None:
    read.append(file.read_text())


def refuse(file: Path) -> None:
    raise OutcomesUnreadable(why="line 2: laterality is none of L, R")


def names(folder: Path) -> set[str]:
    return {str(each.relative_to(folder)) for each in folder.rglob("*") if not each.is_dir()}


def looks(folder: WatchedFolder, what: object = note, times: int = 2) -> list[str]:
    return [handed.reason for _ in range(times) for handed in folder.look(what)]  # type: ignore[arg-type]


def test_a_finished_file_is_read_once_and_moved(folder: WatchedFolder, tmp_path: Path) -> None:
    """A file that has not changed since the last look is read and moved to done; a second of its name replaces nothing."""
    (tmp_path / "a.csv").write_text("first")
    assert looks(folder, times=1) == []
    assert looks(folder) == [""]
    (tmp_path / "a.csv").write_text("second")
    assert looks(folder, times=3) == [""]
    assert read == ["first", "second"]
    assert names(tmp_path) == {"done/a.csv", "done/a.2.csv"}


def test_a_file_that_still_grows_is_left(folder: WatchedFolder, tmp_path: Path) -> None:
    """A file that changes between two looks, was touched a moment ago or is called unfinished is left alone."""
    file = tmp_path / "a.csv"
    file.write_text("1")
    looks(folder, times=1)
    file.write_text("12")
    assert looks(folder, times=1) == []
    (tmp_path / "b.csv.part").write_text("1")
    (tmp_path / ".c.csv").write_text("1")
    assert looks(WatchedFolder(tmp_path, quiet_seconds=3600), times=3) == []
    assert names(tmp_path) == {"a.csv", "b.csv.part", ".c.csv"}


def test_a_file_that_cannot_be_read_is_refused_with_its_reason(folder: WatchedFolder, tmp_path: Path) -> None:
    """What cannot be read is moved to refused, its reason beside it; both may come again."""
    for _ in range(2):
        (tmp_path / "bad.csv").write_text("x")
        assert "line 2" in looks(folder, refuse, times=3)[0]
    assert names(tmp_path) == {"refused/bad.csv", "refused/bad.csv.reason", "refused/bad.2.csv", "refused/bad.2.csv.reason"}
    assert "line 2: laterality" in (tmp_path / "refused" / "bad.csv.reason").read_text()


def test_a_file_waits_while_the_ledger_is_away(folder: WatchedFolder, tmp_path: Path) -> None:
    """What is not the file's fault leaves it where it is, and the next look reads it."""

    def away(file: Path) -> None:
        raise LedgerUnavailable(why="OperationalError")

    (tmp_path / "a.csv").write_text("1")
    looks(folder, times=1)
    with pytest.raises(LedgerUnavailable):
        looks(folder, away, times=1)
    assert looks(folder) == [""]


def test_older_files_are_read_first(folder: WatchedFolder, tmp_path: Path) -> None:
    """Files are read in the order in which they were written: a later one may correct an earlier one."""
    for name, at in (("a", 300), ("b", 100), ("c", 200)):
        (tmp_path / name).write_text(name)
        os.utime(tmp_path / name, (at, at))
    looks(folder)
    assert read == ["b", "c", "a"]


def test_links_and_names_lead_nowhere_else(folder: WatchedFolder, tmp_path: Path) -> None:
    """A link is not followed, neither a named pipe nor a folder is opened, and odd names are only names."""
    secret = tmp_path.parent / "secret"
    secret.write_text("secret")
    (tmp_path / "link.csv").symlink_to(secret)
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "folder.csv").mkdir()
    odd = "x..%2f..%2fetc; rm -rf \n -x.csv"
    (tmp_path / odd).write_text("odd")
    looks(folder)
    assert read == ["odd"]
    assert (tmp_path / "done" / odd).is_file()
    assert secret.read_text() == "secret"
