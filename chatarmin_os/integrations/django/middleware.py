"""The middleware: `request.features`, and a response where a view raises `FeatureDenied`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest, HttpResponseBase

from chatarmin_os.gate import FeatureDenied
from chatarmin_os.integrations.django.access import check
from chatarmin_os.integrations.django.denials import denied
from chatarmin_os.integrations.django.organisation import in_sync_context
from chatarmin_os.web.features import Features


class FeaturesMiddleware:
    """Sets `request.features`, and makes the response of a view that raises `FeatureDenied`; for MIDDLEWARE.

    A feature is an attribute, or an item if its code is not a valid Python name. Each is a `Decision`, which is true if
    the organisation may use the feature. Nothing is asked before one is read; one call of the service answers for all.

    Example:
        >>> from chatarmin_os.django.test import override_service
        >>> from django.http import HttpResponse
        >>> from django.test import RequestFactory
        >>> def view(request):
        ...     return HttpResponse(f"{request.features.seats.access.remaining} {request.features['a-b'].allowed}")
        >>> request = RequestFactory().get("/", headers={"X-Organisation": "org_1"})
        >>> with override_service(features={"a-b": True}):
        ...     FeaturesMiddleware(view)(request).content
        b'25 True'
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self._get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """Add the features to a request; the response, or the coroutine of an async one, passes through."""
        features = Features(lambda code: in_sync_context(lambda: check(request, code)), of=request)
        request.features = features  # type: ignore[attr-defined]
        response: HttpResponseBase | Awaitable[HttpResponseBase] = self._get_response(request)
        return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponseBase | None:
        """Return the response of a denial; Django calls this in a thread under an async server."""
        return denied(request, exception.decision) if isinstance(exception, FeatureDenied) else None
