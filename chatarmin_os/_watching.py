"""The objects that look on: watchers of the mutations of a client, and observers of everything, for telemetry."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from contextvars import ContextVar
from typing import Any, Generic, Protocol, TypeVar
from weakref import ref

from chatarmin_os._call import Call
from chatarmin_os._json import JSON

T = TypeVar("T")


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


class Observation(Protocol):
    """One call or batch that an observer sees; all methods run in the thread of the call."""

    def enter(self) -> None:
        """Begin; `end` is called whatever happens from here on, twice if an interrupt comes during the first time."""

    def headers(self) -> Mapping[str, str]:
        """Return headers for the next HTTP request."""
        ...

    def attempt(self, number: int, calls: int, outcome: int | BaseException) -> None:
        """Take note of the end of an HTTP request.

        Args:
            number: The attempt, from 1.
            calls: How many calls it carried.
            outcome: The status of the response, or the error.
        """

    def end(self, results: Sequence[JSON | BaseException]) -> None:
        """Take note of the results of all calls, as a watcher gets them."""


class Observer(Protocol):
    """An object that sees all calls of a client, and the decisions of its gates.

    An `Exception` of its methods, or of its observations, is logged once and does not reach the caller.
    """

    def begin(self, calls: Sequence[Call], service: str) -> Observation | None:
        """Return what sees these calls, which are about to be sent in one round; None to look away.

        Args:
            calls: At least one call.
            service: The name of the transport.
        """

    def decide(self, feature: str, source: str, reason: str, *, is_known: bool) -> None:
        """Take note of a decision of a gate; *is_known* says that the service or a policy has the feature."""


class Named(Protocol):
    """A transport, as far as observers need one."""

    name: str


class WeakList(list[ref[T]], Generic[T]):
    """Weak references to objects; it takes no lock, which a fork could leave locked."""

    def add(self, item: T) -> None:
        """Add an object, unless it is there already."""
        if not any(one is item for one in self.alive()):
            self.append(ref(item, self._drop))

    def _drop(self, reference: ref[T]) -> None:
        with suppress(ValueError):  # the list may have been cleared since
            self.remove(reference)

    def alive(self) -> list[T]:
        """Return the objects that still exist."""
        return [item for reference in tuple(self) if (item := reference()) is not None]


outboxes: WeakList[Any] = WeakList()
"""The outboxes of this process."""

observation: ContextVar[Observation | None] = ContextVar("chatarmin_os_observation", default=None)
"""What sees the call that this thread sends; None if it is not observed."""


class Watchers(WeakList[Watcher]):
    """The watchers of a client and of all clients derived from it.

    Attributes:
        observer: Their observer; that of the class is for all clients that have none of their own.
    """

    observer: Observer | None = None

    def observe(self, observer: Observer | None) -> None:
        """Let an observer of their own see the clients; with None, only that of the class."""
        if observer is None:
            vars(self).pop("observer", None)
        else:
            self.observer = observer
            _observed.add(self)

    @classmethod
    def are_any_observed(cls) -> bool:
        """Return whether any client is observed."""
        return cls.observer is not None or any(one.observer is not None for one in _observed.alive())

    def watch(self, calls: Sequence[Call]) -> Watch:
        """Return an object that notifies the watchers of the mutations among *calls*, and the observer of all."""
        mutations = [place for place, call in enumerate(calls) if call.kind == "mutation"]
        watchers = self.alive() if mutations else []
        return Watch(calls, [(place, watcher) for place in mutations for watcher in watchers], self.observer)


_observed: WeakList[Watchers] = WeakList()
"""Those that have had an observer of their own."""


class Watch:
    """Notifies watchers of the mutations of one round, and an observer of the round.

    An interrupt can come between any two lines. Each watcher is notified of the end of a call, once, if it may have
    been notified of the beginning. An observation that has been entered ends.
    """

    def __init__(
        self, calls: Sequence[Call], watchers: list[tuple[int, Watcher]], observer: Observer | None = None
    ) -> None:
        self._calls, self._watchers, self._observer = calls, watchers, observer
        self._begun: list[tuple[int, Watcher, list[Any]]] = []
        self._observed: Observation | None = None
        self._outer: Observation | None = None

    def begin(self, transport: Named) -> None:
        """Announce each mutation, and the round, which goes to *transport*."""
        for place, watcher in self._watchers:
            token: list[Any] = []
            self._begun.append((place, watcher, token))
            token.append(_noted(watcher.before, self._calls[place]))
        if self._observer is not None:
            self._outer = observation.get()
            self._observed = harmless(self._observe, self._observer, transport)
            if self._observed is not None:
                observation.set(self._observed)
                harmless(self._observed.enter)

    def _observe(self, observer: Observer, transport: Named) -> Observation | None:
        return observer.begin(self._calls, transport.name)

    def end(self, results: Sequence[JSON | BaseException]) -> None:
        """Report the result of each mutation, given those of all calls."""
        if self._observed is not None:
            observation.set(self._outer)
            harmless(self._observed.end, results)
            self._observed = None
        while self._begun:
            place, watcher, token = self._begun.pop(0)
            _noted(watcher.after, token[0] if token else None, self._calls[place], results[place])

    def fail(self, error: BaseException) -> None:
        """Report that each mutation ended with *error*."""
        self.end([error] * len(self._calls))


def _noted(note: Callable[..., T], *arguments: Any) -> T | None:
    try:
        return note(*arguments)
    except Exception:
        import logging  # late: only here

        logging.getLogger("chatarmin_os").exception("a watcher of the client failed")
        return None


_failed: set[str] = set()


def harmless(note: Callable[..., T], *arguments: Any, **named: Any) -> T | None:
    """Return what a method of an observer returns, or None if it fails; each method's first failure is logged."""
    try:
        return note(*arguments, **named)
    except Exception as error:  # noqa: BLE001 - telemetry must not break what it sees
        name = getattr(note, "__qualname__", type(note).__name__)
        if name not in _failed:
            import logging  # late: only here

            _failed.add(name)
            # Without its text, which is of unknown code that has seen the call.
            logging.getLogger("chatarmin_os").error("telemetry failed in %s: %s", name, type(error).__name__)  # noqa: TRY400
        return None
