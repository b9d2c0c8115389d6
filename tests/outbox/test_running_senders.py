"""Senders that run: in the main thread until SIGTERM, or in a thread of their own."""

from __future__ import annotations

import logging
import os
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from outbox_world import Batches, World, nobody, refuse

from chatarmin_os import ApiError, ChatarminOS, InvalidInput, InvalidResponse, NotFoundError, UnauthorizedError
from chatarmin_os.outbox import OutboxUnavailable, Sender, SQLiteOutbox, UsageEvent, forks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from chatarmin_os.transports import Call


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Return a world with an outbox in a file, on the real clock."""
    world = World()
    with SQLiteOutbox(tmp_path / "usage.db", synchronous="normal") as world.outbox:
        yield world


SECONDS = 30.0


def _wait(event: threading.Event) -> None:
    assert event.wait(SECONDS), "it was not set"


def _join(thread: threading.Thread | None) -> None:
    assert thread is not None
    thread.join(SECONDS)
    assert not thread.is_alive(), "the thread did not end"


def _until(condition: Callable[[], bool]) -> None:
    for _ in range(2000):
        if condition():
            return
        threading.Event().wait(0.005)
    pytest.fail("it did not happen within ten seconds")


def test_run_delivers_until_it_is_stopped(world: World) -> None:
    """Events are delivered as they come, until the event is set."""
    stop = threading.Event()
    thread = threading.Thread(target=Sender(world.client, world.outbox).run, kwargs={"poll": 0.01, "stop": stop})
    thread.start()
    world.put()
    _until(lambda: world.usage() == 1)
    world.put()
    _until(lambda: world.usage() == 2)
    stop.set()
    _join(thread)


def test_run_ends_at_sigterm(world: World) -> None:
    """SIGTERM ends it after the request under way, and its former handler is back afterwards."""
    handler = signal.getsignal(signal.SIGTERM)
    world.put(120)

    def terminate(_: Sequence[Call]) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    Sender(ChatarminOS(transport=Batches(world.fake, terminate)), world.outbox).run(poll=0.01)

    assert signal.getsignal(signal.SIGTERM) is handler
    assert (world.outbox.stats().ready, world.outbox.stats().leased) == (70, 0)
    assert world.usage() == 50


def test_run_ends_at_sigterm_while_it_waits(world: World) -> None:
    """The handler of SIGTERM takes no lock that the interrupted thread may hold: that would be a deadlock."""
    setters = []

    class Stop(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            os.kill(os.getpid(), signal.SIGTERM)
            return super().wait(timeout)

        def set(self) -> None:
            setters.append(threading.get_ident())
            super().set()

    stop = Stop()
    Sender(world.client, world.outbox).run(poll=SECONDS, stop=stop)

    assert stop.is_set()
    assert threading.get_ident() not in setters


@pytest.mark.parametrize("handler", [signal.SIG_IGN, signal.SIG_DFL, lambda *_: None])
def test_run_restores_any_handler(world: World, handler: Any) -> None:
    """The handler of SIGTERM is that of the application again, also after an error."""
    before = signal.signal(signal.SIGTERM, handler)
    try:
        world.put()
        with pytest.raises(UnauthorizedError):
            Sender(ChatarminOS(transport=Batches(world.fake, refuse("UNAUTHORIZED"))), world.outbox).run()
        assert signal.getsignal(signal.SIGTERM) is handler
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (refuse("UNAUTHORIZED"), UnauthorizedError),
        (lambda calls: [InvalidResponse("a page", http_status=401) for _ in calls], UnauthorizedError),
        (refuse("NOT_FOUND", 'No procedure found on path "billing.trackUsage"'), NotFoundError),
    ],
)
def test_run_raises_if_the_key_is_refused(world: World, answer: Any, error: type[ApiError]) -> None:
    """A wrong key ends it with the service's error, and nothing is lost."""
    world.put(3)

    with pytest.raises(error) as caught:
        Sender(ChatarminOS(transport=Batches(world.fake, answer)), world.outbox).run()

    assert caught.value.request is None  # the key is wrong, whatever the request is
    assert world.outbox.stats().ready == 3


def test_run_survives_an_outbox_that_is_unavailable(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """A busy outbox is one ERROR until it answers again, and the sender goes on."""
    stop = threading.Event()
    busy = OutboxUnavailable("the outbox is busy")
    turns = iter([busy, busy, None, busy])

    class Busy(SQLiteOutbox):
        def _waiting(self) -> tuple[int, float | None]:
            turn = next(turns, stop)
            if turn is busy:
                raise busy
            if turn is stop:
                stop.set()
            return super()._waiting()

    world.put()
    Sender(world.client, Busy(world.outbox._file.path)).run(poll=0.001, stop=stop)  # type: ignore[attr-defined]

    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.ERROR, "the outbox is busy")
    ] * 2


def test_thread_delivers_until_it_is_stopped(world: World) -> None:
    """A started sender delivers; stopping it twice, or starting it twice, does nothing more."""
    sender = Sender(world.client, world.outbox)
    sender.start(poll=0.01)
    sender.start(poll=0.01)
    assert [thread.name for thread in threading.enumerate()].count("chatarmin_os-outbox") == 1
    assert sender._thread is not None
    assert sender._thread.daemon
    world.put()
    _until(lambda: world.usage() == 1)
    sender.stop()
    sender.stop(deadline=0)
    assert not sender._thread.is_alive()
    world.put()
    assert world.outbox.stats().ready == 1

    sender.start(poll=0.01)
    _until(lambda: world.usage() == 2)
    sender.stop()


def test_stop_waits_for_the_request_under_way(world: World) -> None:
    """The request under way ends, its answer is written down, and nothing more is drained."""
    begun, end = threading.Event(), threading.Event()

    def wait(_: Sequence[Call]) -> None:
        begun.set()
        _wait(end)

    world.put(60)
    sender = Sender(ChatarminOS(transport=Batches(world.fake, wait)), world.outbox)
    sender.start(poll=0.01)
    _wait(begun)
    sender.stop(deadline=0.01)
    assert sender._thread is not None
    assert sender._thread.is_alive()
    end.set()
    _join(sender._thread)

    assert (world.usage(), world.outbox.stats().ready, world.outbox.stats().leased) == (50, 10, 0)


def test_start_after_stop_starts_another_thread(world: World) -> None:
    """A sender that is started while the last request of its former thread is under way delivers again."""
    begun, end = threading.Event(), threading.Event()

    def wait(_: Sequence[Call]) -> None:
        begun.set()
        _wait(end)

    world.put(60)
    sender = Sender(ChatarminOS(transport=Batches(world.fake, wait)), world.outbox)
    sender.start(poll=0.01)
    _wait(begun)
    former = sender._thread
    sender.stop(deadline=0)
    sender.start(poll=0.01)
    end.set()
    _join(former)
    _until(lambda: world.usage() == 60)
    sender.stop()


def test_no_thread_starts_by_itself(world: World) -> None:
    """Neither an outbox nor a sender has a thread until it is started; one that was not started can be stopped."""
    before = set(threading.enumerate())
    sender = Sender(world.client, world.outbox)
    world.put()
    sender.drain()
    sender.stop()

    assert set(threading.enumerate()) <= before  # one of an earlier test may have ended


def test_thread_ends_if_its_key_is_refused(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """It ends with an ERROR, and the events stay."""
    world.put()
    sender = Sender(ChatarminOS(transport=Batches(world.fake, refuse("UNAUTHORIZED", "no such key"))), world.outbox)
    sender.start()
    _join(sender._thread)

    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.ERROR, "the sender of the outbox ends: UNAUTHORIZED: no such key [billing.trackUsage]")
    ] or caplog.messages == ["the sender of the outbox ends: UNAUTHORIZED: no such key"]
    assert world.outbox.stats().ready == 1


def test_thread_survives_a_defect(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """An error that is none of the package is logged, and the thread goes on."""
    turns = iter([ZeroDivisionError("a defect")])

    def fail(_: Sequence[Call]) -> None:
        error = next(turns, None)
        if error:
            raise error

    world.put(60)
    sender = Sender(ChatarminOS(transport=Batches(world.fake, fail)), world.outbox, lease=0.05)
    sender.start(poll=0.01)
    _until(lambda: world.usage() == 60)
    sender.stop()

    assert caplog.messages == ["the sender of the outbox failed; it goes on"]


@contextmanager
def _forked() -> Iterator[bool]:
    """Run the block in a child, which ends with it; the parent skips it and waits."""
    child = os.fork()
    if child:
        yield False
        _, status = os.waitpid(child, 0)
        assert status == 0
        return
    code = 1
    signal.alarm(int(SECONDS))  # ends a child that hangs
    try:
        yield True
        code = 0
    finally:
        os._exit(code)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # Python 3.12 warns of threads
def test_started_sender_starts_again_in_a_child(world: World) -> None:
    """A child of a process with a started sender starts one at its first `put`, and only then."""
    sender, stopped = Sender(world.client, world.outbox), Sender(world.client, world.outbox)
    stopped.start(poll=0.01)
    stopped.stop()
    sender.start(poll=0.01)
    with _forked() as is_child:
        if is_child:
            assert threading.active_count() == 1
            world.put()
            assert threading.active_count() == 2
            world.outbox.put_many([])
            _until(lambda: world.outbox.stats().ready == 0)
            world.put()
            assert threading.active_count() == 2
            sender.stop()
    with _forked() as is_child:
        if is_child:
            _put_many(world)
            assert threading.active_count() == 2
    sender.stop()
    with _forked() as is_child:
        if is_child:
            world.put()
            assert threading.active_count() == 1


@pytest.mark.parametrize("many", [False, True])
def test_first_put_of_a_child_starts_the_senders_of_its_outbox(world: World, tmp_path: Path, many: bool) -> None:  # noqa: FBT001
    """What a child does, in this process: senders of another outbox are left for that one's first `put`."""
    sender, other = Sender(world.client, world.outbox), SQLiteOutbox(tmp_path / "other.db", synchronous="normal")
    gone = Sender(world.client, SQLiteOutbox(tmp_path / "gone.db"))
    others = Sender(world.client, other)
    for each in (sender, others, gone):
        each.start(poll=0.01)
        each._stop.set()  # as in a child, which has none of its parent's threads
        _join(each._thread)
    gone.stop()
    gone._outbox = other
    forks._after_in_child()

    if many:
        _put_many(world)
    else:
        world.put()

    thread = sender._thread
    assert thread is not None
    assert thread.is_alive()
    forks._restart(world.outbox)  # another thread that put at the same time comes second
    assert sender._thread is thread
    assert not others._thread.is_alive()  # type: ignore[union-attr]
    _until(lambda: world.usage() == 1)
    for each in (sender, others):
        each.stop()


def test_outbox_that_is_gone_has_no_senders(world: World) -> None:
    """A sender whose outbox does not exist any more is not started."""
    sender = Sender(world.client, world.outbox)
    forks.register(sender, SQLiteOutbox(world.outbox._file.path))  # type: ignore[attr-defined]
    forks._after_in_child()

    world.put()

    assert sender._thread is None
    forks.forget(sender)


def _put_many(world: World) -> None:
    event = UsageEvent(company_id=world.company, feature_code="ai_credit", quantity=1)
    world.outbox.put_many([event])


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"batch": 0}, "batch"),
        ({"batch": 1.5}, "batch"),
        ({"lease": 0}, "lease"),
        ({"lease": "30"}, "lease"),
        ({"window": 24}, "window"),
    ],
)
def test_settings_of_a_sender_are_checked(world: World, values: dict[str, Any], field: str) -> None:
    """The error names the argument."""
    with pytest.raises(InvalidInput) as caught:
        Sender(world.client, world.outbox, **values)

    assert caught.value.field == field


def test_arguments_of_a_sender_are_checked(world: World) -> None:
    """A client, an outbox, and times that make sense."""
    sender = Sender(nobody(), world.outbox)
    assert repr(sender).startswith("<Sender from <SQLiteOutbox in ")
    with pytest.raises(TypeError, match="client: expected a"):
        Sender("client", world.outbox)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="outbox: expected an Outbox"):
        Sender(world.client, "outbox")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="gate: expected a"):
        Sender(world.client, world.outbox, gate="gate")
    calls: list[tuple[Callable[..., Any], str]] = [
        (lambda: sender.drain(deadline=-1), "deadline"),
        (lambda: sender.drain(limit=0), "limit"),
        (lambda: sender.run(poll=0), "poll"),
        (lambda: sender.start(poll=-1), "poll"),
        (lambda: sender.stop(deadline=-1), "deadline"),
        (lambda: sender.stop(deadline=1e300), "deadline"),
        (lambda: sender.start(poll=1e300), "poll"),
    ]
    for call, field in calls:
        with pytest.raises(InvalidInput) as caught:
            call()
        assert caught.value.field == field
