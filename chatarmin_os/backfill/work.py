"""The work on one chunk of rows: runs in a worker, which may be a thread, a process or another machine."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any, Literal

from attrs import evolve, frozen

from chatarmin_os._messages import redact_keys
from chatarmin_os._request import Request
from chatarmin_os.backfill.outcomes import code_of, outcome_of
from chatarmin_os.backfill.row import Row
from chatarmin_os.backfill.steps import STEPS, Settings, State, Step, after, assumed, next_step, request_of
from chatarmin_os.client import ChatarminOS
from chatarmin_os.errors import ApiError, ChatarminError

MakeClient = Callable[[], ChatarminOS]


@frozen
class Task:
    """A row to be applied.

    Attributes:
        id: Its id in the checkpoint.
        is_created: Whether its company was made for it, in an earlier attempt.
        tier: The tier that an earlier attempt applied.
        attempts: How many attempts there were, without those that the service was too busy for while it did other rows.
        conflicts: How many of them ended with CONFLICT.
        others: How many rows of the run were done at the end of the last attempt.
    """

    row: Row
    line: int
    id: int
    is_created: bool = False
    tier: str | None = None
    attempts: int = 0
    conflicts: int = 0
    others: int = 0


@frozen
class Chunk:
    """Rows that are worked on together.

    Attributes:
        run: The name of the run, which no other run has.
        number: The number of this submission in its run: an executor may run equal calls once.
        product: The fingerprint of the service and the key; None: not known.
    """

    run: str
    number: int
    settings: Settings
    product: str | None
    tasks: tuple[Task, ...] = ()
    is_rehearsal: bool = False


@frozen
class Result:
    """What became of a row.

    Attributes:
        kind: `"done"`, `"failed"` or `"again"`.
        is_created: As of `Task`.
        tier: As of `Task`.
        step: The step that failed.
        is_overload: Whether the service was too busy for it.
        has_other_features: Whether it keeps the features that it had, instead of its tier.
        plan: In a rehearsal: what would be done.
    """

    kind: Literal["done", "failed", "again"]
    is_created: bool = False
    tier: str | None = None
    step: Step | Literal["read", ""] = ""
    code: str = ""
    message: str = ""
    is_overload: bool = False
    has_other_features: bool = False
    plan: tuple[str, ...] = ()


@frozen
class Answers:
    """The result of a chunk.

    Attributes:
        results: One for each task.
        stopped: The error that ends the run.
        overload: Seconds that the service asks to wait, 0.0 if it only asked for less; None if it did not.
    """

    results: tuple[Result, ...] = ()
    stopped: ChatarminError | None = None
    overload: float | None = None


@frozen
class Service:
    """What a worker found at the start of a run.

    Attributes:
        product: The fingerprint of the service and the key.
        tiers: The codes of all tiers; None if they are unknown.
        problem: The error, if they are.
    """

    product: str | None
    tiers: frozenset[str] | None
    problem: ChatarminError | None = None


def look_around(make_client: MakeClient, run: str, number: int) -> Service:  # noqa: ARG001 - no two calls are equal
    """Return what a run has to know before it sends anything.

    Raises:
        ClientError: There is no client.
        UnauthorizedError: The key was refused.
    """
    client = client_of(make_client, run)
    try:
        tiers = frozenset(tier.code for tier in client.with_options(max_retries=2).tiers.list())
    except ChatarminError as error:
        if outcome_of("look_up", error).kind == "stop":
            raise
        return Service(client.transport.fingerprint(), None, error)
    return Service(client.transport.fingerprint(), tiers)


def work(make_client: MakeClient, chunk: Chunk) -> Answers:
    """Apply the rows of a chunk, and return what became of each.

    Raises:
        ClientError: There is no client, or it has another key or URL than that of the run.
    """
    client = client_of(make_client, chunk.run)
    if client.transport.fingerprint() != chunk.product:
        raise ClientError("a worker has another API key or base URL than the others")
    return _Work(client, chunk).run()


class _Work:
    def __init__(self, client: ChatarminOS, chunk: Chunk) -> None:
        self._client, self._chunk = client, chunk
        self._states = [State(is_created=task.is_created, tier=task.tier) for task in chunk.tasks]
        self._steps: list[Step | None] = [STEPS[0]] * len(chunk.tasks)  # the next ones; None: the row has ended
        self._plans: list[tuple[str, ...]] = [() for _ in chunk.tasks]
        self._results: dict[int, Result] = {}
        self._stopped: ChatarminError | None = None
        self._overload: float | None = None

    def run(self) -> Answers:
        """Make the steps one after the other, each for all rows that need it."""
        for step in STEPS:
            places = [place for place, one in enumerate(self._steps) if one == step]
            if places and self._stopped is None:
                self._make(step, places)
        results = tuple(self._results.get(place) or self._end(place) for place in range(len(self._states)))
        return Answers(results, self._stopped, self._overload)

    def _reach(self, place: int, state: State) -> None:
        self._states[place] = state
        self._steps[place] = next_step(self._chunk.tasks[place].row, state, self._chunk.settings)

    def _end(self, place: int) -> Result:
        return self._result(place, "done" if self._steps[place] is None else "again")

    def _make(self, step: Step, places: list[int]) -> None:
        """Make a step for the rows at *places*."""
        sent: list[tuple[int, Request[Any]]] = []
        for place in places:
            request = request_of(step, self._chunk.tasks[place].row, self._states[place])
            if self._chunk.is_rehearsal and request.kind == "mutation":
                self._plans[place] += (step,)
                self._reach(place, assumed(step, self._states[place]))
            else:
                sent.append((place, request))
        answers = self._client.batch([request for _, request in sent]) if sent else []
        for (place, _), answer in zip(sent, answers, strict=True):
            if isinstance(answer, ChatarminError):
                self._note(place, step, answer)
            else:
                self._reach(place, after(step, self._states[place], answer))

    def _note(self, place: int, step: Step, error: ChatarminError) -> None:
        outcome = outcome_of(step, error)
        if outcome.is_overload:
            self._overload = max(self._overload or 0.0, outcome.retry_after)
        if outcome.kind == "stop":
            self._stopped = error
        else:
            self._steps[place] = None
            self._results[place] = evolve(
                self._result(place, outcome.kind),
                step=step,
                code=code_of(error),
                message=redact_keys(error.message if isinstance(error, ApiError) else str(error)),
                is_overload=outcome.is_overload,
            )

    def _result(self, place: int, kind: Literal["done", "failed", "again"]) -> Result:
        state = self._states[place]
        tier = self._chunk.tasks[place].row.tier_code if "tier" in state.done else state.tier
        return Result(
            kind,
            is_created=state.is_created,
            tier=tier,
            has_other_features="status" in state.done and state.enabled != 0,
            plan=self._plans[place],
        )


class ClientError(Exception):
    """A worker has no client for the run; the text says why."""


# One client for each run, in each process that works for it.

_MAX_CLIENTS = 4
_clients: dict[tuple[int, str], ChatarminOS] = {}
_lock = threading.Lock()


def client_of(make_client: MakeClient, run: str) -> ChatarminOS:
    """Return the client of this process for a run; it is made at the first call.

    Raises:
        ClientError: *make_client* failed, or returned something else.
    """
    key = os.getpid(), run
    with _lock:
        client = _clients.get(key)
        if client is None:
            client = _new_client(make_client)
            while len(_clients) >= _MAX_CLIENTS:
                _clients.pop(next(iter(_clients)))
            _clients[key] = client
    return client


def _new_client(make_client: MakeClient) -> ChatarminOS:
    client, problem = None, ""
    try:
        client = make_client()
    except (Exception, SystemExit) as error:  # noqa: BLE001 - it is the user's
        problem = redact_keys(f"a worker could not make a client: {type(error).__name__}: {_text_of(error)}")
    if problem:
        raise ClientError(problem)  # outside of the handler: an executor would write what it handled to a log
    if not isinstance(client, ChatarminOS):
        raise ClientError(f"expected a chatarmin_os.ChatarminOS, got a {type(client).__name__}")
    return client.with_options(max_retries=0)  # the run repeats what has to be repeated


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - it is the user's, and the text of this one may have the key too
        return "its text cannot be read"


def forget_client(run: str) -> None:
    """Close the client that this process has for a run."""
    with _lock:
        client = _clients.pop((os.getpid(), run), None)
    if client is not None:
        client.close()
