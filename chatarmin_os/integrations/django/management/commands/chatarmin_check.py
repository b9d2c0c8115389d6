"""`manage.py chatarmin_check ORG FEATURE`: whether an organisation may use a feature now."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from chatarmin_os._json import document_of
from chatarmin_os.integrations.django.command import ServiceCommand
from chatarmin_os.integrations.django.services import get_gate
from chatarmin_os.web.report import check_lines


class Command(ServiceCommand):
    """Shows a decision of the gate."""

    help = "Shows whether an organisation may use a feature now; exits with 0 also if it may not."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take an organisation, a feature, and --json."""
        super().add_arguments(parser)
        parser.add_argument("feature", metavar="FEATURE", help="the code of the feature")

    def lines(self, options: dict[str, Any]) -> list[str]:
        """Return the decision as a table."""
        return check_lines(get_gate(), options["org"], options["feature"])

    def document(self, options: dict[str, Any]) -> dict[str, Any]:
        """Return the access as `chatarmin-os check --json` prints it, and the decision."""
        decision = get_gate().check(external_org_id=options["org"], feature_code=options["feature"])
        return {
            "feature_code": decision.feature_code,
            "can_use": decision.allowed,
            **(document_of(decision.access) if decision.access is not None else {}),
            "allowed": decision.allowed,
            "reason": decision.reason,
            "decided_by": decision.source,
        }
