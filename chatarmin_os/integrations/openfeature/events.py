"""Events of OpenFeature, as a gate's view of the service changes."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from openfeature.event import ProviderEvent, ProviderEventDetails
from openfeature.exception import ErrorCode

from chatarmin_os.gate.failures import class_and_code
from chatarmin_os.gate.listener import Trouble
from chatarmin_os.integrations.openfeature.flags import Flag

Emit: TypeAlias = Callable[[ProviderEvent, ProviderEventDetails], None]

_log = logging.getLogger("chatarmin_os")


class Events:
    """Emits an event whenever the state is another than that of the last one, and for each change of access.

    READY: the service answers. STALE: it does not, and old answers are used. ERROR: it does not and there are none, or
    it refuses the key; evaluations go on by the policies of the gate, and by old answers that are left.

    Args:
        trouble: Returns why the gate gets no new answers.
        emit: Passes an event to the SDK; older SDKs run the handlers in it.
        flags: The flags with keys of their own.
    """

    def __init__(self, trouble: Callable[[], Trouble | None], emit: Emit, flags: Mapping[str, Flag]) -> None:
        self._trouble, self._emit, self._flags = trouble, emit, flags
        self._last = ProviderEvent.PROVIDER_READY
        self._is_due = self._is_closed = False
        self._turns: dict[int, threading.Lock] = {}

    def close(self) -> None:
        """Emit nothing more."""
        self._is_closed = True

    def ready(self) -> None:
        """Emit that flags can be evaluated."""
        self._pass_on(ProviderEvent.PROVIDER_READY, ProviderEventDetails())

    def refreshed(self) -> None:
        """Emit the state if it is another one.

        One thread at a time does, until it has seen the last refresh: events never arrive in another order. The others
        do not wait for it, nor does a handler that evaluates a flag.
        """
        self._is_due = True
        # A lock for each process: one that a thread of the parent held at a fork stays locked in the child.
        turn = self._turns.setdefault(os.getpid(), threading.Lock())
        while self._is_due and turn.acquire(blocking=False):
            try:
                self._is_due = False
                self._converge()
            finally:
                turn.release()

    def _converge(self) -> None:
        trouble = self._trouble()
        event, details = _state(trouble)
        if event is not self._last:
            self._last = event
            self._pass_on(event, details)

    def changed(self, organisation: str | None, company: str | None, feature: str | None) -> None:
        """Emit that access has changed: of whom, and which flags; no flags: any of them."""
        flags = None
        if feature is not None:
            flags = [feature, *(key for key, flag in self._flags.items() if flag.feature_code == feature)]
        named = {"external_org_id": organisation, "company_id": company}
        details = ProviderEventDetails(
            flags_changed=flags, metadata={name: value for name, value in named.items() if value is not None}
        )
        self._pass_on(ProviderEvent.PROVIDER_CONFIGURATION_CHANGED, details)

    def _pass_on(self, event: ProviderEvent, details: ProviderEventDetails) -> None:
        if self._is_closed:
            return
        try:
            self._emit(event, details)
        except Exception:  # noqa: BLE001 - of a handler, which must harm neither a check nor a change
            _log.exception("a handler of %s failed", event.value)


def _state(trouble: Trouble | None) -> tuple[ProviderEvent, ProviderEventDetails]:
    """Return the event of a state.

    Never `PROVIDER_FATAL`: after that the SDK would never ask again, and grant by every default of True.
    """
    if trouble is None:
        return ProviderEvent.PROVIDER_READY, ProviderEventDetails()
    details: dict[str, Any] = {"message": class_and_code(trouble.error)}
    if trouble.has_answers and trouble.is_outage:
        return ProviderEvent.PROVIDER_STALE, ProviderEventDetails(**details)
    return ProviderEvent.PROVIDER_ERROR, ProviderEventDetails(**details, error_code=ErrorCode.GENERAL)
