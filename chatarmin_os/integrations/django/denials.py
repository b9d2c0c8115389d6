"""The response to a request whose feature was denied."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from django.db import connections
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import redirect, render
from django.utils.cache import patch_vary_headers

from chatarmin_os._json import describe
from chatarmin_os.errors import InvalidInput
from chatarmin_os.gate import Decision
from chatarmin_os.integrations.django.services import current
from chatarmin_os.web.denial import TEMPLATE, denial_of

OnDenied: TypeAlias = str | Callable[[Any, Decision], HttpResponseBase]
"""A function that returns the response, the name of a template (`.html`), or the name of a URL to redirect to."""


def denied(request: HttpRequest, decision: Decision, on_denied: OnDenied | None = None) -> HttpResponseBase:
    """Return the response: that of the view, else that of the project (ON_DENIED), else JSON or a page by `Accept`."""
    handler = current().denial_function if on_denied is None else on_denied
    if callable(handler):
        return _checked(handler(request, decision))
    denial = denial_of(decision, request.headers.get("Accept"))
    if handler is not None and not handler.endswith(".html"):
        return redirect(handler)
    response: HttpResponse
    if handler is not None or denial.is_page:
        response = render(request, handler or TEMPLATE, denial.context, status=denial.status)
    else:
        response = JsonResponse(denial.body, status=denial.status)
    for name, value in denial.headers.items():
        if name == "Vary":
            patch_vary_headers(response, [value])
        else:
            response[name] = value
    return response


def _checked(response: object) -> HttpResponseBase:
    if not isinstance(response, HttpResponseBase):
        raise InvalidInput(f"must return an HttpResponse, got {describe(response)}").at("on_denied")
    return response


def roll_back() -> None:
    """Roll back the transactions of ATOMIC_REQUESTS: a view that was denied half-way leaves nothing behind."""
    for connection in connections.all(initialized_only=True):
        if connection.settings_dict["ATOMIC_REQUESTS"] and connection.in_atomic_block:
            connection.set_rollback(True)
