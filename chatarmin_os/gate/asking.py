"""Takes the questions of callers to decisions, each within the gate's timeout, and reports these."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from chatarmin_os import _clock
from chatarmin_os._input import at_field
from chatarmin_os._watching import Watchers, harmless
from chatarmin_os.errors import ChatarminError, InvalidInput
from chatarmin_os.gate.arguments import pairs_of, question_of
from chatarmin_os.gate.decision import Decision
from chatarmin_os.gate.failures import without_traceback
from chatarmin_os.gate.fences import Key
from chatarmin_os.gate.lookup import Lookup
from chatarmin_os.gate.resolver import Resolver
from chatarmin_os.gate.settings import Settings

_BATCH = 50


class Asking:
    """Asks whatever no fresh decision answers.

    Args:
        settings: The settings.
        resolver: Takes lookups to their results.
        watchers: Those of the client, whose observer hears of each decision that a caller gets.
    """

    def __init__(self, settings: Settings, resolver: Resolver, watchers: Watchers) -> None:
        self._settings, self._resolver, self._watchers = settings, resolver, watchers

    def about(self, key: Key, feature: str) -> Decision:
        """Return the decision about a feature."""
        decision: Decision = self._result(key, feature)
        self.observe(decision)
        return decision

    def about_all(self, key: Key) -> dict[str, Decision]:
        """Return the decisions about all features, in a new mapping."""
        decisions: dict[str, Decision] = self._result(key, None)
        self.observe(*decisions.values())
        return decisions.copy()

    def about_pairs(self, pairs: Iterable[Any]) -> list[Decision | ChatarminError]:
        """Return the decision or the error of each pair of an organisation and a feature, in one go."""
        asked = [self._lookup_or_error(pair) for pair in at_field("pairs", pairs_of)(pairs)]
        self._resolver.resolve([one for one in asked if isinstance(one, Lookup)])
        results: list[Any] = [one.result if isinstance(one, Lookup) else one for one in asked]
        self.observe(*(one for one in results if isinstance(one, Decision)))
        return results

    def warm(self, organisations: Sequence[str]) -> None:
        """Ask for organisations in batches, each with a timeout of its own; nobody gets these decisions."""
        for start in range(0, len(organisations), _BATCH):
            part = organisations[start : start + _BATCH]
            self._resolver.resolve([self._lookup(("organisation", one), None) for one in part])

    def observe(self, *decisions: Decision) -> None:
        """Report decisions that a caller gets to the observer of the client."""
        observer = self._watchers.observer
        if observer is None:
            return
        for one in decisions:
            is_known = one.access is not None or one.feature_code in self._settings.policies
            harmless(observer.decide, one.feature_code, one.source, one.reason, is_known=is_known)

    def _result(self, key: Key, feature: str | None) -> Any:
        lookup = self._lookup(key, feature)
        self._resolver.resolve([lookup])
        if isinstance(lookup.result, ChatarminError):
            raise lookup.result
        return lookup.result

    def _lookup_or_error(self, pair: Any) -> Lookup | ChatarminError:
        """Return the lookup of a pair, or the error of an invalid one."""
        try:
            return self._lookup(*question_of(pair))
        except InvalidInput as error:
            return without_traceback(error)

    def _lookup(self, key: Key, feature: str | None) -> Lookup:
        return Lookup(key, feature, _clock.monotonic() + self._settings.timeout)
