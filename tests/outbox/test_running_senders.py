"""Senders that run: in the main thread until SIGTERM, or in a thread of their own."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from outbox_world import Batches, World, nobody, refuse
from waiting import PATIENCE, until

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


def _wait(event: threading.Event) -> None:
    assert event.wait(PATIENCE), "it was not set"


def _join(thread: threading.Thread | None) -> None:
    assert thread is not None
    thread.join(PATIENCE)
    assert not thread.is_alive(), "the thread did not end"


def test_run_delivers_until_it_is_stopped(world: World) -> None:
    """Events are delivered as they come, until the event is set."""
    stop = threading.Event()
    thread = threading.Thread(target=Sender(world.client, world.outbox).run, kwargs={"poll": 0.01, "stop": stop})
    thread.start()
    world.put()
    until(lambda: world.usage() == 1)
    world.put()
    until(lambda: world.usage() == 2)
    stop.set()
    _join(thread)


def test_several_batches_share_a_lease_and_a_commit(world: World, tmp_path: Path) -> None:
    """What became of the events of a lease is written down with the next lease."""
    transactions: list[str] = []

    class Noting(SQLiteOutbox):
        def _claim(self, *arguments: Any, **options: Any) -> Any:
            transactions.append("claim")
            return super()._claim(*arguments, **options)

        def _apply(self, *arguments: Any, **options: Any) -> Any:
            transactions.append("apply")
            return super()._apply(*arguments, **options)

    with Noting(tmp_path / "noting.db", synchronous="normal") as world.outbox:
        world.put(1000)
        report = Sender(world.client, world.outbox).drain()

    assert (report.counted, report.requests) == (1000, 20)
    assert transactions == ["claim"] * 5  # of 100, 200, 400, 300 and no events


_PROGRAM = """
import socket, sys, threading
from chatarmin_os import ChatarminOS
from chatarmin_os.outbox import Sender, SQLiteOutbox

listener = socket.create_server(("127.0.0.1", 0))
outbox = SQLiteOutbox(sys.argv[1])
outbox.put(company_id="comp_1", feature_code="ai_credit", quantity=1)
client = ChatarminOS("os_sk_test", base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=600)
Sender(client, outbox).start()
connection, _ = listener.accept()
connection.recv(1)
print("the request is under way")
"""


@pytest.mark.slow
def test_started_sender_keeps_no_process_alive(tmp_path: Path) -> None:
    """A process ends while a request is under way that nobody answers; the event stays."""
    command = [sys.executable, "-c", _PROGRAM, str(tmp_path / "usage.db")]

    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)  # noqa: S603 - our program

    assert (done.stdout, done.stderr) == ("the request is under way\n", "")
    with SQLiteOutbox(tmp_path / "usage.db") as outbox:
        assert outbox.stats().leased == 1


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
    Sender(world.client, world.outbox).run(poll=PATIENCE, stop=stop)

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


def test_outbox_that_stays_unavailable_is_logged_once(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """A sender that polls each second logs the first failure, and the next one only after the outbox worked again."""
    stop = threading.Event()
    turns = iter([False, False, False, True, False, False])

    class Busy(SQLiteOutbox):
        def _waiting(self) -> tuple[int, float | None]:
            works = next(turns, None)
            if works is None:
                stop.set()
            elif not works:
                raise OutboxUnavailable("the outbox is busy")
            return super()._waiting()

    Sender(world.client, Busy(world.outbox._file.path)).run(poll=0.001, stop=stop)  # type: ignore[attr-defined]

    assert caplog.messages == ["the outbox is busy"] * 2


def test_defect_that_stays_is_logged_once(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """A thread that fails at each poll logs another kind of error, and the same one only after a success."""
    stop = threading.Event()
    errors: list[Exception | None] = [ZeroDivisionError(), ZeroDivisionError(), OutboxUnavailable("busy")]
    turns = iter([*errors, ZeroDivisionError(), None, ZeroDivisionError()])

    class Defective(SQLiteOutbox):
        def _waiting(self) -> tuple[int, float | None]:
            error = next(turns, stop)
            if isinstance(error, Exception):
                raise error
            if error is stop:
                stop.set()
            return super()._waiting()

    sender = Sender(world.client, Defective(world.outbox._file.path))  # type: ignore[attr-defined]
    sender._poll = 0.001
    sender._run_on(stop)

    defect = "the sender of the outbox failed; it goes on"
    assert caplog.messages == [defect, "busy", defect, defect]


def test_thread_delivers_until_it_is_stopped(world: World) -> None:
    """A started sender delivers; stopping it twice, or starting it twice, does nothing more."""
    sender = Sender(world.client, world.outbox)
    sender.start(poll=0.01)
    sender.start(poll=0.01)
    assert [thread.name for thread in threading.enumerate()].count("chatarmin_os-outbox") == 1
    assert sender._thread is not None
    assert sender._thread.daemon
    world.put()
    until(lambda: world.usage() == 1)
    sender.stop()
    sender.stop(deadline=0)
    assert not sender._thread.is_alive()
    world.put()
    assert world.outbox.stats().ready == 1

    sender.start(poll=0.01)
    until(lambda: world.usage() == 2)
    sender.stop()


def _start_with_a_request_under_way(world: World) -> tuple[Sender, threading.Event]:
    """Start a sender of 60 events, and return it and the event that ends its first request."""
    begun, end = threading.Event(), threading.Event()

    def wait(_: Sequence[Call]) -> None:
        begun.set()
        _wait(end)

    world.put(60)
    sender = Sender(ChatarminOS(transport=Batches(world.fake, wait)), world.outbox)
    sender.start(poll=0.01)
    _wait(begun)
    return sender, end


def test_stop_waits_for_the_request_under_way(world: World) -> None:
    """The request under way ends, its answer is written down, and nothing more is drained."""
    sender, end = _start_with_a_request_under_way(world)
    sender.stop(deadline=0.01)
    assert sender._thread is not None
    assert sender._thread.is_alive()
    end.set()
    _join(sender._thread)

    assert (world.usage(), world.outbox.stats().ready, world.outbox.stats().leased) == (50, 10, 0)


def test_start_after_stop_starts_another_thread(world: World) -> None:
    """A sender that is started while the last request of its former thread is under way delivers again."""
    sender, end = _start_with_a_request_under_way(world)
    former = sender._thread
    sender.stop(deadline=0)
    sender.start(poll=0.01)
    end.set()
    _join(former)
    until(lambda: world.usage() == 60)
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
        (logging.ERROR, "the sender of the outbox ends: UNAUTHORIZED: no such key")
    ]
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
    until(lambda: world.usage() == 60)
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
    signal.alarm(int(PATIENCE))  # ends a child that hangs
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
            until(lambda: world.outbox.stats().ready == 0)
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
    until(lambda: world.usage() == 1)
    for each in (sender, others):
        each.stop()


def test_thread_that_ended_is_started_in_a_child(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Whether the service accepts the key may have changed, so that each child finds it out itself, once."""
    answers = iter([refuse("UNAUTHORIZED"), refuse("UNAUTHORIZED")])

    def answer(calls: Sequence[Call]) -> Any:
        refusal = next(answers, None)
        return refusal and refusal(calls)

    sender = Sender(ChatarminOS(transport=Batches(world.fake, answer)), world.outbox)
    world.put()
    sender.start(poll=0.01)
    _join(sender._thread)

    forks._after_in_child()
    world.put()
    _join(sender._thread)
    world.put()  # starts none: this is the same process
    assert world.usage() == 0
    forks._after_in_child()
    world.put()
    until(lambda: world.usage() == 4)
    sender.stop()

    assert len([record for record in caplog.records if record.levelno == logging.ERROR]) == 2


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
