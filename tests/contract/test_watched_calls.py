"""The objects that a client notifies of its mutations, on each transport."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from chatarmin_os import ChatarminError, ListTiersInput, NotFoundError, OnboardInput, TrackUsageInput

if TYPE_CHECKING:
    from chatarmin_os import ChatarminOS
    from chatarmin_os.transports import Call


class Notes:
    """A watcher that keeps what it was notified of."""

    def __init__(self) -> None:
        """Start without notes; the tokens are numbers."""
        self.before_calls: list[Call] = []
        self.ended: list[tuple[int, str, Any]] = []

    def before(self, call: Call) -> int:
        """Keep the call."""
        self.before_calls.append(call)
        return len(self.before_calls)

    def after(self, token: int, call: Call, result: Any) -> None:
        """Keep the end, which is one of that call."""
        assert self.before_calls[token - 1] is call
        self.ended.append((token, call.path, result))


def test_mutation_is_watched_and_queries_are_not(client: ChatarminOS) -> None:
    """The watcher gets the answer as JSON, and is not notified of queries."""
    notes = Notes()
    client._watch(notes)

    company_id = client.onboard(external_org_id="org_1", tier_code="free").company_id
    client.features.check(company_id=company_id, feature_code="ai_credit")
    usage = client.billing.track_usage(
        company_id=company_id, feature_code="ai_credit", quantity=3, idempotency_key="event_1"
    )

    assert [(token, path) for token, path, _ in notes.ended] == [(1, "onboard"), (2, "billing.trackUsage")]
    assert notes.ended[0][2]["companyId"] == str(company_id)
    assert notes.ended[1][2]["currentUsage"] == usage.current_usage == 3
    assert notes.before_calls[1].input["idempotencyKey"] == "event_1"


def test_refusal_is_that_of_the_caller(client: ChatarminOS) -> None:
    """The watcher gets the very error that the caller gets."""
    notes = Notes()
    client._watch(notes)

    with pytest.raises(NotFoundError) as refused:
        client.tiers.apply(company_id="b0f1c2d3-0000-4000-8000-000000000001", tier_code="pro")

    assert notes.ended == [(1, "tiers.apply", refused.value)]
    assert refused.value.request is not None


def test_escape_hatch_is_watched(client: ChatarminOS) -> None:
    """A mutation by its path is watched too, also one that this package does not know."""
    notes = Notes()
    client._watch(notes)

    client.call("tiers.list")
    client.call("links.reset")
    with pytest.raises(ChatarminError) as refused:
        client.call("exports.start", kind="mutation")

    assert [path for _, path, _ in notes.ended] == ["links.reset", "exports.start"]
    assert notes.ended[1][2] is refused.value


def test_batch_begins_before_anything_ends(client: ChatarminOS) -> None:
    """All mutations of a batch are announced before it is sent; each ends with its own answer or error."""
    notes = Notes()
    company_id = client.onboard(external_org_id="org_1", tier_code="free").company_id
    client._watch(notes)

    def event(feature_code: str) -> TrackUsageInput:
        return TrackUsageInput(company_id=company_id, feature_code=feature_code, quantity=1)

    requests: list[Any] = [ListTiersInput(), event("ai_credit"), event("brewing")]
    outcomes: list[Any] = client.batch(requests)
    tiers, usage, error = outcomes

    assert tiers
    assert [(token, path) for token, path, _ in notes.ended] == [(1, "billing.trackUsage"), (2, "billing.trackUsage")]
    assert notes.ended[0][2]["currentUsage"] == usage.current_usage == 1
    assert notes.ended[1][2] is error


def test_split_batch_is_one_round(client: ChatarminOS) -> None:
    """A batch of more calls than fit one request is watched like any other."""
    notes = Notes()
    client._watch(notes)

    client.batch([OnboardInput(external_org_id=f"org_{number}") for number in range(120)])

    assert [token for token, _, _ in notes.ended] == list(range(1, 121))
    assert len({answer["companyId"] for _, _, answer in notes.ended}) == 120
