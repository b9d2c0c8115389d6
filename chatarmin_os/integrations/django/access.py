"""Decisions for the organisation that a request is for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from chatarmin_os._input import at_field, text
from chatarmin_os._json import describe
from chatarmin_os.errors import InvalidInput
from chatarmin_os.gate import Decision, FeatureDenied, Gate
from chatarmin_os.integrations.django.organisation import Organisation, organisation_of
from chatarmin_os.integrations.django.services import current
from chatarmin_os.web.organisation import check as decide


def check(request: Any, code: str, organisation: Organisation | None = None) -> Decision:
    """Return whether the organisation of a request may use a feature."""
    return decide(_gate, organisation_of(request, organisation), code)


def require(
    request: Any, codes: Iterable[str], organisation: Organisation | None = None, *, is_any: bool = False
) -> None:
    """Check features, and set `request.feature` to the last decision.

    Raises:
        FeatureDenied: The organisation may not use one of the features; with *is_any*, none of them. It has the first
            denial.
    """
    external_org_id = organisation_of(request, organisation)
    denial: Decision | None = None
    for code in codes:
        decision = decide(_gate, external_org_id, code)
        getattr(request, "_request", request).feature = decision  # REST framework wraps the request of Django
        if decision and is_any:
            return
        if not decision:
            denial = decision if denial is None else denial  # a denial is falsy
            if not is_any:
                break
    if denial is not None:
        raise FeatureDenied(denial)


def _gate() -> Gate:
    return current().gate


def code_list(codes: str | Iterable[str], place: str = "required_feature") -> tuple[str, ...]:
    """Return feature codes, given as one text or as several.

    Raises:
        InvalidInput: There is no code, or one is not text or blank.

    Example:
        >>> code_list("exports"), code_list(["exports", "sso"])
        (('exports',), ('exports', 'sso'))
    """
    if isinstance(codes, str):
        codes = (codes,)
    elif not isinstance(codes, Iterable):
        raise InvalidInput(f"expected a feature code, or several, got {describe(codes)}").at(place)
    checked = tuple(at_field(f"{place}[{index}]", text)(code) for index, code in enumerate(codes))
    if not checked:
        raise InvalidInput("expected at least one feature code").at(place)
    return checked


def required_codes(view: Any) -> tuple[str, ...]:
    """Return the codes of the features that a view names as `required_feature`.

    Raises:
        ImproperlyConfigured: It names none: a view without the attribute must not be open.
    """
    codes = getattr(view, "required_feature", None)
    if not codes:
        raise ImproperlyConfigured(f"{type(view).__name__}.required_feature: set it to a feature code, or to a list")
    return code_list(codes)
