"""What the folder store and the incoming files do on the disk."""

from __future__ import annotations

import gc
import hashlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dosremc_node.artifacts import ArtifactKind, IncomingFile, clean_incoming, open_store
from dosremc_node.settings import StorageSettings

WRITER = """
import sys
from pathlib import Path
from dosremc_node.artifacts import IncomingFile
file = IncomingFile(Path(sys.argv[1]))
file.write(b"half an image")
print("writing", flush=True)
sys.stdin.read()
"""

PUTTER = """
import sys
from pathlib import Path
from dosremc_node.artifacts import ArtifactKind, open_store
from dosremc_node.settings import StorageSettings
open_store(StorageSettings(folder=Path(sys.argv[1]))).put(ArtifactKind.IMAGE, b"pixels")
"""


def test_the_digest_grows_with_the_file(tmp_path: Path) -> None:
    """The digest that finish gives is that of the bytes on the disk, and only the owner can read them."""
    file = IncomingFile(tmp_path)
    file.write(b"half ")
    file.write(b"whole")
    assert file.finish() == hashlib.sha256(file.path.read_bytes()).hexdigest()
    assert file.path.read_bytes() == b"half whole"
    assert file.size == len(b"half whole")
    assert file.path.stat().st_mode & 0o077 == 0
    file.close()


def test_what_is_not_adopted_leaves_no_trace(tmp_path: Path) -> None:
    """A closed file is removed, and so is one that nobody holds any more."""
    file = IncomingFile(tmp_path)
    file.close()
    file.close()
    forgotten = IncomingFile(tmp_path)
    forgotten.write(b"x")
    del forgotten
    gc.collect()
    assert list(tmp_path.iterdir()) == []


def test_cleaning_removes_the_dead_writers_files_only(tmp_path: Path) -> None:
    """While its writer lives a file stays, whoever cleans; once the writer was killed it goes."""
    with subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"writing\n"
        mine = IncomingFile(tmp_path)
        assert clean_incoming(tmp_path) == 0
        assert len(list(tmp_path.iterdir())) == 2
        writer.send_signal(signal.SIGKILL)
        writer.wait()
    assert clean_incoming(tmp_path) == 1
    assert list(tmp_path.iterdir()) == [mine.path]
    mine.close()


def test_nobody_else_may_look_inside(tmp_path: Path) -> None:
    """The store's folder is closed to other users of the machine."""
    open_store(StorageSettings(folder=tmp_path / "artifacts"))
    assert (tmp_path / "artifacts").stat().st_mode & 0o077 == 0


def test_file_then_name_then_folder_are_synced_in_that_order(tmp_path: Path) -> None:
    """The kernel is asked to sync the bytes before the file gets its name, and the folder after it."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed")
    trace = tmp_path / "trace"
    calls = ["fsync", "rename", "renameat", "renameat2"]
    subprocess.run(
        [strace, "-f", "-y", "-e", f"trace={','.join(calls)}", "-o", trace, sys.executable, "-c", PUTTER, tmp_path / "store"],
        check=True,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    shard = hashlib.sha256(b"pixels").hexdigest()[:2]
    lines = [line for line in trace.read_text().splitlines() if "/store" in line]
    renamed = next(number for number, line in enumerate(lines) if "rename" in line)
    assert any("fsync" in line and ".incoming" in line for line in lines[:renamed])
    assert any("fsync" in line and f"/images/{shard}>" in line for line in lines[renamed:])
    assert any("fsync" in line and "/images>" in line for line in lines)


def test_a_full_disk_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    """Where the bytes do not fit, writing or finishing raises, and closing afterwards is quiet and removes the file."""
    file = IncomingFile(tmp_path)
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, file._file.fileno())
    os.close(full)
    with pytest.raises(OSError, match="No space left"):
        file.write(b"x" * (1 << 20))
    file.close()
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_removed_is_closed_all_the_same(tmp_path: Path) -> None:
    """As on a file system that has become read-only: closing is quiet, and no descriptor stays."""
    folder = tmp_path / "incoming"
    folder.mkdir()
    file = IncomingFile(folder)
    descriptor = file._file.fileno()
    folder.rename(tmp_path / "elsewhere")
    folder.touch()
    file.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_the_store_is_found_again_from_another_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative folder is taken from where the store was opened, even if the program moves afterwards."""
    monkeypatch.chdir(tmp_path)
    store = open_store(StorageSettings(folder=Path("artifacts")))
    key = store.put(ArtifactKind.IMAGE, b"here")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert store.read(key) == b"here"
