"""The errors of an outbox."""

from __future__ import annotations

from typing import ClassVar

from chatarmin_os._usage_event import UsageEvent
from chatarmin_os.errors import ChatarminError


class OutboxError(ChatarminError):
    """An outbox could not store usage, or not be read; nothing was stored.

    One exception: an event may be stored if a Redis gave no answer. Put again with its key, it is stored once.

    Attributes:
        event: The usage that was not stored, of `put_many` the first; None after another method. Its idempotency key
            is the one that was given or made, so that it can be put again.

    Example:
        >>> from chatarmin_os.outbox import OutboxError, OutboxFull, UsageEvent
        >>> error = OutboxFull("it has 256 MiB", event=UsageEvent(company_id="c", feature_code="f", quantity=1))
        >>> isinstance(error, OutboxError), error.event.feature_code, error.is_temporary
        (True, 'f', True)
    """

    is_temporary: ClassVar[bool] = True
    event: UsageEvent | None = None

    def __init__(self, message: str, *, event: UsageEvent | None = None) -> None:
        super().__init__(message)
        self.event = event


class OutboxFull(OutboxError):  # noqa: N818 - a public name
    """The outbox has its maximum size; draining it frees space.

    Example:
        >>> from chatarmin_os.outbox import OutboxFull
        >>> str(OutboxFull("it has its maximum size"))
        'it has its maximum size'
    """


class OutboxUnavailable(OutboxError):  # noqa: N818 - a public name
    """The outbox cannot be used now: it is busy, the disk is full, or there is no connection.

    Example:
        >>> from chatarmin_os.outbox import OutboxUnavailable
        >>> str(OutboxUnavailable("the disk is full"))
        'the disk is full'
    """
