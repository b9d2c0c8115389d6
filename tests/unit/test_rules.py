"""Rules of the fake at their edges: amounts, domains, names of other scripts, the index of names, odd values."""
# ruff: noqa: RUF001 - the tests are about letters that look like others

from __future__ import annotations

import json
import math
import random
import re
import subprocess
import sys
import unicodedata
from contextlib import suppress
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ids import words

from chatarmin_os import BadRequestError, ChatarminOS
from chatarmin_os.fake import FREE_MAIL_DOMAINS, FakeTransport, demo_catalogue
from chatarmin_os.fake.name_index import NameIndex
from chatarmin_os.fake.rules import addresses, matching, tiers, usage
from chatarmin_os.fake.rules.matching import Candidate, Outcome
from chatarmin_os.fake.rules.names import LEGAL_FORMS, MAX_TRIGRAMS, name_confidence, normalised, slug, trigrams
from chatarmin_os.transports import Call

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from chatarmin_os.fake.rows import Amount

HUGE, TINY = 1.7976931348623157e308, 5e-324

QUANTITIES = st.integers(1, 2**53 - 1) | st.floats(min_value=0, exclude_min=True, allow_infinity=False)


def _sum(quantities: Iterable[float]) -> Amount:
    total: Amount = 0
    for quantity in quantities:
        total = usage.add_exact(total, quantity)
    return total


# Usage


@given(quantities=st.lists(QUANTITIES, max_size=8))
def test_a_sum_is_exact_in_any_order(quantities: list[float]) -> None:
    """Quantities add up to the sum of the written decimals, in any order."""
    expected = sum(Fraction(Decimal(repr(quantity))) for quantity in quantities)

    assert expected == Fraction(_sum(quantities))
    assert expected == Fraction(_sum(reversed(quantities)))


@pytest.mark.parametrize(
    ("quantities", "expected"),
    [
        ([0.1, 0.2], 0.3),
        ([0.1] * 10, 1),
        ([0.1] * 1000, 100),
        ([0.7, 0.1, 0.2], 1),
        ([1e16, 1, 1], 10**16 + 2),
        ([2.5, 2.5], 5),
        ([1, 2], 3),
        ([TINY, TINY], 1e-323),
        ([HUGE, HUGE], 2 * int(Decimal(repr(HUGE)))),
        ([], 0),
    ],
)
def test_sums_are_those_of_the_written_numbers(quantities: list[float], expected: float) -> None:
    """Three times 0.1 is 0.3, and a whole sum is an int."""
    total = usage.as_number(_sum(quantities))

    assert expected == total
    assert type(expected) is type(total)


@pytest.mark.parametrize("quantities", [[HUGE, HUGE, 0.5], [HUGE] * 5 + [TINY]], ids=["a-half-more", "a-tiny-bit-more"])
def test_an_amount_beyond_all_floats_is_still_a_number(quantities: list[float]) -> None:
    """Any amount of usage is returned as a number that JSON has."""
    assert json.dumps(usage.as_number(_sum(quantities))).isdigit()


@pytest.mark.parametrize("current", [HUGE, 1e300, 1, 0.5, TINY])
def test_a_tiny_excess_is_past_the_limit(current: float) -> None:
    """The smallest quantity exceeds a limit that is reached, although no float sum would show it."""
    limit, at_limit, past = current, usage.exact(current), usage.add_exact(usage.exact(current), TINY)

    assert not usage.exceeds(at_limit, limit)
    assert usage.exceeds(past, limit)
    assert usage.quota_status(at_limit, limit, None).is_at_limit
    assert usage.quota_status(past, None, limit).billable == Decimal("5E-324")


def test_the_remaining_quantity_is_exact() -> None:
    """After a tiny use of a huge limit, the remaining quantity is less than the limit, not equal."""
    left = usage.quota_status(usage.exact(TINY), HUGE, HUGE)

    assert left.remaining is not None
    assert Fraction(left.remaining) == Fraction(Decimal(repr(HUGE))) - Fraction(Decimal(repr(TINY)))
    assert (left.billable, left.is_at_limit) == (0, False)


@given(used=st.lists(QUANTITIES, max_size=4), limit=QUANTITIES | st.just(0), included=QUANTITIES | st.just(0))
def test_remaining_and_billable_quantities_follow_from_the_sum(
    used: list[float], limit: float, included: float
) -> None:
    """Both are exact differences, never negative; the limit is reached when nothing remains."""
    current = _sum(used)
    exact = Fraction(current)

    stand = usage.quota_status(current, limit, included)

    assert stand.remaining is not None
    assert max(Fraction(0), Fraction(usage.exact(limit)) - exact) == Fraction(stand.remaining)
    assert max(Fraction(0), exact - Fraction(usage.exact(included))) == Fraction(stand.billable)
    assert stand.is_at_limit == (exact >= Fraction(usage.exact(limit)))
    assert usage.exceeds(current, limit) == (exact > Fraction(usage.exact(limit)))


# Tiers


@pytest.mark.parametrize(
    ("price_ids", "expected"),
    [
        ([], None),
        (["price_free_base"], None),
        (["price_pro_base", "price_pro_seats"], None),
        (["price_pro_seats", "price_pro_base", "price_pro_ai_credit"], "pro"),
        (["price_pro_base", "price_pro_ai_credit", "price_pro_seats"] * 2, "pro"),
        (["price_small_base", "price_pro_base", "price_pro_ai_credit", "price_pro_seats"], "pro"),
        (["price_small_base", "price_pro_base"], "small"),
    ],
)
def test_a_subscription_leads_to_the_tier_with_more_prices(price_ids: list[str], expected: str | None) -> None:
    """A subscription needs all prices of a tier, in any order and with others; a tier without prices never matches."""
    catalogue = demo_catalogue()
    catalogue.add_tier("small", name="Small", base_fee=0)

    tier = tiers.tier_of_prices(catalogue.tiers.values(), price_ids)

    assert expected == (tier and tier["code"])


# Domains and addresses


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        ("müller.de", "xn--mller-kva.de"),
        ("mu\u0308ller.de", "xn--mller-kva.de"),
        ("MÜLLER.DE", "xn--mller-kva.de"),
        ("xn--mller-kva.de", "xn--mller-kva.de"),
        ("XN--MLLER-KVA.DE", "xn--mller-kva.de"),
        ("https://ann@www.müller.de:8080/ü?ü#ü", "xn--mller-kva.de"),
        ("日本.jp", "xn--wgv71a.jp"),
        ("日本。jp", "xn--wgv71a.jp"),
        ("пример.рф", "xn--e1afmkfd.xn--p1ai"),
        ("ＡＣＭＥ．ｃｏｍ", "acme.com"),
        ("faß.de", "xn--fa-hia.de"),
        ("ä.de.", "xn--4ca.de"),
        ("a_b.acme.com", "a_b.acme.com"),
        ("10.0.0.1", "10.0.0.1"),
    ],
)
def test_domains_of_other_scripts_become_ascii(given_: str, expected: str) -> None:
    """A domain in any script and spelling is compared by its ASCII form."""
    assert expected == addresses.domain(given_)


@pytest.mark.parametrize(
    "given_",
    [
        "☕.com",
        "ä" * 64 + ".de",
        "ä." * 130 + "de",
        "ä..de",
        "-ä.de",
        "ä-.de",
        "\u0301a.de",
        "\u200d.de",
        "א1a.com",
        "xn--.de",
        "xn--a.de",
        "xn--zzzz.de",
        "xn--\x80.de",
        "mü ller.de",
        "ä",
        "日本",
        "\ud800.de",
    ],
    ids=words,
)
def test_a_domain_without_an_ascii_form_is_invalid(given_: str) -> None:
    """A text that IDNA refuses, or that has no dot in its ASCII form, is not a domain."""
    assert addresses.domain(given_) is None


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        ("www.com", "www.com"),
        ("www.acme.com", "acme.com"),
        ("www.www.acme.com", "acme.com"),
        ("www.www.com", "www.com"),
        ("www.müller.de", "xn--mller-kva.de"),
        ("www.", None),
        ("wwwacme.com", "wwwacme.com"),
        ("acme.com:", "acme.com"),
        ("git+ssh://acme.com", "acme.com"),
        ("//acme.com", None),
        ("user@", None),
        ("\tacme.com\n", "acme.com"),
        ("acme.com/pricing?x=1#y", "acme.com"),
        ("https://ann:secret@acme.com/", "acme.com"),
        ("ann:acme.com@bolt.example", "bolt.example"),
        (f"{'a.' * 120}com", f"{'a.' * 120}com"),
    ],
)
def test_the_other_parts_of_a_url_are_dropped(given_: str, expected: str | None) -> None:
    """Scheme, user, port, path and `www.` are not part of a domain, unless nothing else is left."""
    assert expected == addresses.domain(given_)


AMBIGUOUS = [
    "acme.com#.evil.example",
    "acme.com?.evil.example",
    "acme.com#@evil.example",
    "https://acme.com#.evil.example",
    "acme.com\\.evil.example",
    "acme.com\\@evil.example",
    "https:\\\\acme.com",
    "evil.example@acme.com",
    "acme.com:80@evil.example",
    "acme.com/@evil.example",
    "https://acme.com/\\evil.example",
    "ann@bob@acme.com",
    "acme.com\n.evil.example",
    "evil.example\tacme.com",
    "acme.com\x00.evil.example",
    "acme.com\x1f",
    "acme.com\u00a0",
    "acme.com\u3000evil.example",
    "acme%2ecom",
    "%61cme.com",
    "acme.com%2f.evil.example",
    "acme.com\uff0f.evil.example",
    "acme.com\uff03.evil.example",
    "acme.com\uff1f.evil.example",
    "acme.com\uff20evil.example",
    "evil.example\uff20acme.com",
    "acme.com\uff1a80",
    "acme.com\u2044x",
    "acme.com\u2100x",
    "ac\u00adme.com",
    "acme\u2060.com",
    "acme.com\ufe0f",
    "\ufeffacme.com",
    "acme.com..",
    "acme.com.:80.evil.example",
    "acme.com:80:80",
    "acme.com:port",
    "[acme.com]",
    "http://[::1]",
    "<acme.com>",
    "acme.com,bolt.example",
    "acme.com;bolt.example",
    "mailto:ann@acme",
    f"{'a.' * 130}com",
]


@pytest.mark.parametrize("given_", AMBIGUOUS, ids=words)
def test_an_ambiguous_url_is_no_domain(given_: str) -> None:
    """If parsers could find different hosts in a text, or none, it is not a domain."""
    assert addresses.domain(given_) is None


@pytest.mark.parametrize("hint", AMBIGUOUS, ids=words)
def test_an_ambiguous_url_links_nobody(hint: str) -> None:
    """Neither as a domain nor behind the `@` of an address does such a text lead to another company."""
    fake = FakeTransport(demo_catalogue())
    fake.add_company("Acme", domain="acme.com")
    company = {"externalOrgId": "org_2", "name": "Evil", "domain": hint}

    for hints in ({"domain": hint}, {"emails": [f"x@{hint}"]}):
        with suppress(BadRequestError):
            fake.send(Call("companies.smartLink", "mutation", {"externalOrgId": "org_1", "hints": hints}))
        with suppress(BadRequestError):
            fake.send(Call("companies.create", "mutation", company))

    snapshot = fake.snapshot()
    assert snapshot["links"] == []
    assert [company["domain"] for company in snapshot["companies"]] == ["acme.com"]


@given(text=st.text() | st.from_regex(r"(xn--)?[a-zß-ÿ\u0600-\u06ff.-]{1,12}\.[a-zä.]{1,4}", fullmatch=True))
def test_any_text_is_a_plain_domain_or_none(text: str) -> None:
    """No text fails; a domain is lower-case ASCII with a dot and no empty label."""
    domain = addresses.domain(text)

    assert domain is None or re.fullmatch(r"[a-z0-9_-]+(\.[a-z0-9_-]+)+", domain)
    assert domain is None or domain == addresses.domain(domain)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("ann@acme.com", "acme.com"),
        ("ann@ACME.com", "acme.com"),
        ("ann@xn--mller-kva.de", "xn--mller-kva.de"),
        ("ann@xn--a.de", None),
        ("ann@müller.de", None),
        ("ann@gmail.com", None),
        ("ann@GMail.com", None),
        ("ann@user.fastmail.com", None),
        ("ann@a..b", None),
        ("ann@☕.com", None),
    ],
)
def test_the_domain_of_an_address_is_a_business_domain_or_none(address: str, expected: str | None) -> None:
    """The domain of an address is that of a company, or None."""
    assert expected == addresses.email_domain(address)


# fmt: off
PROVIDERS = [
    "gmail.com", "googlemail.com", "outlook.com", "outlook.fr", "hotmail.com", "hotmail.fr", "live.com", "live.de",
    "msn.com", "yahoo.com", "yahoo.co.uk", "yahoo.co.jp", "ymail.com", "rocketmail.com", "icloud.com", "me.com",
    "mac.com", "aol.com", "aim.com", "proton.me", "pm.me", "protonmail.com", "protonmail.ch", "tutanota.com",
    "tuta.io", "posteo.de", "mailbox.org", "fastmail.com", "fastmail.fm", "hey.com", "hushmail.com", "zoho.com",
    "duck.com", "gmx.de", "gmx.at", "gmx.ch", "gmx.net", "gmx.com", "web.de", "freenet.de", "t-online.de",
    "arcor.de", "mail.com", "mail.ru", "bk.ru", "list.ru", "yandex.ru", "yandex.com", "rambler.ru", "ukr.net",
    "qq.com", "foxmail.com", "163.com", "126.com", "sina.com", "naver.com", "daum.net", "hanmail.net", "orange.fr",
    "wanadoo.fr", "laposte.net", "free.fr", "sfr.fr", "libero.it", "virgilio.it", "tiscali.it", "seznam.cz",
    "wp.pl", "o2.pl", "onet.pl", "interia.pl", "bluewin.ch", "aon.at", "a1.net", "chello.at", "telenet.be",
    "skynet.be", "ziggo.nl", "comcast.net", "verizon.net", "att.net", "sbcglobal.net", "btinternet.com", "sky.com",
    "bigpond.com", "xtra.co.nz", "uol.com.br", "rediffmail.com", "abv.bg", "inbox.lv", "freemail.hu",
]
COMPANIES = [
    "acme.com", "globex.com", "globex.io", "initech.com", "contoso.com", "northwind.com", "example.com",
    "example.org", "test.com", "google.com", "microsoft.com", "apple.com", "amazon.com", "facebook.com", "meta.com",
    "ibm.com", "oracle.com", "sap.com", "siemens.com", "bosch.de", "bmw.de", "zalando.de", "shopify.com",
    "stripe.com", "github.com", "slack.com", "adobe.com", "intel.com", "cisco.com", "nike.com", "adidas.de",
    "redbull.com", "mit.edu", "harvard.edu", "ox.ac.uk", "ethz.ch", "tuwien.ac.at", "orf.at", "telekom.de",
    "vodafone.com", "verizon.com", "att.com", "sony.com", "samsung.com", "alibaba.com", "yahooinc.com",
    "chatarmin.com", "notgmail.com", "gmail.com.evil.example",
]
# fmt: on


@pytest.mark.parametrize(
    "provider",
    PROVIDERS,
)
def test_a_free_mail_domain_is_no_business_domain(provider: str) -> None:
    """The domain of a free mail or internet access provider, and its subdomains, do not belong to a company."""
    assert provider in FREE_MAIL_DOMAINS
    assert addresses.business_domain(provider) is None
    assert addresses.business_domain(f"mail.{provider}") is None


@pytest.mark.parametrize(
    "domain",
    COMPANIES,
)
def test_a_business_domain_is_no_free_mail_provider(domain: str) -> None:
    """Domains of organisations, and those that only contain a provider's name, identify companies."""
    assert domain not in FREE_MAIL_DOMAINS
    assert addresses.business_domain(domain) == domain


def test_the_list_of_free_mail_providers_is_in_normal_form() -> None:
    """Some thousand domains, in the form that `domain` returns, because normalised domains are looked up in them."""
    assert isinstance(FREE_MAIL_DOMAINS, frozenset)
    assert len(FREE_MAIL_DOMAINS) > 4_000
    assert {addresses.domain(domain) for domain in FREE_MAIL_DOMAINS} == FREE_MAIL_DOMAINS


def test_the_list_of_free_mail_providers_is_read_when_it_is_needed() -> None:
    """Importing the fake does not read the list, and unknown names of the module are still AttributeErrors."""
    program = (
        "import chatarmin_os.fake as fake\n"
        "from chatarmin_os.fake.rules import addresses\n"
        "assert not addresses.free_mail_domains.cache_info().currsize\n"
        "assert 'gmail.com' in fake.FREE_MAIL_DOMAINS\n"
        "assert addresses.free_mail_domains.cache_info().currsize\n"
    )

    subprocess.run([sys.executable, "-c", program], check=True)  # noqa: S603 - our own program
    with pytest.raises(AttributeError, match=r"addresses' has no attribute 'SPAM_DOMAINS'"):
        _ = addresses.SPAM_DOMAINS


# Names


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ООО Ромашка", "ооо ромашка"),
        ("ΑΦΟΙ ΣΑΣ", "αφοι σασ"),
        ("αφοι σας", "αφοι σασ"),
        ("شركة ١٢", "شركة ١٢"),
        ("株式会社トヨタ", "株式会社トヨタ"),
        ("ＡＣＭＥ　Ｉｎｃ．", "acme"),
        ("ﬁnance ²", "finance 2"),
        ("Ⅳ", "iv"),
        ("STRASSE", "strasse"),
        ("Straße", "strasse"),
        ("İstanbul", "istanbul"),
        ("Œuvre Ærø", "œuvre ærø"),
        ("ʼn Ding", "n ding"),
        ("O\u2019Neill", "oneill"),
        ("O\u02bcNeill", "oneill"),
        ("S\u2024A\u2024", "sa"),
        ("A\u2026B", "ab"),
        ("a\u00adb", "a b"),
        ("a\u200bb", "a b"),
        ("🚀 Rockets 🚀", "rockets"),
        ("\x00", ""),
        ("\u0301", ""),
    ],
    ids=words,
)
def test_names_of_other_scripts_are_compared_too(name: str, expected: str) -> None:
    """Letters and digits of any script stay, in one case and width, without accents and signs."""
    assert unicodedata.normalize("NFKD", expected) == normalised(name)


@pytest.mark.parametrize("name", ["हिन्दी", "தமிழ்", "বাংলা"])
def test_vowel_signs_that_take_up_space_stay(name: str) -> None:
    """In a name of a script that writes vowels as signs next to a letter, the signs are not accents."""
    kept = normalised(name)

    assert kept
    assert [sign for sign in name if unicodedata.category(sign) == "Mc"] == [
        sign for sign in kept if unicodedata.category(sign) == "Mc"
    ]


@pytest.mark.parametrize("name", ["Café Müller", "한국전력", "Ångström", "Ελλάδα", "ёлка"])
def test_a_name_is_the_same_composed_or_not(name: str) -> None:
    """The encoding of a name's letters makes no difference."""
    forms = {normalised(unicodedata.normalize(form, name)) for form in ("NFC", "NFD", "NFKC", "NFKD")}

    assert len(forms) == 1


@pytest.mark.parametrize("form", sorted(LEGAL_FORMS))
def test_a_legal_form_alone_is_a_name(form: str) -> None:
    """The last remaining word is never dropped, and nothing at the beginning is."""
    assert form == normalised(form.upper())
    assert f"{form} acme" == normalised(f"{form} Acme {form}")
    assert form == normalised(f"{form} {form} {form}")


WORDS = st.lists(st.sampled_from(["Acme", "ACME", "é", "& Co.", "GmbH", "K.G.", "'", "İ", "ß", "ﬁ", "日本", "-", "1²"]))


@given(name=st.text() | WORDS.map(" ".join) | WORDS.map("".join))
def test_a_normalised_name_is_normalised(name: str) -> None:
    """Normalising again changes nothing, and leaves single spaces between words that are not empty."""
    once = normalised(name)

    assert once == normalised(once)
    assert once.split() == [word for word in once.split(" ") if once]
    assert once == once.casefold()


@given(name=st.text() | WORDS.map(" ".join))
def test_a_short_id_is_plain(name: str) -> None:
    """A slug is made of ASCII letters, digits and single hyphens between them, and is its own slug."""
    short = slug(name)

    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", short)
    assert len(short) <= 50
    assert short == slug(short)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a" * 60, "a" * 50),
        ("a" * 49 + " b", "a" * 49),
        ("a" * 48 + " bc", "a" * 48 + "-b"),
        ("ＡＣＭＥ Ⅳ ﬁ", "acme-iv-fi"),
        ("Straße", "stra-e"),
        ("İstanbul", "istanbul"),
        ("Ромашка 7", "7"),
        ("--- --", "company"),
        ("", "company"),
    ],
)
def test_a_short_id_follows_from_the_name(name: str, expected: str) -> None:
    """Runs of letters outside ASCII become a hyphen; a cut leaves none at the end."""
    assert expected == slug(name)


@given(one=st.text(min_size=1, max_size=8), other=st.text(min_size=1, max_size=8))
def test_similarity_is_symmetric(one: str, other: str) -> None:
    """Two names are as similar from either side, never as much as equal ones, never below zero."""
    there, back = trigrams(one), trigrams(other)
    together = len(there | back)

    if together:
        confidence = name_confidence(len(there & back), together)
        assert confidence == name_confidence(len(back & there), len(back | there))
        assert 0 <= confidence <= 79


@given(name=st.text(alphabet="ab ", max_size=12))
def test_trigrams_are_those_of_the_padded_words(name: str) -> None:
    """Each word gives one trigram more than it has letters, of three characters each; equal ones count once."""
    grams = trigrams(name)

    assert len(grams) <= sum(len(word) + 1 for word in name.split())
    assert {len(gram) for gram in grams} <= {3}
    assert trigrams(" ".join(reversed(name.split()))) == grams


# Matching


@pytest.mark.parametrize("percent", range(101))
def test_a_fraction_is_a_percentage(percent: int) -> None:
    """A percentage is not below its own fraction, however floats round; a slightly larger fraction needs one more."""
    fraction = percent / 100

    assert max(1, percent) == matching.min_percent(fraction)
    assert max(1, percent + 1) == matching.min_percent(math.nextafter(fraction, 2))


@pytest.mark.parametrize(
    ("hint_domain", "company_domain", "names_equal", "email_domains", "expected"),
    [
        (None, None, False, (), False),
        (None, None, True, (), True),
        ("a.com", "a.com", False, (), True),
        ("a.com", "b.com", True, ("b.com",), False),
        ("a.com", None, True, (), True),
        ("a.com", None, False, ("a.com",), False),
        (None, "a.com", False, ("b.com", "a.com"), True),
        (None, "a.com", False, ("b.com",), False),
        (None, "a.com", True, ("b.com",), True),
        (None, None, False, ("a.com",), False),
    ],
)
def test_linking_needs_evidence_and_no_contradiction(
    *,
    hint_domain: str | None,
    company_domain: str | None,
    names_equal: bool,
    email_domains: tuple[str, ...],
    expected: bool,
) -> None:
    """A domain, an equal name or an own e-mail domain may link; two known domains that differ never do."""
    may = matching.may_link(
        hint_domain=hint_domain, company_domain=company_domain, names_equal=names_equal, email_domains=email_domains
    )

    assert expected is may


CANDIDATES = st.lists(
    st.builds(Candidate, st.integers(0, 6), st.integers(1, 95), st.sampled_from(["domain", "name", "email_domain"])),
    max_size=12,
)


@given(evidence=CANDIDATES, minimum=st.integers(0, 100), linkable=st.sets(st.integers(0, 6)))
def test_a_decision_does_not_depend_on_the_order_of_evidence(
    evidence: list[Candidate], minimum: int, linkable: set[int]
) -> None:
    """In any order of the evidence the outcome is a link or up to five suggestions, best first, each company once."""

    def decide(given: Iterable[Candidate]) -> Outcome:
        return matching.decide(given, minimum / 100, lambda candidate: candidate.order in linkable)

    outcome = decide(evidence)

    assert outcome == decide(reversed(evidence)) == decide(sorted(evidence))
    ranked = [(-one.confidence, one.order) for one in outcome.suggestions]
    assert ranked == sorted(ranked)
    assert len(ranked) == len({order for _, order in ranked}) <= 5
    assert outcome.link is None or not ranked
    assert outcome.link is None or outcome.link.order in linkable
    assert all(one.confidence >= max(1, minimum) for one in outcome.suggestions)
    assert bool(ranked or outcome.link) == any(one.confidence >= max(1, minimum) for one in evidence)


# The index of names


def _index(names: Iterable[str]) -> NameIndex:
    index = NameIndex()
    for owner, name in enumerate(names):
        index.add(name, owner)
    return index


def _similar(names: Iterable[tuple[str, frozenset[str]]], name: str, minimum: int, count: int) -> list[tuple[int, int]]:
    """Return the names that the index should find, by comparing each name."""
    grams = trigrams(name)
    found = []
    for owner, (other, others) in enumerate(names):
        shared = len(grams & others)
        if other != name and shared:
            confidence = name_confidence(shared, len(grams | others))
            if confidence >= minimum:
                found.append((-confidence, owner))
    return [(-confidence, owner) for confidence, owner in sorted(found)[:count]]


def _with_grams(names: Iterable[str]) -> list[tuple[str, frozenset[str]]]:
    return [(name, trigrams(name)) for name in names]


NAMES = st.text(alphabet="ab ", min_size=1, max_size=10).map(normalised).filter(bool)


@given(
    names=st.lists(NAMES, max_size=30),
    name=NAMES | st.just(""),
    minimum=st.integers(1, 79),
    count=st.integers(1, 8),
)
def test_the_index_finds_the_same_names_as_a_full_search(names: list[str], name: str, minimum: int, count: int) -> None:
    """It finds the best names that are similar enough, equals in order of their owners, without the name itself."""
    index = _index(names)

    assert _similar(_with_grams(names), name, minimum, count) == index.similar(name, min_percent=minimum, count=count)
    assert [owner for owner, other in enumerate(names) if other == name][:count] == index.equal(name, count=count)


@given(names=st.lists(NAMES, min_size=2, max_size=2, unique=True))
def test_the_index_is_symmetric(names: list[str]) -> None:
    """Two names find each other with the same confidence."""
    one, other = names

    there = _index([one]).similar(other, min_percent=1, count=1)
    back = _index([other]).similar(one, min_percent=1, count=1)

    assert there == back


@pytest.mark.parametrize("minimum", [80, 81, 95, 100])
def test_no_similar_name_gives_as_much_as_an_equal_one(minimum: int) -> None:
    """If the minimum is that of an equal name, nothing is found, even if all trigrams are shared."""
    index = _index(["acme beta", "acme", "acmes"])

    assert index.similar("beta acme", min_percent=minimum, count=5) == []


@pytest.fixture(scope="module")
def many() -> list[str]:
    """Return thousands of names, the same every time: many are similar, and a tenth have several owners."""
    chance = random.Random(20240115)  # noqa: S311 - the same every time, and no secret
    syllables = [first + second for first in "bdgklmnrst" for second in "aeiou"]
    names: dict[str, None] = {}
    owned: list[str] = []
    while len(names) < 4600:
        words = ["".join(chance.choices(syllables, k=chance.randint(1, 3))) for _ in range(chance.randint(1, 2))]
        name = " ".join(words) if chance.random() > 0.1 or not owned else chance.choice(owned)
        names[name] = None
        owned.append(name)
    return owned


@pytest.mark.slow
def test_a_large_index_finds_the_same_names_as_a_full_search(many: list[str]) -> None:
    """Among thousands of names the best are found, and equals come in order of their owners."""
    # Given an index of thousands of names, and names that are in it, similar to one in it, or to none
    chance = random.Random(7)  # noqa: S311 - the same every time, and no secret
    index, grams = _index(many), _with_grams(many)
    picked = chance.sample(many[:1000], 8) + chance.sample(many[1000:4200], 8) + chance.sample(many[-300:], 8)
    asked = picked + [f"{name}s" for name in picked] + [name[1:] for name in picked] + ["zzz", "ba", "ba ba ba be"]

    # When each is searched, then exactly the best are found
    for name in asked:
        for minimum, count in ((1, 6), (20, 50), (48, 6), (60, 1), (60, 6), (70, 3), (79, 6)):
            assert _similar(grams, name, minimum, count) == index.similar(name, min_percent=minimum, count=count), name
        assert [owner for owner, other in enumerate(many) if other == name][:3] == index.equal(name, count=3)


def test_owners_of_different_names_come_in_order(many: list[str]) -> None:
    """An early name that is added again late has its late owner behind those of other names in between."""
    # Given two names that are equally similar to a third: one added first and last, one in between
    index = NameIndex()
    index.add("acme one", 0)
    for owner, name in enumerate(dict.fromkeys(many), start=1):
        index.add(f"x{name}x", owner)
    index.add("acme two", 9_000)
    index.add("acme one", 9_001)

    # When the third is searched
    found = [index.similar("acme", min_percent=40, count=count) for count in (1, 2, 3)]

    # Then the owners come in their order
    assert [[owner for _, owner in best] for best in found] == [[0], [0, 9_000], [0, 9_000, 9_001]]
    assert len({confidence for confidence, _ in found[-1]}) == 1


def test_very_long_name_is_no_candidate() -> None:
    """It is not compared with similar names; those around it are found."""
    long = "acme " + " ".join(map(str, range(100_000, 100_400)))
    assert len(trigrams(long)) > MAX_TRIGRAMS
    index = _index([long, "acme one", long + "x", "acme two"])

    assert [owner for _, owner in index.similar("acme", min_percent=1, count=5)] == [1, 3]
    assert index.similar(long, min_percent=1, count=5) == []
    assert index.equal(long, count=5) == [0]


def test_names_that_are_added_between_searches_are_found() -> None:
    """A search indexes the names that were added since the last one, and no name twice."""
    # Given a name that was searched
    index = _index(["acme one"])
    before = index.similar("acme", min_percent=1, count=5)

    # When others are added, one of them for the second time, and are searched twice
    for owner, name in enumerate(["acme two", "acme one", "other"], start=1):
        index.add(name, owner)
    found = [index.similar("acme", min_percent=1, count=5) for _ in range(2)]

    # Then each owner of a similar name is there once
    assert [owner for _, owner in before] == [0]
    assert [[owner for _, owner in one] for one in found] == [[0, 1, 2], [0, 1, 2]]


# Odd values


WRONG_USES: dict[str, Callable[[FakeTransport], object]] = {
    "quantity-flag-that-is-text": lambda fake: fake.add_feature("f", name="F", has_quantity=cast("Any", "yes")),
    "currency-that-is-blank": lambda fake: fake.add_tier("t", name="T", currency=" "),
    "infinite-limit": lambda fake: fake.add_tier("t", name="T", features={"seats": {"quantity_limit": math.inf}}),
    "blank-price": lambda fake: fake.stripe.add_subscription(["price_pro_base", ""]),
    "price-that-is-no-text": lambda fake: fake.stripe.add_checkout_session([cast("Any", 5)]),
    "blank-customer": lambda fake: fake.stripe.add_subscription([], customer_id=" "),
    "failure-with-a-blank-path": lambda fake: fake.fail(" ", error="CONFLICT"),
    "failure-with-a-path-that-is-no-text": lambda fake: fake.fail(cast("Any", 5), error="CONFLICT"),
    "failure-half-a-time": lambda fake: fake.fail(error="CONFLICT", times=cast("Any", 0.5)),
    "seconds-instead-of-a-timedelta": lambda fake: fake.advance(cast("Any", 60)),
    "domain-that-is-no-text": lambda fake: fake.add_company("Acme", domain=cast("Any", 5)),
    "catalogue-that-is-a-mapping": lambda _: FakeTransport(cast("Any", {})),
    "catalogue-that-is-a-fake": lambda fake: FakeTransport(cast("Any", fake)),
}


@pytest.mark.parametrize("use", WRONG_USES.values(), ids=WRONG_USES)
def test_wrong_use_of_the_fake_is_a_value_error(use: Callable[[FakeTransport], object]) -> None:
    """Arguments that no rule could use are refused by the test control and change nothing."""
    fake = FakeTransport(demo_catalogue())
    before = fake.snapshot()

    with pytest.raises(ValueError, match=": "):
        use(fake)

    assert before == fake.snapshot()


def test_an_unclaimed_subscription_can_end_but_not_renew() -> None:
    """An unclaimed subscription has no usage to reset; cancelling it changes no revenue."""
    fake = FakeTransport(demo_catalogue())
    company = fake.add_company("Acme")
    subscription = fake.stripe.add_subscription(["price_pro_base"])

    with pytest.raises(ValueError, match="no company has claimed"):
        fake.stripe.renew(subscription)
    fake.stripe.cancel(subscription)

    assert fake.mrr(company) == 0
    with pytest.raises(ValueError, match="is cancelled"):
        fake.stripe.cancel(subscription)


def test_a_checkout_is_completed_once() -> None:
    """Completing a complete checkout again makes no second subscription."""
    fake = FakeTransport(demo_catalogue())
    session = fake.stripe.add_checkout_session(["price_pro_base"], complete=False)

    fake.stripe.complete(session)
    once = fake.snapshot()
    fake.stripe.complete(session)

    assert once == fake.snapshot()
    assert len(once["stripe"]["subscriptions"]) == 1


def test_the_repr_of_a_fake_counts_companies_and_calls() -> None:
    """The repr of a fake has the numbers of companies and calls."""
    fake = FakeTransport(demo_catalogue())
    fake.add_company("Acme")

    ChatarminOS(transport=fake).tiers.list()

    assert repr(fake) == "<FakeTransport with 1 companies, 1 calls>"


@pytest.mark.parametrize(
    "moment", ["2024-01-15T10:30:00", "2024-01-15", "soon", "", 5, None, "0001-01-01T00:00:00+01:00"], ids=words
)
def test_the_fake_refuses_an_invalid_timestamp(moment: Any) -> None:
    """A timestamp that is invalid or has no offset is a bad request that names it."""
    fake = FakeTransport(demo_catalogue())
    company = fake.add_company("Acme", created_at="2023-06-01T00:00:00Z")
    client = ChatarminOS(transport=fake)

    with pytest.raises(BadRequestError, match="createdAt: "):
        client.call("companies.update", {"companyId": company, "createdAt": moment})

    assert fake.snapshot()["companies"][0]["createdAt"] == "2023-06-01T00:00:00.000Z"


@pytest.mark.parametrize("quantity", [2**53 - 1, 1.7e308])
def test_a_snapshot_holds_any_amount_of_usage(quantity: float) -> None:
    """Usage adds up to more than a single quantity may be, and a snapshot holds all of it."""
    fake = FakeTransport(demo_catalogue())
    client = ChatarminOS(transport=fake)
    company = client.onboard(external_org_id="o", tier_code="enterprise").company_id
    for key in ("k1", "k2"):
        client.billing.track_usage(company_id=company, feature_code="seats", quantity=quantity, idempotency_key=key)

    restored = ChatarminOS(transport=FakeTransport.from_snapshot(fake.snapshot()))

    assert client.features.list_access(company) == restored.features.list_access(company)


def _full_snapshot() -> Any:
    """Return a snapshot with a row in every table."""
    fake = FakeTransport(demo_catalogue())
    client = ChatarminOS(transport=fake)
    session = fake.stripe.add_checkout_session(client.tiers.get("pro").stripe_price_ids)
    company = client.onboard(external_org_id="o", contact_email="ann@acme.com", checkout_session_id=session).company_id
    client.billing.track_usage(company_id=company, feature_code="seats", quantity=0.5, idempotency_key="k")
    return fake.snapshot()


@pytest.mark.parametrize("key", [key for key in _full_snapshot() if key != "format"])
def test_an_incomplete_snapshot_is_refused(key: str) -> None:
    """A snapshot without one of its parts, or with another value there, is a ValueError, no error of Python's."""
    snapshot = _full_snapshot()
    whole = FakeTransport.from_snapshot(snapshot).snapshot()
    without = {name: part for name, part in snapshot.items() if name != key}

    assert snapshot == whole
    with pytest.raises(ValueError, match="the snapshot is broken"):
        FakeTransport.from_snapshot(without)


@pytest.mark.parametrize(
    "damage",
    [
        {"companies": 5},
        {"companies": [{}]},
        {"contacts": {"nobody": [{"email": "ann@acme.com"}]}},
        {"contacts": []},
        {"usage": {"c": {"seats": "many"}}},
        {"usage": ["c"]},
        {"clock_offset_microseconds": "soon"},
        {"catalogue": {"features": [{}], "tiers": []}},
        {"claims": [{"id": "1"}]},
        {"stripe": None},
        {"companies": []},
        {"mrr": {"nobody": 5}},
        {"tiers": {}, "unheard of": {}},
        {"usage": {"c": {"seats": 5}}},
        {"claims": [{"id": "1", "tierCode": "gold"}]},
    ],
    ids=words,
)
def test_a_damaged_snapshot_is_refused(damage: dict[str, Any]) -> None:
    """A snapshot whose parts have the wrong types is a ValueError, no error of Python's."""
    snapshot = {**_full_snapshot(), **damage}

    with pytest.raises(ValueError, match="the snapshot is broken"):
        FakeTransport.from_snapshot(snapshot)


def _nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth):
        value = {"a": value}
    return value


def _damaged(place: list[Any], value: Any) -> Any:
    """Return a full snapshot with another value at a place; the first key of an object is named None."""
    snapshot = table = _full_snapshot()
    for step in place[:-1]:
        table = table[next(iter(table)) if step is None else step]
    table[place[-1]] = value
    return snapshot


@pytest.mark.parametrize(
    ("place", "value", "problem"),
    [
        (["companies", 0, "name"], 5, "expected text at $.companies[0].name, got int 5"),
        (["links", 0, "companyId"], "c", "it lacks the company 'c'"),
        (["claims", 0, "tierCode"], "gold", "it lacks the tier 'gold'"),
        (["stripe", "sessions", 0, "subscriptionId"], "sub_1", "it lacks the Stripe subscription 'sub_1'"),
        (
            ["catalogue", "tiers", 0, "features", "gold"],
            {"includedQuantity": None, "config": {}, "unitAmount": None},
            "it lacks the feature 'gold'",
        ),
        (["access", None, "seats", "validUntil"], "soon", "validUntil: expected ISO 8601 text"),
        (["access", None, "seats", "validUntil"], "2025-01-02T00:00:00", "validUntil: expected an offset from UTC"),
        (["access", None, "seats", "isEnabled"], "yes", ".seats.isEnabled, got str 'yes'"),
        (["access", None, "seats", "isOn"], True, "expected an object without the key 'isOn' at $.access."),
        (["access", None, "seats", "configValues"], _nested(500), "nested too deep"),
        (["access", None, "seats", "configValues"], _nested(130), "nested too deep"),
        (["usage", None, "seats"], "NaN", ".seats: expected an amount of usage, got 'NaN'"),
        (["usage", None, "seats"], "-5", ".seats: expected an amount of usage, got '-5'"),
        (["usage", None, "seats"], "1e999999", ".seats: expected an amount of usage, got '1e999999'"),
        (["usage", None, "seats"], "1" * 5000, ".seats: expected an amount of usage, got '111"),
        (["usage", None, "seats"], "1..2", ".seats: expected an amount of usage, got '1..2'"),
        (["clock_offset_microseconds"], 10**19, "is beyond the year 9999"),
        (["clock_offset_microseconds"], -1, "clock_offset_microseconds: expected the microseconds by which"),
        (["clock_offset_microseconds"], 10**300, "clock_offset_microseconds: expected the microseconds by which"),
        (["clock_offset_microseconds"], True, "clock_offset_microseconds, got True"),
        (["clock_offset_microseconds"], 0.5, "clock_offset_microseconds, got float 0.5"),
        (["clock_offset_microseconds"], 10**2000, "clock_offset_microseconds: expected a number of at most"),
        (["companies", 0, "createdAt"], "+275760-09-13T00:00:00.000Z", "companies[0].createdAt: expected ISO 8601"),
        (
            ["companies", 0, "createdAt"],
            "0001-01-01T00:00:00+14:00",
            "companies[0].createdAt: must be within the years",
        ),
        (["companies", 0, "name"], "half \ud83d", "companies[0].name: must not contain half of a surrogate pair"),
        (["access", None, "seats", "validUntil"], 10**18, "expected text at $.access."),
        (["access", None, "seats", "quantityLimit"], -1, ".seats.quantityLimit: expected a number of at least 0"),
        (["access", None, "seats", "quantityLimit"], "25", "got str '25'"),
        (["access", None, "seats", "includedQuantity"], math.nan, ".seats.includedQuantity: expected a finite number"),
        (["access", None, "seats", "includedQuantity"], -0.5, ".seats.includedQuantity: expected a number of at least"),
        (["catalogue", "tiers", 2, "baseFee"], -4900, "catalogue.tiers[2].baseFee: expected a number of at least 0"),
        (["catalogue", "tiers", 2, "features", "seats", "unitAmount"], -1, "seats.unitAmount: expected a number of"),
        (["events", "k", "quantity"], -1, "events.k.quantity: expected a number of at least 0"),
        (["events", "k", "answer", "remaining"], -1, "events.k.answer.remaining: expected a number of at least 0"),
        (["events", "k", "answer", "isAtLimit"], None, "events.k.answer"),
        (["events", "k", "answer"], {}, "events.k.answer"),
        (["events", "k", "answer", "currentUsage"], 10**1200, "events.k.answer.currentUsage: expected a number of at"),
        (["claims", 0, "monthlyFee"], -1, "claims[0].monthlyFee: expected a number of at least 0"),
        (["mrr", None], -1, "mrr."),
    ],
    ids=words,
)
def test_the_place_of_the_damage_is_named(place: list[Any], value: Any, problem: str) -> None:
    """The refusal names the broken part of a snapshot, down to a row that another table refers to."""
    with pytest.raises(ValueError, match=r"the snapshot is broken: |year 9999") as refused:
        FakeTransport.from_snapshot(_damaged(place, value))

    assert problem in str(refused.value)


def test_an_input_of_maximum_depth_fits_into_a_snapshot() -> None:
    """The fake can store every input it accepts."""
    fake = FakeTransport(demo_catalogue())
    client = ChatarminOS(transport=fake)
    company = fake.add_company("Acme")
    client.contacts.create(company_id=company, email="ann@acme.com", metadata=_nested(99))

    assert FakeTransport.from_snapshot(fake.snapshot()).snapshot() == fake.snapshot()


@pytest.mark.parametrize(
    ("table", "kind"), [(["companies"], "company"), (["claims"], "claim"), (["catalogue", "tiers"], "tier")], ids=words
)
def test_duplicate_rows_in_a_snapshot_are_refused(table: list[str], kind: str) -> None:
    """A duplicate row is refused, because the snapshot does not say which of the two counts."""
    snapshot = rows = _full_snapshot()
    for step in table:
        rows = rows[step]
    rows.append(rows[0])

    with pytest.raises(ValueError, match=f"it has a duplicate {kind}"):
        FakeTransport.from_snapshot(snapshot)
