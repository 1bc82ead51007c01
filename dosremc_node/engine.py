"""The engine that executes the workflows: DBOS Transact, with everything we know of its inside in this one file.

What is configured here, and why:

- JSON, never pickle: its rows could come from outside. Workflows are given the ledger's own ids and nothing else.
- An executor's name is a stable slot under a file lock: what a killed process left behind is recovered by the process
  that takes its slot next, or by another that finds the slot free; a live process's work never is.
- The application version is a constant of ours. It is raised when the steps of a workflow change in number or order, so
  that a workflow begun under the old shape is never continued under the new one.
- Whether something is tried too often is decided by the ledger, so the engine's own limit is out of reach.
- The engine keeps and logs the text of what a workflow or a step raises. So it gets to hear of a foreign exception only
  what `describe` allows (promise 13).
- What fails because the engine has been stopped says nothing of its study: it is `NodeStopping`.
"""

from __future__ import annotations

import fcntl
import logging
import secrets
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import wraps
from pathlib import Path
from threading import Event
from typing import IO, ParamSpec, TypeVar

from dbos import DBOS, DBOSConfig, DBOSConfiguredInstance, DBOSPortableJSONSerializer, SetEnqueueOptions, SetWorkflowID
from sqlalchemy import make_url

from dosremc_node.errors import NodeError, NodeStopping, StepFailed
from dosremc_node.failures import describe

SHAPE_OF_THE_WORKFLOWS = "1"
_MORE_THAN_THE_LEDGER_ALLOWS = 1_000_000
_POLL_SECONDS = 0.2  # each queue is asked in a thread of its own: more often costs an idle node more than it gains
_FINISHED = ["SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"]

_stopped = Event()

P = ParamSpec("P")
R = TypeVar("R")


class Workflows(DBOSConfiguredInstance):
    """The base of a class whose methods are workflows and steps."""


def workflows(kind: type[R]) -> type[R]:
    """Mark a class derived from `Workflows`."""
    return DBOS.dbos_class()(kind)


def workflow(function: Callable[P, R]) -> Callable[P, R]:
    """Mark a method as a durable workflow: interrupted, it goes on at the step at which it stopped."""
    return DBOS.workflow(max_recovery_attempts=_MORE_THAN_THE_LEDGER_ALLOWS)(_discreet(function))


def step(function: Callable[P, R]) -> Callable[P, R]:
    """Mark a method as a step of a workflow: once it has returned, it is not repeated.

    It raises what the method raises of our own errors, `StepFailed` for any other, and `NodeStopping` once the engine was stopped.
    """
    recorded = DBOS.step()(_discreet(function))

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return recorded(*args, **kwargs)
        except Exception:  # the engine's own complaint too: it can enter nothing any more
            if _stopped.is_set():
                raise NodeStopping from None
            raise

    return run


def _discreet(function: Callable[P, R]) -> Callable[P, R]:
    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except NodeError:
            raise
        except Exception as error:  # noqa: BLE001 - the boundary: the engine would keep and log its text
            raise StepFailed(why=describe(error)) from None

    return run


@contextmanager
def executor_slot(folder: Path) -> Iterator[str]:
    """Hold the first free executor name of the folder while the context lasts."""
    folder.mkdir(parents=True, exist_ok=True)
    number = 0
    while (lock := _locked(folder / f"executor-{number}.lock")) is None:
        number += 1
    with lock:
        yield _name_of(lock)


def take_over(folder: Path) -> None:
    """Have the work of executors of the folder that are gone done by those that live: none may ever take their slots again."""
    for path in sorted(folder.glob("executor-*.lock")):
        if lock := _locked(path):
            with lock:
                DBOS._recover_pending_workflows([_name_of(lock)])  # noqa: SLF001 - there is no public way


def _locked(path: Path) -> IO[str] | None:
    file = path.open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


def _name_of(slot: IO[str]) -> str:
    """The name that the slot was given when it was first taken: the host may be called otherwise by now, as a container is."""
    slot.seek(0)
    name = slot.read()
    if not name:
        name = f"{socket.gethostname()}-{secrets.token_hex(4)}"
        slot.write(name)
        slot.flush()
    return name


class Engine:
    """DBOS, launched on ``url`` under the name of an executor slot. One for each process."""

    def __init__(self, url: str, executor: str, threads: int) -> None:
        _make_folder(url)
        _stopped.clear()
        DBOS(
            config=DBOSConfig(
                name="dosremc-node",
                system_database_url=url,
                executor_id=executor,
                application_version=SHAPE_OF_THE_WORKFLOWS,
                serializer=DBOSPortableJSONSerializer(),
                max_executor_threads=threads,
                enable_otlp=False,
                log_level="WARNING",
                use_listen_notify=False,
            )
        )
        # It has just given itself a handler of its own, which prints every exception with its text.
        logging.getLogger("dbos").handlers.clear()
        logging.getLogger("dbos").propagate = True

    def launch(self, queues: dict[str, int], one_at_a_time_per_key: dict[str, int], one_over_all_processes: Sequence[str] = ()) -> None:
        """Start to execute, beginning with what this executor left behind.

        ``queues`` are names with how many workflows of each may run at once; in those of ``one_at_a_time_per_key`` at
        most one runs for each key, in those of ``one_over_all_processes`` one at all. A process takes from its own queues only: the
        workflows of others are none of its own.
        """
        DBOS.listen_queues([*queues, *one_at_a_time_per_key, *one_over_all_processes])
        DBOS.launch()
        for name, concurrency in queues.items():
            DBOS.register_queue(name, worker_concurrency=concurrency, polling_interval_sec=_POLL_SECONDS, on_conflict="always_update")
        for name, concurrency in one_at_a_time_per_key.items():
            DBOS.register_queue(
                name,
                worker_concurrency=concurrency,
                partition_concurrency=1,
                polling_interval_sec=_POLL_SECONDS,
                on_conflict="always_update",
            )
        for name in one_over_all_processes:
            DBOS.register_queue(name, global_concurrency=1, polling_interval_sec=_POLL_SECONDS, on_conflict="always_update")

    def enqueue(self, queue: str, name: str, function: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
        """Have a workflow executed once under ``name``; a name that was given before changes nothing."""
        with SetWorkflowID(_of_this_shape(name)):
            DBOS.enqueue_workflow(queue, function, *args, **kwargs)

    def enqueue_for(self, key: str, queue: str, name: str, function: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
        """The same on a queue that runs one workflow at a time for each ``key``."""
        with SetEnqueueOptions(queue_partition_key=key):
            self.enqueue(queue, name, function, *args, **kwargs)

    def has_ended(self, name: str) -> bool:
        """Whether the workflow of that name was executed to its end, for better or worse."""
        status = DBOS.get_workflow_status(_of_this_shape(name))
        return status is not None and status.status in _FINISHED

    def forget_finished(self, older_than: timedelta) -> int:
        """Delete the engine's rows of what ended long ago: the ledger knows it all. Answers how many there were."""
        before = (datetime.now(UTC) - older_than).isoformat()
        finished = DBOS.list_workflows(status=_FINISHED, end_time=before, load_input=False, load_output=False, limit=1000)
        for each in finished:
            DBOS.delete_workflow(each.workflow_id)
        return len(finished)

    def stop(self, patience_seconds: int) -> None:
        """Stop to take work, and give what runs ``patience_seconds`` to end; the rest is recovered at the next start."""
        _stopped.set()
        DBOS.destroy(workflow_completion_timeout_sec=patience_seconds)


def _of_this_shape(name: str) -> str:
    """A name is taken once for each shape of the workflows: what was begun under an old one, and can't go on, begins anew."""
    return f"{SHAPE_OF_THE_WORKFLOWS}/{name}"


def _make_folder(url: str) -> None:
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite" and parsed.database:
        Path(parsed.database).absolute().parent.mkdir(parents=True, exist_ok=True)
