"""The organisation that a request belongs to, as a function of the project returns it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from chatarmin_os._input import at_field, optional_identifier
from chatarmin_os.errors import InvalidInput
from chatarmin_os.gate import Decision, FeatureDenied, Gate


def external_org_id(returned: Any, place: str) -> str | None:
    """Return the external org id that a function returned; None for nobody.

    Args:
        returned: Text that is not blank, a UUID, a lazy object of one of these, or None.
        place: The function, as errors name it.

    Raises:
        InvalidInput: It returned something else.

    Example:
        >>> external_org_id(5, "ORGANISATION")
        Traceback (most recent call last):
        ...
        chatarmin_os.errors.InvalidInput: ORGANISATION: must be text or uuid.UUID, got int 5; pass str(5)
    """
    if inspect.iscoroutine(returned):
        returned.close()
        raise InvalidInput("must not be async", "define the function without async").at(place)
    return at_field(place, optional_identifier)(returned)


def check(gate: Callable[[], Gate], organisation: str | None, feature_code: str) -> Decision:
    """Return whether an organisation may use a feature; None is nobody, for whom no gate is needed."""
    if organisation is None:
        return decision_for_nobody(feature_code)
    return gate().check(external_org_id=organisation, feature_code=feature_code)


def decision_for_nobody(feature_code: str) -> Decision:
    """Return the decision for a request without an organisation: denied, and nothing is asked."""
    return Decision(allowed=False, reason="not_linked", source="policy", feature_code=feature_code)


def denied_for_nobody(feature_code: str) -> FeatureDenied:
    """Return the denial of a request without an organisation."""
    return FeatureDenied(decision_for_nobody(feature_code))
