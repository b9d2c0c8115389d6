"""Recorded calls, repeated against the fake or a live service."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple
from uuid import uuid4

from chatarmin_os._call import Call
from chatarmin_os.drift.assumptions import Context, History, exercised
from chatarmin_os.drift.compare import Difference, Matcher, fields_of, summary
from chatarmin_os.drift.knowledge import Fact, changes, describe, needs
from chatarmin_os.drift.observer import Observer
from chatarmin_os.drift.reading import mapping, number, refusal, text
from chatarmin_os.drift.redacted import redacted_fields
from chatarmin_os.drift.start import infer_start
from chatarmin_os.errors import ApiError, CassetteError, InvalidInput, NotFoundError, TransportError
from chatarmin_os.procedures.table import PROCEDURES
from chatarmin_os.recording.line import RecordedCall, answer_of, outcome_of
from chatarmin_os.recording.prologue import companies_of, created_by

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from chatarmin_os._json import JSON
    from chatarmin_os._request import Kind
    from chatarmin_os.drift.compare import Outcome
    from chatarmin_os.fake.state import State
    from chatarmin_os.transports.base import Transport

_ORGANISATION_FIELDS = frozenset(
    {"externalOrgId", "name", "companyName", "customerName"}
)  # an organisation id may be a name
_UNRELATED = frozenset({"UNAUTHORIZED", "TOO_MANY_REQUESTS"})
_SERVER_ERROR = 500
_STATE_KINDS = frozenset({"outcome", "value", "id"})
_LINKED_PATHS = ("features.checkByExternalOrgId", "features.getAccessByExternalOrgId", "features.setAccess")
_MATCHING_PATHS = ("companies.smartLink", "onboard")


class Checked(NamedTuple):
    """A recorded call that was repeated.

    Attributes:
        recorded: The recorded call.
        now: The repeated call with its outcome; None if the call was not compared.
        differences: The differences between the two outcomes.
        verdicts: Whether the outcome confirms the assumptions that the call exercises, or contradicts them.
        unknown: The missing state on which the answer depends; None if the recording shows all of it.
    """

    recorded: RecordedCall
    now: RecordedCall | None
    differences: list[Difference]
    verdicts: dict[str, bool]
    unknown: str | None = None


class _Checker:
    """Repeats recorded calls against a fake that starts from the state that the recording shows."""

    def __init__(self, lines: Sequence[RecordedCall], now: datetime, *, is_redacted: bool) -> None:
        self._fake, self._catalogue, self._knowledge, self._explained = infer_start(lines, now)
        self._is_redacted = is_redacted
        self._matcher, self._history = Matcher(is_redacted=is_redacted), History()

    def check(self, recorded: RecordedCall) -> Checked:
        """Repeat a call, unless its answer depends on unknown state."""
        call = _call(recorded, self._matcher.translate(recorded.input))
        unknown = self._unknown(call, recorded)
        if unknown:
            self._observe(call, recorded)
            unknown = self._unknown(call, recorded)
        if unknown:
            if "answer" in recorded.outcome:
                self._forget(call)
            return Checked(recorded, None, [], {}, describe(unknown[0]))
        return self._repeat(call, recorded)

    def _repeat(self, call: Call, recorded: RecordedCall) -> Checked:
        with self._fake.service.change() as state:
            if call.path == "billing.trackUsage":
                shown = recorded._replace(input=call.input)
                if Observer(state, self._knowledge, self._catalogue.paid).observe_usage(shown):
                    self._explained.add(recorded.line)
        with self._fake.service.read() as state:
            context = Context(state, call, self._history)
            uncertain = self._uncertain_fields(call, recorded, state)
        context.outcome = _send(self._fake, call)
        if call.path == "links.reset" and "answer" in context.outcome:
            self._knowledge.learn_all_links()
        self._history.add(context)
        found = self._matcher.differences(recorded.outcome, context.outcome)
        differences = [difference for difference in found if not uncertain & fields_of(difference.place)]
        if any(difference.kind in _STATE_KINDS for difference in differences):
            self._forget_all(call)  # or every later call that depends on it would report the difference again
        criteria = [one for one in exercised(context, recorded.outcome) if not one.shown_by & uncertain]
        is_explained = recorded.line in self._explained
        verdicts = {one.name: one.verdict(differences, is_explained=is_explained) for one in criteria}
        now = RecordedCall(call.path, call.kind, call.input, context.outcome, line=recorded.line)
        return Checked(
            recorded, now, differences, {name: verdict for name, verdict in verdicts.items() if verdict is not None}
        )

    def _unknown(self, call: Call, recorded: RecordedCall) -> list[Fact]:
        """Return the unknown facts on which the answer to a call depends."""
        with self._fake.service.read() as state:
            facts = [*self._needs(call, recorded, state)]
        return [fact for fact in facts if not self._knowledge.has(fact)]

    def _needs(self, call: Call, recorded: RecordedCall, state: State) -> Iterator[Fact]:
        """Yield the facts on which the answer to a call depends; a NOT_FOUND depends on none that a line shows."""
        if refusal(recorded) == "NOT_FOUND":
            return
        given, company = mapping(call.input), self._company(call, state)
        named, feature, tier = (text(given.get(key)) for key in ("companyId", "featureCode", "tierCode"))
        if org := text(given.get("externalOrgId")):
            yield "link", org
        if named and named not in state.companies:
            yield "company", named
        if feature and feature not in state.catalogue.features and not self._catalogue.has_all_features:
            yield "feature", feature
        if tier and tier not in self._catalogue.complete and not self._lacks_tier(tier):
            yield "tier", tier
        yield from needs(call, company, state)
        if call.path in _MATCHING_PATHS:
            yield from self._company_needs(recorded, state)
        yield from self._billing_needs(call, recorded, state)

    def _company_needs(self, recorded: RecordedCall, state: State) -> Iterator[Fact]:
        """Yield the facts about companies that a call has found by hints."""
        answer = mapping(self._matcher.translate_ids(recorded.outcome.get("answer")))
        for company in sorted(companies_of(answer) - {created_by(recorded.path, answer)}):
            if company in state.companies:
                yield "name", company
                yield "contacts", company
            else:
                yield "company", company

    def _billing_needs(self, call: Call, recorded: RecordedCall, state: State) -> Iterator[Fact]:
        """Yield the facts about the tier and the owner of a subscription that a call claims or links."""
        given = mapping(call.input)
        session = state.sessions.get(text(given.get("checkoutSessionId")) or "")
        subscription = text(given.get("stripeSubscriptionId")) or (session and session["subscriptionId"])
        if subscription and refusal(recorded) == "CONFLICT" and subscription not in state.claims:
            yield "owner", subscription
        if subscription and "answer" in recorded.outcome and "tierCode" not in given:
            if subscription not in self._catalogue.paid:
                yield "subscription", subscription
            elif (tier := self._catalogue.paid[subscription]) and tier not in self._catalogue.complete:
                yield "tier", tier

    def _lacks_tier(self, code: str) -> bool:
        return self._catalogue.has_all_tiers and code not in self._catalogue.catalogue.tiers

    def _company(self, call: Call, state: State) -> str | None:
        """Return the company of the fake that a call is about."""
        given = mapping(call.input)
        link = state.links.get(text(given.get("externalOrgId")) or "")
        company = text(given.get("companyId")) or (link["companyId"] if link else None)
        return company if company in state.companies else None

    def _observe(self, call: Call, recorded: RecordedCall) -> None:
        """Learn from the outcome of a call: everything that a query shows, and the link that a mutation found."""
        outcome = self._matcher.translate_ids(recorded.outcome)
        with self._fake.service.change() as state:
            observer = Observer(state, self._knowledge, self._catalogue.paid)
            observer.observe(recorded._replace(input=call.input, outcome=outcome))

    def skip(self, recorded: RecordedCall) -> None:
        """Skip a call without an answer; it may have run, unless it was not sent or the service refused to run it."""
        was_sent = mapping(recorded.outcome.get("failure")).get("outcome") != "not_sent"
        if was_sent and refusal(recorded) not in _UNRELATED:
            self._forget(_call(recorded, self._matcher.translate(recorded.input)))

    def _forget(self, call: Call) -> None:
        """Forget the facts that a mutation may have changed."""
        if call.kind == "mutation":
            self._forget_all(call)

    def _forget_all(self, call: Call) -> None:
        """Forget the facts that a call depends on or changes."""
        with self._fake.service.read() as state:
            org = text(mapping(call.input).get("externalOrgId"))
            self._knowledge.forget(
                [*changes(call, self._company(call, state), state), *([("link", org)] if org else [])]
            )

    def _uncertain_fields(self, call: Call, recorded: RecordedCall, state: State) -> frozenset[str]:
        """Return the fields of an answer that depend on unknown facts."""
        fields = redacted_fields(recorded) if self._is_redacted else frozenset()
        given, company = mapping(call.input), self._company(call, state) or ""
        if call.path == "links.reset":
            return fields | {"linksDeleted", "contactsDeleted"}
        if call.path == "links.create" and not self._knowledge.has(("label", str(given.get("externalOrgId")))):
            return fields | ({"label", "externalUserId"} - given.keys())
        found = companies_of(mapping(self._matcher.translate_ids(recorded.outcome.get("answer"))))
        if call.path == "onboard" and "tierCode" not in given and found & self._knowledge.companies:
            return fields | {"tierApplied"}  # no query shows the tier that was applied last
        if call.path == "billing.getStatus" and not self._has_every_access(company, state):
            return fields | {"enabledFeaturesCount"}
        return fields

    def _has_every_access(self, company: str, state: State) -> bool:
        """Return whether all accesses of a company are known."""
        is_listed = self._catalogue.has_all_features or company not in self._knowledge.companies
        return is_listed and all(self._knowledge.has(("access", company, code)) for code in state.catalogue.features)


def against_the_fake(
    lines: Sequence[RecordedCall], recorded_at: datetime | None, *, is_redacted: bool = False
) -> Iterator[Checked]:
    """Yield each call with the fake's outcome.

    After a difference, the state that the call concerns is unknown until the recording shows it again: one difference
    is not reported by all later calls that depend on it.
    """
    checker = _Checker(lines, recorded_at or datetime.now(UTC), is_redacted=is_redacted)
    for recorded in lines:
        if recorded.is_prologue:
            continue
        if _is_unrelated(recorded):
            checker.skip(recorded)
            yield Checked(recorded, None, [], {})
        else:
            yield checker.check(recorded)


def against_a_service(lines: Sequence[RecordedCall], service: Transport) -> Iterator[Checked]:
    """Yield each call with the outcome of a live service.

    Usage keys, and ids of organisations that were not linked at first, get new values for this run, because the service
    has used up the recorded ones.

    Raises:
        TransportError: The service did not answer; the message has the line, because the calls before it have run.
        UnauthorizedError: The service refuses the key.
        NotFoundError: The service lacks the procedure of the first call: it is probably another service.
    """
    matcher, renaming = Matcher(), _Renaming(lines)
    is_known = has_run = False
    for recorded in lines:
        if recorded.is_prologue:
            continue
        if _is_unrelated(recorded):
            yield Checked(recorded, None, [], {})
            continue
        call = _call(recorded, matcher.translate(renaming.rename(recorded.input)))
        try:
            outcome = _send(service, call)
        except TransportError as error:
            done = "the calls before it have run" if has_run else "no call has run"
            if not has_run and error.outcome == "unknown":
                done = "it is the first call"
            error.args = (f"{error} (line {recorded.line} of the recording; {done})",)
            raise
        has_run = True
        now = RecordedCall(call.path, call.kind, call.input, outcome, line=recorded.line)
        message = mapping(outcome.get("error")).get("message") or ""
        is_known = is_known or not NotFoundError(message, code="NOT_FOUND").is_missing_procedure
        if summary(outcome) == "UNAUTHORIZED" or not is_known:
            answer_of(now)
        yield Checked(recorded, now, matcher.differences(renaming.rename_outcome(recorded.outcome), outcome), {})


class _Renaming:
    """Appends a suffix of this run to values that the caller has invented."""

    def __init__(self, lines: Sequence[RecordedCall]) -> None:
        self._suffix = f"-{uuid4().hex[:8]}"
        is_linked: dict[str, bool] = {}
        for line in lines:
            if org := text(mapping(line.input).get("externalOrgId")):
                is_linked.setdefault(org, _shows_link(line))
        self._orgs = {org for org in is_linked if not is_linked[org]}

    def rename(self, content: JSON, key: str = "") -> JSON:
        """Return an input, or an answer, with the values of this run."""
        if isinstance(content, dict):
            return {name: self.rename(value, name) for name, value in content.items()}
        if isinstance(content, list):
            return [self.rename(item, key) for item in content]
        is_invented = key == "idempotencyKey" or (key in _ORGANISATION_FIELDS and content in self._orgs)
        return content + self._suffix if is_invented and isinstance(content, str) else content

    def rename_outcome(self, outcome: Outcome) -> Outcome:
        """Return an outcome with the values of this run."""
        return {"answer": self.rename(outcome["answer"])} if "answer" in outcome else outcome


def _shows_link(recorded: RecordedCall) -> bool:
    """Return whether the organisation of a call was linked before it."""
    answer = mapping(recorded.outcome.get("answer"))
    if recorded.path == "companies.getByProductLink" or recorded.path in _LINKED_PATHS:
        return bool(answer)
    is_taken = refusal(recorded) == "CONFLICT" and recorded.path in {"companies.create", "links.create"}
    return is_taken or "already_linked" in (answer.get("status"), answer.get("linkStatus"))


def _is_unrelated(recorded: RecordedCall) -> bool:
    """Return whether the outcome does not depend on the call: no answer, a refused key, or a failing service."""
    error = mapping(recorded.outcome.get("error"))
    is_failing = error.get("code") in _UNRELATED or (number(error.get("status")) or 0) >= _SERVER_ERROR
    return "failure" in recorded.outcome or is_failing


def _call(recorded: RecordedCall, given: JSON) -> Call:
    """Return a recorded call with another input."""
    procedure = PROCEDURES.get(recorded.path)
    kind: Kind = "mutation" if recorded.kind == "mutation" else "query"
    return Call(recorded.path, kind, given, procedure.safe_to_repeat if procedure else kind == "query")


def _send(transport: Transport, call: Call) -> Outcome:
    """Return the outcome of a call.

    Raises:
        TransportError: There was no answer.
    """
    try:
        result: JSON | ApiError = transport.send(call)
    except ApiError as refused:
        result = refused
    except InvalidInput as error:
        raise CassetteError(f"the recorded {call.path} cannot be sent: {error}") from error
    return outcome_of(result)
