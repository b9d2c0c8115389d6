"""Programs that tests run as processes: producers, which write down what was acknowledged, and senders.

python outbox_programs.py produce FILE LEDGER SECONDS
python outbox_programs.py send FILE SERVICE SECONDS

FILE is that of SQLite, the Unix socket of a Redis if it ends in `.sock`, or the folder of a PostgreSQL.
"""

from __future__ import annotations

import json
import os
import random
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import redis

from chatarmin_os import ChatarminOS, ConnectionFailed
from chatarmin_os.outbox import Outbox, OutboxUnavailable, RedisOutbox, Sender, SQLiteOutbox
from chatarmin_os.transports import Transport

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chatarmin_os import ChatarminError
    from chatarmin_os._json import JSON
    from chatarmin_os.transports import Call


class Ledger(Transport):
    """A service that appends each key that it counts to a file; it drops some requests before or after that."""

    def __init__(self, path: str, drops: float = 0.1) -> None:
        self._path, self._drops = path, drops
        self._random = random.Random(os.getpid())  # noqa: S311 - a test

    def send(self, call: Call) -> JSON:
        """Count one call."""
        [answer] = self.send_many([call])
        if isinstance(answer, Exception):
            raise answer
        return answer

    def send_many(self, calls: Sequence[Call]) -> list[JSON | ChatarminError]:
        """Count the calls whose keys are new, in one write; lose a request before or after that now and then."""
        chance = self._random.random()
        lost: list[JSON | ChatarminError] = [ConnectionFailed("lost") for _ in calls]
        if chance < self._drops:
            return lost
        keys = [call.input["idempotencyKey"] for call in calls]
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(self._path)
            connection.sendall(json.dumps(keys).encode() + b"\n")
            connection.makefile("rb").readline()
        return lost if chance > 1 - self._drops else [{"currentUsage": 1} for _ in calls]


def open_outbox(file: str) -> Outbox:
    """Return the outbox of these programs."""
    if file.endswith(".sock"):
        return RedisOutbox(redis.Redis(unix_socket_path=file))
    if Path(file).is_dir():
        return _in_postgres(file)
    return SQLiteOutbox(file, synchronous="normal", put_wait=5)


def _in_postgres(folder: str) -> Outbox:
    import django
    from django.conf import settings

    database = {"ENGINE": "django.db.backends.postgresql", "HOST": folder, "NAME": "postgres", "USER": "postgres"}
    settings.configure(
        INSTALLED_APPS=["chatarmin_os.django"], CHATARMIN_OS={"OUTBOX": "django"}, DATABASES={"default": database}
    )
    django.setup()
    from chatarmin_os.django import get_outbox

    outbox = get_outbox()
    assert outbox is not None
    return outbox


def produce(file: str, ledger: str, seconds: str) -> None:
    """Put events, and write each key down after it was acknowledged."""
    outbox = open_outbox(file)
    end = time.monotonic() + float(seconds)
    with Path(ledger).open("a", encoding="ascii", buffering=1) as acknowledged:
        while time.monotonic() < end:
            try:
                key = outbox.put(company_id="comp_1", feature_code="ai_credit", quantity=1)
            except OutboxUnavailable:
                time.sleep(0.001)
                continue
            acknowledged.write(f"{key}\n")


def send(file: str, service: str, seconds: str) -> None:
    """Deliver events for some time."""
    sender = Sender(ChatarminOS(transport=Ledger(service)), open_outbox(file), batch=10, lease=0.5)
    end = time.monotonic() + float(seconds)
    while time.monotonic() < end:
        with suppress(OutboxUnavailable):
            sender.drain(deadline=1)
        time.sleep(0.005)


def main(command: str, *arguments: str) -> NoReturn:
    """Run one of the programs."""
    {"produce": produce, "send": send}[command](*arguments)
    sys.exit()


if __name__ == "__main__":
    main(*sys.argv[1:])
