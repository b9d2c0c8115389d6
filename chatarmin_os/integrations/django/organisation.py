"""The organisation that a request is for, and functions that may use the ORM under an async view."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeAlias, TypeVar
from uuid import UUID

from asgiref.sync import SyncToAsync, sync_to_async
from django.core.exceptions import BadRequest, PermissionDenied, SuspiciousOperation
from django.http import Http404

from chatarmin_os.errors import ChatarminError, InvalidInput
from chatarmin_os.integrations.django.services import current
from chatarmin_os.web.organisation import external_org_id
from chatarmin_os.web.settings import NAME

T = TypeVar("T")

Organisation: TypeAlias = str | UUID | Callable[[Any], str | UUID | None]
"""An external org id, or a function that returns the one of a request; None: the request is for nobody."""

_RESPONSES = (Http404, PermissionDenied, BadRequest, SuspiciousOperation, ChatarminError)
"""Exceptions for which Django, or this package, has a response."""


def organisation_of(request: Any, organisation: Organisation | None = None) -> str | None:
    """Return the external org id that a request is for, None if it is for nobody.

    It is read each time: a view may log in a user or change the organisation of a session.

    Raises:
        InvalidInput: The function is missing, cannot be imported, raised an error, or returned something other than
            text, a UUID or None.
    """
    if organisation is None:
        place, organisation = f"{NAME}.ORGANISATION", current().organisation_function
        if organisation is None:
            raise InvalidInput(
                "is missing",
                "set it to the dotted path of a function of the request that returns your id of its organisation",
            ).at(place)
    else:
        place = "organisation"
    value = _call(organisation, request, place) if callable(organisation) else organisation
    return external_org_id(value, place)


def _call(function: Callable[[Any], Any], request: Any, place: str) -> Any:
    try:
        return function(request)
    except _RESPONSES:
        raise
    except Exception as error:
        if hasattr(error, "status_code"):  # an exception of REST framework
            raise
        name = getattr(function, "__qualname__", type(function).__qualname__)
        raise InvalidInput(f"{name} raised {type(error).__name__}").at(place) from error


def in_sync_context(function: Callable[[], T]) -> T:
    """Call a function that may use the ORM, and wait for it.

    In the thread of an event loop, where Django refuses the ORM, the function runs in the thread that asgiref uses for
    the synchronous code of the request, so that it has the same connection to the database. The loop waits for it; code
    that must not block it uses `sync_to_async`.
    """
    if not _is_in_event_loop() or os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE"):
        return function()
    outcome: Future[T] = Future()

    def run() -> None:
        SyncToAsync.threadlocal.main_event_loop = None  # async_to_sync would wait for the loop that waits for us
        try:
            outcome.set_result(function())
        except BaseException as error:  # noqa: BLE001 - it is raised in the other thread
            outcome.set_exception(error)

    started = sync_to_async(run)()
    started.send(None)  # asgiref finds the thread, hands over the work, and would now wait for it
    try:
        return outcome.result()
    finally:
        started.close()


def _is_in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
