"""A block that uses a feature, and whose usage is counted."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from attrs import evolve

from chatarmin_os._input import Number, at_field, number
from chatarmin_os._json import describe
from chatarmin_os._usage_event import TriedEvent, UsageEvent, after
from chatarmin_os.errors import ChatarminError, InvalidInput, NotFoundError
from chatarmin_os.gate.decision import Decision, FeatureDenied
from chatarmin_os.gate.service import company_of
from chatarmin_os.gate.usage import remaining_of
from chatarmin_os.procedures.billing import TrackUsageInput

if TYPE_CHECKING:
    from chatarmin_os.client import ChatarminOS
    from chatarmin_os.models.billing import UsageResult


def _quantity(value: Number) -> Number:
    checked = number(value)
    if checked < 0:
        raise InvalidInput(f"expected a number of at least 0, got {describe(value)}")
    return checked


class Metered:
    """The block of `Gate.metered`, for one use of `with`.

    Attributes:
        decision: The decision that let the block run.
        quantity: The quantity to count at the end; may be set inside the block, 0 counts nothing.
        result: The `UsageResult`, after the block; None if nothing was counted, or if an outbox took the usage.

    Example:
        >>> from chatarmin_os.gate import Gate
        >>> company = client.onboard(external_org_id="org_1", tier_code="free")
        >>> with Gate(client).metered(external_org_id="org_1", feature_code="ai_credit", quantity=10) as use:
        ...     use.quantity = 7  # it took fewer than expected
        >>> use.result.current_usage
        7
    """

    decision: Decision
    result: UsageResult | None = None

    def __init__(
        self,
        event: UsageEvent,
        *,
        client: ChatarminOS,
        require: Callable[[], Decision],
        outbox: Any,
        expect: Callable[[UsageEvent], None],
    ) -> None:
        self._event, self._client, self._require = event, client, require
        self._outbox, self._expect = outbox, expect
        self._quantity = event.quantity
        self._is_used = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._quantity} of {self._event.feature_code!r}>"

    @property
    def quantity(self) -> Number:
        """The quantity to count at the end of the block.

        Example:
            >>> from chatarmin_os.gate import Gate
            >>> company = client.onboard(external_org_id="org_1", tier_code="free")
            >>> with Gate(client).metered(external_org_id="org_1", feature_code="ai_credit") as use:
            ...     use.quantity = 0  # nothing was used after all
            >>> print(use.result)
            None
        """
        return self._quantity

    @quantity.setter
    def quantity(self, value: Number) -> None:
        """Set it, to a number of at least 0."""
        self._quantity = at_field("quantity", _quantity)(value)

    def __enter__(self) -> Self:
        if self._is_used:
            raise RuntimeError("a metered block runs once; call gate.metered() again for another event")
        self._is_used = True
        self.decision = self._require()
        access = self.decision.access
        remaining = None if access is None else remaining_of(access)
        if remaining is not None and remaining < self._quantity:
            self.decision = evolve(self.decision, allowed=False, reason="limit_reached")
            raise FeatureDenied(self.decision)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        event = None if kind is not None else self._usage()
        if event is None:
            return
        failure: ChatarminError | None = None
        try:
            if event.external_org_id is not None:
                event = _of_company(event, company_of(self._client, event.external_org_id))
            self._send(event)
        except ChatarminError as raised:
            if not raised.is_temporary and event.company_id is not None:
                raise
            failure = raised
        if failure is not None:
            self._keep(event, failure)

    def _usage(self) -> UsageEvent | None:
        """Return the usage of the block, with the company if that is known; None if there was none."""
        if not self._quantity:
            return None
        event = evolve(self._event, quantity=self._quantity, created_at=None)  # now
        if event.company_id is None and self.decision.company_id is not None:
            return _of_company(event, self.decision.company_id)
        return event

    def _send(self, event: UsageEvent) -> None:
        self.result = self._client.send(_request(event))

    def _keep(self, event: UsageEvent, failure: ChatarminError) -> None:
        """Put usage that failed into the outbox, or raise the failure."""
        if event.company_id is None:
            failure.event = event  # type: ignore[attr-defined]
        else:
            event = after(failure, event)
        if self._outbox is None or not (failure.is_temporary or isinstance(failure, NotFoundError)):
            raise failure
        try:
            _put(self._outbox, event)
        except Exception as error:
            failure.event = event  # type: ignore[attr-defined]
            raise failure from error
        self._expect(event)


def _put(outbox: Any, event: UsageEvent) -> None:
    if isinstance(event, TriedEvent) and hasattr(outbox, "put_many"):  # an object with `put` only sends it at any age
        outbox.put_many([event])
        return
    outbox.put(
        company_id=event.company_id,
        external_org_id=event.external_org_id,
        feature_code=event.feature_code,
        quantity=event.quantity,
        idempotency_key=event.idempotency_key,
        metadata=event.metadata,
    )


def _of_company(event: UsageEvent, company_id: str) -> UsageEvent:
    return evolve(event, company_id=company_id, external_org_id=None)


def _request(event: UsageEvent) -> TrackUsageInput:
    return TrackUsageInput(
        company_id=event.company_id or "",
        feature_code=event.feature_code,
        quantity=event.quantity,
        idempotency_key=event.idempotency_key,
        metadata=event.metadata,
    )
