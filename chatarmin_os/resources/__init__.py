"""The methods of a client, a module per noun; each sends one request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chatarmin_os._lazy import lazy_exports

if TYPE_CHECKING:
    from chatarmin_os.resources.billing import Billing
    from chatarmin_os.resources.companies import Companies
    from chatarmin_os.resources.contacts import Contacts
    from chatarmin_os.resources.features import Features
    from chatarmin_os.resources.links import Links
    from chatarmin_os.resources.subscriptions import Subscriptions
    from chatarmin_os.resources.tiers import Tiers

# A program that only checks features never defines the others.
__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "chatarmin_os.resources.billing": ("Billing",),
        "chatarmin_os.resources.companies": ("Companies",),
        "chatarmin_os.resources.contacts": ("Contacts",),
        "chatarmin_os.resources.features": ("Features",),
        "chatarmin_os.resources.links": ("Links",),
        "chatarmin_os.resources.subscriptions": ("Subscriptions",),
        "chatarmin_os.resources.tiers": ("Tiers",),
    },
)

__all__ = ["Billing", "Companies", "Contacts", "Features", "Links", "Subscriptions", "Tiers"]
