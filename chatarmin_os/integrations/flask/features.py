"""The features of the current request for templates: in case of an error a feature is closed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from flask import current_app

from chatarmin_os.gate import Decision, Gate
from chatarmin_os.web.features import Features
from chatarmin_os.web.log import foreign_error, name_for_log
from chatarmin_os.web.organisation import check


class ClosedFeatures(Features, Mapping[str, Decision]):
    """Decisions by feature code, with the codes that the service lists; every error is logged and closes a feature.

    Args:
        gate: Returns the gate.
        organisation: Returns the external org id of the request, None for nobody.
    """

    def __init__(self, gate: Callable[[], Gate], organisation: Callable[[], str | None]) -> None:
        super().__init__(lambda feature_code: check(gate, organisation(), feature_code), of="the current request")
        self._gate, self._organisation = gate, organisation

    def __getitem__(self, feature_code: str) -> Decision:
        try:
            return super().__getitem__(feature_code)
        except Exception as error:  # noqa: BLE001 - a page must not fail because of a feature
            _log(f"the feature {feature_code!r}", error)
            return Decision(allowed=False, reason="outage", source="policy", feature_code=feature_code)

    def __iter__(self) -> Iterator[str]:
        try:
            organisation = self._organisation()
            return iter(() if organisation is None else self._gate().features(external_org_id=organisation))
        except Exception as error:  # noqa: BLE001 - as above
            _log("every feature", error)
            return iter(())

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _log(closed: str, error: Exception) -> None:
    current_app.logger.error(
        "%s is closed in a template: %s", closed, name_for_log(error), exc_info=foreign_error(error)
    )
