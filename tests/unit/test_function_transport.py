"""A transport whose answers a function computes."""

from __future__ import annotations

import pickle
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

import pytest
from ids import words

from chatarmin_os import ChatarminOS, GetTierInput, InvalidInput, InvalidResponse, RateLimitError, TimedOut
from chatarmin_os.transports import Call, FunctionTransport

TIER = {"code": "free", "name": "Free", "features": []}


def answer_tiers(call: Call) -> Any:
    """Answer `tiers.get` with a tier of the requested code."""
    return {**TIER, "code": call.input["tierCode"]}


def test_function_answers_typed_calls() -> None:
    """The function gets the call in the wire's names, and the client makes a model of its answer."""
    calls: list[Call] = []

    def answer(call: Call) -> Any:
        calls.append(call)
        return answer_tiers(call)

    tier = ChatarminOS(transport=FunctionTransport(answer)).tiers.get("pro")

    assert tier.code == "pro"
    assert calls == [Call("tiers.get", "query", {"tierCode": "pro"}, safe_to_repeat=True)]


def test_function_answers_each_call_of_a_batch() -> None:
    """Answers keep the order of the calls, and an error takes the place of its own call only."""

    def answer(call: Call) -> Any:
        if call.input["tierCode"] == "gold":
            raise TimedOut("no response")
        return answer_tiers(call)

    client = ChatarminOS(transport=FunctionTransport(answer))
    requests = [GetTierInput(tier_code=code) for code in ("free", "gold", "pro")]
    free, gold, pro = client.batch(requests)

    assert [getattr(tier, "code", None) for tier in (free, pro)] == ["free", "pro"]
    assert isinstance(gold, TimedOut)
    assert gold.request is requests[1]


def test_returned_error_is_raised_as_a_copy() -> None:
    """One error may be the answer to many calls: each call has its own copy, with its own request."""
    limit = RateLimitError("slow down", code="TOO_MANY_REQUESTS", retry_after=3)
    client = ChatarminOS(transport=FunctionTransport(lambda _: limit))

    with pytest.raises(RateLimitError) as raised:
        client.tiers.list()
    results: list[Any] = client.batch([GetTierInput(tier_code=code) for code in ("free", "pro")])

    assert [raised.value.retry_after, *(error.retry_after for error in results)] == [3, 3, 3]
    assert [error.request.tier_code for error in results] == ["free", "pro"]
    assert limit.request is None


def test_raised_error_of_another_kind_is_not_caught() -> None:
    """A mistake of the function comes out unchanged, also in a batch."""

    def answer(_: Call) -> Any:
        raise KeyError("mistake")

    client = ChatarminOS(transport=FunctionTransport(answer))
    with pytest.raises(KeyError, match="mistake"):
        client.tiers.list()
    with pytest.raises(KeyError, match="mistake"):
        client.batch([GetTierInput(tier_code="free")])


@pytest.mark.parametrize("answer", [{"at": datetime(2025, 1, 2, tzinfo=UTC)}, {1, 2}, object()], ids=words)
def test_answer_that_is_not_json_is_refused(answer: Any) -> None:
    """The error names the function and the procedure, for the function has to be corrected."""
    transport = FunctionTransport(lambda _: answer, name="broken")

    with pytest.raises(TypeError, match=r"<FunctionTransport of .*lambda>> must return JSON for tiers\.list: "):
        ChatarminOS(transport=transport).tiers.list()


def test_answer_of_the_wrong_shape_is_an_invalid_response() -> None:
    """Answers of a function are checked as those of the service are."""
    with pytest.raises(InvalidResponse):
        ChatarminOS(transport=FunctionTransport(lambda _: {"code": 1})).tiers.get("free")


def test_answer_is_not_shared_with_the_function() -> None:
    """A change to an answer does not change the function's own data."""
    data = [{"code": "free"}]

    answer = FunctionTransport(lambda _: data).send(Call("tiers.list", "query"))
    answer[0]["code"] = "pro"

    assert data == [{"code": "free"}]


def test_name_is_that_of_the_class_or_given() -> None:
    """Recordings and reports show the name."""
    assert FunctionTransport(answer_tiers).name == "FunctionTransport"
    assert FunctionTransport(answer_tiers, name="tiers").name == "tiers"
    assert repr(FunctionTransport(answer_tiers)) == "<FunctionTransport of answer_tiers>"


def test_options_are_checked_and_change_nothing() -> None:
    """A function has neither a deadline nor retries."""
    transport = FunctionTransport(answer_tiers)

    assert transport.with_options(timeout=1, max_retries=0) is transport
    with pytest.raises(InvalidInput, match="timeout"):
        transport.with_options(timeout=0)
    assert transport.fingerprint() is None


def test_transport_pickles_and_copies_with_its_function() -> None:
    """A function of a module survives both."""
    transport = FunctionTransport(answer_tiers, name="tiers")

    for copy in (pickle.loads(pickle.dumps(transport)), deepcopy(transport)):  # noqa: S301 - our own
        assert (copy.name, copy.function) == ("tiers", answer_tiers)


def test_function_must_be_callable() -> None:
    """The mistake shows when the transport is made."""
    not_a_function: Any = TIER
    with pytest.raises(TypeError, match="function: must be callable, got an object of type dict"):
        FunctionTransport(not_a_function)
