"""The meaning of an outcome for an event, and the choice of events for a request: pure functions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import Any, Literal

from attrs import frozen

from chatarmin_os._usage_event import may_be_counted
from chatarmin_os.errors import ApiError, ChatarminError, InvalidResponse, NotFoundError
from chatarmin_os.outbox.stored import Claimed

_MIN_CLIENT_ERROR, _MIN_SERVER_ERROR = 400, 500
_UNAUTHORIZED = 401
_TEMPORARY = frozenset({408, 429, 499})
_REFUSED_SIZES = frozenset({413, 414, 431})
_MAX_WAIT_SECONDS = 300.0
_MARGIN_SECONDS = 3600.0  # of the service's memory of keys; clocks may be set by as much
_DAY_SECONDS = 86_400.0
_UNREADABLE = frozenset({"BAD_REQUEST", "PARSE_ERROR"})
_TOO_MANY_CALLS = ("Batch call exceeds maximum size", "Batching is not enabled on the server")


@frozen
class Outcome:
    """The consequence of an answer for one event.

    Attributes:
        kind: `"counted"`: it is done. `"dead"`: it will not be sent again. `"retry"`: the service gave no answer of its
            own, and it is sent again later. `"stop"`: nothing can be sent with this key, or to this URL; it stays as
            it is.
        is_attempt: Whether it may have reached the part of the service that counts.
        reason: Of a dead event: the code of the refusal.
        error: Of a dead event: its message.
        wait: Seconds that the service asks to wait.
    """

    kind: Literal["counted", "dead", "retry", "stop"]
    is_attempt: bool = True
    reason: str = ""
    error: str = ""
    wait: float = 0.0


_COUNTED = Outcome("counted")


def outcome_of(answer: object) -> Outcome:
    """Return the consequence of the result or error of one event.

    Example:
        >>> from chatarmin_os import ApiError, ConnectionFailed, InvalidResponse
        >>> outcome_of({"currentUsage": 5}).kind
        'counted'
        >>> for code in ("CONFLICT", "FORBIDDEN", "TIMEOUT", "TOO_MANY_REQUESTS", "BAD_GATEWAY", "UNAUTHORIZED", "NEW"):
        ...     print(code, outcome_of(ApiError.from_code(code)).kind)
        CONFLICT dead
        FORBIDDEN dead
        TIMEOUT retry
        TOO_MANY_REQUESTS retry
        BAD_GATEWAY retry
        UNAUTHORIZED stop
        NEW retry
        >>> [outcome_of(ConnectionFailed("", outcome=outcome)).is_attempt for outcome in ("not_sent", "unknown")]
        [False, True]
        >>> outcome_of(InvalidResponse("<html>", http_status=413)).reason
        'PAYLOAD_TOO_LARGE'
        >>> [outcome_of(InvalidResponse("<html>", http_status=status)).kind for status in (200, 401, 404, 502)]
        ['retry', 'stop', 'retry', 'retry']
    """
    if not isinstance(answer, ChatarminError):
        return _COUNTED
    if isinstance(answer, ApiError):
        return _of_refusal(answer)
    if isinstance(answer, InvalidResponse):
        if answer.http_status in _REFUSED_SIZES:
            return Outcome("dead", reason="PAYLOAD_TOO_LARGE", error=str(answer))
        if answer.http_status == _UNAUTHORIZED:
            return Outcome("stop", is_attempt=False)
    return Outcome("retry", is_attempt=may_be_counted(answer), wait=_retry_after(answer))


def _of_refusal(error: ApiError) -> Outcome:
    status = error.http_status or 0
    if error.code == "UNAUTHORIZED" or status == _UNAUTHORIZED:
        return Outcome("stop", is_attempt=False)
    if isinstance(error, NotFoundError) and error.is_missing_procedure:
        return Outcome("stop", is_attempt=False)
    if _MIN_CLIENT_ERROR <= status < _MIN_SERVER_ERROR and status not in _TEMPORARY:
        return Outcome("dead", reason=error.code, error=error.message)
    return Outcome("retry", is_attempt=may_be_counted(error), wait=_retry_after(error))


def _retry_after(error: ChatarminError) -> float:
    """Return the seconds that the service asks to wait, at most a day: nothing may wait for ever."""
    return min(float(getattr(error, "retry_after", None) or 0.0), _DAY_SECONDS)


def answers_to(count: int, send: Callable[[], list[Any]]) -> list[Any]:
    """Send a request of *count* calls; an error that the transport raises is the answer to each of them.

    Example:
        >>> from chatarmin_os import TimedOut
        >>> def send():
        ...     raise TimedOut("lost")
        >>> answers_to(2, send)
        [TimedOut('lost'), TimedOut('lost')]
    """
    try:
        return send()
    except ChatarminError as error:  # of a transport that does not answer call by call
        return [error] * count


def has_answer(answers: Iterable[object]) -> bool:
    """Return whether the service answered a request itself: not with a failure only.

    No response, 5xx, 408, 429, 499 and a page that is not the service's are failures, of a look-up and of usage. A
    drain without any other answer is an outage.

    Example:
        >>> from chatarmin_os import ApiError, ConnectionFailed, InvalidResponse
        >>> failures = [ConnectionFailed(""), InvalidResponse("<html>", http_status=200)]
        >>> for code in ("SERVICE_UNAVAILABLE", "TIMEOUT", "TOO_MANY_REQUESTS", "CLIENT_CLOSED_REQUEST"):
        ...     failures.append(ApiError.from_code(code))
        >>> has_answer(failures)
        False
        >>> answers = {"id": "comp_1"}, None, ApiError.from_code("NOT_FOUND"), ApiError.from_code("UNAUTHORIZED")
        >>> [has_answer([*failures, answer]) for answer in answers]
        [True, True, True, True]
    """
    return any(outcome_of(answer).kind != "retry" for answer in answers)


Cause = Literal["bytes", "calls", "content"]


def refused_whole(answers: Sequence[object]) -> Cause | None:
    """Return why a request of several events was refused as a whole: its size or a content; None if it was not.

    Example:
        >>> from chatarmin_os import ApiError
        >>> [refused_whole([ApiError.from_code(code)] * 2) for code in ("PAYLOAD_TOO_LARGE", "BAD_REQUEST", "CONFLICT")]
        ['bytes', 'content', None]
        >>> refused_whole([ApiError.from_code("BAD_REQUEST", "Batch call exceeds maximum size")] * 2)
        'calls'
        >>> refused_whole([ApiError.from_code("BAD_REQUEST", text) for text in "ab"]), refused_whole([None, None])
        (None, None)
    """
    signatures = {_signature(answer) for answer in answers}
    if len(answers) < 2 or len(signatures) > 1:  # noqa: PLR2004 - several
        return None
    [(code, status, message)] = signatures
    if status in _REFUSED_SIZES or code == "PAYLOAD_TOO_LARGE":
        return "bytes"
    if any(text in message for text in _TOO_MANY_CALLS):
        return "calls"
    return "content" if code in _UNREADABLE or (code == "" and status == _MIN_CLIENT_ERROR) else None


def _signature(answer: object) -> tuple[str | None, int | None, str]:
    """Return what all answers to a request that was refused as a whole have in common."""
    if isinstance(answer, ApiError):
        return answer.code, answer.http_status, answer.message
    if isinstance(answer, InvalidResponse):
        return "", answer.http_status, ""
    return None, None, ""


def wait_after(failures: int, random: Callable[[], float]) -> float:
    """Return the seconds to wait after so many failures in a row.

    Example:
        >>> [wait_after(failures, lambda: 0.0) for failures in (1, 2, 3, 5000)]
        [0.5, 1.0, 2.0, 150.0]
        >>> [wait_after(failures, lambda: 1.0) for failures in (1, 2, 3, 5000)]
        [1.0, 2.0, 4.0, 300.0]
    """
    return float(min(_MAX_WAIT_SECONDS, 2.0 ** min(failures - 1, 10))) * (0.5 + random() / 2)


def is_too_old(first_tried: float | None, now: float, window: timedelta) -> bool:
    """Return whether the service may have forgotten the key of an event that may have reached it.

    An hour is left for clocks that differ. A first attempt more than an hour in the future shows that the clock was set
    back: nobody knows how old it is.

    Example:
        >>> day = timedelta(hours=24)
        >>> is_too_old(None, 1e9, day), is_too_old(0.0, 23 * 3600.0, day), is_too_old(0.0, 23 * 3600.0 + 1, day)
        (False, False, True)
        >>> is_too_old(3600.0, 0.0, day), is_too_old(3601.0, 0.0, day)
        (False, True)
    """
    if first_tried is None:
        return False
    age = now - first_tried
    return age > window.total_seconds() - _MARGIN_SECONDS or age < -_MARGIN_SECONDS


def is_unlinked_too_long(looked_up: float, now: float) -> bool:
    """Return whether an organisation has not been linked for a day after the first look-up.

    Example:
        >>> is_unlinked_too_long(0.0, 86_399.0), is_unlinked_too_long(0.0, 86_400.0)
        (False, True)
    """
    return now - looked_up >= _DAY_SECONDS


@frozen
class Sizes:
    """How large a request may be, as far as the service has shown.

    Attributes:
        calls: The maximum number of events.
        bytes: The maximum size of their inputs.
    """

    calls: int
    bytes: float = float("inf")

    def after_refusal(self, batch: Sequence[Claimed], cause: Cause) -> Sizes:
        """Return the sizes after a request with *batch* was refused as a whole.

        Example:
            >>> from chatarmin_os.outbox.stored import Stored
            >>> batch = [Claimed(None, Stored("k", "{}" * 50, "comp_1", None, 0.0))] * 4
            >>> sizes = Sizes(50)
            >>> [sizes.after_refusal(batch, cause) for cause in ("calls", "bytes", "content")]
            [Sizes(calls=2, bytes=inf), Sizes(calls=50, bytes=200), Sizes(calls=50, bytes=inf)]
        """
        if cause == "calls":
            return Sizes(min(self.calls, max(1, len(batch) // 2)), self.bytes)
        if cause == "bytes":
            return Sizes(self.calls, min(self.bytes, sum(len(one.event.input) for one in batch) // 2))
        return self


def batch_size(waiting: Sequence[Claimed], sizes: Sizes) -> int:
    """Return how many of the *waiting* events go into the next request; at least one.

    Example:
        >>> from chatarmin_os.outbox.stored import Stored
        >>> waiting = [Claimed(None, Stored("k", "{}" * 50, "comp_1", None, 0.0))] * 4
        >>> [batch_size(waiting, sizes) for sizes in (Sizes(50), Sizes(3), Sizes(50, 250), Sizes(50, 9))]
        [4, 3, 2, 1]
    """
    count, size = 0, 0
    for claimed in waiting[: sizes.calls]:
        size += len(claimed.event.input)
        if count and size > sizes.bytes:
            break
        count += 1
    return count


def halves(batch: list[Any]) -> tuple[list[Any], list[Any]]:
    """Return both halves of a request that was refused as a whole.

    Example:
        >>> halves([1, 2, 3])
        ([1], [2, 3])
    """
    middle = len(batch) // 2
    return batch[:middle], batch[middle:]
