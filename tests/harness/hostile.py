"""Association requests, data sets and streams of bytes as hostile or broken senders make them, by a seed; nothing of DICOM is borrowed from a library."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

MAMMOGRAM = "1.2.840.10008.5.1.4.1.1.1.2"
EXPLICIT, DEFLATED = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99"
ODD_UIDS = ("../../../etc/passwd", "1.2.3/../../4", "1.2\x00.3", "", "1" * 64, "9." * 5000, "\x00" * 64, "%s%n", "1.2.3\\1.2.4", "CON")


def pdu(kind: int, body: bytes, length: int | None = None) -> bytes:
    """A PDU (PS3.8 9.3); its length may lie."""
    return struct.pack(">BxI", kind, (len(body) if length is None else length) & 0xFFFFFFFF) + body


def item(kind: int, body: bytes, length: int | None = None) -> bytes:
    """An item of an association request; its length may lie."""
    return struct.pack(">BxH", kind, (len(body) if length is None else length) & 0xFFFF) + body


def request(*, called: str = "DOSREMC", syntax: str = EXPLICIT, contexts: int = 1, more: bytes = b"") -> bytes:
    """The body of an A-ASSOCIATE-RQ for mammograms."""
    body = struct.pack(">HH", 1, 0) + called.encode().ljust(16)[:16] + b"HOSTILE".ljust(16) + bytes(32)
    body += item(0x10, b"1.2.840.10008.3.1.1.1")
    for number in range(contexts):
        context = struct.pack(">Bxxx", (2 * number + 1) % 256) + item(0x30, MAMMOGRAM.encode()) + item(0x40, syntax.encode())
        body += item(0x20, context)
    return body + more + item(0x50, item(0x51, struct.pack(">I", 16384)) + item(0x52, b"1.2.3.4"))


def pdv(content: bytes, *, command: bool, last: bool = True, context: int = 1, length: int | None = None) -> bytes:
    """A presentation data value."""
    return struct.pack(">IBB", (len(content) + 2 if length is None else length) & 0xFFFFFFFF, context, command + 2 * last) + content


def command_set(uid: str = "1.2.3", sop_class: str = MAMMOGRAM, field: int = 1, data_set: int = 1) -> bytes:
    """The command set of a C-STORE request, or of another where ``field`` says so."""
    elements = b""
    for number, value in (
        (0x0002, padded(sop_class)),
        (0x0100, struct.pack("<H", field)),
        (0x0110, b"\x01\x00"),
        (0x0700, b"\x00\x00"),
        (0x0800, struct.pack("<H", data_set)),
        (0x1000, padded(uid)),
    ):
        elements += struct.pack("<HHI", 0, number, len(value)) + value
    return struct.pack("<HHII", 0, 0, 4, len(elements)) + elements


def padded(text: str) -> bytes:
    value = text.encode()
    return value + b"\x00" * (len(value) % 2)


def element(group: int, number: int, representation: str, value: bytes) -> bytes:
    """An element in explicit VR, little endian."""
    head = struct.pack("<HH2s", group, number, representation.encode())
    long = representation in ("OB", "OW", "SQ", "UT", "UN", "UC")
    return head + (struct.pack("<xxI", len(value)) if long else struct.pack("<H", len(value) & 0xFFFF)) + value


def named(uid: str, study: str = "1.2.4") -> bytes:
    """What makes a data set a mammogram of a study."""
    return (
        element(0x0008, 0x0016, "UI", padded(MAMMOGRAM))
        + element(0x0008, 0x0018, "UI", padded(uid))
        + element(0x0008, 0x0060, "CS", b"MG")
        + element(0x0020, 0x000D, "UI", padded(study))
    )


def nested(levels: int) -> bytes:
    """Sequences of undefined length in each other."""
    return b"\x40\x00\x20\x02SQ\x00\x00\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff" * levels


@cache
def bomb(megabytes: int) -> bytes:
    """A deflated data set that is a thousand times larger inside."""
    deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    head = named("1.2.3.99") + b"\xe0\x7f\x10\x00OW\x00\x00" + struct.pack("<I", megabytes << 20)
    return deflater.compress(head) + b"".join(deflater.compress(bytes(1 << 20)) for _ in range(megabytes)) + deflater.flush()


@dataclass(frozen=True)
class Attack:
    """What is sent, piece by piece, and how the connection ends: ``close``, ``reset``, or ``wait`` for the node to end it."""

    name: str
    pieces: Sequence[bytes]
    end: str


def store(content: bytes, *, uid: str = "1.2.3", syntax: str = EXPLICIT) -> list[bytes]:
    """An association that stores one object."""
    pieces = [pdu(1, request(syntax=syntax)), pdu(4, pdv(command_set(uid), command=True))]
    parts = [content[start : start + 16000] for start in range(0, len(content), 16000)]
    pieces += [pdu(4, pdv(part, command=False, last=place == len(parts))) for place, part in enumerate(parts, start=1)]
    return [*pieces, pdu(5, bytes(4))]


def attack(seed: int) -> Attack:
    """The attack of a seed."""
    chance = random.Random(seed)
    kind = chance.choice(sorted(_KINDS))
    return Attack(f"{kind} (seed {seed})", _KINDS[kind](chance), chance.choice(("close", "reset", "wait")))


def _flipped(chance: random.Random) -> list[bytes]:
    pieces = [bytearray(piece) for piece in store(named("1.2.3") + element(0x7FE0, 0x0010, "OW", bytes(50_000)))]
    for _ in range(chance.randint(1, 20)):
        piece = chance.choice(pieces)
        # Most of what matters is at the beginning.
        piece[min(chance.randrange(len(piece)), chance.randrange(len(piece)))] = chance.randrange(256)
    return [bytes(piece) for piece in pieces]


def _cut_off(chance: random.Random) -> list[bytes]:
    content = b"".join(store(named("1.2.3") + element(0x7FE0, 0x0010, "OW", bytes(50_000))))
    return [content[: chance.randrange(len(content))]]


def _lying_lengths(chance: random.Random) -> list[bytes]:
    lie = chance.choice((0, 1, 5, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF))
    which = chance.randrange(4)
    first = pdu(1, request(more=item(0x20, b"abc", lie) if which == 0 else b""), lie if which == 1 else None)
    data = pdv(command_set(), command=True, length=lie if which == 2 else None)
    return [first, pdu(4, data, lie if which == 3 else None)]


def _unknown_pdus(chance: random.Random) -> list[bytes]:
    kinds = [chance.choice((0, 2, 3, 6, 8, 9, 0x50, 0xFF)) for _ in range(3)]
    return [pdu(1, request())] * chance.randint(0, 1) + [pdu(kind, chance.randbytes(chance.randrange(200))) for kind in kinds]


def _too_much_offered(chance: random.Random) -> list[bytes]:
    more = chance.choice((item(0x20, b"\x01" * 60_000), item(0x77, b"x" * 65_535) * 20, item(0x50, item(0x58, b"\xff" * 500)) * 100))
    return [pdu(1, request(contexts=chance.choice((0, 1, 128, 1000)), more=more))]


def _odd_uids(chance: random.Random) -> list[bytes]:
    uid = chance.choice(ODD_UIDS)
    return store(named(chance.choice(ODD_UIDS), chance.choice(ODD_UIDS)), uid=uid)


def _deep(chance: random.Random) -> list[bytes]:
    return store(named("1.2.3.5") + nested(chance.choice((10, 500, 20_000))))


def _long_text(chance: random.Random) -> list[bytes]:
    tag = chance.choice(((0x0008, 0x0008, "UC"), (0x0008, 0x1090, "UT"), (0x0010, 0x0010, "UN"), (0x0008, 0x0070, "UT")))
    return store(named("1.2.3.6") + element(*tag, b"X\\" * (5 << 20)))


def _bombs(chance: random.Random) -> list[bytes]:
    return store(bomb(chance.choice((1, 600))), syntax=DEFLATED)


def _noise(chance: random.Random) -> list[bytes]:
    return [pdu(1, request()), *(pdu(4, pdv(chance.randbytes(500), command=bool(chance.randrange(2)))) for _ in range(5))]


def _other_commands(chance: random.Random) -> list[bytes]:
    fields = (0x20, 0x21, 0x10, 0x8001, 0x30, 0x100, 0x140, 0xFFF, 0x7777)
    commands = [command_set(field=chance.choice(fields), data_set=chance.choice((0x101, 1))) for _ in range(3)]
    return [pdu(1, request()), *(pdu(4, pdv(each, command=True)) for each in commands)]


def _aborted(chance: random.Random) -> list[bytes]:
    return [*store(bytes(500_000))[: chance.randint(1, 20)], pdu(7, bytes(4))]


_KINDS = {
    "flipped bytes": _flipped,
    "cut off": _cut_off,
    "lying lengths": _lying_lengths,
    "unknown PDUs": _unknown_pdus,
    "too much offered": _too_much_offered,
    "odd UIDs": _odd_uids,
    "deep nesting": _deep,
    "long text": _long_text,
    "bomb": _bombs,
    "noise": _noise,
    "other commands": _other_commands,
    "aborted": _aborted,
}
