"""The seam of the package: a `Call` goes in, JSON or an error of the tree comes out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from copy import copy
from typing import TYPE_CHECKING

from attrs import frozen

from chatarmin_os._json import JSON, unshared
from chatarmin_os.errors import ChatarminError
from chatarmin_os.procedures._base import Kind

if TYPE_CHECKING:
    from collections.abc import Sequence


@frozen
class Call:
    """One call as it travels, in the wire's names.

    Attributes:
        path: The procedure's path, such as `"features.check"`.
        kind: `"query"` reads, `"mutation"` changes.
        input: The input as JSON; None where the procedure has none.
        safe_to_repeat: Whether carrying it out twice is as good as once.
    """

    path: str
    kind: Kind
    input: JSON = None
    safe_to_repeat: bool = False


def twin_of(error: ChatarminError) -> ChatarminError:
    """Return an error that tells the same, of no request yet; what a user may change in one does not change in both."""
    twin = copy(error)
    twin.request = None
    twin.__dict__.update({name: unshared(value) for name, value in vars(twin).items()})
    twin.__cause__, twin.__context__ = error.__cause__, error.__context__
    twin.__suppress_context__ = error.__suppress_context__
    return twin


class Transport(ABC):
    """Whatever answers calls: HTTP, a recording, the in-memory fake, a wrapper around one of them.

    Only `send` has to be written. A wrapper also passes `send_many` on, or batches become single calls below it.

    Example:
        >>> class Shouting(Transport):
        ...     def __init__(self, inner):
        ...         self.inner = inner
        ...     def send(self, call):
        ...         print(call.path.upper())
        ...         return self.inner.send(call)
        >>> from chatarmin_os import ChatarminOS
        >>> [tier.code for tier in ChatarminOS(transport=Shouting(fake)).tiers.list()]
        TIERS.LIST
        ['free', 'trial', 'pro', 'enterprise']
    """

    @abstractmethod
    def send(self, call: Call) -> JSON:
        """Return the answer to *call*, or raise a `ChatarminError`."""

    def send_many(self, calls: Sequence[Call]) -> list[JSON | ChatarminError]:
        """Return the answers in the order of *calls*, an error as a value, so that it hides no other answer."""
        answers: list[JSON | ChatarminError] = []
        for call in calls:
            try:
                answers.append(self.send(call))
            except ChatarminError as error:
                answers.append(error)
        return answers

    def close(self) -> None:  # noqa: B027 - most transports hold nothing open
        """Let go of whatever the transport holds open."""
