"""Smart linking: the company that an external org id is linked to, and the confidence."""

from __future__ import annotations

from itertools import product
from string import ascii_lowercase
from typing import TYPE_CHECKING, Any

import pytest

from chatarmin_os import BadRequestError, Hints, InvalidInput, SmartLinkResult, Suggestion
from chatarmin_os.fake import FREE_MAIL_DOMAINS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chatarmin_os import ChatarminOS
    from chatarmin_os.fake import FakeTransport

# fmt: off
LEGAL_FORMS = [
    "inc", "incorporated", "corp", "corporation", "co", "company", "llc", "ltd", "limited", "plc", "gmbh", "mbh", "ag",
    "kg", "ohg", "ug", "se", "eu", "sa", "sas", "sarl", "srl", "spa", "bv", "nv", "ab", "as", "oy", "aps", "kft", "doo",
    "sro", "pty",
]
FREE_MAIL = [
    "gmail.com", "googlemail.com", "outlook.com", "hotmail.com", "live.com", "msn.com", "yahoo.com", "icloud.com",
    "me.com", "aol.com", "proton.me", "protonmail.com", "gmx.de", "gmx.at", "gmx.ch", "gmx.net", "web.de",
    "t-online.de", "mail.com",
]
# fmt: on
ODD_LETTERS = "acegikmoqsuwybdfhjlnprtvxz"


def smart_link(
    client: ChatarminOS,
    *,
    company_name: str | None = None,
    domain: str | None = None,
    emails: Sequence[str] = (),
    min_confidence: float | None = None,
) -> SmartLinkResult:
    """Ask with these hints for the company of `org_new`, which is not linked yet."""
    hints = Hints(company_name=company_name, domain=domain, emails=tuple(emails))
    return client.companies.smart_link(external_org_id="org_new", hints=hints, min_confidence=min_confidence)


def found(status: str, company_id: str, name: str, confidence: int) -> SmartLinkResult:
    """Return the response that names one company."""
    return SmartLinkResult(
        status=status, company_id=company_id, customer_name=name, confidence=confidence, suggestions=()
    )


def unlinked(*suggestions: tuple[str, str, int, str]) -> SmartLinkResult:
    """Return the response that links nothing: these suggestions, or no match."""
    return SmartLinkResult(
        status="suggestions" if suggestions else "no_match",
        company_id=None,
        customer_name=None,
        confidence=None,
        suggestions=tuple(
            Suggestion(company_id=company_id, customer_name=name, confidence=confidence, reason=reason)
            for company_id, name, confidence, reason in suggestions
        ),
    )


def stem(length: int) -> str:
    """Return the first letters of the alphabet: a name of n letters and a longer one of m are n / (m + 2) similar."""
    return ascii_lowercase[:length]


def similarity(name: str, other: str) -> int:
    """Return the confidence that two names in their normal form give, if they are not equal."""
    one, two = (
        {padded[at : at + 3] for padded in (f"  {word} " for word in text.split()) for at in range(len(padded) - 2)}
        for text in (name, other)
    )
    return min(79, 80 * len(one & two) // len(one | two))


def linked_id(client: ChatarminOS) -> str | None:
    """Return the id of the company that `org_new` is linked to."""
    company = client.companies.get_by_product_link(external_org_id="org_new")
    return None if company is None else company.id


# The confidence of each hint


def test_a_domain_match_is_linked_with_95(client: ChatarminOS, service: FakeTransport) -> None:
    """The company of the hinted domain is linked with 95 per cent, and found by its new link."""
    company_id = service.add_company("Acme", domain="acme.com")

    result = smart_link(client, domain="acme.com")

    assert found("linked", company_id, "Acme", 95) == result
    assert company_id == linked_id(client)


def test_an_equal_name_is_linked_with_80(client: ChatarminOS, service: FakeTransport) -> None:
    """The company of the hinted name is linked with 80 per cent, and found by its new link."""
    company_id = service.add_company("Acme")

    result = smart_link(client, company_name="Acme")

    assert found("linked", company_id, "Acme", 80) == result
    assert company_id == linked_id(client)


def test_an_email_of_the_companys_domain_is_linked_with_70(client: ChatarminOS, service: FakeTransport) -> None:
    """The company with the domain of a hinted e-mail address is linked with 70 per cent."""
    company_id = service.add_company("Acme", domain="acme.com")

    result = smart_link(client, emails=["anna@acme.com"])

    assert found("linked", company_id, "Acme", 70) == result
    assert company_id == linked_id(client)


def test_an_email_of_a_contacts_domain_is_only_suggested(client: ChatarminOS, service: FakeTransport) -> None:
    """The company of a contact with the hinted e-mail domain is suggested with 70 per cent, and not linked."""
    company_id = service.add_company("Acme")
    client.contacts.create(company_id=company_id, email="anna@acme.com")

    result = smart_link(client, emails=["berta@acme.com"])

    assert unlinked((company_id, "Acme", 70, "email_domain")) == result
    assert linked_id(client) is None


def test_the_very_address_of_a_contact_is_only_suggested(client: ChatarminOS) -> None:
    """Even the address of a contact itself is no more than an e-mail domain."""
    company = client.companies.create(name="Acme", external_org_id="org_1", contact_email="Anna@Acme.com")

    result = smart_link(client, emails=["anna@acme.com"])

    assert unlinked((company.id, "Acme", 70, "email_domain")) == result


def test_an_email_of_own_and_contacts_domain_is_linked(client: ChatarminOS) -> None:
    """An e-mail domain that is the company's own links it, whatever its contacts."""
    company = client.companies.create(
        name="Acme", external_org_id="org_1", domain="acme.com", contact_email="anna@acme.com"
    )

    result = smart_link(client, emails=["berta@acme.com"])

    assert found("linked", company.id, "Acme", 70) == result


def test_a_similar_name_is_only_suggested(client: ChatarminOS, service: FakeTransport) -> None:
    """A name that is similar but not equal is suggested, and not linked, even as the only candidate."""
    company_id = service.add_company("SE Bordnetze")

    result = smart_link(client, company_name="Bordnetze")

    assert unlinked((company_id, "SE Bordnetze", 61, "name")) == result
    assert linked_id(client) is None


def test_the_highest_evidence_counts(client: ChatarminOS, service: FakeTransport) -> None:
    """A company that domain, name and e-mail domain all match is one candidate, with the domain's 95."""
    company_id = service.add_company("Acme", domain="acme.com")

    result = smart_link(client, company_name="Acme", domain="acme.com", emails=["anna@acme.com"])

    assert found("linked", company_id, "Acme", 95) == result


def test_a_name_counts_more_than_an_email(client: ChatarminOS, service: FakeTransport) -> None:
    """A company that name and e-mail domain match has the name's 80."""
    company_id = service.add_company("Acme", domain="acme.com")

    result = smart_link(client, company_name="Acme", emails=["anna@acme.com"])

    assert found("linked", company_id, "Acme", 80) == result


def test_any_of_several_emails_may_match(client: ChatarminOS, service: FakeTransport) -> None:
    """Each hinted e-mail address may match; those without a match do no harm."""
    company_id = service.add_company("Acme", domain="acme.com")

    result = smart_link(client, emails=["anna@gmail.com", "anna@elsewhere.com", "anna@acme.com", "berta@acme.com"])

    assert found("linked", company_id, "Acme", 70) == result


def test_a_contacts_domain_is_no_domain_of_the_company(client: ChatarminOS) -> None:
    """A hinted domain is compared with the company's domain only, not with its contacts'."""
    client.companies.create(name="Acme", external_org_id="org_1", contact_email="anna@acme.com")

    result = smart_link(client, domain="acme.com")

    assert unlinked() == result


def test_a_deleted_contact_is_no_evidence(client: ChatarminOS) -> None:
    """A deleted contact is no longer evidence."""
    client.companies.create(name="Acme", external_org_id="org_1", contact_email="anna@acme.com")
    client.links.reset(delete_contacts=True)

    result = smart_link(client, emails=["anna@acme.com"])

    assert unlinked() == result


# Linked ids, and no hints


def test_a_linked_id_returns_its_company(client: ChatarminOS, service: FakeTransport) -> None:
    """A linked id returns its company with 100 per cent, whichever company the hints mean."""
    company = client.companies.create(name="Acme", external_org_id="org_new", domain="acme.com")
    service.add_company("Globex", domain="globex.com")

    result = smart_link(client, company_name="Globex", domain="globex.com", emails=["hank@globex.com"])

    assert found("already_linked", company.id, "Acme", 100) == result
    assert company.id == linked_id(client)


def test_a_linked_id_needs_no_hint_and_no_confidence(client: ChatarminOS) -> None:
    """A linked id returns its company without hints, whatever the minimum confidence."""
    company = client.companies.create(name="Acme", external_org_id="org_new")

    result = client.companies.smart_link(external_org_id="org_new", min_confidence=1)

    assert found("already_linked", company.id, "Acme", 100) == result


def test_linking_twice_is_already_linked(client: ChatarminOS, service: FakeTransport) -> None:
    """The second call finds the link that the first one made."""
    company_id = service.add_company("Acme", domain="acme.com")

    smart_link(client, domain="acme.com")
    again = smart_link(client, domain="acme.com")

    assert found("already_linked", company_id, "Acme", 100) == again


def test_a_linked_company_may_be_linked_again(client: ChatarminOS) -> None:
    """A company that has a link already can be matched for a second external org id."""
    company = client.companies.create(name="Acme", external_org_id="org_1", domain="acme.com")

    result = smart_link(client, domain="acme.com")

    assert found("linked", company.id, "Acme", 95) == result
    assert company == client.companies.get_by_product_link(external_org_id="org_1")
    assert company == client.companies.get_by_product_link(external_org_id="org_new")


@pytest.mark.parametrize("hints", [None, Hints(), {}, {"company_name": "  ", "domain": "", "emails": []}])
def test_no_hint_is_no_match(
    client: ChatarminOS, service: FakeTransport, hints: Hints | dict[str, str | list[str]] | None
) -> None:
    """Without any hint an id that is not linked matches nothing."""
    service.add_company("Acme", domain="acme.com")

    result = client.companies.smart_link(external_org_id="org_new", hints=hints, min_confidence=0)

    assert unlinked() == result


def test_hints_without_a_match_are_no_match(client: ChatarminOS, service: FakeTransport) -> None:
    """Hints that fit no company link nothing and suggest nothing."""
    service.add_company("Acme", domain="acme.com")

    result = smart_link(client, company_name="Globex", domain="globex.com", emails=["hank@globex.com"])

    assert unlinked() == result
    assert linked_id(client) is None


# Names


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("Acme Foods", "ACME  foods"),
        ("Acme Foods", " Acme\tFoods "),
        ("Acme Foods", "Acme\u00a0Foods"),
        ("Café Zoë", "Cafe Zoe"),
        ("Cafe\u0301", "Café"),
        ("Weiß", "WEISS"),
        ("\u039f\u03b4\u03cc\u03c2", "\u039f\u0394\u039f\u03a3"),
        ("\uff21\uff43\uff4d\uff45", "Acme"),
        ("\ufb01lm", "Film"),
        ("A.C.M.E.", "Acme"),
        ("O'Neill", "ONeill"),
        ("O\u2019Neill", "O'Neill"),
        ("Coca-Cola", "Coca Cola"),
        ("Coca\u2013Cola", "Coca/Cola"),
        ("Rock & Roll", "Rock Roll"),
        ("Rock&Roll", "Rock, Roll"),
        ("Acme_Foods", "Acme Foods"),
        ("Acme (Vienna)", "Acme: Vienna"),
        ("¡Acme!", "Acme"),
        ("東京電力", "東京電力"),
        ("\u042f\u043d\u0434\u0435\u043a\u0441", "\u042f\u041d\u0414\u0415\u041a\u0421"),
        ("3M", "3m"),
    ],
)
def test_names_are_equal_in_their_normal_form(
    client: ChatarminOS, service: FakeTransport, name: str, hint: str
) -> None:
    """Names are equal if accents, case, width, dots, apostrophes, punctuation and runs of space differ."""
    company_id = service.add_company(name)

    result = smart_link(client, company_name=hint)

    assert found("linked", company_id, name, 80) == result


@pytest.mark.parametrize("form", LEGAL_FORMS)
def test_a_legal_form_at_the_end_is_dropped(client: ChatarminOS, service: FakeTransport, form: str) -> None:
    """A name with a legal form at its end equals the name without it."""
    company_id = service.add_company(f"Acme {form.upper()}")

    result = smart_link(client, company_name="Acme")

    assert found("linked", company_id, f"Acme {form.upper()}", 80) == result


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("Acme GmbH & Co. KG", "Acme"),
        ("Acme", "Acme, Inc."),
        ("Acme Pty. Ltd.", "Acme Corp"),
        ("Acme Co., Ltd.", "Acme Company Limited"),
        ("Acme S.p.A.", "Acme s.r.o."),
        ("Acme d.o.o.", "Acme e.U."),
        ("Acme GmbH GmbH", "Acme S.A.R.L."),
        ("Acme Foods AG", "Acme Foods"),
        ("AG", "ag"),
        ("Co. KG", "Co"),
        ("GmbH & Co. KG", "GmbH"),
        ("Limited Inc.", "Limited"),
    ],
)
def test_legal_forms_are_dropped_repeatedly(client: ChatarminOS, service: FakeTransport, name: str, hint: str) -> None:
    """Legal forms at the end are dropped one after the other, but never the last remaining word."""
    company_id = service.add_company(name)

    result = smart_link(client, company_name=hint)

    assert found("linked", company_id, name, 80) == result


@pytest.mark.parametrize(
    ("name", "hint", "confidence"),
    [
        ("SE Bordnetze", "Bordnetze", 61),
        ("GmbH Acme", "Acme", 40),
        ("Acme GmbH Wien", "Acme Wien", 53),
        ("Limited", "Ltd", 7),
        ("Müller", "Mueller", 40),
        ("Straße", "Strase", 53),
    ],
)
def test_other_differences_stay(
    client: ChatarminOS, service: FakeTransport, name: str, hint: str, confidence: int
) -> None:
    """A legal form elsewhere than at the end, or as the only word, and another spelling are another name."""
    company_id = service.add_company(name)

    result = smart_link(client, company_name=hint, min_confidence=0)

    assert unlinked((company_id, name, confidence, "name")) == result


@pytest.mark.parametrize(
    ("name", "hint", "confidence"),
    [
        ("abc", "ab", 32),
        ("ab", "abc", 32),
        ("xacme", "acme", 30),
        ("Acme Foods", "Acme", 36),
        ("a", "a b", 40),
        ("東京電力", "東京電", 40),
        (stem(1), stem(2), 20),
        (stem(11), stem(14), 55),
        (f"{stem(11)} GmbH", f"{stem(14)} AG", 55),
        (stem(10), stem(12), 57),
        (stem(9), stem(10), 60),
        (stem(22), stem(23), 70),
        (stem(25), stem(26), 71),
        (f"{ascii_lowercase} {ascii_lowercase[::-1]} {ODD_LETTERS[:-1]}", "a", 1),
    ],
)
def test_a_similar_name_has_80_times_its_similarity(
    client: ChatarminOS, service: FakeTransport, name: str, hint: str, confidence: int
) -> None:
    """The confidence of a similar name is 80 times the share of trigrams that both have, cut to an integer."""
    company_id = service.add_company(name)

    result = smart_link(client, company_name=hint, min_confidence=0)

    assert unlinked((company_id, name, confidence, "name")) == result


@pytest.mark.parametrize(
    ("name", "hint"), [("Acme Foods", "Foods Acme"), ("Acme", "Acme Acme"), ("aaaa", "aaaaaa"), ("Haha", "Hahaha")]
)
def test_an_unequal_name_has_no_more_than_79(client: ChatarminOS, service: FakeTransport, name: str, hint: str) -> None:
    """Different names of the same trigrams stay one point below, and are only suggested."""
    company_id = service.add_company(name)

    result = smart_link(client, company_name=hint)

    assert unlinked((company_id, name, 79, "name")) == result


@pytest.mark.parametrize(
    ("name", "hint"),
    [("???", "!!!"), ("???", "???"), ("...", "Acme"), ("Acme", "&"), ("Acme", "Globex"), ("---", "GmbH"), ("AG", "KG")],
)
def test_an_empty_name_matches_nothing(client: ChatarminOS, service: FakeTransport, name: str, hint: str) -> None:
    """Names without letters, and names without a common trigram, are no match at any confidence."""
    service.add_company(name)

    result = smart_link(client, company_name=hint, min_confidence=0)

    assert unlinked() == result


def test_a_similarity_cut_to_zero_is_no_match(client: ChatarminOS, service: FakeTransport) -> None:
    """A candidate at 0 is dropped even without a minimum confidence."""
    service.add_company(f"{ascii_lowercase} {ascii_lowercase[::-1]} {ODD_LETTERS}")

    result = smart_link(client, company_name="a", min_confidence=0)

    assert unlinked() == result


# Domains


@pytest.mark.parametrize(
    ("domain", "hint"),
    [
        ("acme.com", "https://anna@www.ACME.com:8443/a?b=c#d"),
        ("WWW.Acme.com.", "acme.com"),
        ("müller.de", "xn--mller-kva.de"),
        ("https://www.müller.de/impressum", "MÜLLER.de"),
        ("straße.de", "xn--strae-oqa.de"),
    ],
)
def test_domains_are_compared_in_their_normal_form(
    client: ChatarminOS, service: FakeTransport, domain: str, hint: str
) -> None:
    """Different spellings of a domain by company and hint match."""
    company_id = service.add_company("Acme", domain=domain)

    result = smart_link(client, domain=hint)

    assert found("linked", company_id, "Acme", 95) == result


@pytest.mark.parametrize(
    ("domain", "hint"),
    [
        ("acme.com", "shop.acme.com"),
        ("shop.acme.com", "acme.com"),
        ("acme.com", "acme.de"),
        ("acme.com", "notacme.com"),
        ("straße.de", "strasse.de"),
    ],
)
def test_another_domain_is_no_match(client: ChatarminOS, service: FakeTransport, domain: str, hint: str) -> None:
    """Only the same domain matches: no part of it, no other ending, no lookalike."""
    service.add_company("Acme", domain=domain)

    result = smart_link(client, domain=hint, emails=[f"anna@{hint}"], min_confidence=0)

    assert unlinked() == result


@pytest.mark.parametrize(
    ("domain", "email"),
    [
        ("acme.com", "Anna@ACME.com"),
        ("acme.com", "  anna@acme.com "),
        ("müller.de", "Anna@XN--MLLER-KVA.de"),
        ("müller.de", "anna@xn--mller-kva.de"),
    ],
)
def test_an_email_domain_is_compared_in_its_normal_form(
    client: ChatarminOS, service: FakeTransport, domain: str, email: str
) -> None:
    """Different spellings of the company's domain in an e-mail address match."""
    company_id = service.add_company("Acme", domain=domain)

    result = smart_link(client, emails=[email])

    assert found("linked", company_id, "Acme", 70) == result


# Free mail providers


def test_the_free_mail_providers_are_listed() -> None:
    """The well-known free mail providers are in the list that the package exports."""
    missing = set(FREE_MAIL) - set(FREE_MAIL_DOMAINS)

    assert not missing


@pytest.mark.parametrize("provider", FREE_MAIL)
def test_a_free_mail_domain_is_no_evidence(client: ChatarminOS, provider: str) -> None:
    """The domain of a free mail provider is stored and matches nothing, as domain or in an e-mail address."""
    company = client.companies.create(
        name="Acme", external_org_id="org_1", domain=provider, contact_email=f"anna@{provider}"
    )

    result = smart_link(client, domain=provider, emails=[f"berta@{provider}", f"anna@{provider}"], min_confidence=0)

    assert provider == company.domain
    assert unlinked() == result


@pytest.mark.parametrize("hint", ["https://www.GMail.com/", "GMAIL.COM", "gmail.com."])
def test_a_free_mail_domain_is_recognised_in_any_form(client: ChatarminOS, service: FakeTransport, hint: str) -> None:
    """A free mail provider is recognised in any spelling of its domain."""
    service.add_company("Acme", domain="gmail.com")

    result = smart_link(client, domain=hint, emails=["Anna@GMAIL.com"], min_confidence=0)

    assert unlinked() == result


@pytest.mark.parametrize(("own", "hint"), [("acme.com", "gmail.com"), ("gmail.com", "acme.com"), ("gmx.de", "web.de")])
def test_a_free_mail_domain_contradicts_nothing(
    client: ChatarminOS, service: FakeTransport, own: str, hint: str
) -> None:
    """If one of two different domains is a free mail provider's, an equal name is still linked."""
    company_id = service.add_company("Acme", domain=own)

    result = smart_link(client, company_name="Acme", domain=hint)

    assert found("linked", company_id, "Acme", 80) == result


# Domains that contradict


def test_an_equal_name_of_another_domain_is_only_suggested(client: ChatarminOS, service: FakeTransport) -> None:
    """A company whose known domain differs from the hinted one is not linked for its name."""
    company_id = service.add_company("Acme", domain="acme.com")

    result = smart_link(client, company_name="Acme", domain="acme.de")

    assert unlinked((company_id, "Acme", 80, "name")) == result
    assert linked_id(client) is None


def test_an_email_of_the_company_against_another_domain_is_only_suggested(
    client: ChatarminOS, service: FakeTransport
) -> None:
    """A company whose known domain differs from the hinted one is not linked for an e-mail address either."""
    company_id = service.add_company("Acme", domain="acme.com")

    result = smart_link(client, domain="acme.de", emails=["anna@acme.com"])

    assert unlinked((company_id, "Acme", 70, "email_domain")) == result
    assert linked_id(client) is None


def test_a_company_without_a_domain_contradicts_nothing(client: ChatarminOS, service: FakeTransport) -> None:
    """An equal name is linked if the company's domain is not known."""
    company_id = service.add_company("Acme")

    result = smart_link(client, company_name="Acme", domain="acme.com")

    assert found("linked", company_id, "Acme", 80) == result


def test_an_email_of_another_domain_contradicts_nothing(client: ChatarminOS, service: FakeTransport) -> None:
    """Only the hinted domain can contradict a company's, a hinted e-mail address cannot."""
    company_id = service.add_company("Acme", domain="acme.com")

    result = smart_link(client, company_name="Acme", emails=["anna@elsewhere.com"])

    assert found("linked", company_id, "Acme", 80) == result


def test_the_same_domain_written_otherwise_contradicts_nothing(client: ChatarminOS, service: FakeTransport) -> None:
    """Two spellings of one domain do not contradict each other."""
    company_id = service.add_company("Acme", domain="müller.de")

    result = smart_link(client, company_name="Acme", domain="https://www.xn--mller-kva.de/")

    assert found("linked", company_id, "Acme", 95) == result


# Evidence that may link


def test_any_evidence_may_link_the_company(client: ChatarminOS, service: FakeTransport) -> None:
    """If a similar name gives the confidence, the company's own e-mail domain still links it."""
    company_id = service.add_company("Foods Acme", domain="acme.com")

    result = smart_link(client, company_name="Acme Foods", emails=["anna@acme.com"])

    assert found("linked", company_id, "Foods Acme", 79) == result
    assert company_id == linked_id(client)


def test_two_weak_pieces_of_evidence_do_not_link(client: ChatarminOS, service: FakeTransport) -> None:
    """A similar name and a contact's e-mail domain together are still only suggested."""
    company_id = service.add_company("Foods Acme")
    client.contacts.create(company_id=company_id, email="anna@acme.com")

    result = smart_link(client, company_name="Acme Foods", emails=["anna@acme.com"])

    assert unlinked((company_id, "Foods Acme", 79, "name")) == result
    assert linked_id(client) is None


def test_an_equal_name_links_in_spite_of_contacts(client: ChatarminOS, service: FakeTransport) -> None:
    """A contact's e-mail domain does not weaken an equal name."""
    company_id = service.add_company("Acme")
    client.contacts.create(company_id=company_id, email="anna@acme.com")

    result = smart_link(client, company_name="Acme", emails=["anna@acme.com"])

    assert found("linked", company_id, "Acme", 80) == result


# The minimum confidence


@pytest.mark.parametrize(
    ("shorter", "longer", "confidence"),
    [(1, 9, 7), (2, 9, 14), (5, 12, 28), (4, 9, 29), (11, 14, 55), (7, 8, 56), (10, 12, 57), (8, 9, 58), (22, 23, 70)],
)
def test_the_minimum_confidence_itself_is_enough(
    client: ChatarminOS, service: FakeTransport, shorter: int, longer: int, confidence: int
) -> None:
    """A candidate at exactly the minimum confidence stays, even if its hundredth is not an exact float."""
    company_id = service.add_company(stem(shorter))

    result = smart_link(client, company_name=stem(longer), min_confidence=confidence / 100)

    assert unlinked((company_id, stem(shorter), confidence, "name")) == result


@pytest.mark.parametrize(
    ("shorter", "longer", "min_confidence"),
    [(11, 14, 0.56), (10, 12, 0.58), (10, 12, 0.571), (8, 9, 0.59), (25, 26, 0.72), (11, 14, 1)],
)
def test_below_the_minimum_confidence_is_no_match(
    client: ChatarminOS, service: FakeTransport, shorter: int, longer: int, min_confidence: float
) -> None:
    """A candidate below the minimum confidence is dropped, even by a fraction of a point."""
    service.add_company(stem(shorter))

    result = smart_link(client, company_name=stem(longer), min_confidence=min_confidence)

    assert unlinked() == result


def test_the_minimum_confidence_is_60_per_cent_by_default(client: ChatarminOS, service: FakeTransport) -> None:
    """Without a minimum confidence a candidate at 60 stays and one at 59 is dropped."""
    at_60 = service.add_company(stem(9))
    service.add_company(ascii_lowercase[5:22])

    at_once = smart_link(client, company_name=stem(10))
    too_little = smart_link(client, company_name=ascii_lowercase[5:26])

    assert unlinked((at_60, stem(9), 60, "name")) == at_once
    assert unlinked() == too_little


@pytest.mark.parametrize(
    ("hints", "confidence"),
    [
        (Hints(domain="acme.com"), 95),
        (Hints(company_name="Acme"), 80),
        (Hints(emails=("anna@acme.com",)), 70),
    ],
)
def test_a_link_needs_the_minimum_confidence_too(
    client: ChatarminOS, service: FakeTransport, hints: Hints, confidence: int
) -> None:
    """A linkable company is dropped if the minimum is one point above its confidence, and linked if they are equal."""
    company_id = service.add_company("Acme", domain="acme.com")

    above = client.companies.smart_link(external_org_id="org_new", hints=hints, min_confidence=(confidence + 1) / 100)
    exactly = client.companies.smart_link(external_org_id="org_new", hints=hints, min_confidence=confidence / 100)

    assert unlinked() == above
    assert found("linked", company_id, "Acme", confidence) == exactly


# Several candidates


def test_the_best_of_several_is_linked(client: ChatarminOS, service: FakeTransport) -> None:
    """A domain match leads an equal name by enough to be linked."""
    service.add_company("Globex")
    company_id = service.add_company("Acme", domain="acme.com")

    result = smart_link(client, company_name="Globex", domain="acme.com")

    assert found("linked", company_id, "Acme", 95) == result


def test_a_contradicted_company_does_not_hold_the_best_back(client: ChatarminOS, service: FakeTransport) -> None:
    """The company of the hinted domain is linked in spite of a namesake with another domain."""
    service.add_company("Acme", domain="acme.de")
    company_id = service.add_company("Acme", domain="acme.com")

    result = smart_link(client, company_name="Acme", domain="acme.com")

    assert found("linked", company_id, "Acme", 95) == result


def test_a_lead_of_10_points_is_enough(client: ChatarminOS, service: FakeTransport) -> None:
    """An equal name is linked in spite of a company with the hinted e-mail domain, 10 points behind."""
    service.add_company("Globex", domain="globex.com")
    company_id = service.add_company("Acme")

    result = smart_link(client, company_name="Acme", emails=["hank@globex.com"])

    assert found("linked", company_id, "Acme", 80) == result
    assert company_id == linked_id(client)


def test_a_lead_of_9_points_is_not_enough(client: ChatarminOS, service: FakeTransport) -> None:
    """An equal name is not linked if a similar one is 9 points behind."""
    similar = service.add_company(stem(25))
    equal = service.add_company(stem(24))

    result = smart_link(client, company_name=stem(24))

    assert unlinked((equal, stem(24), 80, "name"), (similar, stem(25), 71, "name")) == result
    assert linked_id(client) is None


def test_a_dropped_candidate_does_not_hold_the_best_back(client: ChatarminOS, service: FakeTransport) -> None:
    """The better one of a close pair is linked if the other is below the minimum confidence."""
    service.add_company(stem(25))
    equal = service.add_company(stem(24))

    result = smart_link(client, company_name=stem(24), min_confidence=0.72)

    assert found("linked", equal, stem(24), 80) == result


@pytest.mark.parametrize(
    ("hints", "confidence", "reason"),
    [
        (Hints(domain="acme.com"), 95, "domain"),
        (Hints(company_name="Acme"), 80, "name"),
        (Hints(emails=("anna@acme.com",)), 70, "email_domain"),
        (Hints(domain="acme.com", company_name="Acme", emails=("anna@acme.com",)), 95, "domain"),
        (Hints(company_name="Acme", emails=("anna@acme.com",)), 80, "name"),
    ],
)
def test_equals_are_suggested_with_their_reason(
    client: ChatarminOS, service: FakeTransport, hints: Hints, confidence: int, reason: str
) -> None:
    """Of two companies with the same evidence none is linked; both are suggested, in order of creation."""
    company_ids = [service.add_company("Acme", domain="acme.com") for _ in range(2)]

    result = client.companies.smart_link(external_org_id="org_new", hints=hints)

    assert unlinked(*((company_id, "Acme", confidence, reason) for company_id in company_ids)) == result
    assert linked_id(client) is None


def test_the_reason_is_the_first_that_gives_the_confidence(client: ChatarminOS, service: FakeTransport) -> None:
    """If name and e-mail domain give the same confidence the reason is the name, else the higher of them."""
    at_70 = service.add_company(stem(21))
    at_66 = service.add_company(stem(20))
    for company_id in (at_70, at_66):
        client.contacts.create(company_id=company_id, email="anna@acme.com")

    result = smart_link(client, company_name=stem(22), emails=["berta@acme.com"])

    assert unlinked((at_70, stem(21), 70, "name"), (at_66, stem(20), 70, "email_domain")) == result


def test_a_best_that_may_not_be_linked_holds_the_others_back(client: ChatarminOS, service: FakeTransport) -> None:
    """If the best candidate may only be suggested, the next is not linked in its place."""
    second = service.add_company("Globex", domain="globex.com")
    best = service.add_company("Foods Acme")

    result = smart_link(client, company_name="Acme Foods", emails=["hank@globex.com"])

    assert unlinked((best, "Foods Acme", 79, "name"), (second, "Globex", 70, "email_domain")) == result
    assert linked_id(client) is None


def test_a_lead_does_not_make_a_suggestion_a_link(client: ChatarminOS, service: FakeTransport) -> None:
    """A company that may only be suggested is not linked for a lead of 10 points."""
    contradicted = service.add_company("Acme", domain="acme.de")
    second = service.add_company("Globex")
    client.contacts.create(company_id=second, email="hank@globex.com")

    result = smart_link(client, company_name="Acme", domain="acme.com", emails=["hank@globex.com"])

    assert unlinked((contradicted, "Acme", 80, "name"), (second, "Globex", 70, "email_domain")) == result


def test_suggestions_come_best_first_and_equals_by_creation(client: ChatarminOS, service: FakeTransport) -> None:
    """Suggestions are ordered by confidence, equals in order of creation."""
    at_62 = service.add_company(stem(25))
    by_mail = service.add_company("Zulu", domain="zulu.com")
    by_name = service.add_company(stem(22))
    at_67 = service.add_company(stem(23))

    result = smart_link(client, company_name=stem(21), emails=["anna@zulu.com"])

    expected = unlinked(
        (by_mail, "Zulu", 70, "email_domain"),
        (by_name, stem(22), 70, "name"),
        (at_67, stem(23), 67, "name"),
        (at_62, stem(25), 62, "name"),
    )
    assert expected == result


def test_no_more_than_five_are_suggested(client: ChatarminOS, service: FakeTransport) -> None:
    """Of more than five equal candidates the five created first are suggested."""
    company_ids = [service.add_company("Acme") for _ in range(7)]

    result = smart_link(client, company_name="Acme")

    assert unlinked(*((company_id, "Acme", 80, "name") for company_id in company_ids[:5])) == result


def test_the_best_are_suggested_even_if_they_were_created_late(client: ChatarminOS, service: FakeTransport) -> None:
    """Of more than five candidates the best are suggested, not the first."""
    similar = [service.add_company("Foods Acme") for _ in range(6)]
    equal = [service.add_company("Acme Foods") for _ in range(2)]

    result = smart_link(client, company_name="Acme Foods")

    expected = unlinked(
        *((company_id, "Acme Foods", 80, "name") for company_id in equal),
        *((company_id, "Foods Acme", 79, "name") for company_id in similar[:3]),
    )
    assert expected == result


def test_companies_found_by_their_contacts_come_by_creation(client: ChatarminOS, service: FakeTransport) -> None:
    """Each company is suggested once, in order of its creation, whatever the number and age of its contacts."""
    company_ids = [service.add_company(f"Store {number}") for number in range(8)]
    for company_id in reversed(company_ids):
        for number in range(8):
            client.contacts.create(company_id=company_id, email=f"anna{number}@acme.com")

    result = smart_link(client, emails=["anna0@acme.com"])

    expected = unlinked(
        *((company_id, f"Store {number}", 70, "email_domain") for number, company_id in enumerate(company_ids[:5]))
    )
    assert expected == result


def test_the_only_company_of_many_contacts_is_linked_for_its_domain(
    client: ChatarminOS, service: FakeTransport
) -> None:
    """Many contacts of other domains do not prevent a link by the company's own domain."""
    company_id = service.add_company("Acme", domain="acme.com")
    for number in range(8):
        client.contacts.create(company_id=company_id, email=f"anna{number}@acme.com")
        client.contacts.create(company_id=service.add_company("Globex"), email=f"hank{number}@globex.com")

    result = smart_link(client, emails=["berta@acme.com"])

    assert found("linked", company_id, "Acme", 70) == result


@pytest.mark.slow
@pytest.mark.parametrize("hint", ["bananas", "Lina Bana", "orogano", "Tor", "Ba Bababa", "Zanaro Linabo"])
@pytest.mark.parametrize("min_confidence", [0, 0.3, 0.45])
def test_the_best_of_thousands_of_names_are_suggested(
    client: ChatarminOS, service: FakeTransport, hint: str, min_confidence: float
) -> None:
    """Among thousands of names the suggestions are the same as those of a search through all."""
    # Given
    syllables = ("ba", "na", "li", "tor", "o", "ga", "na ", "bo ", "zan", "ro", "x", "gan")
    names = ["".join(parts).strip() for parts in product(syllables, repeat=3)]
    companies = [(service.add_company(name), name, similarity(name, hint.lower())) for name in names]

    # When
    result = smart_link(client, company_name=hint, min_confidence=min_confidence)

    # Then
    likely = [company for company in companies if company[2] >= max(1, round(100 * min_confidence))]
    likely.sort(key=lambda company: -company[2])
    assert unlinked(*((*company, "name") for company in likely[:5])) == result


def test_suggestions_leave_everything_as_it_was(client: ChatarminOS, service: FakeTransport) -> None:
    """A call that only suggests can be repeated and changes nothing."""
    for _ in range(2):
        service.add_company("Acme", domain="acme.com")
    before = service.snapshot()

    first = smart_link(client, domain="acme.com")
    again = smart_link(client, domain="acme.com")

    assert first == again
    assert before == service.snapshot()


# The response on the wire


@pytest.mark.parametrize(("status", "confidence"), [("linked", 95), ("already_linked", 100)])
def test_a_linked_company_has_an_empty_list_of_suggestions(
    client: ChatarminOS, service: FakeTransport, status: str, confidence: int
) -> None:
    """The response that names a company has an empty list of suggestions, not null."""
    company_id = service.add_company("Acme", domain="acme.com")
    if status == "already_linked":
        client.links.create(company_id=company_id, external_org_id="org_new")

    answer = client.call("companies.smartLink", {"externalOrgId": "org_new", "hints": {"domain": "acme.com"}})

    expected = {
        "status": status,
        "companyId": company_id,
        "customerName": "Acme",
        "confidence": confidence,
        "suggestions": [],
    }
    assert expected == answer


def test_no_match_has_nulls(client: ChatarminOS) -> None:
    """The response without a match has nulls and an empty list of suggestions."""
    answer = client.call("companies.smartLink", {"externalOrgId": "org_new", "hints": {"domain": "acme.com"}})

    expected: dict[str, Any] = {
        "status": "no_match",
        "companyId": None,
        "customerName": None,
        "confidence": None,
        "suggestions": [],
    }
    assert expected == answer


def test_suggestions_have_nulls(client: ChatarminOS, service: FakeTransport) -> None:
    """The response with suggestions has null for company, name and confidence."""
    company_id = service.add_company("Foods Acme")

    answer = client.call("companies.smartLink", {"externalOrgId": "org_new", "hints": {"companyName": "Acme Foods"}})

    suggestion = {"companyId": company_id, "customerName": "Foods Acme", "confidence": 79, "reason": "name"}
    expected = {
        "status": "suggestions",
        "companyId": None,
        "customerName": None,
        "confidence": None,
        "suggestions": [suggestion],
    }
    assert expected == answer


# Bad input


@pytest.mark.parametrize(
    "email",
    [
        "anna",
        "@acme.com",
        "anna@acme",
        "anna@acme@acme.com",
        "an na@acme.com",
        "anna@müller.de",
        "x@acme.com#.evil.example",
        "x@acme.com:80",
        "x@https://acme.com/",
        "x@evil.example@acme.com",
        "x@acme.com\\.evil.example",
    ],
)
def test_a_malformed_email_hint_is_refused(client: ChatarminOS, service: FakeTransport, email: str) -> None:
    """The refusal names a malformed e-mail address among the hints, and nothing is linked."""
    service.add_company("Acme", domain="acme.com")

    with pytest.raises(BadRequestError) as refusal:
        smart_link(client, domain="acme.com", emails=["anna@acme.com", email])

    field = "emails"
    assert field in refusal.value.message
    assert linked_id(client) is None


@pytest.mark.parametrize(
    "domain",
    [
        "acme",
        "acme com",
        "ac me.com",
        "acme..com",
        ".acme.com",
        "acme.com#.evil.example",
        "acme.com\\@evil.example",
        "evil.example@acme.com",
        "acme.com?.evil.example",
    ],
)
def test_a_malformed_domain_hint_is_refused(client: ChatarminOS, service: FakeTransport, domain: str) -> None:
    """The refusal names a hinted domain that is invalid, and nothing is linked."""
    service.add_company("Acme")

    with pytest.raises(BadRequestError) as refusal:
        smart_link(client, company_name="Acme", domain=domain)

    field = "domain"
    assert field in refusal.value.message
    assert linked_id(client) is None


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"externalOrgId": ""}, "externalOrgId"),
        ({"externalOrgId": "  "}, "externalOrgId"),
        ({"externalOrgId": None}, "externalOrgId"),
        ({"externalOrgId": 5}, "externalOrgId"),
        ({"minConfidence": -0.01}, "minConfidence"),
        ({"minConfidence": 1.01}, "minConfidence"),
        ({"minConfidence": 60}, "minConfidence"),
        ({"minConfidence": "0.6"}, "minConfidence"),
        ({"minConfidence": True}, "minConfidence"),
        ({"minConfidence": None}, "minConfidence"),
        ({"hints": "Acme"}, "hints"),
        ({"hints": None}, "hints"),
        ({"hints": {"companyName": 5}}, "companyName"),
        ({"hints": {"domain": ["acme.com"]}}, "domain"),
        ({"hints": {"emails": "anna@acme.com"}}, "emails"),
        ({"hints": {"emails": [5]}}, "emails"),
        ({"hints": {"companyNmae": "Acme"}}, "companyNmae"),
        ({"hints": {"company_name": "Acme"}}, "company_name"),
        ({"hint": {"companyName": "Acme"}}, "hint"),
    ],
)
def test_the_service_refuses_bad_input(
    client: ChatarminOS, service: FakeTransport, change: dict[str, Any], field: str
) -> None:
    """The refusal names blank, mistyped, unknown and out-of-range input, and nothing is linked."""
    service.add_company("Acme")
    before = service.snapshot()

    with pytest.raises(BadRequestError) as refusal:
        client.call("companies.smartLink", {"externalOrgId": "org_new", "hints": {"companyName": "Acme"}, **change})

    assert field in refusal.value.message
    assert before == service.snapshot()


@pytest.mark.parametrize("min_confidence", [-0.01, 1.01, 60, float("nan"), float("inf")])
def test_a_confidence_out_of_range_is_not_sent(
    client: ChatarminOS, service: FakeTransport, min_confidence: float
) -> None:
    """The client itself refuses a minimum confidence outside 0 to 1 and names it."""
    with pytest.raises(InvalidInput) as refusal:
        smart_link(client, company_name="Acme", min_confidence=min_confidence)

    expected = "min_confidence"
    assert expected == refusal.value.field
    assert not service.calls
