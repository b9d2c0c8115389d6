"""`manage.py chatarmin_check ORG FEATURE`: whether an organisation may use a feature now."""

from __future__ import annotations

from typing import Any

from chatarmin_os.gate import Decision
from chatarmin_os.integrations.django.command import ServiceCommand, document_of
from chatarmin_os.integrations.django.services import get_gate


class Command(ServiceCommand):
    """Shows a decision of the gate, and the access that it rests on."""

    help = "Shows whether an organisation may use a feature now; exits with 0 also if it may not."

    def add_arguments(self, parser: Any) -> None:
        """Take an organisation, a feature, and --json."""
        super().add_arguments(parser)
        parser.add_argument("feature", metavar="FEATURE", help="the code of the feature")

    def run(self, org: str, options: dict[str, Any]) -> None:
        """Print the decision."""
        decision = get_gate().check(external_org_id=org, feature_code=options["feature"])
        self.print(options, _document(decision), [_row(decision)])
        if decision.error is not None:
            raise decision.error


def _document(decision: Decision) -> dict[str, Any]:
    """Return the access as the command `chatarmin-os check` prints it, and the decision."""
    access = {"feature_code": decision.feature_code, "can_use": False} | document_of(decision.access)
    return {**access, "allowed": decision.allowed, "reason": decision.reason, "decided_by": decision.source}


def _row(decision: Decision) -> dict[str, Any]:
    access = decision.access
    is_unlimited = access and access.has_quantity and access.quantity_limit is None
    return {
        "feature": access and access.feature_name or decision.feature_code,
        "allowed": decision.allowed,
        "reason": decision.reason,
        "used": access and access.current_usage,
        "limit": "unlimited" if is_unlimited else access and access.quantity_limit,
        "remaining": access and access.remaining,
        "source": access and access.source,
        "valid_until": access and access.valid_until,
    }
