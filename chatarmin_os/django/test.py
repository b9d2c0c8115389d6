"""The public path of the helpers for tests, `chatarmin_os.integrations.django.test`."""

from chatarmin_os.integrations.django.test import override_service

__all__ = ["override_service"]
