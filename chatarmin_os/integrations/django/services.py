"""The client, the gate and the outbox of this process, created from the settings when they are first needed."""

from __future__ import annotations

from django import conf  # its settings are read late
from django.core.signals import setting_changed

from chatarmin_os.client import ChatarminOS
from chatarmin_os.gate import Gate, SharedCache
from chatarmin_os.gate.caches import DjangoCache
from chatarmin_os.integrations.django.outbox import DjangoOutbox
from chatarmin_os.outbox import Outbox
from chatarmin_os.web.services import Services
from chatarmin_os.web.settings import DJANGO, NAME, Settings, read


def _make() -> Services:
    return Services(lambda: read(getattr(conf.settings, NAME, None)), _make_cache, _make_outbox)


def _make_cache(settings: Settings) -> SharedCache | None:
    return None if settings.cache is None else DjangoCache(settings.cache)


def _make_outbox(settings: Settings) -> Outbox | None:
    return DjangoOutbox() if settings.outbox == DJANGO else settings.make_outbox()


_services = [_make()]
"""Those of the settings, and behind them those of each `override_settings` that is in force."""


def current() -> Services:
    """Return the services of the settings in force."""
    return _services[-1]


def _follow(*, setting: str, enter: bool, **_: object) -> None:
    """Make new services for an overridden setting, and restore the former ones when it ends."""
    if setting != NAME:
        return
    if enter:
        _services.append(_make())
        return
    ended = _services[-1]
    if len(_services) == 1:  # this module was imported inside the override
        _services[0] = _make()
    else:
        _services.pop()
    ended.close()


setting_changed.connect(_follow, dispatch_uid=__name__)


def get_client() -> ChatarminOS:
    """Return the client of this process, created from the setting CHATARMIN_OS at the first call.

    With `override_settings(CHATARMIN_OS=...)` there is another one until the former settings are restored.

    Raises:
        InvalidInput: A setting is invalid, or the key is missing.

    Example:
        >>> from chatarmin_os.django.test import override_service
        >>> with override_service(tier="pro"):
        ...     get_client().features.check_by_external_org_id("org_1", "seats").remaining
        25
    """
    return current().client


def get_gate() -> Gate:
    """Return the gate of this process, on the client of `get_client`, with the policies of the settings.

    Raises:
        InvalidInput: A setting is invalid, or the key is missing.

    Example:
        >>> from chatarmin_os.django.test import override_service
        >>> with override_service(tier="pro"):
        ...     get_gate().check(external_org_id="org_1", feature_code="sso").reason
        'disabled'
    """
    return current().gate


def get_outbox() -> Outbox | None:
    """Return the outbox of this process, created from the setting OUTBOX at the first call; None if that is None.

    Raises:
        InvalidInput: A setting is invalid.
        OutboxUnavailable: The file of the outbox cannot be used.

    Example:
        >>> from django.test import override_settings
        >>> get_outbox() is None
        True
        >>> with override_settings(CHATARMIN_OS={"TRANSPORT": "fake", "OUTBOX": "django"}):
        ...     get_outbox()
        <DjangoOutbox in 'default'>
    """
    return current().outbox


def database_outbox() -> DjangoOutbox | None:
    """Return the outbox of this process if it is in a database of the project; no other one is opened."""
    services = current()
    given = services.settings.outbox
    if given != DJANGO and not isinstance(given, DjangoOutbox):
        return None
    outbox = services.outbox
    return outbox if isinstance(outbox, DjangoOutbox) else None
