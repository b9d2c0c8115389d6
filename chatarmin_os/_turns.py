"""One thread at a time is inside a file, and none of them while the process forks."""

from __future__ import annotations

import os
import threading
import weakref
from typing import Protocol

from chatarmin_os._clock import monotonic
from chatarmin_os._sqlite_errors import IN_USE, FileInUseError


class Turns:
    """A lock that a thread does not take twice: a signal handler that interrupts a turn of its thread is refused.

    It is an `RLock`, so that no moment exists at which such a handler waits for its own thread.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._is_taken = False

    def take(self, seconds: float) -> float:
        """Wait for the turn, and return the seconds that are left.

        Raises:
            FileInUseError: Others had it for so long, or this thread has it.
        """
        if not self._lock.acquire(blocking=False):
            end = monotonic() + seconds
            if not self._lock.acquire(timeout=min(seconds, threading.TIMEOUT_MAX)):
                raise FileInUseError(IN_USE)
            seconds = max(0.0, end - monotonic())
        if self._is_taken:
            self._lock.release()
            raise FileInUseError("this thread was interrupted while it used it; do not use it in a signal handler")
        self._is_taken = True
        return seconds

    def end(self) -> None:
        """End the turn of this thread."""
        self._is_taken = False
        self._lock.release()

    def pause(self) -> bool:
        """Wait until no other thread has a turn, and keep them out; return whether this thread has none either."""
        self._lock.acquire()
        return not self._is_taken

    def go_on(self) -> None:
        """End a pause."""
        self._lock.release()


class Member(Protocol):
    """An object that no thread may be inside of while the process forks."""

    def pause(self) -> None:
        """Keep all threads out, and close the connections that a child must not share."""

    def go_on(self, *, is_child: bool) -> None:
        """Let threads in again."""


_registry = threading.RLock()  # held during a fork: a new member waits until then
_members: weakref.WeakSet[Member] = weakref.WeakSet()
_paused: list[list[Member]] = []  # by each fork under way: a signal handler may fork while another fork begins


def pause_at_forks(member: Member) -> None:
    """Pause *member* while the process forks."""
    with _registry:
        _members.add(member)


def _before_fork() -> None:
    _registry.acquire()
    members: list[Member] = []
    _paused.append(members)
    for member in list(_members):
        member.pause()
        members.append(member)


def _after_fork(*, is_child: bool) -> None:
    for member in reversed(_paused.pop()):
        member.go_on(is_child=is_child)
    _registry.release()


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no forks
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=lambda: _after_fork(is_child=False),
        after_in_child=lambda: _after_fork(is_child=True),
    )
