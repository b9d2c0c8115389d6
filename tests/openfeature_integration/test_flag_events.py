"""Events and the status of the provider, as the gate's view of the service changes."""

from __future__ import annotations

import gc
import logging
import threading
import weakref
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from flag_world import ORG, FlagWorld
from openfeature import api
from openfeature.event import EventDetails, ProviderEvent
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import Reason
from openfeature.provider import ProviderStatus
from waiting import PATIENCE, until

from chatarmin_os import ChatarminError, ForbiddenError, RateLimitError, UnauthorizedError
from chatarmin_os.integrations.openfeature import ChatarminProvider, Flag

pytestmark = pytest.mark.usefixtures("clean_sdk")

READY, STALE = ProviderEvent.PROVIDER_READY, ProviderEvent.PROVIDER_STALE
ERROR, CHANGED = ProviderEvent.PROVIDER_ERROR, ProviderEvent.PROVIDER_CONFIGURATION_CHANGED


class Heard:
    """The events that a handler got; newer SDKs call it in a thread of their own."""

    def __init__(self, shop: FlagWorld, *events: ProviderEvent) -> None:
        self.events: list[tuple[ProviderEvent, EventDetails]] = []
        for event in events or ProviderEvent:
            shop.flags.add_handler(event, partial(self._note, event))

    def _note(self, event: ProviderEvent, details: EventDetails) -> None:
        self.events.append((event, details))

    def wait(self, *events: ProviderEvent) -> list[EventDetails]:
        """Wait until exactly these were heard, and return their details."""
        until(lambda: [event for event, _ in self.events] == list(events))
        return [details for _, details in self.events]


def fail_five_times(shop: FlagWorld) -> None:
    """Let refreshes fail until the gate leaves the whole service alone."""
    for _ in range(5):
        shop.flags.get_boolean_value("sso", False, ORG)
        shop.fake.advance(timedelta(seconds=31))


def test_provider_is_ready_as_soon_as_it_is_registered() -> None:
    """An evaluation right after `set_provider` is a decision, and not the default of a provider that is not ready."""
    for _ in range(20):
        shop = FlagWorld()

        assert shop.flags.get_provider_status() is ProviderStatus.READY
        assert shop.flags.get_boolean_value("sso", False, ORG) is True


def test_outage_is_stale_and_its_end_is_ready(shop: FlagWorld) -> None:
    """Five failures in a row are an outage; old answers are used until the service answers again."""
    shop.flags.get_boolean_value("sso", False, ORG)
    heard = Heard(shop, STALE, ERROR)
    shop.make_old()
    shop.break_down()
    shop.flags.get_boolean_value("sso", False, ORG)
    assert shop.flags.get_provider_status() is ProviderStatus.READY  # one failure is no outage

    fail_five_times(shop)
    (details,) = heard.wait(STALE)
    assert (details.message, details.provider_name) == ("ServerError INTERNAL_SERVER_ERROR", "ChatarminOS")
    assert shop.flags.get_provider_status() is ProviderStatus.STALE
    assert shop.flags.get_boolean_details("sso", False, ORG).reason == Reason.STALE

    ready = Heard(shop, READY)
    shop.recover()
    shop.fake.advance(timedelta(seconds=31))
    shop.flags.get_boolean_value("sso", False, ORG)
    ready.wait(READY)
    assert shop.flags.get_provider_status() is ProviderStatus.READY


def test_outage_without_answers_is_an_error(shop: FlagWorld) -> None:
    """Nothing was known from the start, so that only policies decide."""
    heard = Heard(shop, STALE, ERROR)
    shop.break_down()
    fail_five_times(shop)

    (details,) = heard.wait(ERROR)
    assert (details.message, details.error_code) == ("ServerError INTERNAL_SERVER_ERROR", ErrorCode.GENERAL)
    assert shop.flags.get_provider_status() is ProviderStatus.ERROR
    assert shop.flags.get_boolean_details("sso", True, ORG).reason == Reason.DEFAULT  # evaluations go on


def test_outage_that_outlives_the_answers_is_an_error(shop: FlagWorld) -> None:
    """After `max_stale` of the default policy nothing is left to be stale."""
    shop.flags.get_boolean_value("sso", False, ORG)
    heard = Heard(shop, STALE, ERROR)
    shop.make_old()
    shop.break_down()
    fail_five_times(shop)
    heard.wait(STALE)

    shop.fake.advance(timedelta(seconds=901))
    shop.flags.get_boolean_value("sso", False, ORG)
    heard.wait(STALE, ERROR)


def test_rate_limit_is_stale_at_once(shop: FlagWorld) -> None:
    """After 429 the gate leaves the whole service alone."""
    shop.flags.get_boolean_value("sso", False, ORG)
    heard = Heard(shop, STALE, ERROR)
    shop.make_old()
    shop.break_down(RateLimitError("slow down", code="TOO_MANY_REQUESTS", http_status=429))
    shop.flags.get_boolean_value("sso", False, ORG)

    heard.wait(STALE)


@pytest.mark.parametrize(
    "error",
    [UnauthorizedError("no", code="UNAUTHORIZED"), ForbiddenError("no", code="FORBIDDEN")],
    ids=["unauthorized", "forbidden"],
)
def test_refused_key_is_an_error_and_never_fatal(shop: FlagWorld, error: ChatarminError) -> None:
    """After a fatal error the SDK would never ask again: a key that works again is noticed."""
    shop.flags.get_boolean_value("sso", False, ORG)  # an old answer is no excuse
    heard = Heard(shop, STALE, ERROR)
    shop.make_old()
    shop.break_down(error)
    shop.flags.get_boolean_value("sso", False, ORG)
    (details,) = heard.wait(ERROR)
    assert details.error_code is ErrorCode.GENERAL
    assert shop.flags.get_provider_status() is ProviderStatus.ERROR

    shop.recover()
    shop.fake.advance(timedelta(seconds=31))
    assert shop.flags.get_boolean_value("sso", False, ORG) is True
    assert shop.flags.get_provider_status() is ProviderStatus.READY


def test_mistake_about_one_feature_is_no_event(shop: FlagWorld) -> None:
    """A misspelled flag says nothing about the service."""
    heard = Heard(shop, STALE, ERROR)
    for key in ("credit", "exprts"):
        shop.flags.get_boolean_value(key, False, ORG)

    assert shop.flags.get_provider_status() is ProviderStatus.READY
    assert heard.events == []


def test_own_change_is_a_change_of_configuration(shop: FlagWorld) -> None:
    """It names the flags of the feature and the organisation, and a handler that evaluates sees the change."""
    provider = ChatarminProvider(shop.gate, flags={"single": Flag("sso"), "rows": Flag("exports", setting="rows")})
    shop.flags = shop.register(provider)
    shop.flags.get_boolean_value("sso", False, ORG)
    seen: list[tuple[EventDetails, bool]] = []
    shop.flags.add_handler(
        CHANGED, lambda details: seen.append((details, shop.flags.get_boolean_value("sso", True, ORG)))
    )
    shop.client.features.set_access(external_org_id="org_1", feature_code="sso", is_enabled=False)

    until(lambda: len(seen) == 1)
    ((details, value),) = seen
    assert (details.flags_changed, value) == (["sso", "single"], False)
    assert details.metadata == {"external_org_id": "org_1"}


def test_change_of_a_company_names_it(shop: FlagWorld) -> None:
    """A tier changes any of its flags."""
    heard = Heard(shop, CHANGED)
    shop.client.tiers.apply("few", company_id=shop.companies["org_1"])

    (details,) = heard.wait(CHANGED)
    assert (details.flags_changed, details.metadata) == (None, {"company_id": shop.companies["org_1"]})


def test_what_a_webhook_drops_has_changed(shop: FlagWorld) -> None:
    """`forget` and `clear` are changes that something else made."""
    heard = Heard(shop, CHANGED)
    shop.gate.forget(external_org_id="org_1")
    shop.gate.forget(company_id=shop.companies["org_2"])
    shop.gate.clear()

    found = heard.wait(CHANGED, CHANGED, CHANGED)
    metadata = [one.metadata for one in found]
    assert sorted(map(str, metadata)) == sorted(
        map(str, [{"external_org_id": "org_1"}, {"company_id": shop.companies["org_2"]}, {}])
    )


def test_usage_and_refused_changes_are_no_events(shop: FlagWorld) -> None:
    """Usage is no configuration, and a call that failed changed nothing that is known."""
    heard = Heard(shop, CHANGED)
    shop.use(1)
    shop.fake.fail("features.setAccess", error="FORBIDDEN")
    with pytest.raises(ForbiddenError):
        shop.client.features.set_access(external_org_id="org_1", feature_code="sso", is_enabled=False)
    shop.gate.clear()

    heard.wait(CHANGED)  # that of clear only


def test_unlisted_mutation_may_change_every_flag(shop: FlagWorld) -> None:
    """The path is not known here, and neither are its effects."""
    heard = Heard(shop, CHANGED)
    send = shop.fake.send
    shop.fake.send = lambda call: None if call.path == "seats.assign" else send(call)  # type: ignore[method-assign]
    shop.client.call("seats.assign", {"featureCode": "sso", "companyId": "comp_1"}, kind="mutation")

    (details,) = heard.wait(CHANGED)
    assert (details.flags_changed, details.metadata) == (None, {})


def test_handler_that_fails_harms_no_check_and_no_change(shop: FlagWorld, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged by the SDK or here."""

    def fail(_: EventDetails) -> None:
        raise RuntimeError("a fault of a handler")

    for event in ProviderEvent:
        with caplog.at_level(logging.CRITICAL):
            try:
                shop.flags.add_handler(event, fail)
            except RuntimeError:
                assert event is READY  # SDKs before 0.10 run it at once, here
    with caplog.at_level(logging.ERROR):
        shop.client.features.set_access(external_org_id="org_1", feature_code="sso", is_enabled=False)
        shop.register(ChatarminProvider(shop.gate))

        assert shop.flags.get_boolean_value("sso", True, ORG) is False
        until(lambda: "a fault of a handler" in caplog.text)


def test_exception_of_the_sdk_harms_no_registration_and_no_change(
    shop: FlagWorld, caplog: pytest.LogCaptureFixture
) -> None:
    """SDKs before 0.10 raise the exceptions of handlers in the thread of the change."""

    def emit(*_: Any) -> None:
        raise RuntimeError("a fault of a handler")

    with caplog.at_level(logging.ERROR, "chatarmin_os"):
        shop.provider.attach(emit)
        shop.client.features.set_access(external_org_id="org_1", feature_code="sso", is_enabled=False)

    assert [one.getMessage() for one in caplog.records] == [
        "a handler of PROVIDER_READY failed",
        "a handler of PROVIDER_CONFIGURATION_CHANGED failed",
    ]
    assert shop.gate.check(external_org_id="org_1", feature_code="sso").reason == "disabled"


def test_events_keep_their_order_with_many_threads(shop: FlagWorld) -> None:
    """The last event is the state in the end, whichever threads end refreshes."""
    provider = shop.provider
    emitted: list[ProviderEvent] = []
    started = threading.Event()

    def emit(_: Any, event: ProviderEvent, __: Any) -> None:
        emitted.append(event)
        if event is STALE:
            started.set()
            until(lambda: shop.gate._trouble() is None)  # another thread sees the end of the outage before

    shop.flags.get_boolean_value("sso", False, ORG)
    provider.attach(emit)
    shop.make_old()
    shop.break_down()
    thread = threading.Thread(target=fail_five_times, args=[shop])
    thread.start()
    assert started.wait(PATIENCE)
    shop.recover()
    shop.fake.advance(timedelta(seconds=61))
    shop.gate.warm(["org_1", "org_2"])
    thread.join(PATIENCE)

    assert emitted == [READY, STALE, READY]


def test_shutdown_ends_events_and_keeps_the_gate(shop: FlagWorld) -> None:
    """The gate and its client stay usable, the provider can be registered again, and shutting down twice is fine."""
    shop.provider.shutdown()
    shop.provider.shutdown()
    heard = Heard(shop, CHANGED)
    api.clear_providers()

    shop.gate.clear()
    assert shop.gate.check(external_org_id="org_1", feature_code="sso").allowed
    assert shop.flags.get_boolean_value("sso", False, ORG) is False  # the SDK's provider without flags
    assert heard.events == []
    assert shop.gate._state.listeners == ()

    shop.flags = shop.register(shop.provider)
    assert shop.flags.get_boolean_value("sso", False, ORG) is True
    again = Heard(shop, CHANGED)
    shop.gate.clear()
    again.wait(CHANGED)


def test_emission_under_way_at_the_end_is_dropped(shop: FlagWorld) -> None:
    """A thread that is about to emit while the provider is detached emits nothing more."""
    emitted: list[ProviderEvent] = []
    shop.provider.attach(lambda _provider, event, _details: emitted.append(event))
    (listener,) = shop.gate._state.listeners
    shop.provider.detach()
    listener.changed(None, None, None)

    assert emitted == [READY]


def test_provider_of_two_domains_listens_once(shop: FlagWorld) -> None:
    """The same provider for a second domain emits no event twice."""
    shop.register(shop.provider, "second")
    heard = Heard(shop, CHANGED)
    shop.gate.clear()
    heard.wait(CHANGED)

    assert len(shop.gate._state.listeners) == 1


def test_provider_that_one_domain_replaces_still_serves_another(shop: FlagWorld) -> None:
    """Its events go on, too, and the first domain may take it back."""
    second = shop.register(shop.provider, "second")
    shop.register(ChatarminProvider(shop.gate))
    heard = Heard(shop, CHANGED)
    seen: list[EventDetails] = []
    second.add_handler(CHANGED, seen.append)
    shop.gate.clear()

    heard.wait(CHANGED)
    until(lambda: len(seen) == 1)
    assert second.get_boolean_value("sso", False, ORG) is True
    shop.register(shop.provider)
    assert shop.flags.get_boolean_value("sso", False, ORG) is True


def test_new_provider_on_the_same_gate_works_after_a_shutdown(shop: FlagWorld) -> None:
    """SDKs before 0.9 do not take the old one back after `api.shutdown`."""
    api.shutdown()

    for domain in ("shop", "second"):
        flags = shop.register(ChatarminProvider(shop.gate), domain)
        assert flags.get_boolean_value("sso", False, ORG) is True


def test_gate_keeps_no_provider_alive(shop: FlagWorld) -> None:
    """A provider that was replaced is dropped, although its gate lives on."""
    shop.register(ChatarminProvider(shop.gate))
    until(lambda: len(shop.gate._state.listeners) == 1)  # newer SDKs shut the old one down in a thread

    provider = ChatarminProvider(shop.gate)
    dropped = weakref.ref(provider)
    provider.attach(lambda *_: None)
    provider.detach()
    del provider
    gc.collect()

    assert dropped() is None


def test_metadata_names_the_provider(shop: FlagWorld) -> None:
    """The name is in events and in the metadata of the SDK."""
    assert api.get_provider_metadata("shop").name == "ChatarminOS"
    assert shop.provider.get_provider_hooks() == []
