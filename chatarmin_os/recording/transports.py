"""Recording real calls, and replaying them: a test double that cannot know more than the service said."""

from __future__ import annotations

import difflib
import json
import marshal
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

from chatarmin_os._call import Call
from chatarmin_os._input import Number
from chatarmin_os._json import JSON, copy_json, describe, short_repr
from chatarmin_os.errors import ApiError, CassetteError, ChatarminError, TransportError
from chatarmin_os.recording import file
from chatarmin_os.recording.redaction import Redaction
from chatarmin_os.transports.base import Transport, sharing

_KEY = "idempotencyKey"
_MOST_SHOWN = 5
_MAX_COMPARED, _MAX_COMPARED_TEXT = 500, 2000  # calls, and characters of each, among which the nearest is looked for
_MAX_COMPARED_LINES = 2000
_MAX_LINES, _MAX_LINE = 40, 200  # of a difference
_NOT_REDACTED = (
    "The recording was made without a redactor; `chatarmin-os recording redact` takes out of it what this one does."
)


class RecordingTransport(Transport):
    """Passes calls on to another transport, and writes down what came of them.

    Args:
        inner: What answers: `HTTPTransport` for the real service.
        path: The file to make: JSON Lines, a call a line, to be committed beside the tests that replay it.
        redact: Called with each input, each answer and each refusal's `{"message", "data"}`; what it returns is
            written instead. It must keep equal values equal, or the replay does not find them.
        overwrite: Whether a file that is there already is replaced.

    Raises:
        CassetteError: The file is there already, or cannot be written.

    Policies:
        - **Secrets**: neither key nor headers nor base URL's credentials come here, so none can be in the file.
        - **Files** are good at any moment: each call is one write, made when its answer is known. A line that cannot be
          written whole, because the disk is full, is removed again, and the call is a `CassetteError`.
        - **Threads** may share it: calls are written in the order in which their answers come. A drift check of calls
          that depend on each other needs them one after the other. Batches are written as their calls.
        - **Failures** (no answer) are written down too, and fail the replay in the same way.

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

    __slots__ = ("inner",)  # all else is shared with what `with_options` returns

    inner: Transport

    def __init__(
        self,
        inner: Transport,
        path: str | os.PathLike[str],
        *,
        redact: Callable[[JSON], JSON] | None = None,
        overwrite: bool = False,
    ) -> None:
        if not isinstance(inner, Transport):
            raise TypeError(f"inner: expected a chatarmin_os.transports.Transport, got {describe(inner)}")
        self.inner = inner
        redactor = _redactor(redact)
        self.name = inner.name
        self._redaction = Redaction(redactor) if redactor else None
        self._file = file.Writer(path, file.head(self.name, is_redacted=redact is not None), overwrite=overwrite)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.inner!r}>"

    def send(self, call: Call) -> JSON:
        """Return the inner transport's answer, written down.

        Raises:
            CassetteError: The recording is closed; nothing was called. Or the answer cannot be written down: it is no
                JSON that a recording holds, or the disk is full.
        """
        self._refuse_closed()
        try:
            answer = self.inner.send(call)
        except (ApiError, TransportError) as error:
            self._write(call, error)
            raise
        self._write(call, answer)
        return answer

    def send_many(self, calls: Sequence[Call]) -> list[JSON | ChatarminError]:
        """Return the inner transport's answers, each written down."""
        self._refuse_closed()
        answers = self.inner.send_many(calls)
        for call, answer in zip(calls, answers, strict=False):
            if not isinstance(answer, ChatarminError) or isinstance(answer, (ApiError, TransportError)):
                self._write(call, answer)
        return answers

    def with_options(self, *, timeout: Number | None = None, max_retries: int | None = None) -> RecordingTransport:
        """Return a transport that writes to the same file, around the inner transport with these options.

        Closing either closes the recording for both.
        """
        return sharing(self, inner=self.inner.with_options(timeout=timeout, max_retries=max_retries))

    def fingerprint(self) -> str | None:
        """Return that of the inner transport."""
        return self.inner.fingerprint()

    def _refuse_closed(self) -> None:
        if self._file.is_closed:
            raise CassetteError("the recording is closed; nothing was called")

    def _write(self, call: Call, answer: JSON | ApiError | TransportError) -> None:
        recorded = file.Recorded(call.path, call.kind, call.input, file.came_of(answer))
        try:
            line = file.line(recorded)
            if self._redaction:  # a redactor sees JSON, whatever the inner transport has answered
                line = file.line(self._redaction.of(file.call_of(line)))
            self._file.append(line)
        except (OSError, RecursionError, ValueError) as error:
            why = getattr(error, "strerror", None) or str(error)
            told = f"{call.path} was answered, and that cannot be written down: {why} ({self._file.path})"
            self._file.problem = CassetteError(told)
            raise self._file.problem from error

    @property
    def problem(self) -> CassetteError | None:
        """Why a call is not in the recording, None if all are."""
        return self._file.problem

    def close(self) -> None:
        """Close the file, and the inner transport."""
        self._file.close()
        self.inner.close()


class ReplayTransport(Transport):
    """Answers calls as a recording does, and nothing else.

    Args:
        path: A file that `RecordingTransport` made.
        redact: What redacted the recording, so that inputs are found.
        in_order: Whether different calls too must come in the recorded order.

    Raises:
        CassetteError: It is no recording; a broken line is named by its number.

    Policies:
        - **Calls** are found by path and input; equal ones are answered in the recorded order, each once. A call
          without a recording is a `CassetteError` that shows the nearest ones.
        - **Idempotency keys** are made anew by each run: one that was recorded is compared, any other answers to the
          first unused call that is equal but for its key.
        - **Unused recordings** are a `CassetteError` at `close`, unless another exception is under way.
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
        self._head, self._calls = file.loaded(path)
        self._lock = threading.Lock()
        self._is_used = [False] * len(self._calls)
        self._due = 0  # no call before this place is left
        self._places: dict[str, list[int]] = {}
        for place, recorded in enumerate(self._calls):
            self._places.setdefault(recorded.path, []).append(place)
        self._by_text: dict[str, dict[str, deque[int]]] = {}  # made for a path when it is first asked for
        self._keys: dict[str, set[str]] = {}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._path} with {len(self._calls)} calls>"

    def send(self, call: Call) -> JSON:
        """Return what the recording answers.

        Raises:
            CassetteError: It has no such call, or none that is left.
        """
        given = self._redact(call.input)
        with self._lock:
            place = self._found(call.path, given)
            if place is None:
                raise CassetteError(self._unknown(call, given))
            while self._is_used[self._due]:  # the found one is left
                self._due += 1
            if self._in_order and self._due != place:
                expected = self._calls[self._due]
                told = f"{self._path}: out of order: {_named(expected.path, expected.input)} comes first in it"
                raise CassetteError(f"{told}, and {_named(call.path, given)} was called")
            self._is_used[place] = True
        answer: JSON = marshal.loads(marshal.dumps(file.answer_of(self._calls[place])))  # noqa: S302 - our own
        return answer  # a copy that the caller may change, at any depth

    def _found(self, path: str, given: JSON) -> int | None:
        """Return the place of the call that answers, None where none does."""
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
        """Say that there is no such call, and which are nearest."""
        told = f"{self._path} has no{'' if call.path in self._places else ' call of'} {_named(call.path, given)}"
        if call.path not in self._places:
            near = difflib.get_close_matches(call.path, self._places, n=_MOST_SHOWN, cutoff=0.5)
            return f"{told}; it has {', '.join(near or sorted(self._places)[:_MOST_SHOWN]) or 'no calls'}"
        places = self._places[call.path]
        asked = _text(given, keyless=True)
        count = sum(_text(self._calls[place].input, keyless=True) == asked for place in places)
        if count:
            return f"{told} left: it is recorded {count} time(s), and was called once more"
        unused = [place for place in places if not self._is_used[place]]
        recorded = [_shown(self._calls[place].input) for place in (unused or places)[:_MAX_COMPARED]]
        wanted = _shown(given)
        matcher = difflib.SequenceMatcher(None, b=wanted[:_MAX_COMPARED_TEXT])
        nearest = max(recorded, key=partial(_likeness, matcher))
        difference = _cut(_difference(nearest.splitlines(), wanted.splitlines()))
        which = f"{len(unused)} that are left" if unused else f"{len(places)}, all used,"
        why = _NOT_REDACTED if self._redact is not _unchanged and self._head.get("redacted") is False else ""
        return f"{told}; the nearest of {which} differs:\n" + "\n".join([*difference, *([why] if why else [])])

    def close(self) -> None:
        """Let go of the recording.

        Raises:
            CassetteError: Calls of it were never made; not while another exception is under way.
        """
        unused = [recorded for recorded, is_used in zip(self._calls, self._is_used, strict=True) if not is_used]
        if not unused or sys.exc_info()[0] is not None:
            return
        shown = [f"  {_named(recorded.path, recorded.input)}" for recorded in unused[:_MOST_SHOWN]]
        more = [f"  and {len(unused) - _MOST_SHOWN} more"] if len(unused) > _MOST_SHOWN else []
        head = f"{self._path}: {len(unused)} of {len(self._calls)} recorded calls were never made:"
        raise CassetteError("\n".join([head, *shown, *more]))


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


def _shown(given: JSON) -> str:
    if isinstance(given, dict):  # a key is made anew in each run, and is no difference
        given = {name: value for name, value in given.items() if name != _KEY}
    return json.dumps(given, indent=2, sort_keys=True, ensure_ascii=False)


def _named(path: str, given: JSON) -> str:
    return f"{path}({'' if given is None else short_repr(given, 200)})"


def _likeness(matcher: difflib.SequenceMatcher[str], text: str) -> float:
    matcher.set_seq1(text[:_MAX_COMPARED_TEXT])
    return matcher.ratio()


def _difference(recorded: list[str], called: list[str]) -> list[str]:
    """Return how two texts differ; of long ones, for which that takes the square of their lengths, only where."""
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
