"""Recording calls to a service, and replaying them: a test double that answers exactly as the service did."""

from __future__ import annotations

import difflib
import json
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial

from chatarmin_os._call import Call
from chatarmin_os._input import Number
from chatarmin_os._json import JSON, copy_json, describe, short_repr
from chatarmin_os.errors import ApiError, CassetteError, ChatarminError, TransportError
from chatarmin_os.recording import file
from chatarmin_os.recording.line import RecordedCall, answer_of, decode, encode, outcome_of
from chatarmin_os.recording.prologue import Prologue
from chatarmin_os.recording.redaction import Redaction
from chatarmin_os.transports.base import Transport, sharing

_KEY = "idempotencyKey"
_MAX_SHOWN = 5
_MAX_COMPARED, _MAX_COMPARED_TEXT = 500, 2000  # calls, and characters of each, among which the nearest is looked for
_MAX_COMPARED_LINES = 2000
_MAX_LINES, _MAX_LINE = 40, 200  # of a difference
_NOT_REDACTED = (
    "The recording was made without a redactor; `chatarmin-os recording redact` removes from it what this one removes."
)


class RecordingTransport(Transport):
    """Passes calls on to another transport, and records their outcomes.

    Args:
        inner: The transport that answers: `HTTPTransport` for the real service.
        path: The file to create: JSON Lines, a call a line; commit it with the tests that replay it.
        redact: Called with each input, each answer and each refusal's `{"message", "data"}`; its result is
            written instead. It must keep equal values equal, or the replay does not find them.
        overwrite: Whether to replace an existing file.
        prologue: Whether to query and record the state that the calls start from. Without it, the recorder passes
            calls on and sends nothing else.

    Raises:
        CassetteError: The file already exists, or writing to it fails.

    Policies:
        - **Secrets**: the recorder sees neither key nor headers nor the base URL's credentials, so none can be in the
          file.
        - **Files** are valid at any moment: each call is one write, as soon as its answer is known. If a line does not
          fit, because the disk is full, it is removed again, and the call raises `CassetteError`.
        - **Threads** may share it: the order of calls is that of their answers. For a drift check, send calls that
          depend on each other one after the other. A batch is written as its calls.
        - **Failures** (no answer) are recorded too, and fail the replay in the same way.
        - **Prologue**: a drift check starts the fake from it; a replay skips it. The recorder sends queries before the
          first call that names an organisation or a company: once `tiers.list` and `tiers.get` of each tier; 1 query
          for each organisation (its link), 3 for each company (access, billing status, contacts). They are sent as at
          most 2 batches. After a mutation whose answer shows a company or subscription for the first time there is 1
          batch more, of 1 to 4 queries for each. Each query has its own timeout. One that fails is recorded as unknown
          and changes nothing for the call; if several threads name the same company, the later ones wait.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import mkdtemp
        >>> from chatarmin_os import ChatarminOS
        >>> path = Path(mkdtemp()) / "tiers.jsonl"
        >>> with ChatarminOS(transport=RecordingTransport(fake, path)) as client:
        ...     tiers = client.tiers.list()
        >>> with ChatarminOS(transport=ReplayTransport(path)) as client:
        ...     client.tiers.list() == tiers
        True
    """

    __slots__ = ("inner",)  # everything else is shared with the transports that `with_options` returns

    inner: Transport

    def __init__(
        self,
        inner: Transport,
        path: str | os.PathLike[str],
        *,
        redact: Callable[[JSON], JSON] | None = None,
        overwrite: bool = False,
        prologue: bool = False,
    ) -> None:
        if not isinstance(inner, Transport):
            raise TypeError(f"inner: expected a chatarmin_os.transports.Transport, got {describe(inner)}")
        self.inner = inner
        redactor = _redactor(redact)
        self.name = inner.name
        self._redaction = Redaction(redactor) if redactor else None
        self._prologue = Prologue(self._write_prologue) if prologue else None
        head = file.head(self.name, is_redacted=redact is not None, has_prologue=bool(prologue))
        self._file = file.Writer(path, head, overwrite=overwrite)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.inner!r}>"

    def send(self, call: Call) -> JSON:
        """Return the inner transport's answer, and record it.

        Raises:
            CassetteError: The recording is closed, and nothing was called. Or the answer cannot be recorded: it is
                not JSON that a recording can hold, or the disk is full.
        """
        self._refuse_closed()
        if self._prologue:
            self._prologue.before([call], self.inner)
        try:
            answer = self.inner.send(call)
        except (ApiError, TransportError) as error:
            self._write(call, error)
            raise
        self._write(call, answer)
        if self._prologue:
            self._prologue.after([call], [answer], self.inner)
        return answer

    def send_many(self, calls: Sequence[Call]) -> list[JSON | ChatarminError]:
        """Return the inner transport's answers, and record each."""
        self._refuse_closed()
        if self._prologue:
            self._prologue.before(calls, self.inner)
        answers = self.inner.send_many(calls)
        for call, answer in zip(calls, answers, strict=False):
            if not isinstance(answer, ChatarminError) or isinstance(answer, (ApiError, TransportError)):
                self._write(call, answer)
        if self._prologue:
            self._prologue.after(calls, answers, self.inner)
        return answers

    def with_options(self, *, timeout: Number | None = None, max_retries: int | None = None) -> RecordingTransport:
        """Return a transport that writes to the same file, around the inner transport with these options.

        Closing either closes the recording for both.
        """
        return sharing(self, inner=self.inner.with_options(timeout=timeout, max_retries=max_retries))

    def _max_seconds(self) -> float | None:
        return self.inner._max_seconds()  # noqa: SLF001 - a wrapper passes it on

    def fingerprint(self) -> str | None:
        """Return the fingerprint of the inner transport."""
        return self.inner.fingerprint()

    def now(self) -> datetime:
        """Return the time of the inner transport."""
        return self.inner.now()

    def monotonic(self) -> float:
        """Return the seconds on the clock of the inner transport."""
        return self.inner.monotonic()

    def _refuse_closed(self) -> None:
        if self._file.is_closed:
            raise CassetteError("the recording is closed; nothing was called")

    def _write(self, call: Call, answer: JSON | ApiError | TransportError) -> None:
        try:
            self._append(RecordedCall(call.path, call.kind, call.input, outcome_of(answer)))
        except (OSError, RecursionError, ValueError) as error:
            why = getattr(error, "strerror", None) or str(error)
            problem = f"{call.path} was answered, and the recording cannot hold the answer: {why} ({self._file.path})"
            self._file.problem = CassetteError(problem)
            raise self._file.problem from error

    def _write_prologue(self, recorded: RecordedCall) -> None:
        with suppress(
            OSError, RecursionError, ValueError
        ):  # a missing line means unknown state, as does a failed query
            self._append(recorded)

    def _append(self, recorded: RecordedCall) -> None:
        line = encode(recorded)
        if self._redaction:  # a redactor gets JSON, whatever the inner transport has answered
            line = encode(self._redaction.redact(decode(line)))
        self._file.append(line)

    @property
    def problem(self) -> CassetteError | None:
        """The error of a call that the recording lacks; None if it has all calls."""
        return self._file.problem

    def close(self) -> None:
        """Close the file, and the inner transport."""
        self._file.close()
        self.inner.close()


class ReplayTransport(Transport):
    """Answers calls as a recording does, and no others.

    Args:
        path: A file that `RecordingTransport` has written.
        redact: The redactor of the recording, so that inputs are found.
        in_order: Whether calls must be made in the recorded order, even if they differ.

    Raises:
        CassetteError: The file is missing or is not a recording; the message has the number of an invalid line.

    Policies:
        - **Calls** are found by path and input; equal ones are answered in the recorded order, each once. A call
          without a recording is a `CassetteError` that shows the nearest ones.
        - **Idempotency keys** differ in each run: a recorded one is compared, any other takes the first unused call
          that is equal except for its key.
        - **Unused recordings** are a `CassetteError` at `close`, unless another exception is being raised.
        - **Prologues** are skipped.
        - **Time**: `now` and `monotonic` are the clocks of the machine, not those of the recording.
        - **Threads** may share it.

    Example: see `RecordingTransport`.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        redact: Callable[[JSON], JSON] | None = None,
        in_order: bool = False,
    ) -> None:
        self._path, self._redact, self._in_order = path, _redactor(redact) or _unchanged, in_order
        recording = file.load(path)
        self._head, self._calls = recording.head, recording.calls
        self._lock = threading.Lock()
        self._is_used = [False] * len(self._calls)
        self._first_unused = 0  # or a place before it
        self._places: dict[str, list[int]] = {}
        for place, recorded in enumerate(self._calls):
            self._places.setdefault(recorded.path, []).append(place)
        self._by_text: dict[str, dict[str, deque[int]]] = {}  # by path, filled at the first call of each
        self._keys: dict[str, set[str]] = {}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._path} with {len(self._calls)} calls>"

    def send(self, call: Call) -> JSON:
        """Return the recorded answer.

        Raises:
            CassetteError: The recording has no such call, or no unused one.
        """
        given = self._redact(call.input)
        with self._lock:
            place = self._match(call.path, given)
            if place is None:
                raise CassetteError(self._unknown(call, given))
            while self._is_used[self._first_unused]:  # the match is unused
                self._first_unused += 1
            if self._in_order and self._first_unused != place:
                expected = self._calls[self._first_unused]
                problem = f"{self._path}: out of order: expected {_describe_call(expected.path, expected.input)}"
                raise CassetteError(f"{problem}, and {_describe_call(call.path, given)} was called")
            self._is_used[place] = True
        return _copy(answer_of(self._calls[place]))

    def _match(self, path: str, given: JSON) -> int | None:
        """Return the place of the recorded call that answers, None without a match."""
        if path not in self._by_text:
            self._index(path)
        texts = self._by_text[path]
        key = given.get(_KEY) if isinstance(given, dict) else None
        if isinstance(key, str) and key not in self._keys[path]:
            waiting = texts.get(_text(given, keyless=True))
        else:
            waiting = texts.get(_text(given))
        while waiting and self._is_used[waiting[0]]:
            waiting.popleft()
        return waiting[0] if waiting else None

    def _index(self, path: str) -> None:
        texts: dict[str, deque[int]] = {}
        self._keys[path] = set()
        for place in self._places.get(path, ()):
            given = self._calls[place].input
            texts.setdefault(_text(given), deque()).append(place)
            if isinstance(given, dict) and isinstance(given.get(_KEY), str):
                self._keys[path].add(given[_KEY])
                texts.setdefault(_text(given, keyless=True), deque()).append(place)
        self._by_text[path] = texts

    def _unknown(self, call: Call, given: JSON) -> str:
        """Return the message for a call that is not in the recording: it shows the nearest ones."""
        problem = (
            f"{self._path} has no{'' if call.path in self._places else ' call of'} {_describe_call(call.path, given)}"
        )
        if call.path not in self._places:
            near = difflib.get_close_matches(call.path, self._places, n=_MAX_SHOWN, cutoff=0.5)
            return f"{problem}; it has {', '.join(near or sorted(self._places)[:_MAX_SHOWN]) or 'no calls'}"
        places = self._places[call.path]
        text = _text(given, keyless=True)
        count = sum(_text(self._calls[place].input, keyless=True) == text for place in places)
        if count:
            return f"{problem} left: it is recorded {count} time(s), and was called once more"
        unused = [place for place in places if not self._is_used[place]]
        recorded = [_pretty(self._calls[place].input) for place in (unused or places)[:_MAX_COMPARED]]
        wanted = _pretty(given)
        matcher = difflib.SequenceMatcher(None, b=wanted[:_MAX_COMPARED_TEXT])
        nearest = max(recorded, key=partial(_similarity, matcher))
        difference = _cut(_difference(nearest.splitlines(), wanted.splitlines()))
        which = "nearest unused recorded call" if unused else "nearest recorded call, already used,"
        why = _NOT_REDACTED if self._redact is not _unchanged and self._head.get("redacted") is False else ""
        return f"{problem}; the {which} differs:\n" + "\n".join([*difference, *([why] if why else [])])

    def close(self) -> None:
        """Check that all calls were used.

        Raises:
            CassetteError: Calls of the recording were never made; not while another exception is being raised.
        """
        unused = [recorded for recorded, is_used in zip(self._calls, self._is_used, strict=True) if not is_used]
        if not unused or sys.exc_info()[0] is not None:
            return
        shown = [f"  {_describe_call(recorded.path, recorded.input)}" for recorded in unused[:_MAX_SHOWN]]
        more = [f"  and {len(unused) - _MAX_SHOWN} more"] if len(unused) > _MAX_SHOWN else []
        head = f"{self._path}: {len(unused)} of {len(self._calls)} recorded calls were never made:"
        raise CassetteError("\n".join([head, *shown, *more]))


def _copy(answer: JSON) -> JSON:
    """Return a copy that the caller may change."""
    try:
        return copy_json(answer)
    except RecursionError:
        return json.loads(json.dumps(answer))  # written in C, these go deeper


def _redactor(given: Callable[[JSON], JSON] | None) -> Callable[[JSON], JSON] | None:
    if given is None:
        return None
    if not callable(given):
        raise TypeError(f"redact: expected a function from JSON to JSON, got {describe(given)}")
    return lambda content: given(copy_json(content))


def _unchanged(content: JSON) -> JSON:
    return content


def _text(given: JSON, *, keyless: bool = False) -> str:
    if keyless and isinstance(given, dict):
        given = {name: value for name, value in given.items() if name != _KEY}
        return "without a key " + json.dumps(given, sort_keys=True)
    return json.dumps(given, sort_keys=True)


def _pretty(given: JSON) -> str:
    if isinstance(given, dict):  # keys differ in each run
        given = {name: value for name, value in given.items() if name != _KEY}
    return json.dumps(given, indent=2, sort_keys=True, ensure_ascii=False)


def _describe_call(path: str, given: JSON) -> str:
    return f"{path}({'' if given is None else short_repr(given, 200)})"


def _similarity(matcher: difflib.SequenceMatcher[str], text: str) -> float:
    matcher.set_seq1(text[:_MAX_COMPARED_TEXT])
    return matcher.ratio()


def _difference(recorded: list[str], called: list[str]) -> list[str]:
    """Return how two texts differ; of long ones only the first place, for the time grows with the square of lengths."""
    if max(len(recorded), len(called)) <= _MAX_COMPARED_LINES:
        return [*difflib.unified_diff(recorded, called, "recorded", "called", lineterm="", n=1)]
    pairs = enumerate(zip(recorded, called, strict=False))
    first = next((place for place, (one, other) in pairs if one != other), min(len(recorded), len(called)))
    shown = slice(first, first + _MAX_LINES // 2 - 1)
    head = [f"--- recorded, from line {first + 1}", f"+++ called, from line {first + 1}"]
    return [*head, *(f"-{line}" for line in recorded[shown]), *(f"+{line}" for line in called[shown])]


def _cut(lines: list[str]) -> list[str]:
    """Return the first lines of a difference, without the ends of long ones."""
    shown = [line if len(line) <= _MAX_LINE else f"{line[: _MAX_LINE - 3]}..." for line in lines[:_MAX_LINES]]
    return [*shown, f"and {len(lines) - _MAX_LINES} more lines"] if len(lines) > _MAX_LINES else shown
