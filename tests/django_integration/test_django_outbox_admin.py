"""The outbox in the admin: it shows events, finds dead ones, and revives or discards them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import django_project
import pytest
from django.apps import apps
from django.contrib.auth.models import Permission, User
from django.test import Client, override_settings
from outbox_databases import outbox as empty_outbox

from chatarmin_os.django import DjangoOutbox, get_gate
from chatarmin_os.integrations.django.models import OutboxEvent
from chatarmin_os.outbox import Sender, UsageEvent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chatarmin_os.fake import FakeTransport

pytest_plugins = ["django_project.fixtures"]

[TEMPLATES] = django_project.SETTINGS["TEMPLATES"]
PROCESSORS = ("django.contrib.auth.context_processors.auth", "django.contrib.messages.context_processors.messages")
SETTINGS: dict[str, Any] = {
    "INSTALLED_APPS": [*django_project.SETTINGS["INSTALLED_APPS"], "django.contrib.admin", "django.contrib.messages"],
    "MESSAGE_STORAGE": "django.contrib.messages.storage.cookie.CookieStorage",
    "MIDDLEWARE": [
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
    ],
    "ROOT_URLCONF": "django_project.admin_urls",
    "SESSION_ENGINE": "django.contrib.sessions.backends.signed_cookies",
    "STATIC_URL": "/static/",
    "TEMPLATES": [
        {
            **TEMPLATES,
            "OPTIONS": {"context_processors": [*TEMPLATES["OPTIONS"]["context_processors"], *PROCESSORS]},
        }
    ],
}
LIST = "/admin/chatarmin_os/outboxevent/"


@pytest.fixture(params=["default", "other"])
def outbox(request: pytest.FixtureRequest, fake: FakeTransport) -> Iterator[DjangoOutbox]:
    """Return an outbox that the settings name, with two dead events, one that is ready, and one that is leased."""
    outbox = empty_outbox(request.param)
    if request.param == "default":
        setting: object = "django"
    else:
        setting = outbox
        empty_outbox("default")
    with override_settings(**SETTINGS, CHATARMIN_OS={"TRANSPORT": fake, "OUTBOX": setting}):
        assert apps.is_installed("django.contrib.admin")
        outbox.put_many([_event(key, "unknown") for key in ("dead-1", "dead-2")])
        assert Sender(get_gate().client, outbox).drain().refused == 2
        outbox.put_many([_event("ready-1", "ai_credit")])
        assert len(outbox._claim("somebody", 1, [], lease=60.0, now=outbox._now)[1]) == 1
        outbox.put_many([_event("ready-2", "ai_credit")])
        yield outbox


@pytest.fixture
def browser() -> Iterator[Client]:
    """Return the browser of somebody who may do everything."""
    user = User.objects.create_superuser("admin")
    browser = Client()
    with override_settings(**SETTINGS):
        browser.force_login(user)
        yield browser
    _delete(user)


def _delete(user: User) -> None:
    """Delete a user without looking for his log entries, which have no table."""
    user.user_permissions.clear()
    User.objects.filter(pk=user.pk)._raw_delete("default")


def _event(key: str, feature: str) -> UsageEvent:
    return UsageEvent(
        external_org_id="org_1", feature_code=feature, quantity=5, idempotency_key=key, metadata={"model": "small"}
    )


def _keys(browser: Client, query: str = "") -> list[str]:
    """Return the keys in the list of the admin."""
    page = browser.get(LIST + query).content.decode()
    return [key for key in ("dead-1", "dead-2", "ready-1", "ready-2") if f">{key}</a>" in page]


def _act(browser: Client, outbox: DjangoOutbox, action: str) -> str:
    """Choose all events and an action, and return the page."""
    chosen = [str(pk) for pk in OutboxEvent.objects.using(outbox.using).values_list("pk", flat=True)]
    answer = browser.post(LIST, {"action": action, "_selected_action": chosen}, follow=True)
    return answer.content.decode()


@pytest.mark.usefixtures("outbox")
def test_admin_lists_events_and_filters_them(browser: Client) -> None:
    """All events are listed, those of a state, of a reason, and those that are searched for."""
    assert _keys(browser) == ["dead-1", "dead-2", "ready-1", "ready-2"]
    assert _keys(browser, "?state=dead") == _keys(browser, "?reason=NOT_FOUND") == ["dead-1", "dead-2"]
    assert _keys(browser, "?state=leased") == ["ready-1"]
    assert _keys(browser, "?state=ready") == ["ready-2"]
    assert _keys(browser, "?q=dead-2") == ["dead-2"]


def test_admin_shows_an_event(browser: Client, outbox: DjangoOutbox) -> None:
    """The page of an event has its values, and nothing to change or delete it with."""
    event = OutboxEvent.objects.using(outbox.using).get(key="dead-1")

    page = browser.get(f"{LIST}{event.pk}/change/").content.decode()

    for text in ("dead-1", "unknown", "org_1", "NOT_FOUND", "small"):
        assert text in page
    assert 'name="_save"' not in page
    assert "deletelink" not in page
    assert browser.get(f"{LIST}add/").status_code == 403
    assert browser.post(f"{LIST}{event.pk}/delete/", {"post": "yes"}).status_code == 403


def test_admin_revives_dead_events(browser: Client, outbox: DjangoOutbox) -> None:
    """Of the chosen events the dead ones are ready again."""
    page = _act(browser, outbox, "revive")

    assert "2 will be sent again; 2 not dead." in page
    assert (outbox.stats().dead, outbox.stats().ready) == (0, 3)


def test_admin_discards_dead_events(browser: Client, outbox: DjangoOutbox) -> None:
    """Of the chosen events the dead ones are removed."""
    OutboxEvent.objects.using(outbox.using).exclude(next_at=None).delete()

    assert "2 removed." in _act(browser, outbox, "discard")
    assert outbox.stats().dead == 0


def test_actions_need_the_permission_to_change(browser: Client, outbox: DjangoOutbox) -> None:
    """Somebody who may only look sees the events, and revives none."""
    view = Permission.objects.get(codename="view_outboxevent")
    user = User.objects.create(username="viewer", is_staff=True)
    user.user_permissions.add(view)
    browser.force_login(user)

    assert _keys(browser, "?state=dead") == ["dead-1", "dead-2"]
    _act(browser, outbox, "revive")
    assert outbox.stats().dead == 2
    _delete(user)


def test_admin_without_an_outbox(browser: Client) -> None:
    """Without the setting the admin shows the table of the default database."""
    empty_outbox("default").put_many([_event("ready-1", "ai_credit")])

    assert _keys(browser) == ["ready-1"]
    assert str(OutboxEvent.objects.get()) == "ready-1"
