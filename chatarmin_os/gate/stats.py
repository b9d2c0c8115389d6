"""Counters of a gate."""

from __future__ import annotations

from attrs import frozen


@frozen
class GateStats:
    """The counters of a gate since it was made.

    Attributes:
        fresh: Decisions on an answer younger than `max_age`, asked just now or kept.
        stale: Decisions on an older answer.
        policy: Decisions without an answer.
        refreshed: Answers of the service.
        shared: Answers of the shared cache that were fresh.
        failed: Refreshes that failed.

    Example:
        >>> from chatarmin_os.gate import Gate
        >>> gate = Gate(client)
        >>> for _ in range(3):
        ...     decision = gate.check(external_org_id="org_1", feature_code="sso")
        >>> gate.stats()
        GateStats(fresh=3, stale=0, policy=0, refreshed=1, shared=0, failed=0)
    """

    fresh: int = 0
    stale: int = 0
    policy: int = 0
    refreshed: int = 0
    shared: int = 0
    failed: int = 0
