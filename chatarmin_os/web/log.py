"""The log of the integrations: each event that was lost, completely, and no text that the service wrote."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

from chatarmin_os._json import short_repr
from chatarmin_os.errors import ChatarminError, InvalidInput
from chatarmin_os.gate import FeatureDenied
from chatarmin_os.gate.effects import is_final
from chatarmin_os.gate.failures import class_and_code
from chatarmin_os.outbox import OutboxError

LOGGER = logging.getLogger("chatarmin_os")


def name_for_log(error: BaseException) -> str:
    """Return the class of an error, and its code or its text.

    The text of an error of the service may have ids of the service. Those whose text is shown are of this package; that
    of an outbox says what to do.
    """
    if isinstance(error, InvalidInput | FeatureDenied | OutboxError):
        return f"{type(error).__name__}: {error}"
    return class_and_code(error) if isinstance(error, ChatarminError) else type(error).__name__


def foreign_error(error: BaseException) -> BaseException | None:
    """Return the exception whose traceback helps: that of the project's code, also behind an `InvalidInput`."""
    if isinstance(error, InvalidInput):
        return error.__cause__
    return None if isinstance(error, ChatarminError) else error


def log_lost_usage(logger: logging.Logger, event: Mapping[str, Any], error: BaseException) -> None:
    """Log usage that was refused or not confirmed, with everything that is needed to send it again; never fail."""
    outcome, when = ("counted", ", once the cause is gone,") if is_final(error) else ("confirmed", "")
    logger.error(
        "usage was not %s (%s); send it again%s with its key: %s",
        outcome,
        name_for_log(error),
        when,
        _as_json(event),
        exc_info=foreign_error(error),
    )


def _as_json(event: Mapping[str, Any]) -> str:
    r"""Return an event as JSON, invalid values in it as text.

    Example:
        >>> _as_json({"quantity": 1, "metadata": {("a", "b"): 1}})
        '{"quantity": 1, "metadata": "{(\'a\', \'b\'): 1}"}'
    """
    values = {name: value for name, value in event.items() if value is not None}
    try:
        return json.dumps(values, default=str)
    except Exception:  # noqa: BLE001 - keys that are no text, a circle, or a value whose `str` fails
        return json.dumps({name: _plain(value) for name, value in values.items()})


def _plain(value: object) -> object:
    return value if isinstance(value, (str, int, float)) else short_repr(value, 10_000)
