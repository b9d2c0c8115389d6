"""Processes share answers through a cache, whose failures are misses."""

from __future__ import annotations

import json
import logging
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from steering import LISTING, SINGLE, Running, Stage

from chatarmin_os import ChatarminOS, NotFoundError, TimedOut
from chatarmin_os.fake import FakeTransport, demo_catalogue
from chatarmin_os.gate import DictCache, Gate, GateStats, Policy, SharedCache

if TYPE_CHECKING:
    from collections.abc import Callable


class SpiedCache:
    """A cache in memory that a test reads, and that can fail or act."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.seconds: dict[str, float] = {}
        self.acts: list[str] = []
        self.on: dict[str, Callable[[], object]] = {}

    def _act(self, act: str, key: str) -> None:
        self.acts.append(f"{act} {key.split(':')[4]}")
        if act in self.on:
            self.on[act]()

    def get(self, key: str) -> str | None:
        """Return a text."""
        self._act("get", key)
        return self.texts.get(key)

    def set(self, key: str, value: str, seconds: float) -> None:
        """Keep a text."""
        self._act("set", key)
        self.texts[key], self.seconds[key] = value, seconds

    def delete(self, key: str) -> None:
        """Remove a text."""
        self._act("delete", key)
        self.texts.pop(key, None)

    def records(self) -> dict[str, Any]:
        """Return the records by their keys."""
        return {key: json.loads(text) for key, text in self.texts.items() if ":generation:" not in key}


@pytest.fixture
def cache() -> SpiedCache:
    """Return an empty cache."""
    return SpiedCache()


@pytest.fixture
def stage(service: FakeTransport, cache: SpiedCache) -> Stage:
    """Return a stage whose gate shares its answers."""
    stage = Stage(service, shared=cache)
    stage.transport.product = "print0"
    return stage


def _check(gate: Gate, feature: str = "api_access", organisation: str = "org_1") -> Any:
    return gate.check(external_org_id=organisation, feature_code=feature)


def _calls(gate: Gate) -> list[str]:
    transport: Any = gate.client.transport
    calls = list(transport.calls)
    transport.calls.clear()
    return calls


def test_second_process_asks_the_cache_only(stage: Stage, cache: SpiedCache) -> None:
    """Its answer is as old as that of the first, and not "live"."""
    stage.check()
    stage.fake.advance(timedelta(seconds=10))
    other = stage.another(shared=cache)
    decision = _check(other)

    assert (decision.allowed, decision.source, decision.company_id) == (True, "cache", stage.company)
    assert 10 <= decision.age < 11
    assert _calls(other) == []
    assert other.stats() == GateStats(fresh=1, shared=1)
    stage.fake.advance(timedelta(seconds=21))
    assert _check(other).source == "live"


def test_error_ends_with_a_later_answer_of_another_process(stage: Stage, cache: SpiedCache) -> None:
    """What went wrong before that was asked for is over."""
    stage.check()
    stage.fake.advance(timedelta(seconds=40))
    stage.fake.fail(LISTING, error=TimedOut("slow"))
    failed = stage.check()
    assert (failed.source, type(failed.error)) == ("stale", TimedOut)
    assert _check(stage.another(shared=cache)).source == "live"
    stage.fake.advance(timedelta(seconds=2))

    decision = stage.check()
    assert (decision.source, decision.error) == ("cache", None)


def test_features_are_shared(stage: Stage, cache: SpiedCache) -> None:
    """In the order of the service."""
    listed = stage.gate.features(external_org_id="org_1")
    other = stage.another(shared=cache)
    decisions = other.features(external_org_id="org_1")

    assert list(decisions) == list(listed)
    assert {one.source for one in decisions.values()} == {"cache"}
    assert _calls(other) == []


def test_expiry_is_shared(stage: Stage, cache: SpiedCache) -> None:
    """An access ends at the same instant in all processes."""
    stage.set_access(valid_until=stage.fake.now() + timedelta(seconds=20))
    stage.check()
    stage.fake.advance(timedelta(seconds=15))
    other = stage.another(shared=cache)
    assert _check(other).allowed
    assert _check(other).access == stage.check().access
    stage.fake.advance(timedelta(seconds=5))

    assert (_check(other).allowed, _check(other).source) == (False, "cache")


def test_fields_that_this_version_does_not_know_are_shared(stage: Stage, cache: SpiedCache) -> None:
    """They are in `extra` everywhere."""
    stage.transport.answers[LISTING] = lambda _call, answer: (
        answer | {"features": [one | {"colour": "red"} for one in answer["features"]]}
    )
    stage.check()

    assert _check(stage.another(shared=cache)).access.extra == {"colour": "red"}


def test_record_is_json_with_its_instant(stage: Stage, cache: SpiedCache) -> None:
    """For the largest `max_stale`; the fingerprint is a part of the key, and no id is."""
    stage.gate = Gate(stage.client, shared=cache, policies={"sso": Policy(max_stale=5_000)})
    stage.check()
    ((key, record),) = cache.records().items()

    assert "print0" in key
    assert "org_1" not in key
    assert cache.seconds[key] == 5_000
    assert record["fetchedAt"] == stage.check().fetched_at.isoformat()
    assert cache.acts == ["get generation", "set generation", "get organisation", "set organisation"]


def test_feature_that_the_service_does_not_know_ends(stage: Stage, cache: SpiedCache) -> None:
    """The service is asked again for its listing: a shared one lacks the feature however often it is read."""
    for gate in (stage.gate, stage.another(shared=cache)):
        _check(gate)
        _calls(gate)
        with pytest.raises(NotFoundError, match="api_acess"):
            _check(gate, "api_acess")
        assert _calls(gate) == [SINGLE, LISTING]

        with pytest.raises(NotFoundError, match="api_acess"):
            _check(gate, "api_acess")
        assert _calls(gate) == []


def test_product_without_a_fingerprint_is_not_shared(stage: Stage, cache: SpiedCache) -> None:
    """Nothing is read or written."""
    stage.transport.product = None
    stage.check()
    stage.gate.forget(external_org_id="org_1")
    stage.gate.clear()

    assert cache.acts == []


def test_products_never_meet(stage: Stage, cache: SpiedCache) -> None:
    """The same organisation of another product is another."""
    stage.check()
    stage.transport.product = "print1"
    other = stage.another(shared=cache)

    assert _check(other).source == "live"


def test_unlinked_organisation_is_shared_for_its_short_time(stage: Stage, cache: SpiedCache) -> None:
    """For `unlinked_max_age`."""
    stage.check("sso", "org_9")
    (key,) = cache.records()
    other = stage.another(shared=cache)

    assert cache.seconds[key] == 5
    assert (_check(other, "sso", "org_9").reason, _calls(other)) == ("not_linked", [])


def test_unlinked_organisation_is_not_shared_without_a_time(stage: Stage, cache: SpiedCache) -> None:
    """`unlinked_max_age=0` writes nothing."""
    stage.gate = Gate(stage.client, shared=cache, unlinked_max_age=0)
    stage.check("sso", "org_9")
    assert cache.records() == {}


def test_answers_to_single_questions_are_shared(stage: Stage, cache: SpiedCache) -> None:
    """With the listing that lacks the feature."""
    stage.transport.answers[LISTING] = lambda _call, answer: answer | {"features": answer["features"][:2]}
    stage.check()
    other = stage.another(shared=cache)

    assert (_check(other).source, _calls(other)) == ("cache", [])
    stage.fake.advance(timedelta(seconds=31))
    assert stage.check().source == "live"
    assert (_check(other).source, _calls(other)) == ("cache", [])
    assert stage.calls() == [LISTING, SINGLE, SINGLE]


def test_listing_of_others_without_the_feature_leads_to_a_single_question(stage: Stage, cache: SpiedCache) -> None:
    """The listing is not asked for again."""
    stage.transport.answers[LISTING] = lambda _call, answer: answer | {"features": answer["features"][:2]}
    stage.check("seats")
    other = stage.another(shared=cache)

    assert _check(other).source == "live"
    assert _calls(other) == [SINGLE]


def test_record_that_is_fresh_for_other_features_only_is_not_enough(stage: Stage, cache: SpiedCache) -> None:
    """A quantity is old after two seconds: the service is asked."""
    stage.check()
    stage.fake.advance(timedelta(seconds=3))
    other = stage.another(shared=cache)

    assert _check(other, "ai_credit").source == "live"
    assert _calls(other) == [LISTING]


def test_answer_of_the_cache_is_no_first_refresh(stage: Stage, cache: SpiedCache) -> None:
    """The first request to the service still has the time for name and TLS."""
    stage.check()
    other = stage.another(shared=cache, timeout=10, first_timeout=60)
    _check(other)
    seconds: list[float] = []
    transport: Any = other.client.transport
    transport.with_options = lambda **options: seconds.append(options["timeout"]) or transport  # type: ignore[func-returns-value]
    _check(other, "sso", "org_2")
    _check(other, "sso", "org_3")

    assert seconds[0] > 30
    assert seconds[1] <= 10


def test_slow_cache_that_knows_answers(stage: Stage, cache: SpiedCache) -> None:
    """The time was enough, for nothing else is asked."""
    stage.check()
    other = stage.another(shared=cache, timeout=0.01, first_timeout=0.01)
    cache.on["get"] = lambda: threading.Event().wait(0.01)

    assert _check(other).source == "cache"


def test_old_record_is_used_in_an_outage_only(stage: Stage, cache: SpiedCache) -> None:
    """A process that starts while the service is down knows what others knew."""
    stage.check()
    stage.fake.advance(timedelta(seconds=100))
    other = stage.another(shared=cache)
    stage.fake.fail(LISTING, error="lost")
    decision = _check(other)

    assert (decision.allowed, decision.source) == (True, "stale")
    assert _calls(other) == [LISTING]
    stage.fake.advance(timedelta(seconds=2))
    assert _check(other).source == "live"


def test_cache_is_asked_once_while_the_gate_waits(stage: Stage, cache: SpiedCache) -> None:
    """An organisation that is new to a process in an outage is looked up, once for each wait."""
    stage.check()
    stage.fake.advance(timedelta(seconds=100))
    other = stage.another(shared=cache)
    stage.fake.fail(LISTING, error="TOO_MANY_REQUESTS")
    _check(other, "sso", "org_2")
    cache.acts.clear()
    assert [_check(other).source for _ in range(3)] == ["stale"] * 3
    assert [_check(other, "sso", "org_3").source for _ in range(3)] == ["policy"] * 3

    assert cache.acts == ["get generation", "get organisation"] * 2
    assert _calls(other) == [LISTING]


def test_future_counts_as_stale(stage: Stage, cache: SpiedCache) -> None:
    """A record of a machine whose clock is ahead is not fresh, and its age is not negative."""
    stage.check()
    behind = FakeTransport(demo_catalogue(), now=lambda: stage.fake.now() - timedelta(hours=1))
    client = ChatarminOS(transport=behind)
    behind.fingerprint = lambda: "print0"  # type: ignore[method-assign]
    behind.fail(LISTING, error="lost")
    gate = Gate(client, shared=cache)
    decision = _check(gate)

    assert (decision.allowed, decision.source) == (True, "stale")
    assert 0 <= decision.age < 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "null",
        "[]",
        "{}",
        '"x"',
        '{"generation": "g"}',
        '{"generation": "g", "fetchedAt": "yesterday", "companyId": "c", "features": [], "answers": {}}',
        '{"generation": "g", "fetchedAt": "2026-01-01T00:00:00", "companyId": "c", "features": [], "answers": {}}',
        '{"generation": "g", "fetchedAt": "2999-01-01T00:00:00Z", "companyId": 5, "features": [], "answers": {}}',
        '{"generation": "g", "fetchedAt": "NOW", "companyId": "c", "features": [{"isEnabled": "yes"}], "answers": {}}',
        '{"generation": "g", "fetchedAt": "NOW", "companyId": "c", "features": [], "answers": {"api_access": {}}}',
        "[" * 100_000,
    ],
)
def test_record_that_is_none_is_a_miss(stage: Stage, cache: SpiedCache, text: str) -> None:
    """Junk in the cache opens nothing."""
    stage.check()
    for key in cache.texts:
        if ":generation:" not in key:
            generation = json.loads(cache.texts[key])["generation"]
            cache.texts[key] = text.replace('"g"', f'"{generation}"').replace("NOW", stage.fake.now().isoformat())
    other = stage.another(shared=cache)

    assert _check(other).source == "live"


def test_entries_of_another_version_are_a_miss(stage: Stage, cache: SpiedCache) -> None:
    """The version of the format is a part of each key, and a version leaves the entries of others alone."""
    stage.check()
    of_version_2 = {key.replace(":gate:1:", ":gate:2:"): text for key, text in cache.texts.items()}
    assert not cache.texts.keys() & of_version_2.keys()
    cache.texts = dict(of_version_2)
    other = stage.another(shared=cache)

    assert _check(other).source == "live"
    assert of_version_2.items() <= cache.texts.items()


def test_format_of_a_record_is_that_of_version_1(stage: Stage, cache: SpiedCache) -> None:
    """Another format needs another version in the key, since processes of both versions may share a cache."""
    stage.check()
    ((key, record),) = cache.records().items()

    assert ":gate:1:" in key
    assert set(record) == {"generation", "fetchedAt", "companyId", "features", "answers"}
    assert all({"featureCode", "isEnabled", "canUse"} <= set(one) for one in record["features"])


@pytest.mark.parametrize("act", ["get", "set", "delete"])
def test_exception_of_the_cache_is_a_miss(
    stage: Stage, cache: SpiedCache, act: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Any exception; logged once a minute, without its text."""

    def fail() -> None:
        raise ConnectionError("redis://secret@host")

    cache.on[act] = fail
    assert stage.check().allowed
    stage.client.tiers.apply("free", company_id=stage.company)
    assert not stage.check().allowed
    stage.gate.clear()
    messages = [(record.levelno, record.getMessage()) for record in caplog.records]

    assert messages == [(logging.WARNING, "the shared cache of the gate failed: ConnectionError")]
    stage.fake.advance(timedelta(seconds=61))
    stage.check()
    stage.client.tiers.apply("free", company_id=stage.company)
    assert len(caplog.records) == 2


def test_interrupt_of_the_cache_passes(stage: Stage, cache: SpiedCache) -> None:
    """And leaves nobody waiting."""

    def interrupt() -> None:
        raise KeyboardInterrupt

    cache.on["get"] = interrupt
    with pytest.raises(KeyboardInterrupt):
        stage.check()
    cache.on.clear()

    assert stage.check().source == "live"


def test_cache_that_takes_the_whole_time_leaves_none_to_ask(service: FakeTransport, cache: SpiedCache) -> None:
    """The cache and the questions of a check share its timeout; the key does not wait for it."""
    stage = Stage(service, shared=cache, timeout=0.25, first_timeout=0.25)
    stage.transport.product = "print0"
    cache.on["get"] = lambda: threading.Event().wait(0.26)
    decision = stage.check()

    assert (decision.source, type(decision.error)) == ("policy", TimedOut)
    assert stage.calls() == []
    cache.on.clear()
    assert stage.check().source == "live"


# Own changes


def test_own_change_drops_the_shared_copy(stage: Stage, cache: SpiedCache) -> None:
    """Of the company and of all its organisations; those of others stay."""
    stage.client.links.create(company_id=stage.company, external_org_id="org_2")
    stage.client.onboard(external_org_id="org_3")
    for organisation in ("org_1", "org_2", "org_3"):
        stage.check("sso", organisation)
    stage.gate.check(company_id=stage.company, feature_code="sso")
    assert len(cache.records()) == 4
    stage.client.features.set_access(company_id=stage.company, feature_code="sso", is_enabled=True)

    assert len(cache.records()) == 1
    assert _check(stage.another(shared=cache), "sso").allowed


def test_failed_change_keeps_the_shared_copy(stage: Stage, cache: SpiedCache) -> None:
    """Outages must not destroy answers; the process itself does not read it."""
    stage.check()
    stage.transport.answers["tiers.apply"] = lambda _call, _answer: TimedOut("slow")
    with pytest.raises(TimedOut):
        stage.client.tiers.apply("free", company_id=stage.company)

    assert len(cache.records()) == 1
    assert stage.check().source == "live"


def test_what_was_fetched_before_the_last_own_change_is_not_read(stage: Stage, cache: SpiedCache) -> None:
    """Another process wrote it back after it was dropped."""
    other = stage.another(shared=cache)
    _check(other, "sso")
    before = dict(cache.texts)
    stage.client.features.set_access(company_id=stage.company, feature_code="sso", is_enabled=True)
    cache.texts.update(before)

    assert (stage.check("sso").allowed, stage.check("sso").source) == (True, "cache")
    assert stage.gate.stats().shared == 0


def test_own_usage_is_not_lost_by_reading_what_others_fetched_before(stage: Stage, cache: SpiedCache) -> None:
    """The copy stays for others, for as long as a quantity is fresh."""
    other = stage.another(shared=cache)
    _check(other, "ai_credit")
    stage.client.billing.track_usage(company_id=stage.company, feature_code="ai_credit", quantity=7)

    assert stage.check("ai_credit").access.current_usage == 7
    assert stage.calls() == ["billing.trackUsage", LISTING]


def test_own_change_while_others_answers_are_read_is_under_way(stage: Stage, cache: SpiedCache) -> None:
    """The shared copy of before is not read during a change."""
    other = stage.another(shared=cache)
    _check(other, "sso")
    hold = stage.transport.hold("features.setAccess")
    change = Running(
        lambda: stage.client.features.set_access(company_id=stage.company, feature_code="sso", is_enabled=True)
    )
    hold.wait()
    assert stage.check("sso").source == "live"
    hold.release()
    change.result()


def test_single_answer_of_before_an_own_change_is_not_read(stage: Stage, cache: SpiedCache) -> None:
    """Each answer of a record has its own instant."""
    stage.transport.answers[LISTING] = lambda _call, answer: answer | {"features": []}
    stage.check("sso")
    (key,) = cache.records()
    record = json.loads(cache.texts[key])
    stage.client.features.set_access(company_id=stage.company, feature_code="sso", is_enabled=True)
    stage.fake.advance(timedelta(seconds=1))
    cache.texts[key] = json.dumps(record | {"fetchedAt": stage.fake.now().isoformat()})
    stage.fake.advance(timedelta(seconds=1))
    stage.calls()

    assert stage.check("sso").allowed
    assert stage.calls() == [SINGLE]


def test_reset_makes_all_records_old(stage: Stage, cache: SpiedCache) -> None:
    """Also those that other processes write back, and those of organisations that this one never met."""
    other = stage.another(shared=cache)
    _check(other)
    before = {key: text for key, text in cache.texts.items() if ":generation:" not in key}
    stage.client.links.reset()
    cache.texts.update(before)

    assert stage.check().reason == "not_linked"
    assert _check(stage.another(shared=cache)).reason == "not_linked"


def test_clear_makes_all_records_old(stage: Stage, cache: SpiedCache) -> None:
    """As `links.reset` does."""
    stage.check()
    stage.gate.clear()

    assert _check(stage.another(shared=cache)).source == "live"


def test_forget_drops_the_shared_copy(stage: Stage, cache: SpiedCache) -> None:
    """Of an organisation that this process does not know too."""
    other = stage.another(shared=cache)
    _check(other)
    stage.gate.forget(external_org_id="org_1")

    assert cache.records() == {}


def test_lost_generation_makes_all_records_old(stage: Stage, cache: SpiedCache) -> None:
    """A cache that dropped it may still hold records of before a reset."""
    stage.check()
    for key in [key for key in cache.texts if ":generation:" in key]:
        del cache.texts[key]

    assert _check(stage.another(shared=cache)).source == "live"


def test_change_while_a_record_is_written_has_the_last_word(stage: Stage, cache: SpiedCache) -> None:
    """What was fetched before is dropped again."""
    changes = [lambda: stage.gate.forget(external_org_id="org_1")]

    def change() -> None:
        if changes and any("organisation" in act for act in cache.acts if act.startswith("set")):
            changes.pop()()

    cache.on["set"] = change
    stage.check()

    assert cache.records() == {}
    assert stage.check().source == "live"


def test_change_during_a_refresh_keeps_its_answer_from_the_cache(stage: Stage, cache: SpiedCache) -> None:
    """A refresh that is not kept is not shared."""
    hold = stage.transport.hold(LISTING)
    refresh = Running(stage.check)
    hold.wait()
    stage.gate.forget(external_org_id="org_1")
    hold.release()
    refresh.result()

    assert cache.records() == {}


def test_organisation_that_was_forgotten_during_its_refresh_is_not_shared(
    service: FakeTransport, cache: SpiedCache
) -> None:
    """Of one place: the entry that went first is not written."""
    stage = Stage(service, shared=cache, max_organisations=1, timeout=5)
    stage.transport.product = "print0"
    stage.gate.check_many([("org_1", "sso"), ("org_9", "sso")])

    assert len(cache.records()) == 1


def test_any_object_with_three_methods_is_a_shared_cache(cache: SpiedCache) -> None:
    """A protocol, not a base class."""
    assert isinstance(cache, SharedCache)
    assert isinstance(DictCache(), SharedCache)


def test_empty_cache_is_a_cache(service: FakeTransport) -> None:
    """One whose truth value is False while it is empty is used as well."""

    class Sized(SpiedCache):
        def __len__(self) -> int:
            return len(self.texts)

    cache = Sized()
    stage = Stage(service, shared=cache)
    stage.transport.product = "print0"
    stage.check()

    assert len(cache) == 2
