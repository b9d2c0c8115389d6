"""The public path of the task of `django.tasks`, `chatarmin_os.integrations.django.background`."""

from chatarmin_os.integrations.django.background import drain_usage

__all__ = ["drain_usage"]
