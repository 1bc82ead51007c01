"""The table that all receiving processes share: no limit is exceeded, and no place is lost with a process."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dosremc_node.reception.places import Full, Places

TAKES_A_PLACE = """
import sys
from dosremc_node.reception.places import Places
places = Places(int(sys.argv[1]))
places.listen()
places.tell_load(int(sys.argv[2]))
places.take("UNIT1", 10, 10)
print("taken", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def places() -> Iterator[Places]:
    with closing(Places()) as table:
        yield table


def in_another_process(places: Places, load: int = 0) -> subprocess.Popen[bytes]:
    """A process that has taken a place of UNIT1."""
    command = [sys.executable, "-c", TAKES_A_PLACE, str(places.descriptor), str(load)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[places.descriptor])
    assert process.stdout is not None
    assert process.stdout.readline() == b"taken\n"
    return process


def end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.communicate()


def test_a_killed_process_leaves_its_places(places: Places) -> None:
    """While it lives its place counts, in total and for its peer; after kill -9 it does not."""
    process = in_another_process(places)
    with pytest.raises(Full):
        places.take("OTHER", 1, 1)
    with pytest.raises(Full):
        places.take("UNIT1", 10, 1)
    end(process)
    places.give_back(places.take("UNIT1", 1, 1))


def test_it_is_known_who_is_less_busy(places: Places) -> None:
    """Only a process that lives and has fewer connections is one to leave a connection to."""
    places.listen()
    assert not places.is_someone_less_busy(5)
    process = in_another_process(places, load=3)
    assert places.is_someone_less_busy(4)
    assert not places.is_someone_less_busy(3)
    end(process)
    assert not places.is_someone_less_busy(4)


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(st.tuples(st.integers(0, 2), st.sampled_from("ABC"), st.booleans()), max_size=30),
    in_total=st.integers(1, 6),
    per_peer=st.integers(1, 4),
)
def test_no_order_of_coming_and_going_exceeds_a_limit(steps: list[tuple[int, str, bool]], in_total: int, per_peer: int) -> None:
    """Three openings of one table, as three processes have, admit exactly as many as the limits say."""
    with ExitStack() as stack:
        first = stack.enter_context(closing(Places()))
        tables = [first, *(stack.enter_context(closing(_reopened(first))) for _ in range(2))]
        inside: list[tuple[int, str, int]] = []
        for who, peer, goes in steps:
            if goes and inside:
                gone, _, place = inside.pop(0)
                tables[gone].give_back(place)
                continue
            room = len(inside) < in_total and sum(there == peer for _, there, _ in inside) < per_peer
            try:
                inside.append((who, peer, tables[who].take(peer, in_total, per_peer)))
                assert room
            except Full:
                assert not room
        assert len({place for *_, place in inside}) == len(inside)


def _reopened(places: Places) -> Places:
    """The same memory, opened as another process would."""
    return Places(os.dup(places.descriptor))


@pytest.mark.parametrize("per_second", [20.0, 0.5])
def test_a_rate_is_kept_by_each_peer_alone(places: Places, per_second: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a minute a peer gets its rate, and what it may have at once at the beginning; another peer is not touched by it."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    counted = 0
    while now[0] < 1060.0:
        counted += not places.is_too_fast("associations", "UNIT1", per_second)
        now[0] += 0.01
    assert counted == pytest.approx(60 * per_second + max(1.0, per_second), abs=1)
    assert not places.is_too_fast("associations", "UNIT2", per_second)
    assert not places.is_too_fast("objects", "UNIT1", per_second)


def test_who_waits_as_told_keeps_the_rate(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred objects at ten a second, each answered after its wait, take ten seconds less the second's worth at the beginning."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    for _ in range(100):
        now[0] += places.seconds_to_wait("objects", "UNIT1", 10.0)
    assert now[0] == pytest.approx(9.0)


def test_many_peers_do_not_fill_it(places: Places) -> None:
    """More names than the table has room for are counted on: the oldest is forgotten, nothing fails."""
    assert not any(places.is_too_fast("associations", f"UNIT{number}", 1.0) for number in range(5000))
