"""The checked arguments of a gate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from chatarmin_os._input import at_field, text
from chatarmin_os._json import describe
from chatarmin_os.errors import InvalidInput
from chatarmin_os.gate.policy import Policy, seconds


@frozen(kw_only=True)
class Settings:
    """How a gate decides, and how much it keeps."""

    policies: dict[str, Policy] = field(converter=at_field("policies", lambda value: _policies(value)))
    default: Policy = field(converter=at_field("default", lambda value: _policy(value)))
    timeout: float = field(converter=at_field("timeout", lambda value: _positive(value)))
    first_timeout: float = field(converter=at_field("first_timeout", lambda value: _positive(value)))
    max_organisations: int = field(converter=at_field("max_organisations", lambda value: _count(value)))
    unlinked_max_age: float = field(converter=at_field("unlinked_max_age", seconds))
    shared: Any = field(converter=at_field("shared", lambda value: _with_methods(value, "get", "set", "delete")))
    outbox: Any = field(converter=at_field("outbox", lambda value: _with_methods(value, "put")))
    now: Any = field(converter=at_field("now", lambda value: _function(value)))

    def policy(self, feature: str) -> Policy:
        """Return the policy of a feature."""
        return self.policies.get(feature, self.default)

    @property
    def max_stale(self) -> float:
        """The largest age in seconds at which an answer may be used."""
        return max(policy.max_stale for policy in (self.default, *self.policies.values()))


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


def _positive(value: float) -> float:
    given = seconds(value)
    if not given:
        raise InvalidInput(f"must be seconds above 0, got {describe(value)}")
    return given


def _count(value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidInput(f"must be an int of at least 1, got {describe(value)}")
    return int(value)


def _with_methods(value: Any, *names: str) -> Any:
    missing = [name for name in names if value is not None and not callable(getattr(value, name, None))]
    if missing or isinstance(value, type):
        methods = ", ".join(f"{name}()" for name in missing or names)
        raise InvalidInput(f"expected an object with {methods}, got {describe(value)}", "pass such an object, or None")
    return value


def _function(value: Any) -> Any:
    if value is not None and not callable(value):
        raise InvalidInput(
            f"expected a function that returns seconds, got {describe(value)}", "pass it uncalled, or None"
        )
    return value
