"""Senders whose thread runs in a parent start one in each child, at its first `put`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol
from weakref import WeakKeyDictionary, ref

if TYPE_CHECKING:
    from chatarmin_os.outbox.base import Outbox


class Sender(Protocol):
    """A sender that can be started."""

    def _restart(self) -> None:
        """Start a thread in a child of the process in which it was started."""


_started: WeakKeyDictionary[Sender, ref[Outbox]] = WeakKeyDictionary()


def register(sender: Sender, outbox: Outbox) -> None:
    """Take note of a sender whose thread runs."""
    _started[sender] = ref(outbox)


def forget(sender: Sender) -> None:
    """Take note of its end."""
    _started.pop(sender, None)


def _after_in_child() -> None:
    for reference in list(_started.values()):
        outbox = reference()
        if outbox is not None:
            outbox._restart_senders = _restart


def _restart(outbox: Outbox) -> None:
    if vars(outbox).pop("_restart_senders", None) is None:  # another thread was first
        return
    for sender, reference in list(_started.items()):
        if reference() is outbox:
            sender._restart()


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no forks
    os.register_at_fork(after_in_child=_after_in_child)
