"""The connection of a command to the service, and the report of its errors."""

from __future__ import annotations

import errno
import os
import re
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
    InvalidResponse,
    NotFoundError,
    ServerError,
    TransportError,
    UnauthorizedError,
)

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Callable

    from chatarmin_os import ChatarminOS

# The command line's names of the client's arguments; a command may have others.
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

# The command line's hints, for those of the client that are about Python.
HINTS = {"base_url": "use https, or --allow-http"}
_PYTHON = re.compile(r"\w=|\bNone\b")

_MAX_KEY_BYTES = 4_096


def add_options(parser: ArgumentParser, bounded: str = "call") -> None:
    """Add the options of a connection, except for its URL; the timeout is that of each call, or of what is named."""
    parser.add_argument(
        "--api-key-file", metavar="FILE", help="a file with the API key, - for standard input; default: OS_API_KEY"
    )
    parser.add_argument(
        "--timeout", metavar="SECONDS", type=_seconds, help=f"the deadline of each {bounded}; default: 10"
    )
    parser.add_argument(
        "--allow-http",
        action="store_true",
        help="allow a plain http URL of another host, such as the fake in a container; also OS_ALLOW_HTTP=1",
    )


def connect(given: Namespace) -> ChatarminOS:
    """Return a client with the given options.

    Raises:
        InvalidInput: An option is invalid, or the API key is missing.
    """
    from chatarmin_os import ChatarminOS

    settings = {"base_url": given.base_url, "timeout": given.timeout, "allow_http": given.allow_http or None}
    return ChatarminOS(_api_key(given), **{name: value for name, value in settings.items() if value is not None})


def run_command(act: Callable[[Namespace], int], given: Namespace) -> int:
    """Run a command and return its exit code; print its error, if it raises one."""
    try:
        return act(given)
    except CassetteError as error:
        complain(str(error))
        return 2
    except InvalidInput as error:
        complain(_usage_error(error, given))
        return 2
    except ApiError as error:
        complain(str(error), *advice_about(error, given))
        return 1
    except TransportError as error:
        complain(_failure(error, given), *advice_about(error, given))
        return 3


def _failure(error: TransportError, given: Namespace) -> str:
    """Return a failure with its effect: whether the call was sent, and may have changed something."""
    if error.outcome == "not_sent":
        return f"could not reach the service: {error}; the call was not sent"
    problem = "no usable response" if isinstance(error, InvalidResponse) else "no response"
    effect = "nothing was changed" if _is_query(error, given) else "the call may have run"
    return f"{problem}: {error}; {effect}"


def _is_query(error: TransportError, given: Namespace) -> bool:
    from chatarmin_os.procedures.table import PROCEDURES

    called = error.request or PROCEDURES.get(getattr(given, "path", ""))  # `call` makes no typed request
    return called is not None and called.kind == "query"


def _api_key(given: Namespace) -> str | None:
    """Return the API key from a file or a prompt; None if the client finds it in the environment.

    Raises:
        InvalidInput: The key is missing, or the file cannot be read.
    """
    if given.api_key_file is None and os.environ.get("OS_API_KEY", "").strip():
        return None
    if given.api_key_file == "-" and getattr(given, "input", None) == "-":
        raise InvalidInput("standard input cannot be both the API key and the input of the call").at("input")
    key = "" if given.api_key_file is None and not sys.stdin.isatty() else key_in(given.api_key_file)
    if not key.strip():
        raise InvalidInput("the API key is missing; set OS_API_KEY, or pass --api-key-file FILE (- for standard input)")
    return key


def key_in(file: str | None) -> str:
    """Return the key in a file, in the first line of standard input (`-`), or of a prompt on a terminal.

    Raises:
        InvalidInput: The file cannot be read.
    """
    try:
        if file is not None and file != "-":
            return read_bounded(file, _MAX_KEY_BYTES).decode("utf-8-sig")
        if sys.stdin.isatty():
            from getpass import getpass

            return getpass("API key (os_sk_...): ")
        return _read_line()
    except EOFError:  # Ctrl-D at the prompt
        return ""
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        advice = "" if file == "-" else "; --api-key-file - reads standard input"
        raise InvalidInput(f"--api-key-file {file}: {reason}{advice}") from None


def _read_line() -> str:
    """Return the first line of standard input.

    Raises:
        OSError: It is too long for a key.
    """
    line = sys.stdin.readline(_MAX_KEY_BYTES + 1)
    if len(line) > _MAX_KEY_BYTES:
        raise OSError(errno.EFBIG, f"it is larger than {_MAX_KEY_BYTES:,} bytes")
    return line


def _usage_error(error: InvalidInput, given: Namespace) -> str:
    """Return an error of an argument, with the argument's name on the command line."""
    field = error.field or ""
    argument = field if field in _NAMES else field.partition(".")[0].partition("[")[0]
    name = _names(given).get(argument)
    if argument == "external_org_id" and "company" in given:
        name = _names(given)["company_id"]
    if argument == "base_url" and given.base_url is None:
        name = None if "OS_BASE_URL" in error.problem else "OS_BASE_URL"
    place = f"{name}{field.removeprefix(argument)}: " if name else ""
    hint = HINTS.get(argument) if error.hint and _PYTHON.search(error.hint) else error.hint
    return f"{place}{error.problem}{f'; {hint}' if hint else ''}"


def _names(given: Namespace) -> dict[str, str]:
    """Return the names of the client's arguments, with those of the command."""
    return {**_NAMES, **getattr(given, "names", {})}


def advice_about(error: ChatarminError, given: Namespace) -> list[str]:
    """Return lines of advice about an error."""
    advice = []
    option = _names(given)["base_url"]
    if isinstance(error, UnauthorizedError):
        advice.append(f"find the key in Settings, Developers, API Keys; it must belong to the service at {option}")
    if isinstance(error, NotFoundError) and error.is_missing_procedure:
        from chatarmin_os.procedures.table import PROCEDURES
        from chatarmin_os.transports.http.settings import DEFAULT_BASE_URL

        url = given.base_url or os.environ.get("OS_BASE_URL") or DEFAULT_BASE_URL
        advice.append(f"check {option}: {url} was called")
        advice.append(did_you_mean(getattr(given, "path", ""), PROCEDURES))
    advice += getattr(given, "hints", [])
    key = getattr(given, "key", None)  # `track` prints a new key before it sends
    if key and isinstance(error, (ServerError, TransportError)):
        advice.append(resend_advice(key))
    return [line for line in advice if line]


def resend_advice(key: str) -> str:
    """Return how to send an event again."""
    return f"send it again with --key {shlex.quote(key)}: it counts once, whether it ran or not"


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ArgumentTypeError(f"expected seconds, got {text!r}") from None
