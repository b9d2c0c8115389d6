"""A transport whose answers a function computes."""

from __future__ import annotations

from collections.abc import Callable

from chatarmin_os._call import Call, copy_error
from chatarmin_os._json import JSON, MAX_PARSED_DEPTH, to_json
from chatarmin_os.errors import ChatarminError, InvalidInput
from chatarmin_os.transports.base import Transport


class FunctionTransport(Transport):
    """A function that answers calls, for tests of a few answers or of failures.

    To test an application, use the in-memory fake: it follows the rules of the service. Here the function alone
    decides. It gets each `Call` with its path and input in the wire's names, those of a batch one after the other, and
    returns JSON in the wire's names. An error that it raises or returns is the error of that call. The transport
    pickles and copies if the function does. Any number of threads may share it if the function allows that.

    Args:
        function: Takes a `Call`, returns JSON or an error, or raises an error.
        name: The name in recordings and reports; default: the name of the class.

    Raises:
        TypeError: *function* is not callable.

    Example:
        >>> from chatarmin_os import ChatarminOS, RateLimitError
        >>> def answer(call):
        ...     if call.path == "tiers.list":
        ...         return [{"code": "free", "name": "Free"}]
        ...     raise RateLimitError("slow down", code="TOO_MANY_REQUESTS", retry_after=30)
        >>> client = ChatarminOS(transport=FunctionTransport(answer))
        >>> [tier.name for tier in client.tiers.list()]
        ['Free']
        >>> client.tiers.get("free")
        Traceback (most recent call last):
        ...
        chatarmin_os.errors.RateLimitError: TOO_MANY_REQUESTS: slow down
    """

    def __init__(self, function: Callable[[Call], JSON | ChatarminError], *, name: str | None = None) -> None:
        if not callable(function):
            raise TypeError(f"function: must be callable, got an object of type {type(function).__name__}")
        self.function = function
        if name is not None:
            self.name = name

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {getattr(self.function, '__qualname__', type(self.function).__name__)}>"

    def send(self, call: Call) -> JSON:
        """Return the function's answer to *call*.

        Raises:
            ChatarminError: The function raised or returned it.
            TypeError: The function returned something other than JSON.
        """
        answer = self.function(call)
        if isinstance(answer, ChatarminError):
            raise copy_error(answer)  # the function may return the same object for many calls
        try:
            return to_json(answer, MAX_PARSED_DEPTH // 2, is_stored=False)
        except InvalidInput as problem:
            raise TypeError(f"{self!r} must return JSON for {call.path}: {problem}") from None
