"""The features of a request's organisation, which a page reads one by one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chatarmin_os.gate import Decision


class Features:
    """Decisions by feature code, as items and as attributes; nothing is asked before one is read.

    The gate keeps the answers, so that all features of a page take one call, and a change that the same request makes
    is seen at once.

    Args:
        check: Returns the decision about a feature.
        of: The request, as the repr names it.

    Example:
        >>> from chatarmin_os.gate import Gate
        >>> company = client.onboard(external_org_id="org_1", tier_code="pro")
        >>> gate = Gate(client)
        >>> features = Features(lambda code: gate.check(external_org_id="org_1", feature_code=code))
        >>> bool(features.ai_credit), features["team_seats"].reason
        (True, 'allowed')
    """

    __iter__: Any = None  # the codes are not known; without this `in` and `for` would read the features 0, 1, 2

    def __init__(self, check: Callable[[str], Decision], of: object = "a request") -> None:
        self._check, self._of = check, of

    def __repr__(self) -> str:
        return f"<features of {self._of}>"

    def __getitem__(self, feature_code: str) -> Decision:
        return self._check(feature_code)

    def __getattr__(self, name: str) -> Decision:
        if name.startswith("_"):  # Python, copy and pickle look for names of theirs
            raise AttributeError(name)
        return self[name]
