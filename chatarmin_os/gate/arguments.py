"""The arguments of the gate's methods: whose access, and to which feature."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from chatarmin_os._input import at_field, company_identifier, identifier, items, text
from chatarmin_os._json import describe
from chatarmin_os._usage_event import exactly_one
from chatarmin_os.errors import InvalidInput
from chatarmin_os.gate.fences import Key

_NO_PAIRS = str, bytes, AbstractSet, Mapping  # a set has no order: which one is the organisation?


def key_of(external_org_id: Any, company_id: Any) -> Key:
    """Return the key of exactly one of the two ids."""
    exactly_one(external_org_id, company_id)
    if company_id is None:
        return "organisation", at_field("external_org_id", identifier)(external_org_id)
    return "company", at_field("company_id", company_identifier)(company_id)


def pairs_of(value: Any) -> list[Any]:
    """Return the pairs of an iterable, each of them still unchecked."""
    return items(value, of="pairs")


def question_of(pair: Any) -> tuple[Key, str]:
    """Return the key and the feature of a pair of an organisation and a feature."""
    if isinstance(pair, _NO_PAIRS) or not isinstance(pair, Iterable) or len(both := tuple(pair)) != 2:  # noqa: PLR2004
        raise InvalidInput(f"expected (external_org_id, feature_code), got {describe(pair)}").at("pairs")
    key = "organisation", at_field("external_org_id", identifier)(both[0])
    return key, at_field("feature_code", text)(both[1])


def identifiers(value: Any) -> list[str]:
    """Return the ids of an iterable of organisations; an error names the place of the wrong one."""
    return [at_field(f"[{index}]", identifier)(one) for index, one in enumerate(items(value, of="ids"))]
