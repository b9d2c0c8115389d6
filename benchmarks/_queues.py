"""Calls of other libraries that queue an event in memory for a thread, which sends it to a server on loopback."""

from __future__ import annotations

import logging
from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

FEATURE, ORGANISATION = "ai_credit", "org_1"
_MAX_WAITING = 1_000_000  # more than a benchmark makes: a full queue drops events at once

ANSWERS = {"/batch/": {"status": 1}, "/v1/batch": {"success": True}, "/batch": {"data": {}}}
"""The answers of the server, by path."""


class Queue(NamedTuple):
    """A queue of another library.

    Attributes:
        name: Its name, with its version and the call.
        put: Adds an event.
        flush: Waits until all are sent.
    """

    name: str
    put: Callable[[], object]
    flush: Callable[[], object]


def queues(url: str) -> tuple[dict[str, Queue], list[str]]:
    """Return the queues of the libraries that are installed, by library, and the names of those that are not."""
    found: dict[str, Queue] = {}
    missing = []
    for distribution, (prepared, call) in _PEERS.items():
        try:
            put, flush = prepared(url)
        except ImportError:
            missing.append(f"`{distribution}`")
        else:
            release = ".".join(version(distribution).split(".")[:2])
            found[distribution] = Queue(f"`{call}` of {distribution} {release}, in memory", put, flush)
    return found, missing


def _posthog(url: str) -> tuple[Callable[[], object], Callable[[], object]]:
    client = import_module("posthog").Posthog("benchmark", host=url, max_queue_size=_MAX_WAITING, max_retries=0)
    return (
        lambda: client.capture(FEATURE, distinct_id=ORGANISATION, properties={"quantity": 5}),
        client.flush,
    )


def _segment(url: str) -> tuple[Callable[[], object], Callable[[], object]]:
    library = import_module("segment.analytics.client")
    client = library.Client("benchmark", host=url, max_queue_size=_MAX_WAITING, max_retries=0)
    return lambda: client.track(ORGANISATION, FEATURE, {"quantity": 5}), client.flush


def _schematic(url: str) -> tuple[Callable[[], object], Callable[[], object]]:
    library = import_module("schematic.client")
    quiet = logging.getLogger("schematic_benchmark")
    quiet.disabled = True
    config = library.SchematicConfig(base_url=url, event_capture_url=url, logger=quiet)
    client = library.Schematic("benchmark", config)
    return (
        lambda: client.track(FEATURE, company={"id": ORGANISATION}, quantity=5),
        client.event_buffer._flush,  # noqa: SLF001 - it has no public one
    )


_PEERS: dict[str, tuple[Callable[[str], tuple[Callable[[], object], Callable[[], object]]], str]] = {
    "posthog": (_posthog, "capture"),
    "segment-analytics-python": (_segment, "track"),
    "schematichq": (_schematic, "track"),
}
