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

    def __init__(self, world: FlagWorld, *events: ProviderEvent) -> None:
        self.events: list[tuple[ProviderEvent, EventDetails]] = []
        for event in events or ProviderEvent:
            world.flags.add_handler(event, partial(self._note, event))

    def _note(self, event: ProviderEvent, details: EventDetails) -> None:
        self.events.append((event, details))

    def wait(self, *events: ProviderEvent) -> list[EventDetails]:
        """Wait until exactly these were heard, and return their details."""
        until(lambda: [event for event, _ in self.events] == list(events))
        return [details for _, details in self.events]


def fail_five_times(world: FlagWorld) -> None:
    """Let refreshes fail until the gate leaves the whole service alone."""
    for _ in range(5):
        world.flags.get_boolean_value("sso", False, ORG)
        world.fake.advance(timedelta(seconds=31))


def test_provider_is_ready_as_soon_as_it_is_registered() -> None:
    """An evaluation right after `set_provider` is a decision, and not the default of a provider that is not ready."""
    for _ in range(20):
        world = FlagWorld()

        assert world.flags.get_provider_status() is ProviderStatus.READY
        assert world.flags.get_boolean_value("sso", False, ORG) is True


def test_outage_is_stale_and_its_end_is_ready(world: FlagWorld) -> None:
    """Five failures in a row are an outage; old answers are used until the service answers again."""
    world.flags.get_boolean_value("sso", False, ORG)
    heard = Heard(world, STALE, ERROR)
    world.make_old()
    world.break_down()
    world.flags.get_boolean_value("sso", False, ORG)
    assert world.flags.get_provider_status() is ProviderStatus.READY  # one failure is no outage

    fail_five_times(world)
    (details,) = heard.wait(STALE)
    assert (details.message, details.provider_name) == ("ServerError INTERNAL_SERVER_ERROR", "ChatarminOS")
    assert world.flags.get_provider_status() is ProviderStatus.STALE
    assert world.flags.get_boolean_details("sso", False, ORG).reason == Reason.STALE

    ready = Heard(world, READY)
    world.recover()
    world.fake.advance(timedelta(seconds=31))
    world.flags.get_boolean_value("sso", False, ORG)
    ready.wait(READY)
    assert world.flags.get_provider_status() is ProviderStatus.READY


def test_outage_without_answers_is_an_error(world: FlagWorld) -> None:
    """Nothing was known from the start, so that only policies decide."""
    heard = Heard(world, STALE, ERROR)
    world.break_down()
    fail_five_times(world)

    (details,) = heard.wait(ERROR)
    assert (details.message, details.error_code) == ("ServerError INTERNAL_SERVER_ERROR", ErrorCode.GENERAL)
    assert world.flags.get_provider_status() is ProviderStatus.ERROR
    assert world.flags.get_boolean_details("sso", True, ORG).reason == Reason.DEFAULT  # evaluations go on


def test_outage_that_outlives_the_answers_is_an_error(world: FlagWorld) -> None:
    """After `max_stale` of the default policy nothing is left to be stale."""
    world.flags.get_boolean_value("sso", False, ORG)
    heard = Heard(world, STALE, ERROR)
    world.make_old()
    world.break_down()
    fail_five_times(world)
    heard.wait(STALE)

    world.fake.advance(timedelta(seconds=901))
    world.flags.get_boolean_value("sso", False, ORG)
    heard.wait(STALE, ERROR)


def test_rate_limit_is_stale_at_once(world: FlagWorld) -> None:
    """After 429 the gate leaves the whole service alone."""
    world.flags.get_boolean_value("sso", False, ORG)
    heard = Heard(world, STALE, ERROR)
    world.make_old()
    world.break_down(RateLimitError("slow down", code="TOO_MANY_REQUESTS", http_status=429))
    world.flags.get_boolean_value("sso", False, ORG)

    heard.wait(STALE)


@pytest.mark.parametrize(
    "error",
    [UnauthorizedError("no", code="UNAUTHORIZED"), ForbiddenError("no", code="FORBIDDEN")],
    ids=["unauthorized", "forbidden"],
)
def test_refused_key_is_an_error_and_never_fatal(world: FlagWorld, error: ChatarminError) -> None:
    """After a fatal error the SDK would never ask again: a key that works again is noticed."""
    heard = Heard(world, STALE, ERROR)
    world.break_down(error)
    world.flags.get_boolean_value("sso", False, ORG)
    (details,) = heard.wait(ERROR)
    assert details.error_code is ErrorCode.GENERAL
    assert world.flags.get_provider_status() is ProviderStatus.ERROR

    world.recover()
    world.fake.advance(timedelta(seconds=31))
    assert world.flags.get_boolean_value("sso", False, ORG) is True
    assert world.flags.get_provider_status() is ProviderStatus.READY


def test_mistake_about_one_feature_is_no_event(world: FlagWorld) -> None:
    """A misspelled flag says nothing about the service."""
    heard = Heard(world, STALE, ERROR)
    for key in ("credit", "exprts"):
        world.flags.get_boolean_value(key, False, ORG)

    assert world.flags.get_provider_status() is ProviderStatus.READY
    assert heard.events == []


def test_own_change_is_a_change_of_configuration(world: FlagWorld) -> None:
    """It names the flags of the feature and the organisation, and a handler that evaluates sees the change."""
    provider = ChatarminProvider(world.gate, flags={"single": Flag("sso"), "rows": Flag("exports", setting="rows")})
    world.flags = world.register(provider)
    world.flags.get_boolean_value("sso", False, ORG)
    seen: list[tuple[EventDetails, bool]] = []
    world.flags.add_handler(
        CHANGED, lambda details: seen.append((details, world.flags.get_boolean_value("sso", True, ORG)))
    )
    world.client.features.set_access(external_org_id="org_1", feature_code="sso", is_enabled=False)

    until(lambda: len(seen) == 1)
    ((details, value),) = seen
    assert (details.flags_changed, value) == (["sso", "single"], False)
    assert details.metadata == {"external_org_id": "org_1"}


def test_change_of_a_company_names_it(world: FlagWorld) -> None:
    """A tier changes any of its flags."""
    heard = Heard(world, CHANGED)
    world.client.tiers.apply("few", company_id=world.companies["org_1"])

    (details,) = heard.wait(CHANGED)
    assert (details.flags_changed, details.metadata) == (None, {"company_id": world.companies["org_1"]})


def test_what_a_webhook_drops_has_changed(world: FlagWorld) -> None:
    """`forget` and `clear` are changes that something else made."""
    heard = Heard(world, CHANGED)
    world.gate.forget(external_org_id="org_1")
    world.gate.forget(company_id=world.companies["org_2"])
    world.gate.clear()

    found = heard.wait(CHANGED, CHANGED, CHANGED)
    metadata = [one.metadata for one in found]
    assert sorted(map(str, metadata)) == sorted(
        map(str, [{"external_org_id": "org_1"}, {"company_id": world.companies["org_2"]}, {}])
    )


def test_usage_and_refused_changes_are_no_events(world: FlagWorld) -> None:
    """Usage is no configuration, and a call that failed changed nothing that is known."""
    heard = Heard(world, CHANGED)
    world.use(1)
    world.fake.fail("features.setAccess", error="FORBIDDEN")
    with pytest.raises(ForbiddenError):
        world.client.features.set_access(external_org_id="org_1", feature_code="sso", is_enabled=False)
    world.gate.clear()

    heard.wait(CHANGED)  # that of clear only


def test_unlisted_mutation_may_change_every_flag(world: FlagWorld) -> None:
    """The path is not known here, so neither is what it changes."""
    heard = Heard(world, CHANGED)
    send = world.fake.send
    world.fake.send = lambda call: None if call.path == "seats.assign" else send(call)  # type: ignore[method-assign]
    world.client.call("seats.assign", {"featureCode": "sso", "companyId": "comp_1"}, kind="mutation")

    (details,) = heard.wait(CHANGED)
    assert (details.flags_changed, details.metadata) == (None, {})


def test_handler_that_fails_harms_no_check_and_no_change(world: FlagWorld, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged by the SDK or here."""

    def fail(_: EventDetails) -> None:
        raise RuntimeError("a fault of a handler")

    for event in ProviderEvent:
        with caplog.at_level(logging.CRITICAL):
            try:
                world.flags.add_handler(event, fail)
            except RuntimeError:
                assert event is READY  # SDKs before 0.10 run it at once, here
    with caplog.at_level(logging.ERROR):
        world.client.features.set_access(external_org_id="org_1", feature_code="sso", is_enabled=False)
        world.register(ChatarminProvider(world.gate))

        assert world.flags.get_boolean_value("sso", True, ORG) is False
        until(lambda: "a fault of a handler" in caplog.text)


def test_events_keep_their_order_with_many_threads(world: FlagWorld) -> None:
    """The last event is the state in the end, whichever threads end refreshes."""
    provider = world.provider
    emitted: list[ProviderEvent] = []
    started = threading.Event()

    def emit(_: Any, event: ProviderEvent, __: Any) -> None:
        emitted.append(event)
        if event is STALE:
            started.set()
            until(lambda: world.gate._trouble() is None)  # another thread sees the end of the outage before

    world.flags.get_boolean_value("sso", False, ORG)
    provider.attach(emit)
    world.make_old()
    world.break_down()
    thread = threading.Thread(target=fail_five_times, args=[world])
    thread.start()
    assert started.wait(PATIENCE)
    world.recover()
    world.fake.advance(timedelta(seconds=61))
    world.gate.warm(["org_1", "org_2"])
    thread.join(PATIENCE)

    assert emitted == [READY, STALE, READY]


def test_shutdown_ends_events_and_keeps_the_gate(world: FlagWorld) -> None:
    """The gate and its client stay usable, the provider can be registered again, and shutting down twice is fine."""
    world.provider.shutdown()
    world.provider.shutdown()
    heard = Heard(world, CHANGED)
    api.clear_providers()

    world.gate.clear()
    assert world.gate.check(external_org_id="org_1", feature_code="sso").allowed
    assert world.flags.get_boolean_value("sso", False, ORG) is False  # the SDK's provider without flags
    assert heard.events == []
    assert world.gate._state.listeners == ()

    world.flags = world.register(world.provider)
    assert world.flags.get_boolean_value("sso", False, ORG) is True
    again = Heard(world, CHANGED)
    world.gate.clear()
    again.wait(CHANGED)


def test_emission_under_way_at_the_end_is_dropped(world: FlagWorld) -> None:
    """A thread that is about to emit while the provider is detached emits nothing more."""
    emitted: list[ProviderEvent] = []
    world.provider.attach(lambda _provider, event, _details: emitted.append(event))
    (listener,) = world.gate._state.listeners
    world.provider.detach()
    listener.changed(None, None, None)

    assert emitted == [READY]


def test_provider_of_two_domains_listens_once(world: FlagWorld) -> None:
    """The same provider for a second domain emits no event twice."""
    world.register(world.provider, "second")
    heard = Heard(world, CHANGED)
    world.gate.clear()
    heard.wait(CHANGED)

    assert len(world.gate._state.listeners) == 1


def test_gate_keeps_no_provider_alive(world: FlagWorld) -> None:
    """A provider that was replaced is dropped, although its gate lives on."""
    world.register(ChatarminProvider(world.gate))
    until(lambda: len(world.gate._state.listeners) == 1)  # newer SDKs shut the old one down in a thread

    provider = ChatarminProvider(world.gate)
    dropped = weakref.ref(provider)
    provider.attach(lambda *_: None)
    provider.detach()
    del provider
    gc.collect()

    assert dropped() is None


def test_metadata_names_the_provider(world: FlagWorld) -> None:
    """The name is in events and in the metadata of the SDK."""
    assert api.get_provider_metadata("shop").name == "ChatarminOS"
    assert world.provider.get_provider_hooks() == []
