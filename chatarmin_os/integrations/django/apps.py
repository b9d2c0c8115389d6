"""The application, which is `"chatarmin_os.django"` in INSTALLED_APPS."""

from __future__ import annotations

from django.apps import AppConfig


class ChatarminConfig(AppConfig):
    """Provides the templates, the template tags, the commands and the system checks."""

    name = "chatarmin_os.integrations.django"
    label = "chatarmin_os"
    verbose_name = "ChatarminOS"

    def ready(self) -> None:
        """Register the checks."""
        from chatarmin_os.integrations.django import checks  # its imports need a configured project

        checks.register_all()
