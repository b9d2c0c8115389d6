"""Calls become requests, which are sent until each call has its final answer: the only loop that retries anything."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, NamedTuple

from chatarmin_os._call import Call, copy_error
from chatarmin_os._clock import perf_counter
from chatarmin_os._watching import harmless, observation
from chatarmin_os.errors import ApiError, ChatarminError, InvalidResponse, ServerError, TransportError
from chatarmin_os.transports.http import retry
from chatarmin_os.transports.http.failures import Failure
from chatarmin_os.transports.http.limits import REFUSES_SIZE, UNCERTAIN, Limits, Size
from chatarmin_os.trpc import client

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from chatarmin_os._json import JSON
    from chatarmin_os.transports.http.channel import Channel, Reply
    from chatarmin_os.transports.http.replies import Replies
    from chatarmin_os.transports.http.retry import Deadline, Repeat
    from chatarmin_os.trpc.client import Envelope, Transformer

_log = logging.getLogger("chatarmin_os")

_BAD_REQUEST = 400
_PROBE = Call("tiers.list", "query", None, safe_to_repeat=True)


class _Result(NamedTuple):
    """The answer of one attempt to one call, and which calls may be retried after it."""

    answer: JSON | ChatarminError
    repeat: Repeat = "never"


class _Slot:
    """One call, its answer so far, the attempts and whether any of them may have reached the service."""

    __slots__ = ("answer", "attempts", "call", "may_have_reached")

    def __init__(self, call: Call) -> None:
        self.call = call
        self.answer: JSON | ChatarminError = None
        self.attempts = 0
        self.may_have_reached = False

    def record(self, answer: JSON | ChatarminError, attempt: int) -> None:
        """Keep the answer of an attempt; an error reports all attempts."""
        self.answer = answer
        self.attempts = max(self.attempts, attempt)  # the parts of a batch that was too large count from 1 again
        if getattr(answer, "outcome", "unknown") == "unknown":
            self.may_have_reached = True
        if isinstance(answer, TransportError):
            answer.outcome = "unknown" if self.may_have_reached else "not_sent"
            answer.attempts = self.attempts


class _Batch:
    """Calls of one kind that wait to be sent, in one request if they fit."""

    __slots__ = ("attempt", "is_corrected", "probe", "slots")

    def __init__(self, slots: list[_Slot], attempt: int = 1, *, is_corrected: bool = False) -> None:
        self.slots = slots
        self.attempt = attempt
        self.is_corrected = is_corrected  # whether it was sent in the wrong transformer before
        self.probe: _Slot | None = None  # the query that finds out the transformer before mutations

    def calls(self) -> list[Call]:
        return [slot.call for slot in self.slots]


class _Doubt(NamedTuple):
    """A batch that was refused maybe for its size; it waits for its parts, which are sent before."""

    slots: list[_Slot]
    limits: Size


class Sender:
    """It sends calls to one service, and keeps its transformer, its limits and the retry budget.

    Args:
        channel: The way to the service.
        replies: Reads its responses.
        limits: The maximum sizes of its requests.
        paths: The paths of procedures that the service names otherwise.
        transformer: The transformer; None to find out.
        backoff: Returns the seconds to wait after an attempt.
        sleep: Waits; None for `time.sleep`, looked up at each wait because gevent replaces it.
    """

    def __init__(
        self,
        channel: Channel,
        replies: Replies,
        limits: Limits,
        paths: Mapping[str, str],
        transformer: Transformer | None,
        *,
        backoff: Callable[[int], float] | None = None,
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        self._channel, self._replies, self._limits, self._paths = channel, replies, limits, paths
        self._transformer: Transformer | None = transformer
        self._is_auto = transformer is None
        self._backoff = backoff or retry.full_jitter
        self._sleep = sleep
        self.budget = retry.Budget()

    def send_with_retries(
        self, calls: Sequence[Call], deadline: Deadline, max_retries: int
    ) -> list[JSON | ChatarminError]:
        """Return the answers in the order of *calls*, errors as values.

        Batches wait on a stack. Each turn of the loop sends the topmost; a retry, the parts of a batch that is too
        large and the probe before a mutation go on top of it.
        """
        slots = [_Slot(call) for call in calls]
        mutations = [slot for slot in slots if slot.call.kind == "mutation"]
        queries = [slot for slot in slots if slot.call.kind == "query"]
        stack: list[_Batch | _Doubt] = [_Batch(part) for part in (mutations, queries) if part]
        while stack:
            batch = stack.pop()
            if isinstance(batch, _Doubt):
                self._resolve(batch)
                continue
            if self._transformer is None and batch.slots[0].call.kind == "mutation":
                stack += self._detect_transformer(batch)
                continue
            if len(batch.slots) > 1:
                stack += self._split(batch)
            calls, transformer, started = batch.calls(), self._transformer or "json", perf_counter()
            request = client.make_request(calls, transformer, self._paths)
            may_repeat, observed = all(call.safe_to_repeat for call in calls), observation.get()
            headers = None if observed is None else harmless(observed.headers)
            reply = self._channel.exchange(request, deadline, may_repeat=may_repeat, headers=headers)
            if _log.isEnabledFor(logging.DEBUG):
                _log_attempt(calls, batch.attempt, reply, perf_counter() - started)
            if observed is not None:
                outcome = reply.error if isinstance(reply, Failure) else reply.status
                harmless(observed.attempt, batch.attempt, len(calls), outcome)
            if isinstance(reply, Failure):
                results = _fail_all(reply, calls)
            else:
                envelopes = self._replies.parse_envelopes(reply, calls)
                shown = _transformer_of(envelopes)
                if again := self._send_differently(batch, reply, envelopes, transformer, shown):
                    stack += again
                    continue
                results = self._results(calls, reply, envelopes, transformer, shown)
            stack += self._retry(batch, results, deadline, max_retries)
        return [slot.answer for slot in slots]

    def _split(self, batch: _Batch) -> list[_Batch | _Doubt]:
        """Leave in the batch as many calls as fit into one request, and return the rest as another."""
        count = self._limits.fitting(batch.calls(), self._transformer)
        rest, batch.slots = batch.slots[count:], batch.slots[:count]
        return [_Batch(rest, batch.attempt)] if rest else []

    def _detect_transformer(self, batch: _Batch) -> list[_Batch | _Doubt]:
        """Return a query to send before mutations; if it was sent already, fail them with the reason."""
        if batch.probe is None:
            batch.probe = _Slot(_PROBE)
            return [batch, _Batch([batch.probe])]
        error = self._without_transformer(batch.probe.answer, batch.calls())
        for slot in batch.slots:
            slot.answer = copy_error(error)
        return []

    def _without_transformer(self, answer: JSON | ChatarminError, calls: list[Call]) -> ChatarminError:
        """Return the error of mutations whose transformer is unknown, from the answer to the probe."""
        if isinstance(answer, ApiError) and not isinstance(answer, ServerError):
            return answer  # a wrong key, most likely
        failed = answer if isinstance(answer, TransportError) else InvalidResponse("")
        reason = f"{answer} (in response to {_PROBE.path})"
        if not isinstance(answer, ChatarminError):
            reason = f"{_PROBE.path} does not show the service's transformer; pass transformer= to HTTPTransport"
        failed.args = (f"{reason}; {_paths_of(calls)} was not sent",)
        failed.outcome = "not_sent"
        return failed

    def _send_differently(
        self,
        batch: _Batch,
        reply: Reply,
        envelopes: list[Envelope] | Failure,
        transformer: Transformer,
        shown: Transformer | None,
    ) -> list[_Batch | _Doubt]:
        """Return the batch in another form if the service could not read this one, else nothing."""
        if reply.status >= _BAD_REQUEST and len(batch.slots) > 1:
            parts = self._shrink(batch, reply, envelopes)
            if parts:
                return parts
        if self._is_auto and shown:
            self._transformer = shown
        is_wrong = shown not in {None, transformer}
        if is_wrong and self._is_auto and batch.slots[0].call.kind == "query" and not batch.is_corrected:
            for slot in batch.slots:
                slot.may_have_reached = True
            return [_Batch(batch.slots, batch.attempt, is_corrected=True)]
        return []

    def _shrink(self, batch: _Batch, reply: Reply, envelopes: list[Envelope] | Failure) -> list[_Batch | _Doubt]:
        """Return the batch again with lower limits if the server refused it for its size, else nothing."""
        calls, message = batch.calls(), None
        before = self._limits.by_kind[calls[0].kind]
        if not isinstance(envelopes, Failure):
            of_request = envelopes[0].error if len(envelopes) < len(calls) else None
            message = str((of_request or {}).get("message"))
        if not self._limits.shrink(calls, self._transformer, status=reply.status, body=reply.body, message=message):
            return []
        again = _Batch(batch.slots)
        is_doubtful = message is None and reply.status in UNCERTAIN
        return [_Doubt(batch.slots, before), again] if is_doubtful else [again]

    def _resolve(self, doubt: _Doubt) -> None:
        """Restore the limits if all parts of a batch were refused too: its size was not the reason."""
        if all(isinstance(slot.answer, InvalidResponse) for slot in doubt.slots):
            self._limits.by_kind[doubt.slots[0].call.kind] = doubt.limits

    def _results(
        self,
        calls: list[Call],
        reply: Reply,
        envelopes: list[Envelope] | Failure,
        transformer: Transformer,
        shown: Transformer | None,
    ) -> list[_Result]:
        """Return the result of each call; a request that was refused as a whole has one envelope."""
        if isinstance(envelopes, Failure):
            if len(calls) == 1 and reply.status in REFUSES_SIZE:
                size = self._limits.describe(calls[0], self._transformer)
                envelopes = self._replies.unexpected(reply, f"the request is too large for the server ({size})")
            return _fail_all(envelopes, calls)
        if shown not in {None, transformer}:
            reason = f"the service uses {shown}, the request {transformer}; pass transformer={shown!r}"
            return _fail_all(self._replies.unexpected(reply, reason, "never"), calls)
        of_calls = envelopes * len(calls) if len(envelopes) < len(calls) else envelopes
        return [self._result(reply, envelope, call) for envelope, call in zip(of_calls, calls, strict=True)]

    def _result(self, reply: Reply, envelope: Envelope, call: Call) -> _Result:
        if envelope.error is None:
            return _Result(envelope.data)
        refusal = self._replies.to_error(reply, envelope, call)
        if refusal.http_status in REFUSES_SIZE:
            refusal.request_size = self._limits.describe(call, self._transformer)
        return _Result(refusal, retry.after_refusal(refusal))

    def _retry(
        self, batch: _Batch, results: list[_Result], deadline: Deadline, max_retries: int
    ) -> list[_Batch | _Doubt]:
        """Record the results; wait, and return the calls to retry, if there are any."""
        again, min_wait, is_answered = [], 0.0, True
        for slot, (answer, repeat) in zip(batch.slots, results, strict=True):
            slot.record(answer, batch.attempt)
            is_answered = is_answered and not isinstance(answer, TransportError)
            if repeat == "any" or (repeat == "safe" and slot.call.safe_to_repeat):
                again.append(slot)
                min_wait = max(min_wait, retry.retry_after_of(answer))
        if not again:
            if is_answered:
                self.budget.refund()
            return []
        wait = max(min_wait, self._backoff(batch.attempt))
        if batch.attempt > max_retries or wait >= deadline.remaining() or not self.budget.take():
            return []
        _log.info("%s: retry in %.0f ms", _paths_of(slot.call for slot in again), wait * 1000)
        (self._sleep or time.sleep)(wait)
        return [_Batch(again, batch.attempt + 1)]


def _transformer_of(envelopes: list[Envelope] | Failure) -> Transformer | None:
    """Return the transformer that a response shows, None if it shows none."""
    if isinstance(envelopes, Failure):
        return None
    return next((envelope.transformer for envelope in envelopes if envelope.transformer), None)


def _fail_all(failure: Failure, calls: Sequence[Call]) -> list[_Result]:
    return [_Result(copy_error(failure.error), failure.repeat) for _ in calls]


def _paths_of(calls: Iterable[Call]) -> str:
    """Return the paths of calls, each once."""
    return ",".join(dict.fromkeys(call.path for call in calls))


def _log_attempt(calls: Sequence[Call], attempt: int, reply: Reply | Failure, seconds: float) -> None:
    outcome = type(reply.error).__name__ if isinstance(reply, Failure) else str(reply.status)
    request = "" if isinstance(reply, Failure) or not reply.request_id else f", request {reply.request_id}"
    _log.debug("%s, attempt %d: %s after %.1f ms%s", _paths_of(calls), attempt, outcome, seconds * 1000, request)
