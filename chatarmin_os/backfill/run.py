"""One run: from the rows to the workers, and from the workers to the checkpoint."""

from __future__ import annotations

import heapq
import queue
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, wait
from itertools import count, islice
from traceback import format_exception
from typing import Any, TypeVar
from uuid import uuid4

from attrs import evolve, frozen

from chatarmin_os._messages import printable, redact_keys
from chatarmin_os.backfill.checkpoint import Checkpoint, Noted
from chatarmin_os.backfill.executors import with_ends
from chatarmin_os.backfill.intake import Counts, Intake, failure_of
from chatarmin_os.backfill.interrupts import Interrupted, Interrupts
from chatarmin_os.backfill.outcomes import is_last, wait_after
from chatarmin_os.backfill.pace import Pace
from chatarmin_os.backfill.steps import Settings
from chatarmin_os.backfill.timing import Timing
from chatarmin_os.backfill.work import Answers, Chunk, ClientError, MakeClient, Service, Task, look_around, work
from chatarmin_os.errors import ChatarminError, InvalidInput

T = TypeVar("T")

_MAX_PROBLEM_LENGTH = 300  # characters of an executor's error
_WAITING_PER_WORKER = 50
"""Rows to be tried again; with more of them, no new ones are taken."""

ENDED = "the rows in flight have ended"
"""The text of the error after one Ctrl-C; a second one does not wait for them."""

_OTHER_FILE = "this checkpoint was begun with the file {found}, not {given}; pass that file, or another checkpoint"
_OTHER_PRODUCT = (
    "this checkpoint was begun with another API key or base URL; pass the same ones, or another file: customers that "
    "are linked already are found"
)


@frozen
class _Sent:
    chunk: Chunk
    at: float


class Run:
    """Takes rows, and has workers apply them.

    Args:
        in_flight: How many chunks the executor has at once.
        rate: The maximum of rows a second; None: no maximum.
        is_rehearsal: Whether no mutation is sent.
        on_progress: Called when rows have ended.
    """

    def __init__(
        self,
        make_client: MakeClient,
        checkpoint: Checkpoint,
        executor: Executor,
        settings: Settings,
        *,
        in_flight: int,
        rate: float | None,
        is_rehearsal: bool,
        on_progress: Callable[[Counts], object],
        timing: Timing,
    ) -> None:
        self.name, self.counts = str(uuid4()), Counts()
        self._make_client, self._checkpoint, self._executor = make_client, checkpoint, with_ends(executor)
        self._settings, self._in_flight, self._is_rehearsal = settings, in_flight, is_rehearsal
        self._on_progress, self._timing, self._now = on_progress, timing, timing.now
        self._pace = Pace(rate, now=self._now())
        self._numbers = count()
        self._sent: dict[Future[Answers], _Sent] = {}
        self._ended: queue.SimpleQueue[Any] = queue.SimpleQueue()  # futures; None after Ctrl-C
        self._again: list[tuple[float, int, Task]] = []  # a heap: when, and in which order
        self._stopped: BaseException | None = None
        self._interrupts = Interrupts(lambda: self._ended.put(None))

    def apply(self, rows: Iterable[Any], file: str | None = None) -> None:
        """Apply all rows; after an error, what is in flight ends and is noted before it is raised.

        Args:
            rows: The rows.
            file: The name of their file, if they are from one.

        Raises:
            KeyboardInterrupt: Ctrl-C was pressed, and the rows in flight have ended.
        """
        with self._interrupts.noted():
            intake = Intake(rows, self._checkpoint, self.counts, self._interrupts.direct, self._show)
            intake.read()
            self._checkpoint.claim("file", file, _OTHER_FILE)
            service = self._look_around()
            intake.tiers = service.tiers
            try:
                self._send_all(iter(intake), service)
            except Interrupted:  # while a row was read
                self._stopped = KeyboardInterrupt(ENDED)
            finally:
                self._collect_all()
        if self._stopped is not None:
            raise self._stopped

    def _look_around(self) -> Service:
        """Ask a worker which product the rows go to, and which tiers it has."""
        with self._interrupts.direct():
            future = self._submit(look_around, self._make_client, self.name, next(self._numbers))
            found = _result_of(future, _cannot_begin)
        if isinstance(found, ChatarminError):
            raise found
        if found.problem is not None and self._is_rehearsal:
            raise found.problem
        self._checkpoint.claim("product", found.product, _OTHER_PRODUCT)
        return found

    def _submit(self, function: Callable[..., T], *arguments: Any) -> Future[T]:
        try:
            return self._executor.submit(function, *arguments)
        except Exception as error:  # noqa: BLE001 - it is broken, was shut down, or pickles here, as Dask does
            failed: Future[T] = Future()
            failed.set_exception(error)
            return failed

    def _send_all(self, tasks: Iterator[Task], service: Service) -> None:
        while not self._has_to_stop():
            chunk = self._next_tasks(tasks)
            self._show()
            if chunk:
                self._send(chunk, service)
            elif self._sent or self._again:
                self._collect(self._again[0][0] - self._now() if self._again else None)
            else:
                return

    def _show(self) -> None:
        self._on_progress(self.counts)

    def _has_to_stop(self) -> bool:
        if self._interrupts.is_set and self._stopped is None:
            self._stopped = KeyboardInterrupt(ENDED)
        return self._stopped is not None

    def _next_tasks(self, tasks: Iterator[Task]) -> tuple[Task, ...]:
        """Return the tasks of the next chunk: those to be tried again now, then new ones."""
        size = self._pace.chunk
        due: list[Task] = []
        while self._again and len(due) < size and self._again[0][0] <= self._now():
            due.append(heapq.heappop(self._again)[2])
        # In an outage the rows that wait must not become more and more.
        is_full = len(self._again) >= self._in_flight * _WAITING_PER_WORKER
        return *due, *islice(tasks, 0 if is_full else size - len(due))

    def _send(self, tasks: tuple[Task, ...], service: Service) -> None:
        while not self._ended.empty():  # an overload that is known already
            self._collect(0.0)
        while len(self._sent) >= self._in_flight and not self._has_to_stop():
            self._collect(None)
        at = self._now() + self._pace.wait(len(tasks), now=self._now())
        while self._now() < (at := max(at, self._pace.resumes_at)) and not self._has_to_stop():
            self._collect(at - self._now())
        if self._stopped is not None:
            return
        chunk = Chunk(self.name, next(self._numbers), self._settings, service.product, tasks, self._is_rehearsal)
        future = self._submit(work, self._make_client, chunk)
        self._sent[future] = _Sent(chunk, self._now())
        future.add_done_callback(self._ended.put)

    def _collect(self, seconds: float | None) -> None:
        """Wait for a chunk to end, for so many seconds at most, and note what became of its rows."""
        future: Any = self._timing.take(self._ended, seconds)
        if future is None:
            return
        sent = self._sent.pop(future)
        answers = _result_of(future, _cannot_go_on)
        if isinstance(answers, ChatarminError):
            self._stopped = self._stopped or answers
            return
        if answers.overload is not None:
            self._pace.slow_down(sent_at=sent.at, retry_after=answers.overload, now=self._now())
        self._stopped = self._stopped or answers.stopped
        self._note(sent.chunk.tasks, answers)

    def _collect_all(self) -> None:
        """Wait for the rows in flight, and note what became of them, as long as the checkpoint can be written."""
        try:
            while self._sent:
                self._collect(None)
        except ChatarminError:
            wait(self._sent)
            raise

    def _note(self, tasks: tuple[Task, ...], answers: Answers) -> None:
        noted, failures = [], []
        for task, result in zip(tasks, answers.results, strict=True):
            is_others_turn = result.is_overload and self.counts.done > task.others
            attempts = task.attempts + (not is_others_turn)
            conflicts = task.conflicts + (result.code == "CONFLICT")
            noted.append(Noted(task.id, result.kind == "done", result.is_created, result.tier))
            if result.kind == "done":
                self.counts.done += 1
                self.counts.kept_tiers += result.has_other_features
                for step in result.plan:
                    self.counts.plan[step] = self.counts.plan.get(step, 0) + 1
            elif result.kind == "failed" or (is_last(attempts, conflicts) and answers.stopped is None):
                self.counts.failed += 1
                failures.append(failure_of(task, result.step, result.code, result.message))
            else:
                pause = max(answers.overload or 0.0, wait_after(attempts, self._timing.random()))
                tried = evolve(
                    task,
                    is_created=result.is_created,
                    tier=result.tier,
                    attempts=attempts,
                    conflicts=conflicts,
                    others=self.counts.done,
                )
                heapq.heappush(self._again, (self._now() + pause, next(self._numbers), tried))
        self._checkpoint.note(noted, failures)


def _result_of(future: Future[T], explain: Callable[[str], ChatarminError]) -> T | ChatarminError:
    """Return the result of work; the error of a worker as one that says what to do.

    Args:
        future: That of the work.
        explain: Makes the error from the text of one of the executor, such as that a process ended.
    """
    try:
        return future.result()
    except ChatarminError as error:
        return error
    except ClientError as error:
        return InvalidInput(str(error), field="make_client")
    except Exception as error:  # noqa: BLE001 - the errors of an executor are its own
        text = " ".join(f"{type(error).__name__}: {error}".split())  # Dask's have several lines
        failed = explain(printable(redact_keys(text), _MAX_PROBLEM_LENGTH).rstrip(": "))
        whole = "".join(format_exception(error))  # with its own causes, and the traceback from a worker
        if redact_keys(whole) == whole:
            failed.__cause__ = error
        return failed


def _cannot_begin(problem: str) -> ChatarminError:
    """Return the error for the first call, which most likely could not be sent to a worker, or not be loaded there."""
    hint = "pass a function at the top of a module that the workers can import; if it is one, check the executor"
    return InvalidInput(f"no worker could run it ({problem})", hint, field="make_client")


def _cannot_go_on(problem: str) -> ChatarminError:
    return ChatarminError(f"the executor failed ({problem}); rows that are done are noted: run the same again")
