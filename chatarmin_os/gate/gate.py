"""The gate: may this customer use this feature.

Its methods and their documentation. A fresh decision is found here; the package says where the rest is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any
from uuid import UUID

from chatarmin_os._input import Number, at_field, text
from chatarmin_os._usage_event import UsageEvent
from chatarmin_os.client import ChatarminOS, ensure_client
from chatarmin_os.errors import ChatarminError, InvalidInput
from chatarmin_os.gate import forks
from chatarmin_os.gate.arguments import identifiers, key_of
from chatarmin_os.gate.asking import Asking
from chatarmin_os.gate.decision import Decision, FeatureDenied
from chatarmin_os.gate.entry import Entry
from chatarmin_os.gate.fences import EVERYTHING
from chatarmin_os.gate.listener import Listener, Trouble
from chatarmin_os.gate.metered import Metered
from chatarmin_os.gate.policy import Policy
from chatarmin_os.gate.resolver import Resolver
from chatarmin_os.gate.settings import Settings
from chatarmin_os.gate.shared_cache import SharedCache
from chatarmin_os.gate.shared_records import SharedRecords
from chatarmin_os.gate.sharing import Sharing
from chatarmin_os.gate.state import State
from chatarmin_os.gate.stats import GateStats
from chatarmin_os.gate.watcher import MutationWatcher

_NOBODY = Entry(("organisation", ""))


class Gate:
    """Decides whether an organisation may use a feature, from answers that it keeps; one gate serves a whole process.

    It asks the service once for all features of an organisation, and keeps deciding while the service does not answer.

    The README of the service states what an access says (`canUse`, `remaining`) and that usage beyond the limit is
    refused. Assumed here: an access ends at its `validUntil`, and which calls change what of which company; a call that
    is not known may change everything.

    Args:
        client: The client; the gate takes note of everything that it changes.
        policies: Feature code -> its `Policy`.
        default: The policy of every other feature.
        timeout: The most seconds that a check takes, whatever the service does.
        first_timeout: The same for the first refresh of a process (name, TLS), if it is more than *timeout*; a forked
            child is another process.
        max_organisations: The number of organisations and companies to keep; the least recently used go first.
        unlinked_max_age: Seconds for which an organisation that the service does not know is not asked for again.
        shared: A `SharedCache` that several processes use; None: each process asks for itself.
        outbox: Takes the usage of `metered` while the service does not answer; None: it raises.
        now: Returns seconds on a clock that never goes back; default: the real clock, or that of the fake.

    Raises:
        InvalidInput: An invalid setting.
        TypeError: *client* is not a client.

    Policies:
        - **Fresh answers** are used without any input or output. An older one is refreshed by one caller, while others
          get it; if nothing is known, all wait for one request.
        - **Outages** (no answer, 5xx, 429): an old answer, or the feature's policy. The service is then left alone for
          a random 0.5 to 1 second, doubling to 30; from the fifth failure in a row for all organisations.
        - **Mistakes** (a wrong key, an unknown feature, a wrong type) never allow: an old answer, or the error.
        - **Own changes** through the client take effect at once: no old answer is read after one has returned.
        - **Threads** may share a gate. A forked child keeps the answers. The gate starts no thread.

    Example:
        >>> from chatarmin_os.gate import Gate, Policy
        >>> gate = Gate(client, policies={"sso": Policy(on_outage="allow")})
        >>> company = client.onboard(external_org_id="org_1", tier_code="pro")
        >>> if gate.check(external_org_id="org_1", feature_code="api_access"):
        ...     print("welcome")
        welcome
    """

    def __init__(
        self,
        client: ChatarminOS,
        *,
        policies: Mapping[str, Policy] | None = None,
        default: Policy = Policy(),  # noqa: B008 - it is frozen
        timeout: Number = 0.5,
        first_timeout: Number = 2.0,
        max_organisations: int = 10_000,
        unlinked_max_age: Number = 5.0,
        shared: SharedCache | None = None,
        outbox: Any = None,
        now: Callable[[], float] | None = None,
    ) -> None:
        settings = Settings(
            policies=policies,
            default=default,
            timeout=timeout,
            first_timeout=first_timeout,
            max_organisations=max_organisations,
            unlinked_max_age=unlinked_max_age,
            shared=shared,
            outbox=outbox,
            now=now,
        )
        self.client, self._outbox = ensure_client(client), outbox
        self._state = state = State(client, settings)
        records = None if shared is None else SharedRecords(shared, client, state.clock)
        self._watcher = MutationWatcher(state, records)
        self.watch(client)
        self._watchers = client._watchers  # noqa: SLF001 - who observes the client, observes its gates
        sharing = None if records is None else Sharing(state, records)
        self._asking = Asking(settings, Resolver(state, sharing), self._watchers)
        # A fresh decision reads these only, and who observes.
        self._organisations, self._companies = state.store.organisations, state.store.companies
        self._uses, self._clock = state.store.uses, state.clock
        forks.register(state)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} on {self.client!r} with {len(self._state.store)} organisations>"

    def check(
        self, *, external_org_id: str | UUID | None = None, company_id: str | UUID | None = None, feature_code: str
    ) -> Decision:
        """Return whether an organisation may use a feature now.

        Args:
            external_org_id: Your id of the organisation.
            company_id: The company, instead of the organisation.
            feature_code: The feature.

        Raises:
            InvalidInput: A blank or invalid argument, or not exactly one of the two ids.
            ChatarminError: A mistake, such as a wrong key, if no old answer is known; or an outage, if the policy of
                the feature is `"raise"`.

        Example:
            >>> from chatarmin_os.gate import Gate
            >>> company = client.onboard(external_org_id="org_1", tier_code="free")
            >>> gate = Gate(client)
            >>> gate.check(external_org_id="org_1", feature_code="ai_credit").access.remaining
            100
            >>> gate.check(external_org_id="org_1", feature_code="ai_credit").source
            'cache'
        """
        # Two mappings, one clock, one counter: a fresh answer needs no lock.
        try:
            if company_id is None:
                entry = self._organisations[external_org_id]  # type: ignore[index]
            else:
                entry = self._companies[company_id] if external_org_id is None else _NOBODY  # type: ignore[index]
            until, decision = entry.ready[feature_code]
        except (KeyError, TypeError):
            pass
        else:
            if self._clock.seconds() < until:
                entry.used = next(self._uses)
                if self._watchers.observer is not None:
                    self._asking.observe(decision)
                return decision
        key = key_of(external_org_id, company_id)
        return self._asking.about(key, at_field("feature_code", text)(feature_code))

    def features(
        self, *, external_org_id: str | UUID | None = None, company_id: str | UUID | None = None
    ) -> dict[str, Decision]:
        """Return the decision about each feature that the service lists, in its order; at most one round trip.

        Args:
            external_org_id: Your id of the organisation.
            company_id: The company, instead of the organisation.

        Returns:
            A new mapping of feature codes. If the organisation is not linked, or nothing is known, it has the codes
            of the gate's *policies*.

        Raises:
            InvalidInput: As `check`.
            ChatarminError: As `check`.

        Example:
            >>> from chatarmin_os.gate import Gate
            >>> company = client.onboard(external_org_id="org_1", tier_code="free")
            >>> decisions = Gate(client).features(external_org_id="org_1")
            >>> [feature for feature, decision in decisions.items() if decision]
            ['ai_credit', 'seats']
        """
        try:
            if company_id is None:
                entry = self._organisations[external_org_id]  # type: ignore[index]
            else:
                entry = self._companies[company_id] if external_org_id is None else _NOBODY  # type: ignore[index]
            until, decisions = entry.ready_listing
        except (KeyError, TypeError):
            pass
        else:
            if self._clock.seconds() < until:
                uses = self._uses
                for _ in decisions:
                    entry.used = next(uses)
                if self._watchers.observer is not None:
                    self._asking.observe(*decisions.values())
                return decisions.copy()
        return self._asking.about_all(key_of(external_org_id, company_id))

    def check_many(self, pairs: Iterable[tuple[str | UUID, str]]) -> list[Decision | ChatarminError]:
        """Return the decision for each organisation and feature, in as few round trips as possible.

        Args:
            pairs: (external_org_id, feature_code) each.

        Returns:
            In the order of *pairs* the decision, or the error that `check` would raise.

        Raises:
            InvalidInput: *pairs* is not an iterable.

        Example:
            >>> from chatarmin_os.gate import Gate
            >>> company = client.onboard(external_org_id="org_1", tier_code="free")
            >>> credits, nobody = Gate(client).check_many([("org_1", "ai_credit"), ("org_2", "ai_credit")])
            >>> credits.reason, nobody.reason
            ('allowed', 'not_linked')
        """
        return self._asking.about_pairs(pairs)

    def require(
        self, *, external_org_id: str | UUID | None = None, company_id: str | UUID | None = None, feature_code: str
    ) -> Decision:
        """Return the decision if the organisation may use the feature, else raise it.

        Args:
            external_org_id: Your id of the organisation.
            company_id: The company, instead of the organisation.
            feature_code: The feature.

        Raises:
            FeatureDenied: It may not; `.decision` says why.
            InvalidInput: As `check`.
            ChatarminError: As `check`.

        Example:
            >>> from chatarmin_os.gate import FeatureDenied, Gate
            >>> try:
            ...     Gate(client).require(external_org_id="org_1", feature_code="sso")
            ... except FeatureDenied as error:
            ...     print(error.decision.reason)
            not_linked
        """
        decision = self.check(external_org_id=external_org_id, company_id=company_id, feature_code=feature_code)
        if not decision.allowed:
            raise FeatureDenied(decision)
        return decision

    def metered(
        self,
        *,
        external_org_id: str | UUID | None = None,
        company_id: str | UUID | None = None,
        feature_code: str,
        quantity: Number = 1,
        idempotency_key: str | UUID | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Metered:
        """Return a context manager whose block runs if the feature may be used, and whose usage is counted at its end.

        After an exception nothing is counted.

        Args:
            external_org_id: Your id of the organisation.
            company_id: The company, instead of the organisation.
            feature_code: The feature.
            quantity: The quantity that the block needs; set `.quantity` of the result to what it used.
            idempotency_key: The key that names this usage; default: a new one.
            metadata: Details of the usage, as JSON.

        Raises:
            InvalidInput: An invalid argument.
            FeatureDenied: From `with`: the feature may not be used, or fewer than *quantity* remain.
            ChatarminError: From `with`: as `check`. From the end of the block: the usage was not counted; it has its
                `.request`, or its `.event` if the company could not be looked up. An outbox takes what failed for a
                temporary reason.

        Example:
            >>> from chatarmin_os.gate import Gate
            >>> company = client.onboard(external_org_id="org_1", tier_code="free")
            >>> with Gate(client).metered(external_org_id="org_1", feature_code="ai_credit", quantity=5) as use:
            ...     answer = "..."
            >>> use.result.remaining
            95
        """
        event = UsageEvent(
            external_org_id=external_org_id,
            company_id=company_id,
            feature_code=feature_code,
            quantity=quantity,
            idempotency_key=idempotency_key,
            metadata=metadata,
        )
        require = partial(
            self.require,
            external_org_id=event.external_org_id,
            company_id=event.company_id,
            feature_code=event.feature_code,
        )
        return Metered(event, client=self.client, require=require, outbox=self._outbox, expect=self._watcher.expect)

    def warm(self, external_org_ids: Iterable[str | UUID]) -> None:
        """Ask for each organisation of which something is not fresh, in batches, before it is needed.

        It raises nothing in an outage or after a mistake, and logs that: checks then decide as ever.

        Args:
            external_org_ids: Your ids of the organisations.

        Raises:
            InvalidInput: An invalid id; nothing was sent.

        Example:
            >>> from chatarmin_os.gate import Gate
            >>> gate = Gate(client)
            >>> gate.warm(["org_1", "org_2"])
            >>> gate.check(external_org_id="org_2", feature_code="sso").source
            'cache'
        """
        self._asking.warm(at_field("external_org_ids", identifiers)(external_org_ids))

    def forget(self, *, external_org_id: str | UUID | None = None, company_id: str | UUID | None = None) -> None:
        """Drop the answers about an organisation, and all others of its company; also in the shared cache.

        Call it when something else has changed them, such as a webhook.

        Args:
            external_org_id: Your id of the organisation.
            company_id: The company, instead of the organisation.

        Raises:
            InvalidInput: A blank or invalid id, or not exactly one.

        Example:
            >>> from chatarmin_os.gate import Gate
            >>> gate = Gate(client)
            >>> gate.warm(["org_1"])
            >>> gate.forget(external_org_id="org_1")
            >>> gate.check(external_org_id="org_1", feature_code="sso").source
            'live'
        """
        self._watcher.forget([key_of(external_org_id, company_id)])

    def clear(self) -> None:
        """Drop everything that is known; everything in the shared cache becomes old.

        Example:
            >>> from chatarmin_os.gate import Gate
            >>> gate = Gate(client)
            >>> gate.warm(["org_1"])
            >>> gate.clear()
            >>> gate
            <Gate on <ChatarminOS on FakeTransport> with 0 organisations>
        """
        self._watcher.forget([EVERYTHING])

    def expect_usage(
        self,
        *,
        external_org_id: str | UUID | None = None,
        company_id: str | UUID | None = None,
        feature_code: str,
        quantity: Number,
        idempotency_key: str | UUID,
    ) -> None:
        """Subtract usage that is not counted yet, because an outbox holds it.

        It is subtracted until usage of that key was sent through the client, and for at most 60 seconds.

        Args:
            external_org_id: Your id of the organisation.
            company_id: The company, instead of the organisation.
            feature_code: The feature.
            quantity: The quantity.
            idempotency_key: The key of the usage.

        Raises:
            InvalidInput: An invalid argument.

        Example:
            >>> from chatarmin_os.gate import Gate
            >>> gate = Gate(client)
            >>> company = client.onboard(external_org_id="org_1", tier_code="free")
            >>> usage = {"external_org_id": "org_1", "feature_code": "ai_credit"}
            >>> gate.expect_usage(**usage, quantity=30, idempotency_key="job_1")
            >>> gate.check(**usage).access.remaining
            70
        """
        if idempotency_key is None:
            raise InvalidInput("required", "pass the key of the usage").at("idempotency_key")
        event = UsageEvent(
            external_org_id=external_org_id,
            company_id=company_id,
            feature_code=feature_code,
            quantity=quantity,
            idempotency_key=idempotency_key,
        )
        self._watcher.expect(event)

    def watch(self, client: ChatarminOS) -> None:
        """Take note of the changes of another client too, such as that of a sender of an outbox, while the gate exists.

        Args:
            client: A client of the same product.

        Raises:
            TypeError: *client* is not a client.

        Example:
            >>> from chatarmin_os.gate import Gate
            >>> company = client.onboard(external_org_id="org_1", tier_code="free")
            >>> gate = Gate(ChatarminOS(transport=fake))
            >>> gate.check(external_org_id="org_1", feature_code="sso").allowed
            False
            >>> gate.watch(client)
            >>> access = client.features.set_access(external_org_id="org_1", feature_code="sso", is_enabled=True)
            >>> gate.check(external_org_id="org_1", feature_code="sso").allowed
            True
        """
        ensure_client(client)._watch(self._watcher)  # noqa: SLF001 - the one seam between the two

    def stats(self) -> GateStats:
        """Return the numbers of decisions and refreshes since the gate was made.

        Example:
            >>> from chatarmin_os.gate import Gate
            >>> Gate(client).stats().fresh
            0
        """
        return self._state.stats()

    # For integrations

    def _listen(self, listener: Listener) -> Callable[[], None]:
        """Call *listener* after refreshes and changes; return the function that ends it."""
        return self._state.listen(listener)

    def _trouble(self) -> Trouble | None:
        """Return why there are no new answers; None if there are."""
        now = self._clock.seconds()
        with self._state.lock:
            return self._state.trouble(now)
