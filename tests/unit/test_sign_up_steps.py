"""Sign-up: a second call completes one that was interrupted anywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from ids import words

from chatarmin_os import ChatarminOS, ConflictError, InvalidInput, ServerError, SmartLinkInput, TimedOut
from chatarmin_os.fake import FakeTransport, demo_catalogue
from chatarmin_os.transports import Call, Transport

if TYPE_CHECKING:
    from collections.abc import Callable

ARGUMENTS: dict[str, Any] = {
    "external_org_id": "org_1",
    "name": "Acme Inc",
    "verified_domain": "acme.com",
    "starting_tier": "free",
    "contact_email": "ann@acme.com",
    "contact_name": "Ann",
    "created_at": "2024-01-15T10:30:00Z",
}


class Breaking(Transport):
    """A transport that breaks off at one call, before or after the service has carried it out."""

    def __init__(self, service: FakeTransport, at: int, failure: BaseException, *, after: bool) -> None:
        self.service, self.at, self.failure, self.after = service, at, failure, after
        self.paths: list[str] = []

    def send(self, call: Call) -> Any:
        """Pass *call* on, unless it is the one to break off at."""
        self.paths.append(call.path)
        is_broken = len(self.paths) - 1 == self.at
        if is_broken and not self.after:
            raise self.failure
        answer = self.service.send(call)
        if is_broken:
            raise self.failure
        return answer


class Scenario(NamedTuple):
    """The state of the service before a sign-up, and the calls that the sign-up makes."""

    prepare: Callable[[FakeTransport], object]
    paths: list[str]


LOOK_UP = ["companies.getByProductLink", "tiers.get"]
EQUIP = ["contacts.list", "billing.getStatus", "features.listAccess", "contacts.create", "tiers.apply"]
SCENARIOS = {
    "created": Scenario(
        lambda _: None,
        [
            *LOOK_UP,
            "companies.smartLink",
            "companies.create",
            "billing.getStatus",
            "features.listAccess",
            "tiers.apply",
        ],
    ),
    "linked": Scenario(
        lambda fake: fake.add_company("Acme GmbH", domain="acme.com"), [*LOOK_UP, "companies.smartLink", *EQUIP]
    ),
    "already-linked": Scenario(
        lambda fake: ChatarminOS(transport=fake).companies.create(name="Acme Inc", external_org_id="org_1"),
        [*LOOK_UP, *EQUIP],
    ),
}
STEPS = [(name, step) for name, scenario in SCENARIOS.items() for step in range(len(scenario.paths))]


def _service(scenario: str) -> FakeTransport:
    fake = FakeTransport(demo_catalogue())
    SCENARIOS[scenario].prepare(fake)
    return fake


def _state(fake: FakeTransport) -> Any:
    """Return the state of the only company, as a user of the service sees it."""
    client = ChatarminOS(transport=fake)
    company = client.companies.get_by_product_link(external_org_id="org_1")
    assert company
    [contact] = client.contacts.list(company.id)
    return (
        company.name,
        company.domain,
        company.created_at,
        (contact.email, contact.name, contact.is_primary),
        client.features.list_access(company.id),
        len(fake.snapshot()["companies"]),
    )


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_sign_up_makes_these_calls(scenario: str) -> None:
    """An undisturbed sign-up makes these calls, each once."""
    transport = Breaking(_service(scenario), -1, TimedOut(""), after=False)

    result = ChatarminOS(transport=transport).sign_up(**ARGUMENTS)

    assert transport.paths == SCENARIOS[scenario].paths
    assert result.link_status == scenario.replace("-", "_")
    assert result.tier_applied


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    "failure",
    [
        TimedOut("no response was received"),
        ServerError("it failed", code="INTERNAL_SERVER_ERROR"),
        KeyboardInterrupt(),
    ],
    ids=words,
)
@pytest.mark.parametrize(("scenario", "step"), STEPS)
def test_sign_up_completes_an_interrupted_run(scenario: str, step: int, failure: BaseException, *, after: bool) -> None:
    """Whichever call fails, before or after it ran: the second sign-up has the result of an undisturbed one."""
    undisturbed, fake = _service(scenario), _service(scenario)
    ChatarminOS(transport=undisturbed).sign_up(**ARGUMENTS)

    with pytest.raises(type(failure)):
        ChatarminOS(transport=Breaking(fake, step, failure, after=after)).sign_up(**ARGUMENTS)
    ChatarminOS(transport=fake).sign_up(**ARGUMENTS)

    assert _state(fake) == _state(undisturbed)


class Racing(Transport):
    """A transport under which somebody else signs the same organisation up just before it is created."""

    def __init__(self, service: FakeTransport) -> None:
        self.service = service

    def send(self, call: Call) -> Any:
        """Let the other one create the company first."""
        if call.path == "companies.create":
            self.service.send(call)
        return self.service.send(call)


def test_simultaneous_sign_ups_create_one_company() -> None:
    """The second sign-up finds the company of the first."""
    fake = FakeTransport(demo_catalogue())

    result = ChatarminOS(transport=Racing(fake)).sign_up(**ARGUMENTS)

    assert (result.link_status, result.tier_applied) == ("already_linked", True)
    assert len(fake.snapshot()["companies"]) == 1


def test_conflict_without_a_link_is_raised() -> None:
    """A conflict about anything else than the link is raised."""
    fake = FakeTransport(demo_catalogue())
    fake.fail("companies.create", error="CONFLICT")

    with pytest.raises(ConflictError):
        ChatarminOS(transport=fake).sign_up(**ARGUMENTS)


class Answering(Transport):
    """A service that answers smart linking with a match, and asks for no more than it is asked."""

    def __init__(self, service: FakeTransport, match: dict[str, Any]) -> None:
        self.service, self.match, self.hints = service, match, None

    def send(self, call: Call) -> Any:
        """Answer smart linking; pass on the rest."""
        if call.path == SmartLinkInput.path:
            self.hints = call.input
            return self.match
        return self.service.send(call)


@pytest.mark.parametrize("status", ["linked", "already_linked", "suggestions", "no_match", "of-a-later-version"])
def test_match_without_a_company_is_looked_up(status: str) -> None:
    """If the service does not name the company that it linked, the link is looked up, else created."""
    transport = Answering(FakeTransport(demo_catalogue()), {"status": status})

    assert ChatarminOS(transport=transport).sign_up(**ARGUMENTS).link_status == "created"
    assert transport.hints == {"externalOrgId": "org_1", "hints": {"domain": "acme.com"}, "minConfidence": 0.9}


class Silent(Answering):
    """A service that links an organisation but does not say to which company."""

    def send(self, call: Call) -> Any:
        """Leave all but the status out of the answer of smart linking."""
        answer = self.service.send(call)
        return {"status": answer["status"]} if call.path == SmartLinkInput.path else answer


def test_unnamed_company_is_found_by_its_link() -> None:
    """If the answer lacks the company's id, the link leads to it, and no second company is created."""
    fake = FakeTransport(demo_catalogue())
    known = fake.add_company("Acme GmbH", domain="acme.com")

    result = ChatarminOS(transport=Silent(fake, {})).sign_up(**ARGUMENTS)

    assert (result.company_id, result.company_name, result.link_status) == (known, "Acme GmbH", "linked")
    assert result.tier_applied
    assert "companies.create" not in [call.path for call in fake.calls]


@pytest.mark.parametrize("given", ["ann.smith@acme.com", "ann.smith@acme", "Ann <ann.smith@acme.com>" + "x" * 5_000])
def test_address_as_a_domain_is_not_shown(given: str) -> None:
    """The error of a domain shortens an e-mail address, and long text."""
    with pytest.raises(InvalidInput, match=r"^verified_domain: ") as refused:
        ChatarminOS.in_memory().sign_up(external_org_id="org_1", name="Acme Inc", verified_domain=given)

    assert "smith" not in str(refused.value)
    assert len(str(refused.value)) < 200
