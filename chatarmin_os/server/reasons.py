"""Why a company may use each feature, in the words of `chatarmin_os.explanation`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from chatarmin_os.transports.function import FunctionTransport

if TYPE_CHECKING:
    from datetime import datetime

    from chatarmin_os._call import Call
    from chatarmin_os._json import JSON
    from chatarmin_os.server.product import Product

MAX_FEATURES = 100
"""The features that are explained, in the order of the catalogue."""


def reasons(product: Product, codes: list[str], company_id: str, external_org_id: str | None) -> list[JSON]:
    """Return an explanation of each feature; the caller holds the lock of the service.

    Neither the log of calls nor injected failures see the questions.
    """
    from chatarmin_os.client import ChatarminOS  # late: only a page that shows a company needs it
    from chatarmin_os.explanation import explain

    client = ChatarminOS(transport=_Questions(product))
    known = {"company_id": company_id} if external_org_id is None else {"external_org_id": external_org_id}
    found: list[JSON] = []
    for code in codes[:MAX_FEATURES]:
        reason = explain(client, code, **known)
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
