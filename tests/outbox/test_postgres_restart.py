"""A PostgreSQL that was stopped and started again."""

from __future__ import annotations

from typing import Any

import outbox_databases
import pytest

from chatarmin_os.outbox import OutboxUnavailable

pytestmark = [pytest.mark.slow, pytest.mark.needs("postgres")]


def test_connection_that_ended_is_replaced() -> None:
    """While PostgreSQL is stopped a put fails; after its start the next one succeeds, although no request began."""
    using, server = outbox_databases.postgres(), outbox_databases.postgres_server()
    outbox = outbox_databases.outbox(using)
    event: dict[str, Any] = {"company_id": "comp_1", "feature_code": "ai_credit", "quantity": 1}
    outbox.put(**event)
    server.stop()
    try:
        with pytest.raises(OutboxUnavailable):
            outbox.put(**event)
    finally:
        server.start()

    outbox.put(**event)
    server.stop()
    server.start()
    outbox.put(**event)
    assert outbox.stats().ready == 3
