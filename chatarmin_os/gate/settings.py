"""The checked arguments of a gate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from chatarmin_os._input import at_field, name_fields_in_errors, positive_seconds, seconds, text
from chatarmin_os._json import describe
from chatarmin_os.errors import InvalidInput
from chatarmin_os.gate.policy import Policy


def _policies(value: Mapping[str, Policy] | None) -> dict[str, Policy]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InvalidInput(f"expected a mapping of feature codes to policies, got {describe(value)}")
    checked = {}
    for code, policy in value.items():
        feature = _feature(code)
        checked[feature] = at_field(feature, _policy)(policy)
    return checked


def _feature(code: str) -> str:
    try:
        return text(code)
    except InvalidInput as error:
        raise InvalidInput(f"a feature code {error.problem}", "pass {feature code: Policy(...)}") from None


def _policy(value: Policy) -> Policy:
    if not isinstance(value, Policy):
        raise InvalidInput(f"expected a Policy, got {describe(value)}", "pass Policy(...)")
    return value


def _count(value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidInput(f"must be an int of at least 1, got {describe(value)}")
    return int(value)


def _need(name: str, value: Any, *methods: str) -> None:
    """Refuse an object that lacks a method. A proxy is not resolved: its object may change."""
    missing = [method for method in methods if not callable(getattr(value, method, None))]
    if value is not None and (missing or isinstance(value, type)):
        needed = ", ".join(f"{method}()" for method in missing or methods)
        raise InvalidInput(f"expected an object with {needed}, got {describe(value)}", "pass one, or None").at(name)


@frozen(kw_only=True, field_transformer=name_fields_in_errors)
class Settings:
    """How a gate decides, and how much it keeps."""

    policies: dict[str, Policy] = field(converter=_policies)
    default: Policy = field(converter=_policy)
    timeout: float = field(converter=positive_seconds)
    first_timeout: float = field(converter=positive_seconds)
    max_organisations: int = field(converter=_count)
    unlinked_max_age: float = field(converter=seconds)
    shared: Any
    outbox: Any
    now: Any

    def __attrs_post_init__(self) -> None:
        _need("shared", self.shared, "get", "set", "delete")
        _need("outbox", self.outbox, "put")
        if self.now is not None and not callable(self.now):
            raise InvalidInput(
                f"expected a function that returns seconds, got {describe(self.now)}", "pass it without calling it"
            ).at("now")

    def policy(self, feature: str) -> Policy:
        """Return the policy of a feature."""
        return self.policies.get(feature, self.default)

    @property
    def max_stale(self) -> float:
        """The largest age in seconds at which an answer may be used."""
        return max(policy.max_stale for policy in (self.default, *self.policies.values()))
