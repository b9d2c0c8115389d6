"""The service in memory.

Where to look for what:

- `transport`: the fake as a transport, and the handles that a test arranges with; `catalogue`: what the product sells.
- `companies`, `contacts`, `features`, `billing`, `tiers`, `links`, `onboarding`: what answers a procedure, the same
  nouns as in `resources`: look up, ask the rule, store, answer. `stripe`: what only Stripe could do.
- `rules`: the rules, pure and apart from storage.
- `state`: the tables; `snapshot`: all of them as JSON, and back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chatarmin_os._lazy import lazy_exports
from chatarmin_os.fake.catalogue import Catalogue, demo_catalogue
from chatarmin_os.fake.transport import FakeTransport

if TYPE_CHECKING:
    from chatarmin_os.fake.rules.addresses import FREE_MAIL_DOMAINS

__all__ = ["FREE_MAIL_DOMAINS", "Catalogue", "FakeTransport", "demo_catalogue"]

# A list of some thousand, which a test without domains never needs.
__getattr__, __dir__ = lazy_exports(__name__, {"chatarmin_os.fake.rules.addresses": ("FREE_MAIL_DOMAINS",)})
