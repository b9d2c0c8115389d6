"""Calls: typed requests one by one and in batches, procedures by their wire path, and the contents of errors."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Literal, cast

import pytest

from chatarmin_os import (
    ApiError,
    BadRequestError,
    ChatarminError,
    ChatarminOS,
    Company,
    ConflictError,
    ContactInput,
    CreateContactInput,
    FeatureAccess,
    FeatureCheckInput,
    FeatureSetAccessInput,
    ForbiddenError,
    GetByProductLinkInput,
    InvalidInput,
    ListAccessInput,
    ListTiersInput,
    NotFoundError,
    TrackUsageInput,
    UnauthorizedError,
    UsageLimitError,
    UsageResult,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from chatarmin_os.fake import FakeTransport

NOBODY = "5f0c2c1e-0000-4000-8000-000000000000"
FEATURES = ["ai_credit", "seats", "team_seats", "api_access", "sso"]


def _checks(company_id: str, codes: list[str]) -> list[FeatureCheckInput]:
    return [FeatureCheckInput(company_id=company_id, feature_code=code) for code in codes]


def _company(client: ChatarminOS, service: FakeTransport) -> str:
    company_id = service.add_company("Acme Inc")
    client.tiers.apply("pro", company_id=company_id)
    return company_id


def _used_key(client: ChatarminOS, service: FakeTransport) -> TrackUsageInput:
    company_id = _company(client, service)
    client.billing.track_usage(company_id=company_id, feature_code="seats", quantity=1, idempotency_key="k")
    return TrackUsageInput(company_id=company_id, feature_code="seats", quantity=2, idempotency_key="k")


def _over_the_limit(client: ChatarminOS, service: FakeTransport) -> TrackUsageInput:
    return TrackUsageInput(company_id=_company(client, service), feature_code="seats", quantity=26)


def _not_enabled(client: ChatarminOS, service: FakeTransport) -> TrackUsageInput:
    del client
    return TrackUsageInput(company_id=service.add_company("Acme Inc"), feature_code="seats", quantity=1)


def _without_a_quantity(client: ChatarminOS, service: FakeTransport) -> TrackUsageInput:
    return TrackUsageInput(company_id=_company(client, service), feature_code="api_access", quantity=1)


def _of_nobody(client: ChatarminOS, service: FakeTransport) -> TrackUsageInput:
    del client, service
    return TrackUsageInput(company_id=NOBODY, feature_code="seats", quantity=1)


REFUSALS = [
    (_without_a_quantity, (BadRequestError, "BAD_REQUEST", 400)),
    (_not_enabled, (ForbiddenError, "FORBIDDEN", 403)),
    (_of_nobody, (NotFoundError, "NOT_FOUND", 404)),
    (_used_key, (ConflictError, "CONFLICT", 409)),
    (_over_the_limit, (UsageLimitError, "PRECONDITION_FAILED", 412)),
]


def test_send_returns_the_model_of_the_request(client: ChatarminOS, service: FakeTransport) -> None:
    """`send` returns the same as the method of the same name."""
    company_id = _company(client, service)
    expected = client.features.check(company_id=company_id, feature_code="seats")

    access = client.send(FeatureCheckInput(company_id=company_id, feature_code="seats"))

    assert isinstance(access, FeatureAccess)
    assert expected == access


def test_a_method_sends_one_call(client: ChatarminOS, service: FakeTransport) -> None:
    """A method is one call with a path, a kind and the input in wire names."""
    company_id = service.add_company("Acme Inc")
    for _ in range(2):
        service.calls.clear()  # a recorder asks for the state before the first ones
        client.features.check(company_id=company_id, feature_code="seats")
        client.tiers.list()
        client.links.reset()

    assert [(call.path, call.kind, call.input) for call in service.calls] == [
        ("features.check", "query", {"companyId": company_id, "featureCode": "seats"}),
        ("tiers.list", "query", None),
        ("links.reset", "mutation", {}),
    ]


@pytest.mark.parametrize(
    "bad",
    [None, "features.check", 5, {}, [], object(), FeatureCheckInput, ContactInput(email="ana@acme.com")],
    ids=["None", "text", "int", "mapping", "list", "object", "class", "contact"],
)
def test_only_requests_are_sent(client: ChatarminOS, service: FakeTransport, bad: object) -> None:
    """Any other object is a TypeError, alone or in a batch, before anything is sent."""
    with pytest.raises(TypeError):
        client.send(cast("Any", bad))
    with pytest.raises(TypeError):
        client.batch([ListTiersInput(), cast("Any", bad)])

    assert service.calls == []


def test_a_batch_from_a_generator_is_checked_before_it_is_sent(client: ChatarminOS, service: FakeTransport) -> None:
    """A batch checks the last item of an iterable before it sends the first call."""

    def requests() -> Iterator[Any]:
        yield ListTiersInput()
        yield "tiers.list"

    with pytest.raises(TypeError):
        client.batch(requests())

    assert service.calls == []


def test_a_batch_keeps_the_order_of_its_list(client: ChatarminOS, service: FakeTransport) -> None:
    """Each response has the position of its request."""
    company_id = _company(client, service)
    codes = ["sso", "ai_credit", "seats", "ai_credit", "team_seats"]
    expected = [client.features.check(company_id=company_id, feature_code=code) for code in codes]

    answers = client.batch(_checks(company_id, codes))

    assert expected == answers


def test_a_batch_mixes_queries_and_mutations(client: ChatarminOS, service: FakeTransport) -> None:
    """Queries and mutations of all kinds share a list and keep its order."""
    # Given two companies, so that no call depends on another
    acme, globex = service.add_company("Acme Inc"), _company(client, service)

    # When one batch reads and changes them
    answers = client.batch(
        [
            FeatureSetAccessInput(company_id=acme, feature_code="sso", is_enabled=True),
            FeatureCheckInput(company_id=globex, feature_code="seats"),
            TrackUsageInput(company_id=globex, feature_code="ai_credit", quantity=7),
            ListTiersInput(),
            CreateContactInput(company_id=acme, email="ana@acme.com"),
            GetByProductLinkInput(external_org_id="org_unlinked"),
        ]
    )

    # Then each call has its response
    assert client.features.check(company_id=acme, feature_code="sso") == answers[0]
    assert client.features.check(company_id=globex, feature_code="seats") == answers[1]
    assert UsageResult(current_usage=7, remaining=9993, billable_quantity=0, is_at_limit=False) == answers[2]
    assert client.tiers.list() == answers[3]
    assert getattr(answers[4], "email", None) == "ana@acme.com"
    assert answers[5] is None
    assert len(answers) == 6


def test_a_long_batch_returns_all_responses(client: ChatarminOS, service: FakeTransport) -> None:
    """A batch of more calls than fit into one round trip keeps its order and sends each once."""
    company_id = _company(client, service)
    codes = FEATURES * 26
    requests = _checks(company_id, codes)
    sent_before = len(service.calls)

    answers = client.batch(requests)

    assert codes == [answer.feature_code for answer in answers if isinstance(answer, FeatureAccess)]
    assert len(codes) == len(service.calls) - sent_before


def test_a_batch_of_long_inputs_returns_all_responses(client: ChatarminOS, service: FakeTransport) -> None:
    """Inputs that together exceed the length of a URL all get their responses, in order."""
    ids = [f"org_{number}_{'x' * 900}" for number in range(30)]
    linked = {external_org_id: service.add_company(f"Company {external_org_id[:6]}") for external_org_id in ids[::3]}
    for external_org_id, company_id in linked.items():
        client.links.create(company_id=company_id, external_org_id=external_org_id)

    answers = client.batch([GetByProductLinkInput(external_org_id=external_org_id) for external_org_id in ids])

    assert [linked.get(external_org_id) for external_org_id in ids] == [
        answer.id if isinstance(answer, Company) else answer for answer in answers
    ]


def test_one_refusal_hides_no_other_response(client: ChatarminOS, service: FakeTransport) -> None:
    """A refusal replaces the response of its own call, as a value with its own request, and no other."""
    # Given requests, two of which are refused in different ways
    company_id = _company(client, service)
    requests = [
        FeatureCheckInput(company_id=company_id, feature_code="seats"),
        FeatureCheckInput(company_id=company_id, feature_code="teleport"),
        ListAccessInput(company_id=company_id),
        ListAccessInput(company_id=NOBODY),
        FeatureCheckInput(company_id=company_id, feature_code="sso"),
    ]

    # When they are sent at once
    answers = client.batch(requests)

    # Then the refusals have the positions of their calls, each with its request
    assert client.features.check(company_id=company_id, feature_code="seats") == answers[0]
    assert client.features.list_access(company_id) == answers[2]
    assert client.features.check(company_id=company_id, feature_code="sso") == answers[4]
    assert [type(answer) for answer in answers if isinstance(answer, ChatarminError)] == [NotFoundError, NotFoundError]
    assert [answer.path for answer in answers if isinstance(answer, ApiError)] == [
        "features.check",
        "features.listAccess",
    ]
    assert [requests[1], requests[3]] == [answer.request for answer in answers if isinstance(answer, ChatarminError)]


def test_one_refused_mutation_stops_no_other(client: ChatarminOS, service: FakeTransport) -> None:
    """The other mutations of a batch are carried out."""
    # Given usage of three features, one beyond its limit and one without a quantity
    company_id = _company(client, service)
    requests = [
        TrackUsageInput(company_id=company_id, feature_code="seats", quantity=26),
        TrackUsageInput(company_id=company_id, feature_code="ai_credit", quantity=3),
        TrackUsageInput(company_id=company_id, feature_code="api_access", quantity=1),
        TrackUsageInput(company_id=company_id, feature_code="team_seats", quantity=4),
    ]

    # When they are sent at once
    answers = client.batch(requests)

    # Then the others are counted
    assert [type(answer) for answer in answers] == [UsageLimitError, UsageResult, BadRequestError, UsageResult]
    assert [requests[0], requests[2]] == [answer.request for answer in answers if isinstance(answer, ChatarminError)]
    usages = {access.feature_code: access.current_usage for access in client.features.list_access(company_id)}
    assert usages == {"ai_credit": 3, "seats": 0, "team_seats": 4, "api_access": 0, "sso": 0}


@pytest.mark.parametrize(("build", "expected"), REFUSALS)
def test_a_refusal_is_the_same_in_a_batch_and_alone(
    client: ChatarminOS,
    service: FakeTransport,
    build: Callable[[ChatarminOS, FakeTransport], TrackUsageInput],
    expected: tuple[type[ApiError], str, int],
) -> None:
    """A refusal in a batch has the same contents as the refusal of its call alone."""
    request = build(client, service)

    answer, _ = client.batch([request, TrackUsageInput(company_id=NOBODY, feature_code="sso", quantity=1)])

    assert isinstance(answer, ApiError)
    assert expected == (type(answer), answer.code, answer.http_status)
    assert answer.path == "billing.trackUsage"
    assert request == answer.request


@pytest.mark.outside_changes("a fault")
def test_a_failure_hits_one_call_of_a_batch(client: ChatarminOS, service: FakeTransport) -> None:
    """If one call of a batch fails, the others have their responses, and the error has the failed call's request."""
    company_id = _company(client, service)
    requests = _checks(company_id, FEATURES)
    service.fail("features.check", error="FORBIDDEN")

    answers = client.batch(requests)

    errors = [(place, answer) for place, answer in enumerate(answers) if isinstance(answer, ChatarminError)]
    ((failed, error),) = errors
    assert isinstance(error, ForbiddenError)
    assert requests[failed] == error.request
    assert [code for place, code in enumerate(FEATURES) if place != failed] == [
        answer.feature_code for answer in answers if isinstance(answer, FeatureAccess)
    ]


def test_an_empty_batch_sends_nothing(client: ChatarminOS, service: FakeTransport) -> None:
    """An empty batch returns no responses and makes no call."""
    answers = client.batch([])

    assert answers == []
    assert service.calls == []


@pytest.mark.parametrize("kind", [list, tuple, iter, deque], ids=["list", "tuple", "iterator", "deque"])
def test_a_batch_takes_any_iterable(
    client: ChatarminOS, service: FakeTransport, kind: Callable[[list[Any]], Any]
) -> None:
    """Requests may come from any iterable; their responses are a list."""
    company_id = _company(client, service)

    answers = client.batch(kind([ListAccessInput(company_id=company_id), ListTiersInput()]))

    assert [client.features.list_access(company_id), client.tiers.list()] == answers


def test_call_uses_wire_names(client: ChatarminOS, service: FakeTransport) -> None:
    """A procedure called by its path returns the service's own JSON."""
    company_id = service.add_company("Acme Inc")
    client.features.set_access(
        company_id=company_id,
        feature_code="ai_credit",
        is_enabled=True,
        quantity_limit=10,
        config={"max_rows": 5},
        valid_until="2099-01-01T00:00:00Z",
    )

    answer = client.call("features.check", {"companyId": company_id, "featureCode": "ai_credit"})

    assert answer == {
        "featureCode": "ai_credit",
        "featureName": "AI credits",
        "isEnabled": True,
        "canUse": True,
        "hasQuantity": True,
        "currentUsage": 0,
        "quantityLimit": 10,
        "includedQuantity": None,
        "remaining": 10,
        "configValues": {"max_rows": 5},
        "source": "api",
        "validUntil": "2099-01-01T00:00:00.000Z",
    }


def test_call_may_have_no_input(client: ChatarminOS, service: FakeTransport) -> None:
    """A procedure without input is called by its path alone."""
    answer = client.call("tiers.list")
    service.calls.clear()  # a recorder asks for the state before the first one

    assert client.call("tiers.list") == answer
    assert [{"code": tier.code, "name": tier.name} for tier in client.tiers.list()] == answer
    assert [call.input for call in service.calls] == [None, None]


def test_call_may_return_none(client: ChatarminOS) -> None:
    """A procedure that responds with null returns None."""
    answer = client.call("companies.getByProductLink", {"externalOrgId": "org_unlinked"})

    assert answer is None


@pytest.mark.parametrize("kind", [None, "mutation"])
def test_call_knows_the_kind_of_a_known_path(
    client: ChatarminOS, service: FakeTransport, kind: Literal["mutation"] | None
) -> None:
    """Without a kind the path decides whether it is a query or a mutation."""
    company_id = _company(client, service)

    answer = client.call(
        "billing.trackUsage", {"companyId": company_id, "featureCode": "seats", "quantity": 2}, kind=kind
    )

    assert answer["currentUsage"] == 2
    assert service.calls[-1].kind == "mutation"


@pytest.mark.known_difference("http-trpc-10", reason="tRPC 10 has other words, and takes a wrong kind for a wrong path")
@pytest.mark.parametrize("path", ["companies.teleport", "teleport", "Features.check", "features.check.now"])
def test_an_unknown_path_is_not_found(client: ChatarminOS, path: str) -> None:
    """An unknown path is refused in the words of the wire, as a query and as a mutation."""
    with pytest.raises(NotFoundError) as as_query:
        client.call(path, {})
    with pytest.raises(NotFoundError) as as_mutation:
        client.call(path, {}, kind="mutation")

    for refused in (as_query.value, as_mutation.value):
        assert f'No procedure found on path "{path}"' == refused.message
        assert (refused.code, refused.http_status) == ("NOT_FOUND", 404)
        assert path == refused.path
        assert refused.request is None


@pytest.mark.known_difference("http-trpc-10", reason="tRPC 10 has other words, and takes a wrong kind for a wrong path")
def test_a_query_is_no_mutation(client: ChatarminOS, service: FakeTransport) -> None:
    """A query that is called as a mutation is refused for its method."""
    company_id = service.add_company("Acme Inc")

    with pytest.raises(ApiError) as refused:
        client.call("features.check", {"companyId": company_id, "featureCode": "seats"}, kind="mutation")

    assert type(refused.value) is ApiError
    assert (refused.value.code, refused.value.http_status) == ("METHOD_NOT_SUPPORTED", 405)
    assert refused.value.path == "features.check"


@pytest.mark.known_difference("http-trpc-10", reason="tRPC 10 has other words, and takes a wrong kind for a wrong path")
def test_a_mutation_is_no_query(client: ChatarminOS, service: FakeTransport) -> None:
    """A mutation that is called as a query is refused for its method and not carried out."""
    company_id = _company(client, service)

    with pytest.raises(ApiError) as refused:
        client.call(
            "billing.trackUsage", {"companyId": company_id, "featureCode": "seats", "quantity": 2}, kind="query"
        )

    assert refused.value.code == "METHOD_NOT_SUPPORTED"
    assert client.features.check(company_id=company_id, feature_code="seats").current_usage == 0


def test_an_unknown_input_key_is_a_bad_request(client: ChatarminOS, service: FakeTransport) -> None:
    """The refusal of an unknown key names it, and the call changes nothing."""
    company_id = service.add_company("Acme Inc")

    with pytest.raises(BadRequestError, match="colour"):
        client.call(
            "features.setAccess", {"companyId": company_id, "featureCode": "sso", "isEnabled": True, "colour": 1}
        )

    assert client.features.check(company_id=company_id, feature_code="sso").is_enabled is False


@pytest.mark.parametrize("bad", [None, [], "text", 5, {}, {"companyId": 5, "featureCode": "sso"}])
def test_an_input_of_another_shape_is_a_bad_request(client: ChatarminOS, bad: object) -> None:
    """An input that is not an object, lacks a field or has another type is a bad request."""
    with pytest.raises(BadRequestError):
        client.call("features.check", cast("Any", bad))


@pytest.mark.parametrize(("build", "expected"), REFUSALS)
def test_a_refusal_has_code_path_and_request(
    client: ChatarminOS,
    service: FakeTransport,
    build: Callable[[ChatarminOS, FakeTransport], TrackUsageInput],
    expected: tuple[type[ApiError], str, int],
) -> None:
    """A refusal is of the class of its code and has code, status, path, message and the typed request."""
    request = build(client, service)

    with pytest.raises(ApiError) as refused:
        client.send(request)

    assert expected == (type(refused.value), refused.value.code, refused.value.http_status)
    assert refused.value.path == "billing.trackUsage"
    assert refused.value.message
    assert request == refused.value.request


def test_a_refusal_of_a_method_has_the_request_it_sent(client: ChatarminOS) -> None:
    """The error of a method carries the request that the method built, idempotency key included."""
    with pytest.raises(NotFoundError) as of_query:
        client.features.check(company_id=NOBODY, feature_code="seats")
    with pytest.raises(NotFoundError) as of_mutation:
        client.billing.track_usage(company_id=NOBODY, feature_code="seats", quantity=1)

    assert of_query.value.request == FeatureCheckInput(company_id=NOBODY, feature_code="seats")
    assert isinstance(of_mutation.value.request, TrackUsageInput)
    assert of_mutation.value.request.idempotency_key


def test_a_refusal_of_call_has_no_request(client: ChatarminOS) -> None:
    """A call by its path has no typed request."""
    with pytest.raises(NotFoundError) as refused:
        client.call("features.check", {"companyId": NOBODY, "featureCode": "seats"})

    assert refused.value.path == "features.check"
    assert refused.value.request is None


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("UNAUTHORIZED", (UnauthorizedError, 401)),
        ("FORBIDDEN", (ForbiddenError, 403)),
        ("PAYLOAD_TOO_LARGE", (ApiError, 413)),
        ("UNPROCESSABLE_CONTENT", (ApiError, 422)),
    ],
)
@pytest.mark.outside_changes("a fault")
def test_each_code_raises_its_error(
    client: ChatarminOS, service: FakeTransport, code: str, expected: tuple[type[ApiError], int]
) -> None:
    """Each code of the service raises the error of its class, and only for as long as the service responds with it."""
    service.fail(error=code)

    with pytest.raises(ApiError) as refused:
        client.tiers.list()

    assert expected == (type(refused.value), refused.value.http_status)
    assert code == refused.value.code
    assert refused.value.path == "tiers.list"
    assert refused.value.request == ListTiersInput()
    assert client.tiers.list()


def test_a_refused_event_is_repeated_by_its_request(client: ChatarminOS, service: FakeTransport) -> None:
    """The request of an error is the same usage event, which counts once however often it is sent."""
    # Given usage that was refused at the limit
    company_id = _company(client, service)
    with pytest.raises(UsageLimitError) as refused:
        client.billing.track_usage(company_id=company_id, feature_code="seats", quantity=26)
    client.features.set_access(company_id=company_id, feature_code="seats", quantity_limit=100)

    # When it is repeated twice
    request = refused.value.request
    assert isinstance(request, TrackUsageInput)
    first, second = client.send(request), client.send(request)

    # Then it is counted once
    assert first == second
    assert client.features.check(company_id=company_id, feature_code="seats").current_usage == 26


@pytest.mark.outside_changes("a fault")
def test_an_event_whose_response_was_lost_is_repeated_by_its_request(
    client: ChatarminOS, service: FakeTransport
) -> None:
    """Usage that was counted although the call failed is not counted twice if its request is sent again."""
    # Given usage that was counted, and an error instead of its response
    company_id = _company(client, service)
    service.fail("billing.trackUsage", error="FORBIDDEN", after=True)
    with pytest.raises(ForbiddenError) as lost:
        client.billing.track_usage(company_id=company_id, feature_code="seats", quantity=5)

    # When the request of the error is sent
    request = lost.value.request
    assert isinstance(request, TrackUsageInput)
    result = client.send(request)

    # Then it gets the response and nothing is counted twice
    assert result == UsageResult(current_usage=5, remaining=20, billable_quantity=0, is_at_limit=False)
    assert client.features.check(company_id=company_id, feature_code="seats").current_usage == 5


@pytest.mark.outside_changes("a fault")
def test_an_event_of_a_batch_is_repeated_by_its_request(client: ChatarminOS, service: FakeTransport) -> None:
    """The request of an error in a batch is the same usage event too."""
    company_id = _company(client, service)
    service.fail("billing.trackUsage", error="FORBIDDEN", after=True)
    answers = client.batch(
        [
            TrackUsageInput(company_id=company_id, feature_code="seats", quantity=5),
            TrackUsageInput(company_id=company_id, feature_code="ai_credit", quantity=7),
        ]
    )

    (request,) = [answer.request for answer in answers if isinstance(answer, ForbiddenError)]
    assert isinstance(request, TrackUsageInput)
    client.send(request)

    usages = {access.feature_code: access.current_usage for access in client.features.list_access(company_id)}
    assert usages == {"ai_credit": 7, "seats": 5, "team_seats": 0, "api_access": 0, "sso": 0}


def test_bad_input_is_never_sent(client: ChatarminOS, service: FakeTransport) -> None:
    """An argument that is refused before the call is named, the error has no request and is a ValueError."""
    with pytest.raises(InvalidInput) as refused:
        client.features.check(company_id=" ", feature_code="seats")

    assert refused.value.field == "company_id"
    assert refused.value.request is None
    assert isinstance(refused.value, ValueError)
    assert isinstance(refused.value, ChatarminError)
    assert service.calls == []


def test_failed_calls_reach_the_service(client: ChatarminOS, service: FakeTransport) -> None:
    """A call that the service refuses is in its log of calls."""
    for _ in range(2):
        service.calls.clear()  # a recorder asks for the state before the first one
        with pytest.raises(NotFoundError):
            client.features.list_access(NOBODY)

    assert [(call.path, call.input) for call in service.calls] == [("features.listAccess", {"companyId": NOBODY})]


def test_a_client_is_a_context_manager(client: ChatarminOS) -> None:
    """Entering a client returns the client itself, ready for calls."""
    with client as entered:
        tiers = entered.tiers.list()

    assert client is entered
    assert len(tiers) == 4


def test_leaving_a_client_hides_no_error(client: ChatarminOS) -> None:
    """An error inside the block of a client propagates."""
    with pytest.raises(NotFoundError), client:
        client.tiers.get("platinum")
