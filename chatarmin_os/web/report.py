"""The texts of the commands that a framework adds to its command line, for the person who looks for a reason."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from chatarmin_os._table import table
from chatarmin_os.errors import ChatarminError, InvalidInput, TransportError
from chatarmin_os.gate import Decision, Gate
from chatarmin_os.outbox import OutboxError


def status_lines(gate: Gate, external_org_id: str) -> list[str]:
    """Return the company of an organisation, and its features.

    Raises:
        ChatarminError: The service refused a call, or no usable response was received.
    """
    company = gate.client.companies.get_by_product_link(external_org_id=external_org_id)
    if company is None:
        return [f"{external_org_id} is not linked to a company: every feature is denied"]
    decisions = gate.features(external_org_id=external_org_id).values()
    return [f"{external_org_id} is {company.name}", *(_table(decisions) if decisions else ["It has no features."])]


def check_lines(gate: Gate, external_org_id: str, feature_code: str) -> list[str]:
    """Return the decision about one feature.

    Raises:
        ChatarminError: The gate raises.
    """
    return _table([gate.check(external_org_id=external_org_id, feature_code=feature_code)])


def exit_code(error: ChatarminError) -> int:
    """Return the exit code of an error: 1 refused, 2 wrong usage or settings, 3 no response, also of the outbox.

    Example:
        >>> from chatarmin_os.outbox import OutboxUnavailable
        >>> exit_code(InvalidInput("must not be blank")), exit_code(OutboxUnavailable("the disk is full"))
        (2, 3)
    """
    return 2 if isinstance(error, InvalidInput) else 3 if isinstance(error, (TransportError, OutboxError)) else 1


def _table(decisions: Iterable[Decision]) -> list[str]:
    return table([_row(decision) for decision in decisions])


def _row(decision: Decision) -> dict[str, Any]:
    access = decision.access
    row: dict[str, Any] = {"feature": decision.feature_code, "allowed": decision.allowed, "reason": decision.reason}
    if access is None:
        return {**row, "used": None, "limit": None, "valid_until": None, "source": decision.source}
    is_unlimited = access.has_quantity and access.quantity_limit is None
    return {
        **row,
        "used": access.current_usage,
        "limit": "unlimited" if is_unlimited else access.quantity_limit,
        "valid_until": access.valid_until,
        "source": decision.source,
    }
