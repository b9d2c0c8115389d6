"""Turns of threads, and pauses while the process forks."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from chatarmin_os import _turns
from chatarmin_os._sqlite_errors import FileInUseError
from chatarmin_os._turns import Turns


def test_one_thread_at_a_time_has_the_turn() -> None:
    """Another one waits as long as it was asked to, and gets the turn once the first has ended it."""
    turns = Turns()
    assert turns.take(9) == 9
    with ThreadPoolExecutor() as pool:
        with pytest.raises(FileInUseError, match="in use by another process"):
            pool.submit(turns.take, 0.01).result()
        waiting = pool.submit(turns.take, 60)
        turns.end()
        assert waiting.result() <= 60
        pool.submit(turns.end).result()


def test_turn_is_not_taken_twice() -> None:
    """A signal handler that interrupts the turn of its own thread is refused at once, and the turn goes on."""
    turns = Turns()
    turns.take(60)
    with pytest.raises(FileInUseError, match="do not use it in a signal handler"):
        turns.take(60)
    turns.end()

    assert turns.take(0) == 0


class _Member:
    def __init__(self) -> None:
        self.events: list[str] = []

    def pause(self) -> None:
        self.events.append("pause")

    def go_on(self, *, is_child: bool) -> None:
        self.events.append("child" if is_child else "parent")


def test_member_is_paused_while_the_process_forks() -> None:
    """It goes on in the parent and in the child; also after a fork of a signal handler that runs during a fork."""
    member = _Member()
    _turns.pause_at_forks(member)
    _turns._before_fork()
    _turns._before_fork()
    _turns._after_fork(is_child=False)
    _turns._after_fork(is_child=True)
    assert member.events == ["pause", "pause", "parent", "child"]


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_fork_pauses_members() -> None:
    """The functions above run at each fork."""
    member = _Member()
    _turns.pause_at_forks(member)
    child = os.fork()
    if not child:
        os._exit(member.events != ["pause", "child"])
    assert os.waitpid(child, 0)[1] == 0
    assert member.events == ["pause", "parent"]
