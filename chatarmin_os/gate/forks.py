"""Forks: a child's copy of a lock that another thread holds would stay locked for ever.

The thread that forks takes the locks of all gates before, so that the child finds their data whole, and makes new
locks.
"""

from __future__ import annotations

import os
import threading
from weakref import WeakSet

from chatarmin_os.gate.state import State

_lock = threading.Lock()
_states: WeakSet[State] = WeakSet()
_held: list[State] = []


def register(state: State) -> None:
    """Keep the state of a gate usable in forked children, as long as it exists."""
    with _lock:
        _states.add(state)


def _before() -> None:
    _lock.acquire()
    _held.extend(_states)
    for state in _held:
        state.lock.acquire()


def _after_in_parent() -> None:
    while _held:
        _held.pop().lock.release()
    _lock.release()


def _after_in_child() -> None:
    global _lock  # noqa: PLW0603 - each process has one
    _lock = threading.Lock()
    while _held:
        state = _held.pop()
        state.renew_lock()
        state.become_child()


if hasattr(os, "register_at_fork"):  # pragma: no branch - not on Windows, which has no forks
    os.register_at_fork(before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
