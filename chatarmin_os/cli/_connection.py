"""How a command reaches the service, and what it says when that fails."""

from __future__ import annotations

import errno
import os
import shlex
import sys
from argparse import ArgumentTypeError
from typing import TYPE_CHECKING

from chatarmin_os._bounded_file import read_bounded
from chatarmin_os.cli._output import complain
from chatarmin_os.cli._parser import did_you_mean
from chatarmin_os.errors import (
    ApiError,
    CassetteError,
    ChatarminError,
    InvalidInput,
    NotFoundError,
    ServerError,
    TransportError,
    UnauthorizedError,
)

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Callable

    from chatarmin_os import ChatarminOS

# What an argument of the client is called here.
_NAMES = {
    "base_url": "--base-url",
    "timeout": "--timeout",
    "path": "PATH",
    "input": "JSON",
    "company_id": "COMPANY",
    "feature_code": "FEATURE",
    "quantity": "QUANTITY",
    "idempotency_key": "--key",
    "external_org_id": "ORG",
    "hints.company_name": "--name",
    "hints.domain": "--domain",
    "tier_code": "--tier",
    "contact_email": "--email",
    "checkout_session_id": "--checkout",
}

# What messages say to programmers, and what they say here.
_HERE = {" or pass None where there is none": "", "allow_http=True": "--allow-http"}

_MAX_KEY_BYTES = 4_096


def add_options(parser: ArgumentParser) -> None:
    """Add the options of a connection, but for where it leads."""
    parser.add_argument(
        "--api-key-file", metavar="FILE", help="a file with the API key, - for standard input; default: OS_API_KEY"
    )
    parser.add_argument("--timeout", metavar="SECONDS", type=_seconds, help="for each call; default: 10")
    parser.add_argument(
        "--allow-http",
        action="store_true",
        help="let the URL be plain http on another host, such as the fake in a container; also by OS_ALLOW_HTTP=1",
    )


def connected(given: Namespace) -> ChatarminOS:
    """Return a client as the options say.

    Raises:
        InvalidInput: One of them is wrong, or there is no API key.
    """
    from chatarmin_os import ChatarminOS

    settings = {"base_url": given.base_url, "timeout": given.timeout, "allow_http": given.allow_http or None}
    return ChatarminOS(_api_key(given), **{name: value for name, value in settings.items() if value is not None})


def guarded(act: Callable[[Namespace], int], given: Namespace) -> int:
    """Return the exit code of what a command does, or of the error that it meets, which is told."""
    try:
        return act(given)
    except CassetteError as error:
        complain(str(error))
        return 2
    except InvalidInput as error:
        complain(_renamed(error, given))
        return 2
    except ApiError as error:
        complain(str(error), *_advice(error, given))
        return 1
    except TransportError as error:
        complain(f"no answer, {_what_ran(error)}: {error}", *_advice(error, given))
        return 3


def _what_ran(error: TransportError) -> str:
    if error.outcome == "not_sent":
        return "it did not run"
    return "nothing was changed" if error.request and error.request.kind == "query" else "it may have run"


def _api_key(given: Namespace) -> str | None:
    """Return the API key of a file or of a prompt; None where the client finds one in the environment.

    Raises:
        InvalidInput: There is none.
    """
    if given.api_key_file is None and os.environ.get("OS_API_KEY", "").strip():
        return None
    if given.api_key_file == "-" and getattr(given, "input", None) == "-":
        raise InvalidInput("standard input cannot be both the API key and the input of the call").at("input")
    key = ""
    try:
        if given.api_key_file is not None and given.api_key_file != "-":
            key = read_bounded(given.api_key_file, _MAX_KEY_BYTES).decode("utf-8-sig")
        elif sys.stdin.isatty():
            from getpass import getpass

            key = getpass("API key (os_sk_...): ")
        elif given.api_key_file == "-":
            key = _line_of_input()
    except EOFError:  # nothing was typed
        pass
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        advice = "" if given.api_key_file == "-" else "; --api-key-file - reads standard input"
        raise InvalidInput(f"--api-key-file {given.api_key_file}: {reason}{advice}") from None
    if not key.strip():
        raise InvalidInput("no API key: set OS_API_KEY, or give --api-key-file FILE (- for standard input)")
    return key


def _line_of_input() -> str:
    line = sys.stdin.readline(_MAX_KEY_BYTES + 1)
    if len(line) > _MAX_KEY_BYTES:
        raise OSError(errno.EFBIG, f"it is larger than {_MAX_KEY_BYTES:,} bytes")
    return line


def _renamed(error: InvalidInput, given: Namespace) -> str:
    """Return what is wrong, with the names that were typed."""
    field, text = error.field or "", str(error)
    if field not in _NAMES:  # a place inside of one
        field = field.partition(".")[0].partition("[")[0]
    name = {**_NAMES, **getattr(given, "names", {})}.get(field)
    if field == "external_org_id" and "company" in given:
        name = _NAMES["company_id"]
    if field == "base_url" and given.base_url is None:
        name = "OS_BASE_URL"
    for there, here in _HERE.items():
        text = text.replace(there, here)
    return f"{name}{text.removeprefix(field)}" if name else text.removeprefix("api_key: ")


def _advice(error: ChatarminError, given: Namespace) -> list[str]:
    """Return what to do about an error."""
    advice = []
    option = {**_NAMES, **getattr(given, "names", {})}["base_url"]
    if isinstance(error, UnauthorizedError):
        advice.append(f"the key is in Settings, Developers, API Keys; is it that of this {option}?")
    if isinstance(error, NotFoundError) and error.is_missing_procedure:
        from chatarmin_os.transports.http.settings import DEFAULT_BASE_URL

        asked = given.base_url or os.environ.get("OS_BASE_URL") or DEFAULT_BASE_URL
        advice.append(f"is {option} right? {asked} was asked")
        from chatarmin_os.procedures.table import PROCEDURES

        advice.append(did_you_mean(getattr(given, "path", ""), PROCEDURES))
    advice += getattr(given, "hints", [])
    key = getattr(given, "key", None)  # a new one was shown before it was sent
    if key and isinstance(error, (ServerError, TransportError)):
        advice.append(sent_again(key))
    return [line for line in advice if line]


def sent_again(key: str) -> str:
    """Return how to send an event again."""
    return f"send it again with --key {shlex.quote(key)}: it counts once, whether it ran or not"


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ArgumentTypeError(f"expected seconds, got {text!r}") from None
