"""Usage that is sent, or put into the outbox, after the response to a request was made, if the request succeeded."""

from __future__ import annotations

from typing import Any

from flask import Flask, Response, current_app, request

from chatarmin_os.gate import UsageEvent
from chatarmin_os.integrations.flask.services import current_services
from chatarmin_os.web.usage import deliver_or_log

_MIN_ERROR_STATUS = 400


class _Outcome:
    """The events of a request, and how it ended."""

    def __init__(self) -> None:
        self.events: list[UsageEvent] = []
        self.has_failed = False
        self.has_response = False


def _outcome() -> _Outcome:
    """Return the outcome of the current request.

    It is an attribute of the request and not of the context: a copy of the context, for a background greenlet, has the
    same request.
    """
    outcome: _Outcome = vars(request).setdefault("_chatarmin_os", _Outcome())
    return outcome


def send_after_response(event: UsageEvent) -> None:
    """Send an event after the response of the current request was made; at once if it was made already.

    The latter is the case while the body of a response is streamed.
    """
    outcome = _outcome()
    if not outcome.has_response:
        outcome.events.append(event)
    elif not outcome.has_failed:
        deliver_or_log(current_services(), event, current_app.logger)


def send_events(response: Response) -> Response:
    """Send the events of the current request if it succeeded."""
    outcome = _outcome()
    outcome.has_response = True
    outcome.has_failed = outcome.has_failed or response.status_code >= _MIN_ERROR_STATUS
    events, outcome.events = outcome.events, []
    if not outcome.has_failed:
        for event in events:
            deliver_or_log(current_services(), event, current_app.logger)
    return response


def set_up(app: Flask) -> None:
    """Let an app send the events of each request, after all that it does to the response.

    An exception counts as a failure even if an error handler turns it into a successful response. Flask sends no signal
    for such an exception; `handle_user_exception` is where it looks for the handler.
    """
    # The last of these functions runs first: ours sees the response of all others, also of those added before.
    app.after_request_funcs.setdefault(None, []).insert(0, send_events)
    handle_user_exception: Any = app.handle_user_exception

    def handle_and_note(*args: Any) -> Any:  # later versions of Flask pass more arguments
        _outcome().has_failed = True
        return handle_user_exception(*args)

    app.handle_user_exception = handle_and_note  # type: ignore[method-assign,assignment]
