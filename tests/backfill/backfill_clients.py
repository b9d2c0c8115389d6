"""Clients of workers in other processes, and the contents of the service at the end.

A worker finds its key in a file, as it would in its environment: only the path of that file is sent to it. (A server of
forks keeps the environment that it was started with, so that variables of a test would not reach its workers.)
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from chatarmin_os import ChatarminOS
from chatarmin_os.transports import HTTPTransport, Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from chatarmin_os import ChatarminError
    from chatarmin_os._json import JSON
    from chatarmin_os.transports import Call

ANSWER_SECONDS = 20.0


def write_settings(folder: Path, key: str, url: str, *, name: str = "settings", **more: object) -> Path:
    """Write the file that `client_of` reads."""
    path = folder / name
    path.write_text(json.dumps({"key": key, "url": url, "timeout": ANSWER_SECONDS, **more}))
    return path


def client_of(path: Path) -> ChatarminOS:
    """Return a client, and note in which process it was made."""
    with Path(f"{path}.log").open("a") as log:
        log.write(f"{os.getpid()}\n")
    settings = json.loads(path.read_text())
    transport: Transport = HTTPTransport(settings["key"], settings["url"], timeout=settings["timeout"])
    if "requests" in settings:
        transport = Deadly(transport, Path(f"{path}.died"), requests=settings["requests"])
    return ChatarminOS(transport=transport)


def clients_by_process(path: Path) -> Counter[int]:
    """Return how many clients each process made."""
    return Counter(map(int, Path(f"{path}.log").read_text().split()))


def failing_factory() -> ChatarminOS:
    """Fail, as a factory does whose key is missing on a worker."""
    raise KeyError("OS_API_KEY")


def something_else() -> object:
    """Return something that is no client."""
    return {"key": "value"}


class Unpicklable:
    """A factory that no worker can be given."""

    def __call__(self) -> ChatarminOS:
        raise AssertionError("it is called in no process")

    def __reduce__(self) -> str:
        raise TypeError("it holds a lock")


KEY = "os_sk_in_the_text_of_an_error"


def chained_with_key() -> ChatarminOS:
    """Fail with the key in the text of the error and in that of its cause."""
    raise LookupError(f"the vault has no {KEY}") from OSError(f"no such file: {KEY}")


def exiting_with_key() -> ChatarminOS:
    """End the program, as a function of a script may do."""
    sys.exit(f"invalid key: {KEY}")


class UnreadableError(Exception):
    """An error without a text."""

    def __str__(self) -> str:
        raise ValueError(KEY)


def unreadable_with_key() -> ChatarminOS:
    """Fail with an error that fails when its text is read."""
    raise UnreadableError


class UnpicklableWithKey(Unpicklable):
    """A factory that cannot be sent, with the key in the text of the error."""

    def __call__(self) -> ChatarminOS:
        return chained_with_key()

    def __reduce__(self) -> str:
        raise TypeError(f"it holds {KEY}")


class Unloadable:
    """A factory that can be sent, and fails where it arrives, as one of a module that is missing there."""

    def __reduce__(self) -> tuple[Callable[[], object], tuple[()]]:
        return (_fail_to_load, ())

    def __call__(self) -> ChatarminOS:
        raise AssertionError("it is called in no process")


def _fail_to_load() -> object:
    raise ModuleNotFoundError("No module named 'customers'")


_given: Path | None = None


def give(path: Path) -> None:
    """Give this process its own settings."""
    global _given  # noqa: PLW0603 - a process has one
    _given = path


def client_as_given() -> ChatarminOS:
    """Return the client of the settings that this process was given, as from its environment."""
    assert _given is not None
    return client_of(_given)


class Deadly(Transport):
    """A transport whose process is killed once after a number of requests, of which the last one has run.

    Args:
        mark: The file that is written at the death, so that there is only one.
    """

    def __init__(self, inner: Transport, mark: Path, *, requests: int) -> None:
        self._inner, self._mark, self._left = inner, mark, requests

    def with_options(self, **options: Any) -> Deadly:
        """Return the same with other options."""
        return Deadly(self._inner.with_options(**options), self._mark, requests=self._left)

    def fingerprint(self) -> str | None:
        """Return that of the inner transport."""
        return self._inner.fingerprint()

    def send(self, call: Call) -> JSON:
        """Send one call."""
        return self._inner.send(call)

    def send_many(self, calls: Sequence[Call]) -> list[JSON | ChatarminError]:
        """Send calls; the process may end before they are answered."""
        answers = self._inner.send_many(calls)
        self._left -= 1
        if self._left < 1 and not self._mark.exists():
            self._mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return answers


def rows(count: int, *, first: int = 0) -> Iterator[Mapping[str, Any]]:
    """Yield rows with two contacts each, and a tier."""
    for number in range(first, first + count):
        yield {
            "external_org_id": f"org_{number}",
            "name": f"Company {number}",
            "tier_code": "free",
            "contacts": [f"ann@company-{number}.example", f"bob@company-{number}.example"],
        }


class Found(NamedTuple):
    """The contents of the service.

    Attributes:
        companies: How many.
        organisations: How many different ones are linked.
        contacts: How many, of all companies.
        addresses: How many different ones they have.
        tiers: How many companies are on one.
    """

    companies: int
    organisations: int
    contacts: int
    addresses: int
    tiers: int


def found_in(snapshot: JSON) -> Found:
    """Return the contents of a snapshot of the fake."""
    contacts = [contact["email"] for people in snapshot["contacts"].values() for contact in people]
    organisations = {link["externalOrgId"] for link in snapshot["links"]}
    return Found(
        len(snapshot["companies"]), len(organisations), len(contacts), len({*contacts}), len(snapshot["tiers"])
    )


def all_of(count: int) -> Found:
    """Return the contents of the service if each of so many rows was applied once."""
    return Found(count, count, 2 * count, 2 * count, count)


def factory(path: Path) -> partial[ChatarminOS]:
    """Return a factory for workers."""
    return partial(client_of, path)
