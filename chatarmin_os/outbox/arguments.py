"""The commands about an outbox and their arguments, for each command line that has them."""

from __future__ import annotations

import threading
from argparse import ArgumentParser, ArgumentTypeError

COMMANDS = {
    "status": "show how much usage waits, and how much will not be sent, by reason",
    "drain": "send the usage that waits",
    "dead": "list the events that will not be sent, with the reasons",
    "revive": "let dead events be sent again; without a key, all of them",
    "discard": "remove dead events for ever",
}
"""The commands, and what they do."""

CODES = "0 success; 1 the service refused the key; 2 wrong usage, or no outbox; 3 no response; 4 events are dead"
"""The exit codes."""

_JSON = "print one JSON document, for programs"
_MAX_SHOWN, _MAX_LIMIT = 100, 2**31 - 1


def add_arguments(parser: ArgumentParser, name: str) -> None:
    """Add the arguments of a command to its parser."""
    if name == "drain":
        parser.add_argument("--follow", action="store_true", help="send usage as it comes, until SIGTERM or Ctrl-C")
        parser.add_argument("--deadline", metavar="SECONDS", type=_seconds, help="send nothing more after so long")
    elif name == "dead":
        parser.add_argument(
            "--limit", metavar="COUNT", type=_count, default=_MAX_SHOWN, help=f"how many at most; default: {_MAX_SHOWN}"
        )
    elif name == "revive":
        parser.add_argument("keys", metavar="KEY", nargs="*", help="the idempotency key of a dead event")
    elif name == "discard":
        parser.add_argument("keys", metavar="KEY", nargs="+", help="the idempotency key of a dead event")
    parser.add_argument("--json", action="store_true", help=_JSON)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= threading.TIMEOUT_MAX:
        raise ArgumentTypeError(f"expected seconds of at least 0, got {text!r}")
    return seconds


def _count(text: str) -> int:
    try:
        count = int(text)
    except ValueError:
        count = 0
    if not 0 < count <= _MAX_LIMIT:
        raise ArgumentTypeError(f"expected a number above 0, got {text!r}")
    return count
