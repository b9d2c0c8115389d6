"""Why a company may use each feature, in the words of `chatarmin_os.explanation`."""

from __future__ import annotations

import json
from itertools import islice
from typing import TYPE_CHECKING

from chatarmin_os.transports.function import FunctionTransport

if TYPE_CHECKING:
    from datetime import datetime

    from chatarmin_os._call import Call
    from chatarmin_os._json import JSON
    from chatarmin_os.fake.state import State
    from chatarmin_os.server.product import Product

MAX_FEATURES = 100
"""The features that are explained, in the order of the catalogue."""


def reasons(product: Product, state: State, company_id: str, external_org_id: str | None) -> list[JSON]:
    """Return an explanation of each feature; the caller holds the lock of the service.

    Neither the log of calls nor injected failures see the questions. A client can only infer a tier that was applied
    without a subscription; the page knows it, and states it.
    """
    from chatarmin_os.client import ChatarminOS  # late: only a page that shows a company needs it
    from chatarmin_os.explanation.evidence import collect
    from chatarmin_os.explanation.explanation import explanation_of
    from chatarmin_os.explanation.tiers import tiers_of

    client = ChatarminOS(transport=_Questions(product))
    ids = (None, company_id) if external_org_id is None else (external_org_id, None)
    tier = state.tiers.get(company_id)
    found: list[JSON] = []
    for code in islice(state.catalogue.features, MAX_FEATURES):
        evidence = collect(client, code, *ids)
        reason = explanation_of(evidence, tiers_of(evidence, tier))
        found.append(
            {
                "featureCode": code,
                "canUse": reason.can_use,
                "rule": reason.rule,
                "text": reason.text,
                "facts": [list(fact) for fact in reason.facts],
                "whatToDo": list(reason.what_to_do),
            }
        )
    return found


class _Questions(FunctionTransport):
    """Asks the service of a product itself; the same question, such as that for a tier, once."""

    def __init__(self, product: Product) -> None:
        super().__init__(self._ask)
        self._product = product
        self._answers: dict[tuple[str, str], JSON] = {}

    def _ask(self, call: Call) -> JSON:
        question = call.path, json.dumps(call.input)
        if question not in self._answers:
            self._answers[question] = self._product.fake.service.answer(call.path, call.kind, call.input)
        return self._answers[question]

    def now(self) -> datetime:
        return self._product.fake.now()
