"""Views that need a feature: a decorator and a mixin."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import partial, wraps
from typing import Any, ClassVar, TypeVar, cast

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponseBase
from django.views import View

from chatarmin_os._input import at_field, optional_identifier
from chatarmin_os.errors import InvalidInput
from chatarmin_os.gate import FeatureDenied
from chatarmin_os.integrations.django.access import code_list, require, required_codes
from chatarmin_os.integrations.django.denials import OnDenied, denied, roll_back
from chatarmin_os.integrations.django.organisation import Organisation
from chatarmin_os.web.importing import function_at

V = TypeVar("V", bound=Callable[..., Any])


def requires_feature(
    code: str, *, on_denied: OnDenied | None = None, organisation: Organisation | None = None
) -> Callable[[V], V]:
    """Return a decorator for views that need a feature, sync or async; `method_decorator` makes one for classes.

    Inside the view `request.feature` is the `Decision`. A `FeatureDenied` that the view raises becomes a response too,
    and rolls back the transaction of ATOMIC_REQUESTS.

    Args:
        code: The code of the feature.
        on_denied: The response of a denial: the name of a template (`.html`), the name of a URL to redirect to, or a
            function of request and decision; default: the setting ON_DENIED, else JSON or a page by `Accept`.
        organisation: An external org id, or a function that returns the one of a request; default: the setting
            ORGANISATION.

    Raises:
        InvalidInput: An argument is invalid, or the decorator is applied to a class. In a request: the function of the
            organisation failed, or returned something other than an id.

    Example:
        >>> from django.http import HttpResponse
        >>> from django.test import RequestFactory
        >>> from chatarmin_os.django.test import override_service
        >>> @requires_feature("exports", organisation="org_1")
        ... def export(request):
        ...     return HttpResponse(f"{request.feature.feature_code}: {request.feature.reason}")
        >>> with override_service(features={"exports": True}):
        ...     export(RequestFactory().get("/export")).content
        b'exports: allowed'
        >>> with override_service(features={"exports": False}):
        ...     export(RequestFactory().get("/export")).status_code
        403
    """
    codes = code_list(code, "code")
    at_field("on_denied", _checked_on_denied)(on_denied)
    at_field("organisation", _checked_organisation)(organisation)
    guard = _Guard(codes, on_denied, organisation)

    def decorate(view: V) -> V:
        if isinstance(view, type):
            raise InvalidInput(
                f"expected a function, got the class {view.__name__}",
                "use RequiresFeatureMixin, or method_decorator(requires_feature(...), name='dispatch')",
            ).at("view")
        return guard.wrap(view)

    return decorate


class RequiresFeatureMixin:
    """Lets a class-based view, sync or async, be used by organisations with a feature only; the first base class.

    Attributes:
        required_feature: The code of the feature, or a list: all of them are needed.
        on_denied: As for `requires_feature`.

    Raises:
        ImproperlyConfigured: A subclass names it after `View`, whose `dispatch` would never call the one that checks.

    Example:
        >>> from django.http import HttpResponse
        >>> from django.test import RequestFactory
        >>> from django.views import View
        >>> from chatarmin_os.django.test import override_service
        >>> class Export(RequiresFeatureMixin, View):
        ...     required_feature = ["api_access", "sso"]
        ...
        ...     def get(self, request):
        ...         return HttpResponse("id,name")
        >>> request = RequestFactory().get("/export", headers={"X-Organisation": "org_1"})
        >>> with override_service(tier="enterprise"):
        ...     Export.as_view()(request).status_code
        200
    """

    required_feature: ClassVar[str | Sequence[str]]
    on_denied: ClassVar[OnDenied | None] = None

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        order = cls.__mro__
        if View in order and order.index(View) < order.index(RequiresFeatureMixin):
            raise ImproperlyConfigured(f"{cls.__name__}: RequiresFeatureMixin checks nothing; put it before the view")

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Check the features before the method of the view runs.

        Raises:
            ImproperlyConfigured: `required_feature` is missing.
        """
        # Read from the class: a function would become a method of the view.
        on_denied = inspect.getattr_static(self, "on_denied")
        guarded = _Guard(required_codes(self), on_denied).wrap(super().dispatch)  # type: ignore[misc]  # of a View
        return guarded(request, *args, **kwargs)


class _Guard:
    """Checks features before a view runs, and makes a response of each denial."""

    def __init__(
        self, codes: tuple[str, ...], on_denied: OnDenied | None = None, organisation: Organisation | None = None
    ) -> None:
        self._codes, self._on_denied, self._organisation = codes, on_denied, organisation

    def wrap(self, view: V) -> V:
        return self._wrap_async(view) if _is_async(view) else self._wrap_sync(view)

    def _wrap_sync(self, view: V) -> V:
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            response = self._admit(request)
            if response is not None:
                return response
            try:
                return view(request, *args, **kwargs)
            except FeatureDenied as error:
                return self._deny(request, error)

        return cast("V", guarded)

    def _wrap_async(self, view: V) -> V:
        @wraps(view)
        async def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            response = await sync_to_async(self._admit)(request)
            if response is not None:
                return response
            try:
                response = view(request, *args, **kwargs)
                return await response if inspect.isawaitable(response) else response
            except FeatureDenied as error:
                return await sync_to_async(self._deny)(request, error)

        return cast("V", guarded)

    def _admit(self, request: HttpRequest) -> HttpResponseBase | None:
        """Return the response of a denial, None if the view may run."""
        try:
            require(request, self._codes, self._organisation)
        except FeatureDenied as error:
            return denied(request, error.decision, self._on_denied)
        return None

    def _deny(self, request: HttpRequest, error: FeatureDenied) -> HttpResponseBase:
        """Return the response of a denial inside of the view, and undo what the view has done."""
        response = denied(request, error.decision, self._on_denied)
        roll_back()
        return response


def _checked_on_denied(on_denied: OnDenied | None) -> None:
    if not isinstance(on_denied, str):
        function_at(on_denied)


def _checked_organisation(organisation: Organisation | None) -> None:
    if callable(organisation):
        function_at(organisation)
    else:
        optional_identifier(organisation)


def _is_async(view: Any) -> bool:
    """Return whether a view is a coroutine function, or the `dispatch` of an async class, which has no mark."""
    if iscoroutinefunction(view):
        return True
    while view is not None:  # method_decorator makes a partial of a bound method, and other decorators wrap it
        method = view.func if isinstance(view, partial) else view
        if getattr(getattr(method, "__self__", None), "view_is_async", False):
            return True
        view = getattr(view, "__wrapped__", None)
    return False
