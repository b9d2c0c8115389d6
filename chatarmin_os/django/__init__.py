"""The public path of `chatarmin_os.integrations.django`; also the application for INSTALLED_APPS."""

from chatarmin_os.integrations.django.middleware import FeaturesMiddleware
from chatarmin_os.integrations.django.outbox import DjangoOutbox
from chatarmin_os.integrations.django.services import get_client, get_gate, get_outbox
from chatarmin_os.integrations.django.usage import metered, track_usage
from chatarmin_os.integrations.django.views import RequiresFeatureMixin, requires_feature

__all__ = [
    "DjangoOutbox",
    "FeaturesMiddleware",
    "RequiresFeatureMixin",
    "get_client",
    "get_gate",
    "get_outbox",
    "metered",
    "requires_feature",
    "track_usage",
]
