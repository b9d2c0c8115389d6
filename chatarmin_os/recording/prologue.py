"""The prologue of a recording: queries about the state from which the recorded calls start."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard

from chatarmin_os._call import Call
from chatarmin_os.errors import ApiError, ChatarminError, TransportError
from chatarmin_os.recording.line import RecordedCall, outcome_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from chatarmin_os._json import JSON
    from chatarmin_os.transports.base import Transport

Subject: TypeAlias = "tuple[str, str]"
"""The kind and the id of a record to query."""

CATALOGUE: Subject = "catalogue", ""
_LISTING = "features.listAccess"
_COMPANY_QUERIES = (_LISTING, "billing.getStatus", "contacts.list")


class Prologue:
    """Queries the state that calls concern, before they are sent, and records the answers.

    A query that fails is recorded with its error or failure: that state is unknown, and the query is not repeated.

    Args:
        write: Writes a line of the recording.
    """

    def __init__(self, write: Callable[[RecordedCall], None]) -> None:
        self._write = write
        self._lock = threading.Lock()
        self._known: set[Subject] = set()

    def before(self, calls: Sequence[Call], service: Transport) -> None:
        """Query the catalogue, and the organisations and companies that *calls* are the first to name.

        Another thread whose calls name the same ones waits until they are known.
        """
        subjects = {CATALOGUE, *(subject for call in calls for subject in _subjects(call.input))}
        if subjects <= self._known:  # a set is read atomically under the GIL
            return
        with self._lock:
            subjects -= self._known
            answers = self._send(service, (query for subject in sorted(subjects) for query in _queries(subject)))
            found = {subject for query, answer in answers for subject in _found(query, answer)} - self._known - subjects
            self._send(service, (query for subject in sorted(found) for query in _queries(subject)))
            self._known |= subjects | found

    def after(self, calls: Sequence[Call], answers: Sequence[JSON | ChatarminError], service: Transport) -> None:
        """Query companies and subscriptions that *answers* are the first to show.

        A company that a call created had no state before. The first of them is queried once, because its accesses show
        the features that no tier has.
        """
        queries: list[Call] = []
        with self._lock:
            for call, answer in zip(calls, answers, strict=False):
                if call.kind == "mutation" and isinstance(answer, dict):
                    queries += [query for query in self._queries_after(call, answer) if query not in queries]
            self._send(service, queries)

    def _queries_after(self, call: Call, answer: dict[str, Any]) -> Iterator[Call]:
        given = call.input if isinstance(call.input, dict) else {}
        org, company = given.get("externalOrgId"), answer.get("companyId", given.get("companyId"))
        if created := created_by(call.path, answer):
            self._known |= {("company", created), ("row", created)}
            if ("features", "") not in self._known:
                yield _query(_LISTING, companyId=created)
        elif _is_id(company) and ("row", company) not in self._known and _is_id(org):
            self._known.add(("row", company))
            yield _query("companies.getByProductLink", externalOrgId=org)
        for subject in sorted({("company", shown) for shown in companies_of(answer)} - self._known):
            self._known.add(subject)
            yield from _queries(subject)
        subscription = subscription_of(answer)
        if subscription and ("subscription", subscription) not in self._known and _is_id(company):
            self._known.add(("subscription", subscription))
            yield _query("billing.getStatus", companyId=company)

    def _send(self, service: Transport, queries: Iterable[Call]) -> list[tuple[Call, JSON]]:
        """Send queries as one batch, record their results, and return the answered queries with their answers."""
        batch = list(queries)
        if not batch:
            return []
        results = service.send_many(batch)
        for query, result in zip(batch, results, strict=False):
            if query.path == _LISTING:
                self._known.add(("features", ""))
            elif query.path == "companies.getByProductLink" and isinstance(result, dict) and _is_id(result.get("id")):
                self._known.add(("row", result["id"]))
            self._write(RecordedCall(query.path, query.kind, query.input, outcome_of(_recordable(result)), True))
        return [pair for pair in zip(batch, results, strict=False) if not isinstance(pair[1], ChatarminError)]


def companies_of(answer: dict[str, Any]) -> set[str]:
    """Return the ids of the companies that the answer to a mutation shows."""
    suggestions = answer.get("suggestions")
    rows = [answer, *(suggestions if isinstance(suggestions, list) else ())]
    ids = [row.get("companyId") for row in rows if isinstance(row, dict)]
    return {company for company in ids if _is_id(company)}


def created_by(path: str, answer: JSON) -> str | None:
    """Return the id of the company that a call has created, None for other calls."""
    if not isinstance(answer, dict):
        return None
    key = {"companies.create": "id", "onboard": "companyId"}.get(path)
    is_created = path == "companies.create" or answer.get("linkStatus") == "created"
    company = answer.get(key) if key and is_created else None
    return company if _is_id(company) else None


def subscription_of(answer: dict[str, Any]) -> str | None:
    """Return the id of the subscription that a call has claimed or linked, None for other calls."""
    billing = answer.get("billingStatus", answer)
    subscription = billing.get("subscriptionId") if isinstance(billing, dict) else None
    return subscription if _is_id(subscription) else None


def _subjects(given: JSON) -> Iterator[Subject]:
    """Yield the organisation and the company that an input names."""
    if isinstance(given, dict):
        if _is_id(given.get("externalOrgId")):
            yield "organisation", given["externalOrgId"]
        if _is_id(given.get("companyId")):
            yield "company", given["companyId"]


def _queries(subject: Subject) -> Iterator[Call]:
    """Yield the queries about a subject."""
    kind, name = subject
    if kind == "catalogue":
        yield _query("tiers.list")
    elif kind == "tier":
        yield _query("tiers.get", tierCode=name)
    elif kind == "organisation":
        yield _query("companies.getByProductLink", externalOrgId=name)
    else:
        yield from (_query(path, companyId=name) for path in _COMPANY_QUERIES)


def _found(query: Call, answer: JSON) -> Iterator[Subject]:
    """Yield the tiers, or the company, that the answer to a query shows."""
    if query.path == "tiers.list" and isinstance(answer, list):
        codes = [row.get("code") for row in answer if isinstance(row, dict)]
        yield from (("tier", code) for code in codes if _is_id(code))
    if query.path == "companies.getByProductLink" and isinstance(answer, dict) and _is_id(answer.get("id")):
        yield "company", answer["id"]


def _query(path: str, **given: str) -> Call:
    return Call(path, "query", given or None, safe_to_repeat=True)


def _is_id(value: JSON) -> TypeGuard[str]:
    return isinstance(value, str) and bool(value.strip())


def _recordable(result: JSON | ChatarminError) -> JSON | ApiError | TransportError:
    """Return a result that a line can hold; an error that was raised before anything was sent becomes a failure."""
    if isinstance(result, ChatarminError) and not isinstance(result, (ApiError, TransportError)):
        return TransportError(str(result), outcome="not_sent", attempts=0)
    return result
