"""The features of a request's organisation, for templates: lazy, closed in case of errors."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping

from chatarmin_os.gate import Decision, Gate
from chatarmin_os.web.log import LOGGER, foreign_error, name_for_log
from chatarmin_os.web.organisation import decision_for_nobody


class Features(Mapping[str, Decision]):
    """Decisions by feature code, as items and as attributes; nothing is asked before one is read.

    The gate remembers the answers, so that all features of a page take one call, and a change that the same request
    makes is seen at once.

    Args:
        gate: Returns the gate.
        organisation: Returns the external org id of the request, None for nobody.

    Example:
        >>> from chatarmin_os.gate import Gate
        >>> company = client.onboard(external_org_id="org_1", tier_code="pro")
        >>> features = Features(lambda: Gate(client), lambda: "org_1")
        >>> bool(features.ai_credit), features["team_seats"].reason
        (True, 'allowed')
    """

    def __init__(self, gate: Callable[[], Gate], organisation: Callable[[], str | None]) -> None:
        self._gate, self._organisation = gate, organisation

    def __getitem__(self, feature_code: str) -> Decision:
        organisation = self._organisation()
        if organisation is None:
            return decision_for_nobody(feature_code)
        return self._gate().check(external_org_id=organisation, feature_code=feature_code)

    def __getattr__(self, name: str) -> Decision:
        if name.startswith("_"):
            raise AttributeError(name)
        return self[name]

    def __iter__(self) -> Iterator[str]:
        organisation = self._organisation()
        return iter(()) if organisation is None else iter(self._gate().features(external_org_id=organisation))

    def __len__(self) -> int:
        return sum(1 for _ in self)


class ClosedFeatures(Features):
    """The same for templates: in case of an error a feature is closed, and the error is logged.

    Args:
        gate: As for `Features`.
        organisation: As for `Features`.
        logger: Returns the logger; default: that of this package.
    """

    def __init__(
        self,
        gate: Callable[[], Gate],
        organisation: Callable[[], str | None],
        logger: Callable[[], logging.Logger] | None = None,
    ) -> None:
        super().__init__(gate, organisation)
        self._logger = logger

    def __getitem__(self, feature_code: str) -> Decision:
        try:
            return super().__getitem__(feature_code)
        except Exception as error:  # noqa: BLE001 - a page must not fail because of a feature
            self._log(f"the feature {feature_code!r}", error)
            return decision_after_error(feature_code)

    def __iter__(self) -> Iterator[str]:
        try:
            return super().__iter__()
        except Exception as error:  # noqa: BLE001 - as above
            self._log("every feature", error)
            return iter(())

    def _log(self, closed: str, error: Exception) -> None:
        logger = self._logger() if self._logger else LOGGER
        logger.error("%s is closed in a template: %s", closed, name_for_log(error), exc_info=foreign_error(error))


def decision_after_error(feature_code: str) -> Decision:
    """Return the decision for a template in which checking failed: denied."""
    return Decision(
        allowed=False,
        reason="outage",
        source="policy",
        feature_code=feature_code,
        external_org_id=None,
        company_id=None,
        access=None,
        error=None,
        fetched_at=None,
    )
