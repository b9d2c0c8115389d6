"""The service in memory.

- `transport`: the fake as a transport, with the test controls; `service`: its core, without a transport.
- `catalogue`: the features and tiers of a product; `stripe`: the test controls of a small Stripe.
- `companies`, `contacts`, `features`, `billing`, `tiers`, `links`, `onboarding`: the handlers of the procedures, by the
  nouns of `resources`. A handler looks rows up, asks the rules, stores, and returns the response.
- `router`: the declaration of procedures; `schema`: the validation of their inputs.
- `lookup`: rows by id, or the refusal of an unknown id; `name_index`: the search for similar names.
- `rules`: the rules, pure and apart from storage.
- `rows`: the types of the rows; `state`: the tables; `snapshot`: all tables as JSON, and back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chatarmin_os._lazy import lazy_exports
from chatarmin_os.fake.catalogue import Catalogue, demo_catalogue
from chatarmin_os.fake.transport import FakeTransport

if TYPE_CHECKING:
    from chatarmin_os.fake.rules.addresses import FREE_MAIL_DOMAINS

__all__ = ["FREE_MAIL_DOMAINS", "Catalogue", "FakeTransport", "demo_catalogue"]

# A list of several thousand domains, which only tests with domains need.
__getattr__, __dir__ = lazy_exports(__name__, {"chatarmin_os.fake.rules.addresses": ("FREE_MAIL_DOMAINS",)})
