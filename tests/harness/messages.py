"""HL7 v2 messages, and a sender that frames them by hand."""

from __future__ import annotations

import socket

HEADER = "MSH|^~\\&|RIS|HOSPITAL|DOSREMC|RADIOLOGY|20260301120000||{type}|{control_id}|P|{version}"


def message(
    type: str = "ADT^A08",  # noqa: A002 - the standard's word
    *segments: str,
    control_id: str = "1",
    version: str = "2.5.1",
    more: str = "",
    ending: str = "\r",
    encoding: str = "utf-8",
) -> bytes:
    """A message of these segments; ``more`` is what follows MSH-12."""
    header = HEADER.format(type=type, control_id=control_id, version=version) + more
    return "".join(f"{each}{ending}" for each in (header, *segments)).encode(encoding)


def update(patient: str = "P1^^^HOSPITAL", name: str = "DOE^JANE", birth_date: str = "19600102", **more: str) -> bytes:
    return message("ADT^A08^ADT_A01", "EVN|A08", f"PID|1||{patient}||{name}||{birth_date}|F", **more)


def merge(prior: str = "P1^^^HOSPITAL", surviving: str = "P2^^^HOSPITAL", type: str = "ADT^A40^ADT_A39", **more: str) -> bytes:  # noqa: A002
    return message(type, "EVN|A40", f"PID|1||{surviving}||DOE^JANE", f"MRG|{prior}", **more)


def fields(answer: bytes, segment: str = "MSA") -> list[str]:
    """The fields of a segment of an answer, whose segment name is field 0; none where there is no such segment."""
    lines = [line.split("|") for line in answer.decode("iso8859_1").split("\r")]
    return next((line for line in lines if line[0] == segment), [])


class Sender:
    """A connection that speaks MLLP, byte by byte where a test wants that."""

    def __init__(self, port: int, connection: socket.socket | None = None) -> None:
        self.connection = connection or socket.create_connection(("127.0.0.1", port), timeout=20)
        self._unread = b""

    def send(self, content: bytes) -> bytes:
        """Send a message and wait for its answer."""
        self.connection.sendall(b"\x0b" + content + b"\x1c\r")
        return self.answer()

    def answer(self) -> bytes:
        """The next answer; empty where the connection is closed."""
        while b"\x1c\r" not in self._unread:
            chunk = self.connection.recv(65536)
            if not chunk:
                return b""
            self._unread += chunk
        block, _, self._unread = self._unread.partition(b"\x1c\r")
        assert block[:1] == b"\x0b"
        return block[1:]

    def close(self) -> None:
        self.connection.close()
