"""The application, which is `"chatarmin_os.django"` in INSTALLED_APPS."""

from __future__ import annotations

from django.apps import AppConfig


class ChatarminConfig(AppConfig):
    """Provides the templates, the template tags, the commands, the system checks and the table of the outbox."""

    name = "chatarmin_os.integrations.django"
    label = "chatarmin_os"
    default_auto_field = "django.db.models.BigAutoField"  # whatever the project has
    verbose_name = "ChatarminOS"

    def ready(self) -> None:
        """Register the checks, and the services for background tasks."""
        from chatarmin_os.integrations.django import checks, services  # their imports need a configured project
        from chatarmin_os.web.current import providers

        checks.register_all()
        providers["django"] = services.current
