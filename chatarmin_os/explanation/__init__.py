"""The explanation: why a company can or cannot use a feature, in words, for people who support customers.

    >>> from chatarmin_os.explanation import explain
    >>> company = client.sign_up(external_org_id="org_1", name="Acme Inc", starting_tier="free")
    >>> print(explain(client, "sso", external_org_id="org_1").text)
    Acme Inc (org_1) cannot use sso: it has no access, most likely because none was ever granted; most likely its tier
    is Free, which does not include it

Where to look: `explanation` has the arguments and the result, `evidence` asks the service, `rules` decides which rule
applies, `tiers` which tier sets a limit; `sentence`, `facts` and `remedies` write the parts of the result.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chatarmin_os._lazy import lazy_exports

if TYPE_CHECKING:
    from chatarmin_os.explanation.explanation import Explanation, explain

__getattr__, __dir__ = lazy_exports(__name__, {"chatarmin_os.explanation.explanation": ("Explanation", "explain")})

__all__ = ["Explanation", "explain"]
