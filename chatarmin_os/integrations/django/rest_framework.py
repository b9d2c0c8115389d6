"""REST framework: permission classes; documented as `chatarmin_os.django.rest_framework`."""

from __future__ import annotations

from typing import Any

from chatarmin_os.gate import Decision, FeatureDenied
from chatarmin_os.integrations.django.access import code_list, require, required_codes
from chatarmin_os.web.denial import denial_of

try:
    from rest_framework.exceptions import APIException
    from rest_framework.permissions import BasePermission
except ImportError as missing:
    raise ImportError(
        "chatarmin_os.django.rest_framework needs REST framework: pip install 'chatarmin-os[rest]'"
    ) from missing


class FeatureDeniedException(APIException):
    """A denial as REST framework renders it: the status, the body and the headers of every other denial.

    Attributes:
        code: The reason, such as "limit_reached".
        decision: The decision.
        wait: Seconds for `Retry-After`, in an outage.
    """

    def __init__(self, decision: Decision) -> None:
        denial = denial_of(decision, None)
        super().__init__(code=decision.reason)
        self.decision, self.code, self.default_code = decision, decision.reason, decision.reason
        self.status_code = denial.status
        self.detail: Any = denial.body  # as it is: APIException would make texts of numbers
        self.wait = int(denial.headers.get("Retry-After", 0)) or None

    def get_codes(self) -> str:
        """Return the reason."""
        return self.code

    def get_full_details(self) -> dict[str, Any]:
        """Return the body with the reason."""
        return {"message": self.detail, "code": self.code}


class _FeaturePermission(BasePermission):
    """Grants permission to organisations with features.

    Attributes:
        codes: The features.
        is_any: Whether one of them is enough.
    """

    codes: tuple[str, ...] = ()
    is_any = False

    def has_permission(self, request: Any, view: Any) -> bool:  # noqa: ARG002 - the interface
        """Return True.

        Raises:
            FeatureDeniedException: The organisation of the request does not have the features.
        """
        _admit(request, self.codes, is_any=self.is_any)
        return True


def HasFeature(*codes: str, any: bool = False) -> type[BasePermission]:  # noqa: N802 - used as a class is
    """Return a permission class that grants permission to organisations with features.

    A denial raises the response, so `&` works, and `|` does not: write `HasFeature("a", "b", any=True)`.

    Args:
        codes: The codes of the features.
        any: Whether one of them is enough; default: all are needed.

    Raises:
        InvalidInput: No code, or a blank one.

    Example:
        >>> from chatarmin_os.django.test import override_service
        >>> from rest_framework.test import APIRequestFactory
        >>> request = APIRequestFactory().get("/", headers={"X-Organisation": "org_1"})
        >>> with override_service():
        ...     HasFeature("sso", "api_access", any=True)().has_permission(request, None)
        True
    """
    return type("HasFeature", (_FeaturePermission,), {"codes": code_list(codes), "is_any": any, "__module__": __name__})


class HasRequiredFeature(BasePermission):
    """Grants permission to organisations with the features that a view names as `required_feature`: one, or a list.

    Example:
        >>> from chatarmin_os.django.test import override_service
        >>> from rest_framework.test import APIRequestFactory
        >>> class Exports:
        ...     required_feature = "sso"
        >>> request = APIRequestFactory().get("/", headers={"X-Organisation": "org_1"})
        >>> with override_service():
        ...     HasRequiredFeature().has_permission(request, Exports())
        Traceback (most recent call last):
        ...
        chatarmin_os.integrations.django.rest_framework.FeatureDeniedException: {'error': 'feature_denied', ...
    """

    def has_permission(self, request: Any, view: Any) -> bool:
        """Return True.

        Raises:
            FeatureDeniedException: The organisation of the request does not have the feature.
            ImproperlyConfigured: The view has no `required_feature`.
        """
        _admit(request, required_codes(view), is_any=False)
        return True


def _admit(request: Any, codes: tuple[str, ...], *, is_any: bool) -> None:
    try:
        require(request, codes, is_any=is_any)
    except FeatureDenied as denied:
        raise FeatureDeniedException(denied.decision) from None
