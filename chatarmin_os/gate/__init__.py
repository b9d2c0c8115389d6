"""The gate: may this customer use this feature, in a request, also while the service does not answer.

    >>> from chatarmin_os.gate import Gate, Policy
    >>> gate = Gate(client, policies={"sso": Policy(on_outage="allow")})
    >>> company = client.onboard(external_org_id="org_1", tier_code="free")
    >>> gate.check(external_org_id="org_1", feature_code="ai_credit").allowed
    True

Where to look:

- **Methods**: `gate` has them with their documentation, `arguments` checks what they are given, `metered` is the block
  whose usage is counted.
- **Ask**: a fresh decision is ready in the `entry` of its organisation, and `gate` returns it. Else `asking` makes a
  `lookup`, `resolver` takes it to its result, and `evaluator` decides on the `answers` that are kept.
- **Refresh**: one `flight` for all threads that wait; `refresh` asks the `service`, unless `backoff` or `breaker` says
  not to, and `sharing` the shared cache.
- **Own changes**: `watcher` invalidates what a mutation concerns, and `fences` keep a refresh from bringing it back.
- **Integrations**: a `listener` hears of refreshes and changes.
- **Pure functions**: `policy`, `decision`, `usage`, `effects`, `failures`, `record`.
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
