"""Converters of single settings; each raises `InvalidInput` without the name of the setting."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from chatarmin_os._input import secret, text
from chatarmin_os._json import describe
from chatarmin_os.client import ChatarminOS
from chatarmin_os.errors import InvalidInput
from chatarmin_os.gate import Gate, Policy
from chatarmin_os.outbox import Outbox
from chatarmin_os.transports import FunctionTransport, Transport
from chatarmin_os.transports.http import settings as http
from chatarmin_os.web.importing import imported
from chatarmin_os.web.problems import Place

T = TypeVar("T")

POLICY_OPTIONS = ("max_age", "max_stale", "on_outage")


def policy(place: Place, given: Any) -> Policy:
    """Return the policy of a mapping of options; the default policy if it is invalid."""
    if isinstance(given, Policy):
        return given
    options = place.keywords(given, POLICY_OPTIONS, "option")
    try:
        return Policy(**options)
    except InvalidInput as error:
        place.report("invalid", error)
        return Policy()


def policies(given: Any) -> dict[str, Any]:
    """Return policies, still unchecked, by feature code."""
    if not isinstance(given, Mapping):
        raise InvalidInput(f"expected a mapping of feature codes to policies, got {describe(given)}")
    return {text(code): policy for code, policy in given.items()}


def gate_with(option: str, value: Any) -> bool:
    """Create a gate with one option, which checks it; return True."""
    client = ChatarminOS(transport=FunctionTransport(lambda call: call))  # nothing is sent
    without_field(lambda given: Gate(client, **{option: given}), value)
    return True


def without_field(convert: Callable[[Any], T], value: Any) -> T:
    """Convert a value; the place of an error is the setting, not the argument of the client."""
    try:
        return convert(value)
    except InvalidInput as error:
        raise InvalidInput(error.problem, error.hint) from None


def key(given: Any) -> str | None:
    """Return an API key; None if it is blank, as the variable of an environment without a key is."""
    if isinstance(given, str) and not given.strip():
        return None
    without_field(http.api_key, secret(given))
    return str(given)


DJANGO = "django"
"""The outbox in the database of a Django project."""


def outbox(given: Any) -> Outbox | str:
    """Return an outbox, `"django"`, or the path of a file.

    Example:
        >>> from pathlib import Path
        >>> outbox(Path("data") / "usage.db")
        'data/usage.db'
        >>> outbox("redis://localhost")
        Traceback (most recent call last):
        ...
        chatarmin_os.errors.InvalidInput: expected 'django' or a path, got a URL; pass an Outbox, as RedisOutbox(...)
    """
    if isinstance(given, Outbox):
        return given
    path = os.fspath(given) if isinstance(given, os.PathLike) else given
    if not isinstance(path, str):
        raise InvalidInput(f"expected 'django', a path, or an Outbox of chatarmin_os.outbox, got {describe(given)}")
    if "://" in text(path):  # not shown: it may have a password
        raise InvalidInput("expected 'django' or a path, got a URL", "pass an Outbox, as RedisOutbox(...)")
    return path


def transport(given: Any) -> Transport | Callable[[], Any] | None:
    """Return a transport or a callable that returns one, given by itself or by its dotted path."""
    found: Transport | Callable[[], Any] | None = imported(given)
    if found is None or isinstance(found, Transport) or callable(found):
        return found
    raise InvalidInput(f"expected a transport, 'fake', or the dotted path of a transport, got {describe(found)}")


def is_cache(given: Any) -> bool:
    """Return whether an object has the methods of a `SharedCache`."""
    return all(callable(getattr(given, name, None)) for name in ("get", "set", "delete"))
