"""The gate: may this customer use this feature, in a request, also while the service does not answer.

    >>> from chatarmin_os.gate import Gate, Policy
    >>> gate = Gate(client, policies={"sso": Policy(on_outage="allow")})
    >>> company = client.onboard(external_org_id="org_1", tier_code="free")
    >>> gate.check(external_org_id="org_1", feature_code="ai_credit").allowed
    True

Where to look: `gate` has the methods; `desk` takes each question to its decision, `refresh` asks the service, `judge`
decides on what is `known`. `policy`, `decision`, `usage`, `effects` and `failures` are pure functions. `watch` takes
note of what the client changes, and `fences` of when.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chatarmin_os._lazy import lazy_exports

if TYPE_CHECKING:
    from chatarmin_os._usage_event import UsageEvent
    from chatarmin_os.gate.decision import Decision, FeatureDenied
    from chatarmin_os.gate.gate import Gate
    from chatarmin_os.gate.metered import Metered
    from chatarmin_os.gate.policy import Policy
    from chatarmin_os.gate.shared_cache import DictCache, SharedCache
    from chatarmin_os.gate.stats import GateStats

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "chatarmin_os._usage_event": ("UsageEvent",),
        "chatarmin_os.gate.decision": ("Decision", "FeatureDenied"),
        "chatarmin_os.gate.gate": ("Gate",),
        "chatarmin_os.gate.metered": ("Metered",),
        "chatarmin_os.gate.policy": ("Policy",),
        "chatarmin_os.gate.shared_cache": ("DictCache", "SharedCache"),
        "chatarmin_os.gate.stats": ("GateStats",),
    },
)

__all__ = [
    "Decision",
    "DictCache",
    "FeatureDenied",
    "Gate",
    "GateStats",
    "Metered",
    "Policy",
    "SharedCache",
    "UsageEvent",
]
