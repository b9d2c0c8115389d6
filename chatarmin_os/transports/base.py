"""The interface of transports: they take a `Call`, and return JSON or raise a `ChatarminError`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

from chatarmin_os import _clock
from chatarmin_os._call import Call
from chatarmin_os._input import Number
from chatarmin_os._json import JSON
from chatarmin_os._lazy import lockless_cached_property
from chatarmin_os.errors import ChatarminError
from chatarmin_os.transports import options

T = TypeVar("T", bound="Transport")


class Transport(ABC):
    """Answers calls: over HTTP, from a recording or a fake in memory, or as a wrapper around another transport.

    A subclass has to define `send` only. A wrapper also passes on `send_many`, or batches become single calls below it,
    and `with_options`, `fingerprint`, `now`, `monotonic`, `close` and `name`.

    Attributes:
        name: The name in recordings and reports; by default the name of the class.

    Example:
        >>> class Shouting(Transport):
        ...     def __init__(self, inner):
        ...         self.inner, self.name = inner, inner.name
        ...     def send(self, call):
        ...         print(call.path.upper())
        ...         return self.inner.send(call)
        ...     def with_options(self, **options):
        ...         return Shouting(self.inner.with_options(**options))
        ...     def fingerprint(self):
        ...         return self.inner.fingerprint()
        ...     def now(self):
        ...         return self.inner.now()
        ...     def monotonic(self):
        ...         return self.inner.monotonic()
        >>> from chatarmin_os import ChatarminOS
        >>> [tier.code for tier in ChatarminOS(transport=Shouting(fake)).tiers.list()]
        TIERS.LIST
        ['free', 'trial', 'pro', 'enterprise']
    """

    if TYPE_CHECKING:
        name: str
    else:

        @lockless_cached_property  # not a property: a subclass may assign it
        def name(self) -> str:
            """The name of the class."""
            return type(self).__name__

    @abstractmethod
    def send(self, call: Call) -> JSON:
        """Return the answer to *call*.

        Args:
            call: The call in wire names.

        Raises:
            ApiError: The service refused the call, or failed.
            TransportError: No usable response was received.

        Example:
            >>> from chatarmin_os.transports import Call
            >>> client.transport.send(Call("tiers.get", "query", {"tierCode": "pro"}))["name"]
            'Pro'
        """

    def send_many(self, calls: Sequence[Call]) -> list[JSON | ChatarminError]:
        """Return the answers in the order of *calls*; an error is a value, so that it hides no other answer.

        By default each call is sent on its own, one after the other.

        Args:
            calls: Calls that do not depend on each other.

        Example:
            >>> from chatarmin_os.transports import Call
            >>> calls = [Call("tiers.list", "query"), Call("tiers.get", "query", {"tierCode": "gold"})]
            >>> tiers, error = client.transport.send_many(calls)
            >>> len(tiers), error.code
            (4, 'NOT_FOUND')
        """
        answers: list[JSON | ChatarminError] = []
        for call in calls:
            try:
                answers.append(self.send(call))
            except ChatarminError as error:
                answers.append(error)
        return answers

    def with_options(self, *, timeout: Number | None = None, max_retries: int | None = None) -> Transport:
        """Return a transport to the same service with another deadline or number of retries.

        The default implementation returns this transport itself, which has neither deadline nor retries.

        Args:
            timeout: Seconds for a whole call; None keeps the current value.
            max_retries: The maximum number of retries of a call; None keeps the current value.

        Raises:
            InvalidInput: An invalid value; the argument is named.

        Example:
            >>> client.transport.with_options(timeout=0.5) is client.transport
            True
        """
        options.check(timeout, max_retries)
        return self

    def _max_seconds(self) -> float | None:
        """Return the seconds that a whole call may take; None, the default, if unknown or unlimited."""
        return None

    def fingerprint(self) -> str | None:
        """Return a text that identifies the product at its service; None, the default, if unknown.

        Two transports have the same text only if both are the same. Caches that several processes share use it as a
        part of their keys. No secret can be read from it.

        Example:
            >>> print(client.transport.fingerprint())
            None
        """
        return None

    def now(self) -> datetime:
        """Return the time of the service as an aware datetime in UTC.

        By default it is that of the machine, which tests that set or stop the clock of Python do not change. The fake
        has a clock of its own.

        Example:
            >>> from datetime import timedelta
            >>> before = client.transport.now()
            >>> fake.advance(timedelta(days=1))
            >>> (client.transport.now() - before).days
            1
        """
        return _clock.now()

    def monotonic(self) -> float:
        """Return seconds on a clock that never goes back; only differences between them have a meaning.

        By default it is that of the machine, which tests that set or stop the clock of Python do not change. The fake's
        `advance` moves its own forward by the same time.

        Example:
            >>> from datetime import timedelta
            >>> before = client.transport.monotonic()
            >>> fake.advance(timedelta(minutes=15))
            >>> 900 <= client.transport.monotonic() - before < 960
            True
        """
        return _clock.monotonic()

    def close(self) -> None:  # noqa: B027 - most transports hold nothing open
        """Close the connections and files that the transport holds open.

        A second call does nothing.

        Example:
            >>> client.transport.close()
        """


def sharing(transport: T, **own: object) -> T:
    """Return another transport that shares the `__dict__` of *transport* and has *own* values in its slots.

    Connections that one of the two opens or closes later are open or closed for both.
    """
    derived = type(transport).__new__(type(transport))
    for name, value in {"__dict__": transport.__dict__, **own}.items():
        setattr(derived, name, value)
    return derived
