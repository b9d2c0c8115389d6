"""The application `"chatarmin_os.django"`, `chatarmin_os.integrations.django.apps`."""

from chatarmin_os.integrations.django.apps import ChatarminConfig

__all__ = ["ChatarminConfig"]
