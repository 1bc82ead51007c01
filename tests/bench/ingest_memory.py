"""What a receiver's memory grows by while eight associations send an object of 2 GB each."""

from __future__ import annotations

import os
import shutil
import socket
import struct
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Event, Thread

from harness.hostile import EXPLICIT, command_set, named, pdu, pdv, request

from bench.measuring import Result, Scope
from bench.receivers import Listening, ours

ASSOCIATIONS, OBJECT_BYTES = 8, 2 * 10**9
SAMPLE_SECONDS = 0.1
FRAGMENT = 131072 - 6 - 6
PAGE = os.sysconf("SC_PAGE_SIZE")
SUCCESS = b"\x00\x00\x00\x09\x02\x00\x00\x00\x00\x00"
"""The element Status (0000,0900) of a response, 0x0000."""


def run(scope: Scope) -> Iterator[Result]:
    """`ingest.memory`: megabytes above idle, all receiving processes together, at the worst moment."""
    size = OBJECT_BYTES // 20 if scope.quick else OBJECT_BYTES
    needed = ASSOCIATIONS * size + 4 * 10**9
    if shutil.disk_usage(scope.work).free < needed:
        raise RuntimeError(f"{needed / 1e9:.0f} GB of free disk are needed in {scope.work}")
    with ours(scope.work / "node") as listening:
        # What is loaded with the first objects is not the object's.
        _all_send(listening, 1 << 20, "1.2.3")
        idle, samples, end = _resident(listening.processes), list[int](), Event()
        thread = Thread(target=_sample, args=(listening.processes, samples, end))
        thread.start()
        _all_send(listening, size, "1.2.4")
        end.set()
        thread.join()
    yield Result(
        "ingest.memory",
        (max(samples) - idle) / 1e6,
        "MB above idle",
        further={"idle_megabytes": idle / 1e6, "object_megabytes": size / 1e6},
    )


def _all_send(listening: Listening, size: int, root: str) -> None:
    with ThreadPoolExecutor(ASSOCIATIONS) as senders:
        list(senders.map(partial(_send, listening.port, size), [f"{root}.{number}" for number in range(1, ASSOCIATIONS + 1)]))


def _send(port: int, size: int, uid: str) -> None:
    """Store one object of zeros, made on the way; raises `RuntimeError` where the answer is not Success."""
    header = named(uid, uid) + b"\xe0\x7f\x10\x00OW\x00\x00" + struct.pack("<I", size)
    fragment = pdu(4, pdv(bytes(FRAGMENT), command=False, last=False))
    whole, rest = divmod(size, FRAGMENT)
    with socket.create_connection(("127.0.0.1", port), timeout=600) as connection:
        connection.sendall(pdu(1, request(syntax=EXPLICIT)))
        if _read_pdu(connection)[0] != 2:
            raise RuntimeError("the association was not accepted")
        connection.sendall(pdu(4, pdv(command_set(uid), command=True)) + pdu(4, pdv(header, command=False, last=False)))
        for _ in range(whole):
            connection.sendall(fragment)
        connection.sendall(pdu(4, pdv(bytes(rest), command=False, last=True)))
        kind, answer = _read_pdu(connection)
        if kind != 4 or SUCCESS not in answer:
            raise RuntimeError("an object was not taken")
        connection.sendall(pdu(5, bytes(4)))
        _read_pdu(connection)


def _read_pdu(connection: socket.socket) -> tuple[int, bytes]:
    kind, length = struct.unpack(">BxI", _exactly(connection, 6))
    return kind, _exactly(connection, length)


def _exactly(connection: socket.socket, length: int) -> bytes:
    content = b""
    while len(content) < length and (piece := connection.recv(length - len(content))):
        content += piece
    return content


def _sample(processes: Sequence[int], samples: list[int], end: Event) -> None:
    while not end.wait(SAMPLE_SECONDS):
        samples.append(_resident(processes))


def _resident(processes: Sequence[int]) -> int:
    return sum(int(Path(f"/proc/{process}/statm").read_text().split()[1]) * PAGE for process in processes)
