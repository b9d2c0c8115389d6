"""Usage over a bad network: the service counts each reported event once."""

from __future__ import annotations

import logging
import os
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from fault_server import FaultServer, Visit, client_of, closed, fine, reset_before_executing

from chatarmin_os import ChatarminError, TrackUsageInput, TransportError

if TYPE_CHECKING:
    from chatarmin_os import UsageResult
    from chatarmin_os._request import Request

pytestmark = pytest.mark.slow

_log = logging.getLogger(__name__)

EVENTS = 10_000 if os.environ.get("CHATARMIN_FULL") else 2_000
THREADS = 8


class _Lossy:
    """Loses a tenth of the requests before they are carried out, and a tenth of the answers."""

    def __init__(self, seed: int) -> None:
        self._random, self._lock = random.Random(seed), threading.Lock()  # noqa: S311 - nothing secret

    def __call__(self, visit: Visit) -> None:
        with self._lock:
            number = self._random.random()
        (reset_before_executing if number < 0.1 else closed if number < 0.2 else fine)(visit)


@pytest.mark.parametrize("retries", [2, 0])
def test_ledger_is_exact(retries: int) -> None:
    """However many answers are lost, each event counts once when all failures have been sent again."""
    failed: list[ChatarminError] = []
    quantities = [1 + number % 7 for number in range(EVENTS)]

    settings: dict[str, Any] = {"max_retries": retries, "timeout": 60.0, "backoff": lambda _: 0.001}
    with FaultServer() as server, client_of(server, **settings) as client:
        server.behaviour = _Lossy(seed=retries)

        def track(quantity: int) -> None:
            try:
                result = client.billing.track_usage(company_id="c1", feature_code="seats", quantity=quantity)
            except ChatarminError as error:
                failed.append(error)
            else:
                assert result.current_usage == quantity

        with ThreadPoolExecutor(THREADS) as threads:
            assert list(threads.map(track, quantities)) == [None] * EVENTS
        first, ran = len(failed), sum(server.keys.values())
        rounds = 0
        while failed:
            rounds += 1
            waiting = [_checked(error) for error in failed]
            failed.clear()
            for request in waiting:
                try:
                    client.send(request)
                except ChatarminError as error:
                    failed.append(error)

        assert len(server.ledger) == EVENTS
        assert sum(server.ledger.values()) == sum(quantities)
        assert sorted(server.ledger.values()) == sorted(quantities)
        # Requests were lost, and the events that were executed twice had the same key.
        assert sum(server.keys.values()) > EVENTS * 1.05
        assert first >= EVENTS * (0.1 if retries == 0 else 0.001)
        line = "%d events, %d repeats: %d failed at first, after %d executions; all counted after %d rounds"
        _log.info(line, EVENTS, retries, first, ran, rounds)


def _checked(error: ChatarminError) -> Request[UsageResult]:
    """Return the request of a failure that is as it should be."""
    assert isinstance(error, TransportError)
    assert isinstance(error.request, TrackUsageInput)
    assert error.outcome == "unknown"
    assert error.request.idempotency_key
    return error.request
