"""The objects that a client notifies of its mutations: which clients share them, and what they cannot spoil."""

from __future__ import annotations

import copy
import gc
import logging
import pickle
import sys
from typing import TYPE_CHECKING, Any

import pytest

from chatarmin_os import ChatarminOS, ConnectionFailed, InvalidResponse, TrackUsageInput
from chatarmin_os._watching import WeakList
from chatarmin_os.transports import FunctionTransport, Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from chatarmin_os.transports import Call

EVENT = TrackUsageInput(company_id="c", feature_code="seats", quantity=1, idempotency_key="event_1")


class Notes:
    """A watcher that keeps what it was notified of."""

    def __init__(self) -> None:
        """Start without notes."""
        self.begun: list[str] = []
        self.ended: list[Any] = []
        self.tokens: list[Any] = []

    def before(self, call: Call) -> str:
        """Keep the path."""
        self.begun.append(call.path)
        return f"token of {call.path}"

    def after(self, token: Any, _: Call, result: Any) -> None:
        """Keep the result."""
        self.tokens.append(token)
        self.ended.append(result)


class Failing(Notes):
    """A watcher whose methods raise an error."""

    def __init__(self, error: BaseException, at: str) -> None:
        """Raise *error* in the method *at*."""
        super().__init__()
        self._error, self._at = error, at

    def before(self, call: Call) -> str:
        """Keep the path, and fail."""
        token = super().before(call)
        if self._at == "before":
            raise self._error
        return token

    def after(self, token: Any, call: Call, result: Any) -> None:
        """Keep the result, and fail."""
        super().after(token, call, result)
        if self._at == "after":
            raise self._error


class Raising(Transport):
    """A transport on which everything ends with the same exception."""

    def __init__(self, error: BaseException) -> None:
        """Prepare the error."""
        self.error = error

    def send(self, _: Call) -> Any:
        """Raise."""
        raise self.error

    def send_many(self, _: Sequence[Call]) -> list[Any]:
        """Raise."""
        raise self.error


@pytest.fixture
def watched() -> ChatarminOS:
    """Return a client that answers each call with null."""
    return ChatarminOS(transport=FunctionTransport(lambda _: None))


# Which clients


@pytest.mark.parametrize("derive", [copy.copy, copy.deepcopy, lambda client: client.with_options(timeout=1)])
@pytest.mark.parametrize("is_derived_first", [False, True], ids=["watched-first", "derived-first"])
def test_clients_of_a_family_share_their_watchers(
    watched: ChatarminOS, derive: Callable[[ChatarminOS], ChatarminOS], *, is_derived_first: bool
) -> None:
    """A watcher of one client watches those derived from it, and those that it is derived from."""
    one, other, notes = watched, derive(watched), Notes()

    (other if is_derived_first else one)._watch(notes)
    for client in (one, other, derive(other)):
        client.call("links.reset")

    assert notes.begun == ["links.reset"] * 3


def test_clients_of_the_same_transport_are_strangers(watched: ChatarminOS) -> None:
    """Another client on the same transport is not watched."""
    notes = Notes()
    watched._watch(notes)

    ChatarminOS(transport=watched.transport).call("links.reset")

    assert notes.begun == []


def test_lazy_client_can_be_watched_before_its_first_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """To watch a lazy client makes no transport; its copies are watched too."""
    monkeypatch.delenv("OS_API_KEY", raising=False)
    client, notes = ChatarminOS.lazy(), Notes()
    client._watch(notes)
    quick = client.with_options(timeout=1)
    assert repr(client) == "<ChatarminOS on no transport yet>"

    client.transport = FunctionTransport(lambda _: None)
    quick.call("links.reset")

    assert notes.begun == ["links.reset"]


def test_resources_are_watched(watched: ChatarminOS) -> None:
    """A resource that was there before its client was watched is watched too."""
    links, notes = watched.links, Notes()
    watched._watch(notes)

    with pytest.raises(InvalidResponse):
        links.reset()

    assert notes.begun == ["links.reset"]


def test_pickled_client_has_no_watchers() -> None:
    """A client pickles whether or not it is watched; what comes out is not watched."""
    client, notes = ChatarminOS(transport=FunctionTransport(_null)), Notes()
    client._watch(notes)

    thawed = pickle.loads(pickle.dumps(client))  # noqa: S301 - our own
    thawed.call("links.reset")

    assert notes.begun == []
    assert not thawed._watchers
    assert len(client._watchers) == 1


def _null(_: Call) -> None:
    return None


def test_watcher_is_held_weakly(watched: ChatarminOS) -> None:
    """A watcher that nobody else holds is gone, and a client without watchers has an empty list of them."""
    kept, lost = Notes(), Notes()
    for watcher in (kept, lost):
        watched._watch(watcher)
    assert len(watched._watchers) == 2

    del lost, watcher
    gc.collect()
    assert len(watched._watchers) == 1

    watched.call("links.reset")
    assert kept.begun == ["links.reset"]


def test_list_may_be_cleared_before_its_objects_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of an object that is in it no more raises nothing, and removes no other one."""
    raised: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", raised.append)
    first, second = Notes(), Notes()
    watchers: WeakList[Notes] = WeakList()
    watchers.add(first)
    kept = watchers.copy()
    watchers.clear()
    watchers.add(second)

    del first
    gc.collect()

    assert raised == []
    assert (watchers.alive(), [reference() for reference in kept]) == ([second], [None])


def test_watcher_is_notified_once(watched: ChatarminOS) -> None:
    """To watch a client twice is to watch it once."""
    notes = Notes()
    watched._watch(notes)
    watched.with_options(timeout=1)._watch(notes)

    watched.call("links.reset")

    assert notes.begun == ["links.reset"]


def test_all_watchers_are_notified(watched: ChatarminOS) -> None:
    """Several watchers are notified, each with the token of its own."""
    one, other = Notes(), Notes()
    for watcher in (one, other):
        watched._watch(watcher)

    watched.call("links.reset")

    assert one.tokens == other.tokens == ["token of links.reset"]


def test_client_of_a_class_that_skips_the_constructor_can_be_watched() -> None:
    """A subclass need not run the constructor: what a client is watched by is made when it is asked for."""

    class Own(ChatarminOS):
        def __init__(self) -> None:
            self.transport = FunctionTransport(lambda _: None)

    client, notes = Own(), Notes()
    client._watch(notes)

    client.call("links.reset")

    assert notes.begun == ["links.reset"]


# What ends a call

ENDS: dict[str, Callable[[ChatarminOS], object]] = {
    "send": lambda client: client.send(EVENT),
    "batch": lambda client: client.batch([EVENT]),
    "call": lambda client: client.call("billing.trackUsage", {}),
}


@pytest.mark.parametrize("act", ENDS.values(), ids=ENDS)
@pytest.mark.parametrize("error", [KeyboardInterrupt(), ConnectionFailed("lost"), ValueError("strange")], ids=repr)
def test_exception_ends_the_call_too(act: Callable[[ChatarminOS], object], error: BaseException) -> None:
    """Whatever ends a call, the watcher gets it, and the caller gets the same."""
    client, notes = ChatarminOS(transport=Raising(error)), Notes()
    client._watch(notes)

    with pytest.raises(type(error)) as raised:
        act(client)

    assert raised.value is error
    assert notes.begun == ["billing.trackUsage"]
    assert notes.ended == [error]


def test_answer_of_the_wrong_type_is_an_error(watched: ChatarminOS) -> None:
    """Where the caller gets an InvalidResponse, so does the watcher, also in a batch."""
    notes = Notes()
    watched._watch(notes)

    with pytest.raises(InvalidResponse) as raised:
        watched.send(EVENT)
    [error] = watched.batch([EVENT])

    assert notes.ended == [raised.value, error]


def test_batch_with_too_few_answers_ends_all_its_calls() -> None:
    """A transport that does not answer every call of a batch ends each with the same error."""

    class Forgetful(Transport):
        def send(self, call: Call) -> Any:
            raise AssertionError(call)

        def send_many(self, calls: Sequence[Call]) -> list[Any]:
            return [None] * (len(calls) - 1)

    client, notes = ChatarminOS(transport=Forgetful()), Notes()
    client._watch(notes)

    with pytest.raises(TypeError) as raised:
        client.batch([EVENT, EVENT])

    assert notes.ended == [raised.value, raised.value]


# What a watcher cannot spoil


@pytest.mark.parametrize("at", ["before", "after"])
@pytest.mark.parametrize("act", ENDS.values(), ids=ENDS)
def test_error_of_a_watcher_is_logged(
    caplog: pytest.LogCaptureFixture, at: str, act: Callable[[ChatarminOS], object]
) -> None:
    """An error of a watcher harms neither the call nor other watchers; one whose beginning failed gets no token."""
    answer = {"currentUsage": 1, "remaining": 9, "billableQuantity": 0, "isAtLimit": False}
    client = ChatarminOS(transport=FunctionTransport(lambda _: answer))
    failing, notes = Failing(ValueError("of the watcher"), at), Notes()
    for watcher in (failing, notes):
        client._watch(watcher)

    act(client)

    [record] = caplog.records
    assert (record.name, record.levelno) == ("chatarmin_os", logging.ERROR)
    assert "of the watcher" in caplog.text
    assert notes.ended == failing.ended == [answer]
    assert failing.tokens == [None if at == "before" else "token of billing.trackUsage"]


def test_interrupt_of_a_watcher_ends_the_call() -> None:
    """An interrupt while watchers are notified of the beginning passes, and nothing is sent."""
    calls: list[Call] = []
    client = ChatarminOS(transport=FunctionTransport(calls.append))
    interrupt = KeyboardInterrupt()
    first, interrupted, last = Notes(), Failing(interrupt, "before"), Notes()
    for watcher in (first, interrupted, last):
        client._watch(watcher)

    with pytest.raises(KeyboardInterrupt):
        client.call("links.reset")

    assert calls == []
    assert first.ended == interrupted.ended == [interrupt]
    assert (first.tokens, interrupted.tokens) == (["token of links.reset"], [None])
    assert last.begun == last.ended == []


def test_interrupt_at_the_end_skips_no_watcher(watched: ChatarminOS) -> None:
    """An interrupt while watchers are notified of the end passes; the others are notified, and none twice."""
    interrupt = KeyboardInterrupt()
    first, interrupted, last = Notes(), Failing(interrupt, "after"), Notes()
    for watcher in (first, interrupted, last):
        watched._watch(watcher)

    with pytest.raises(KeyboardInterrupt):
        watched.call("links.reset")

    assert first.ended == interrupted.ended == [None]
    assert last.ended == [interrupt]
