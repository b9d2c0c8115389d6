"""The response to a request whose feature was denied."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from django.db import connections
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import redirect, render
from django.template import Context, Engine, TemplateDoesNotExist
from django.template.loader import get_template
from django.utils.cache import patch_vary_headers

from chatarmin_os._json import describe
from chatarmin_os.errors import InvalidInput
from chatarmin_os.gate import Decision
from chatarmin_os.integrations.django.services import current
from chatarmin_os.web.denial import TEMPLATE, TEMPLATES, denial_of

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
    if handler is not None:
        response = render(request, handler, denial.context, status=denial.status)
    elif denial.is_page:
        response = HttpResponse(_page(request, denial.context), status=denial.status)
    else:
        response = JsonResponse(denial.body, status=denial.status)
    for name, value in denial.headers.items():
        if name == "Vary":
            patch_vary_headers(response, [value])
        else:
            response[name] = value
    return response


def _page(request: HttpRequest, context: dict[str, Any]) -> str:
    """Return the page of the project's templates, or the default one where none of them has it.

    That is so without the application in INSTALLED_APPS, and with templates of Jinja only. A denial is no reason for a
    500 then.
    """
    try:
        template = get_template(TEMPLATE)
    except TemplateDoesNotExist:
        return Engine(dirs=[str(TEMPLATES)]).get_template(TEMPLATE).render(Context(context))
    return template.render(context, request)


def _checked(response: object) -> HttpResponseBase:
    if not isinstance(response, HttpResponseBase):
        raise InvalidInput(f"must return an HttpResponse, got {describe(response)}").at("on_denied")
    return response


def roll_back() -> None:
    """Roll back the transactions of ATOMIC_REQUESTS: a view that was denied half-way leaves nothing behind."""
    for connection in connections.all(initialized_only=True):
        if connection.settings_dict["ATOMIC_REQUESTS"] and connection.in_atomic_block:
            connection.set_rollback(True)
