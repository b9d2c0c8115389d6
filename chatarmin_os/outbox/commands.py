"""The commands about an outbox: of `chatarmin-os outbox`, `manage.py chatarmin_outbox` and `flask chatarmin outbox`.

A command line adds the commands to its parser, opens its outbox, and prints the answer:

    parts = parser.add_subparsers(dest="command", required=True)
    for name, purpose in COMMANDS.items():  # of chatarmin_os.outbox.arguments
        add_arguments(parts.add_parser(name, help=purpose), name)
    given = parser.parse_args(...)
    answer = run(given.command, vars(given), outbox, client=lambda: client)
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any

from chatarmin_os.client import ChatarminOS
from chatarmin_os.outbox import report
from chatarmin_os.outbox.base import Outbox
from chatarmin_os.outbox.progress import deliver
from chatarmin_os.outbox.report import Answer
from chatarmin_os.outbox.sender import Sender
from chatarmin_os.outbox.signals import stopped_by


def run(name: str, options: Mapping[str, Any], outbox: Outbox, *, client: Callable[[], ChatarminOS]) -> Answer:
    """Run a command and return its answer.

    Args:
        name: The command.
        options: The values of its arguments.
        outbox: The outbox.
        client: Returns the client, for a command that sends.

    Raises:
        InvalidInput: The value of an argument is invalid.
        OutboxUnavailable: The outbox cannot be read or written.
    """
    if name == "status":
        return report.of_stats(outbox.stats())
    if name == "dead":
        return report.of_dead(outbox.dead(limit=options["limit"]), outbox.stats())
    if name == "revive":
        keys = options["keys"]
        return report.of_revived(outbox.revive(keys or None), keys, outbox.stats())
    if name == "discard":
        keys = options["keys"]
        return report.of_discarded(outbox.discard(keys), keys, outbox.stats())
    return _drain(Sender(client(), outbox), outbox, follow=options["follow"], deadline=options["deadline"])


def _drain(sender: Sender, outbox: Outbox, *, follow: bool, deadline: float | None) -> Answer:
    with stopped_by(threading.Event(), signal.SIGTERM, signal.SIGINT) as stop:
        terminal = sys.stderr if sys.stderr.isatty() else None
        result, refusal = deliver(sender, outbox, stop, follow=follow, deadline=deadline, terminal=terminal)
    return report.of_drain(result, outbox.stats(), refusal, stop.received[0] if stop.received else None)
