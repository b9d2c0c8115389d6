"""Responses to requests whose feature was denied."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from flask import current_app, jsonify, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from chatarmin_os.gate import Decision, FeatureDenied
from chatarmin_os.integrations.flask.services import current_services
from chatarmin_os.web.denial import TEMPLATE, denial_of

OnDenied: TypeAlias = str | Callable[[Any, Decision], Any]
"""The name of a template (it ends in .html) or of an endpoint to redirect to, or a function that responds.

The function returns the same as a view; programs that read annotations at run time cannot resolve Flask's type.
"""


def handle_denial(error: FeatureDenied) -> ResponseReturnValue:
    """Respond to a denial: by ON_DENIED, if the app has it; else by the page or JSON."""
    respond = current_services().denial_function
    return _default_response(error.decision) if respond is None else respond_to(error.decision, respond)


def respond_to(decision: Decision, on_denied: OnDenied) -> ResponseReturnValue:
    """Respond to a denial in the way that a view asks for."""
    if not isinstance(on_denied, str):
        response: ResponseReturnValue = current_app.ensure_sync(on_denied)(request, decision)
        return response
    return _page(decision, on_denied) if on_denied.endswith(".html") else redirect(url_for(on_denied))


def _default_response(decision: Decision) -> ResponseReturnValue:
    denial = denial_of(decision, request.headers.get("Accept"))
    if denial.is_page:
        return _page(decision, TEMPLATE)
    return jsonify(denial.body), denial.status, denial.headers


def _page(decision: Decision, template: str) -> ResponseReturnValue:
    denial = denial_of(decision, request.headers.get("Accept"))
    return render_template(template, **denial.context), denial.status, denial.headers
