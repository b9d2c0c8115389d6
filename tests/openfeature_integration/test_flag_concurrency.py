"""Threads, event loops and forks."""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from flag_world import LISTING, ORG, FlagWorld
from openfeature import api
from openfeature.evaluation_context import EvaluationContext
from openfeature.event import ProviderEvent
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import Reason
from openfeature.transaction_context import ContextVarsTransactionContextPropagator
from waiting import PATIENCE

if TYPE_CHECKING:
    from chatarmin_os.transports import Call

pytestmark = pytest.mark.usefixtures("clean_sdk")

ASYNC: list[tuple[str, str, Any, Any]] = [
    ("boolean", "sso", False, True),
    ("string", "exports:format", "", "xlsx"),
    ("integer", "credits", 0, 100),
    ("float", "credits", 0.0, 100.0),
    ("object", "exports:page", {}, {"size": 20}),
]


@pytest.mark.parametrize(("kind", "key", "default", "value"), ASYNC)
def test_async_evaluation_has_the_same_value(shop: FlagWorld, kind: str, key: str, default: Any, value: Any) -> None:
    """Each type is evaluated in a thread; exactly the same is returned."""
    evaluate = getattr(shop.flags, f"get_{kind}_details_async")

    found = asyncio.run(evaluate(key, default, ORG))

    assert (found.value, type(found.value), found.reason) == (value, type(value), Reason.TARGETING_MATCH)


@pytest.mark.parametrize(("kind", "default"), [("boolean", True), ("integer", 7), ("float", 7.5), ("string", "own")])
def test_async_error_is_the_default(shop: FlagWorld, kind: str, default: Any) -> None:
    """A mismatch is the caller's default there too, although the SDK ignores it for an error in the details."""
    key = "exports:rows" if kind in {"boolean", "string"} else "exports:format"

    found = asyncio.run(getattr(shop.flags, f"get_{kind}_details_async")(key, default, ORG))

    assert (found.value, found.error_code) == (default, ErrorCode.TYPE_MISMATCH)


def test_event_loop_runs_while_the_gate_waits(shop: FlagWorld) -> None:
    """A service that does not answer stops no other task."""
    go_on = threading.Event()
    send = shop.fake.send

    def wait(call: Call) -> Any:
        assert go_on.wait(PATIENCE)
        return send(call)

    shop.fake.send = wait  # type: ignore[method-assign]

    async def both() -> bool:
        evaluation = asyncio.create_task(shop.flags.get_boolean_value_async("sso", False, ORG))
        await asyncio.sleep(0)
        go_on.set()  # only a loop that runs gets here
        return await evaluation

    assert asyncio.run(both()) is True


def test_context_of_a_transaction_is_that_of_the_task(shop: FlagWorld) -> None:
    """Two tasks with transactions of their own never get the answer for the other's organisation."""
    api.set_transaction_context_propagator(ContextVarsTransactionContextPropagator())

    async def sso(organisation: str) -> bool:
        api.set_transaction_context(EvaluationContext(organisation))
        await asyncio.sleep(0)
        return await shop.flags.get_boolean_value_async("sso", False)

    async def many() -> list[bool]:
        return await asyncio.gather(*(sso(f"org_{1 + number % 2}") for number in range(40)))

    assert asyncio.run(many()) == [True, False] * 20


def test_many_threads_get_the_answer_of_their_organisation(shop: FlagWorld) -> None:
    """Threads share a provider, and one request per organisation."""
    paths: list[str] = []
    send = shop.fake.send

    def counted(call: Call) -> Any:
        paths.append(call.path)
        return send(call)

    shop.fake.send = counted  # type: ignore[method-assign]

    def evaluate(number: int) -> tuple[bool, int]:
        context = EvaluationContext(f"org_{1 + number % 2}")
        return shop.flags.get_boolean_value("sso", False, context), shop.flags.get_integer_value("credits", 7, context)

    with ThreadPoolExecutor(16) as threads:
        found = list(threads.map(evaluate, range(400)))

    assert found == [(True, 100), (False, 0)] * 200
    assert paths == [LISTING] * 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs forks")
def test_forked_child_evaluates(shop: FlagWorld) -> None:
    """A worker that was forked after registration has the provider, and the answers."""
    assert shop.flags.get_boolean_value("sso", False, ORG) is True
    child = os.fork()
    if child == 0:  # pragma: no cover - in the child
        found = shop.flags.get_boolean_details("sso", False, ORG)
        os._exit(0 if (found.value, found.reason) == (True, Reason.CACHED) else 1)

    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs forks")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_child_that_was_forked_during_an_event_emits_the_next(shop: FlagWorld) -> None:
    """The thread of the parent that was emitting does not exist in the child, and holds nothing there."""
    emitted: list[ProviderEvent] = []
    is_emitting, has_forked = threading.Event(), threading.Event()

    def emit(_: Any, event: ProviderEvent, __: Any) -> None:
        emitted.append(event)
        if event is ProviderEvent.PROVIDER_STALE:
            is_emitting.set()
            has_forked.wait(PATIENCE)

    shop.flags.get_boolean_value("sso", False, ORG)
    shop.provider.attach(emit)
    shop.make_old()
    shop.break_down("TOO_MANY_REQUESTS")
    thread = threading.Thread(target=shop.flags.get_boolean_value, args=("sso", False, ORG))
    thread.start()
    assert is_emitting.wait(PATIENCE)
    child = os.fork()
    if child == 0:  # pragma: no cover - in the child
        shop.recover()
        shop.make_old(400)
        shop.gate.warm(["org_1"])
        os._exit(0 if emitted[-1] is ProviderEvent.PROVIDER_READY else 1)
    has_forked.set()
    thread.join(PATIENCE)

    assert os.waitpid(child, 0)[1] == 0
