"""One call in wire names: the input of every transport; and the objects that watch the mutations of a client."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from typing import Any, Protocol
from weakref import ref

from attrs import field, frozen

from chatarmin_os._json import JSON, copy_json, private_repr
from chatarmin_os._request import Kind
from chatarmin_os.errors import ChatarminError


@frozen
class Call:
    """One call in wire names.

    Attributes:
        path: The procedure's path, such as `"features.check"`.
        kind: `"query"` reads, `"mutation"` changes.
        input: The input as JSON; None if the procedure has no input. The repr shortens e-mail addresses in it.
        safe_to_repeat: Whether running it twice has the same effect as running it once.

    Example:
        >>> from chatarmin_os.transports import Call
        >>> client.transport.send(Call("tiers.list", "query"))[0]
        {'code': 'free', 'name': 'Free'}
    """

    path: str
    kind: Kind
    input: JSON = field(default=None, repr=private_repr)
    safe_to_repeat: bool = False


def copy_error(error: ChatarminError) -> ChatarminError:
    """Return an equal error without a request, which shares no JSON with *error*."""
    clone = copy(error)
    clone.request = None
    clone.__dict__.update({name: copy_json(value) for name, value in vars(clone).items()})
    clone.__cause__, clone.__context__ = error.__cause__, error.__context__
    clone.__suppress_context__ = error.__suppress_context__
    return clone


class Watcher(Protocol):
    """An object that a client notifies of each of its mutations; both methods run in the thread of the call.

    An `Exception` of theirs is logged and does not reach the caller.
    """

    def before(self, call: Call) -> Any:
        """Take note of a mutation that is about to be sent; what this returns is the token that `after` gets."""

    def after(self, token: Any, call: Call, result: JSON | BaseException) -> None:
        """Take note of its end, before the caller has its result.

        Args:
            token: What `before` returned; None if that failed.
            call: The same call.
            result: The answer as JSON, which must not be changed; or the exception that the caller gets, such as the
                `InvalidResponse` for an answer of the wrong type, or an interrupt.
        """


class Watchers(list[ref[Watcher]]):
    """Weak references to the watchers of a client and of all clients derived from it."""

    def add(self, watcher: Watcher) -> None:
        """Add a watcher, unless it is there already."""
        if watcher not in self._alive():
            self.append(ref(watcher, self.remove))

    def _alive(self) -> list[Watcher]:
        return [watcher for reference in tuple(self) if (watcher := reference()) is not None]

    def watch(self, calls: Sequence[Call]) -> Watch:
        """Return an object that notifies these watchers of the mutations among *calls*."""
        mutations = [place for place, call in enumerate(calls) if call.kind == "mutation"]
        watchers = self._alive() if mutations else []
        return Watch(calls, [(place, watcher) for place in mutations for watcher in watchers])


class Watch:
    """Notifies watchers of the mutations of one round.

    An interrupt can come between any two lines. Each watcher is notified of the end of a call, once, if it may have
    been notified of the beginning.
    """

    def __init__(self, calls: Sequence[Call], watchers: list[tuple[int, Watcher]]) -> None:
        self._calls, self._watchers = calls, watchers
        self._begun: list[tuple[int, Watcher, list[Any]]] = []

    def begin(self) -> None:
        """Announce each mutation."""
        for place, watcher in self._watchers:
            token: list[Any] = []
            self._begun.append((place, watcher, token))
            token.append(_noted(watcher.before, self._calls[place]))

    def end(self, results: Sequence[JSON | BaseException]) -> None:
        """Report the result of each mutation, given those of all calls."""
        while self._begun:
            place, watcher, token = self._begun.pop(0)
            _noted(watcher.after, token[0] if token else None, self._calls[place], results[place])

    def fail(self, error: BaseException) -> None:
        """Report that each mutation ended with *error*."""
        self.end([error] * len(self._calls))


def _noted(note: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return note(*arguments)
    except Exception:
        import logging  # late: only here

        logging.getLogger("chatarmin_os").exception("a watcher of the client failed")
        return None
