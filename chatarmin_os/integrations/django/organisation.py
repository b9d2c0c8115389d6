"""The organisation that a request is for, and functions that may use the ORM under an async view."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, TypeAlias, TypeVar
from uuid import UUID

from asgiref.sync import sync_to_async
from django.core.exceptions import BadRequest, PermissionDenied, SuspiciousOperation
from django.http import Http404

from chatarmin_os.errors import ChatarminError, InvalidInput
from chatarmin_os.integrations.django.services import current
from chatarmin_os.web.organisation import external_org_id

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
    place = "ORGANISATION" if organisation is None else "organisation"
    function = current().organisation if organisation is None else organisation
    value = _call(function, request, place) if callable(function) else function
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

    In the thread of an event loop it runs in the thread where asgiref runs the synchronous code of the request, because
    Django refuses the ORM elsewhere. The loop waits; `sync_to_async` is the way that does not block it.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return function()
    if os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE"):
        return function()
    # asgiref finds that thread by context variables; a second loop waits for it, as the first one cannot.
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(copy_context().run, lambda: asyncio.run(sync_to_async(function)())).result()
