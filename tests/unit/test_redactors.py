"""The ready-made redactors: nothing personal is left in a recording, and its replay finds everything."""

from __future__ import annotations

import json
import re
from time import process_time
from typing import TYPE_CHECKING, Any

import pytest

from chatarmin_os import BadRequestError, ChatarminOS, ConflictError, NotFoundError
from chatarmin_os.fake import FakeTransport, demo_catalogue
from chatarmin_os.recording.file import Recorded
from chatarmin_os.recording.redaction import Redaction
from chatarmin_os.recording.redactors import email_addresses, metadata, names, personal_data
from chatarmin_os.transports import RecordingTransport, ReplayTransport

if TYPE_CHECKING:
    from pathlib import Path

PLANTED = [
    "joan", "Joan", "JOAN", "doe", "Doe", "acme.example", "Acme", "acme", "sohne", "Söhne", "+49 170", "secret note",
    "Bolt", "bea@",
]  # fmt: skip


def _story(client: ChatarminOS) -> list[Any]:
    """Do all that has personal data in it; return what may be compared."""
    company = client.onboard(
        external_org_id="org_1",
        hints={"company_name": "Acme & Söhne", "domain": "acme.example", "emails": ["Joan.Doe@acme.example"]},
        tier_code="free",
        contact_email="joan.doe@acme.example",
        contact_name="Joan Doe",
    )
    assert company.company_id
    contact = client.contacts.create(
        company_id=company.company_id,
        email="JOAN@acme.example",
        name="Joan",
        metadata={"phone": "+49 170", "n": ["secret note"]},
    )
    upserted = client.contacts.bulk_upsert(
        company_id=company.company_id, contacts=[{"email": "bea@bolt.example", "name": "Bea Bolt"}]
    )
    listed = client.contacts.list(company.company_id)
    linked = client.companies.smart_link(external_org_id="org_2", hints={"emails": ["joan.doe@acme.example"]})
    with pytest.raises(NotFoundError) as failed:
        client.companies.update(company_id="joan@acme.example", created_at="2024-01-15T10:30:00Z")
    found = client.companies.get_by_product_link(external_org_id="org_1")
    return [
        company.link_status,
        contact.is_new,
        upserted.created,
        len(listed),
        linked.status,
        failed.value.code,
        found is not None,
    ]


def test_nothing_personal_is_in_a_recording_and_it_replays(tmp_path: Path) -> None:
    """Addresses, domains, names and metadata that were planted everywhere are gone, in messages too."""
    path = tmp_path / "recording.jsonl"
    recording = RecordingTransport(FakeTransport(demo_catalogue()), path, redact=personal_data)
    with ChatarminOS(transport=recording) as client:
        recorded = _story(client)

    text = path.read_text(encoding="utf-8")
    assert [word for word in PLANTED if word in text] == []
    with ChatarminOS(transport=ReplayTransport(path, redact=personal_data)) as client:
        assert _story(client) == recorded


def test_equal_values_stay_equal_and_others_differ() -> None:
    """An address is the same in capitals and within a text; two addresses of a domain share theirs."""
    one, other, third = email_addresses(["joan@acme.example", "Write to JOAN@Acme.example, please", "bea@acme.example"])

    assert other == f"Write to {one}, please"
    assert one != third
    assert one.split("@")[1] == third.split("@")[1]


@pytest.mark.parametrize("content", [None, 5, True, "", "x", [], {}, {"name": None}, {"domain": ""}, {"metadata": {}}])
def test_what_is_not_personal_stays(content: Any) -> None:
    """Nothing, numbers, codes and empty values are left as they are."""
    assert personal_data(content) == content


@pytest.mark.parametrize(
    ("content", "redacted"),
    [
        ({"name": "Acme Inc", "shortId": "acme-inc-2"}, {"name": "name x822b33ad", "shortId": "name-x822b33ad-2"}),
        ({"name": "Acme", "shortId": "other"}, {"name": "name x822b33ad", "shortId": "name-x822b33ad"}),
        ({"shortId": "acme"}, {"shortId": "x822b33ad"}),
        ({"avatarUrl": "https://acme.example/joan.png"}, {"avatarUrl": "https://x8afd91d4.example"}),
        ({"avatarUrl": "/joan.png"}, {"avatarUrl": "x0112e25b"}),
        ({"email": "joan@gmail.com"}, {"email": "xed3a64d6@gmail.com"}),
        ({"emails": ["joan", "joan@@acme.example"]}, {"emails": ["xdb3c7e7b", "x0c3a5e2f"]}),
        ({"domain": "https://www.Acme.com/"}, {"domain": "x1194228d.example"}),
        ({"domain": "no domain"}, {"domain": "x4a2b8ed2"}),
        ({"code": "pro", "name": "Pro"}, {"code": "pro", "name": "Pro"}),
        ({"tier": {"name": "Pro"}}, {"tier": {"name": "Pro"}}),
    ],
)
def test_what_the_service_takes_to_be_alike_stays_alike(content: Any, redacted: Any) -> None:
    """Short ids follow their names, free mail and malformed text stay so, and redacting again changes nothing."""
    found = personal_data(content)

    assert _shape(found) == _shape(redacted)
    assert personal_data(found) == found


def _shape(content: Any) -> str:
    """Return JSON with one sign for every digest."""
    return re.sub(r"x[0-9a-f]{8}", "X", json.dumps(content))


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("mary.o'brien@acme.example", "X@X.example"),
        ("Write to 'mary.o'brien@acme.example'.", "Write to 'X@X.example'."),
        ("MARY.O'BRIEN+TAG@ACME.EXAMPLE", "X@X.example"),
        ("r&d/a=b?c!#$%*^_`{|}~-d@acme.example", "X@X.example"),
        ('"mary o"@acme.example', "X@X.example"),
        ("mary@müller.example", "X@X.example"),
        ("mary@mu\u0308ller.example, x", "X@X.example, x"),
        ("mary@localhost", "X@X"),
        ("mary@[192.0.2.1]", "X@X"),
        ("mary@home@acme.example;bea@bolt.example", "X@X.example;X@X.example"),
        ("mary@@acme.example", "X@X.example"),
        ("@acme.example", "X@X.example"),
        ("mary\uff20acme.example", "X\uff20X.example"),
        ("mary&#64;acme.example", "X&#64;X.example"),
        ("mary&commat;acme.example", "X&commat;X.example"),
        ("mary\\u0040acme.example", "X\\u0040X.example"),
        ("mary%40acme.example", "X%40X.example"),
        ("mary.o%27brien%2Btag%2540m%C3%BCller.example", "X%2540X.example"),
        ("https://bolt.example/?to=mary%40acme.example&x=1", "https://bolt.example/?to=X%40X.example&x=1"),
        ("https://bolt.example/?to=mary@acme.example#mary", "https://bolt.example/?to=X@X.example#mary"),
        ("https://mary:secret@acme.example/x", "https://X@X.example/x"),
        ("mailto:mary@acme.example?subject=x", "mailto:X@X.example?subject=x"),
        ('{\\"email\\":\\"mary@acme.example\\"}', '{\\"email\\":\\"X@X.example\\"}'),
        ("x" * 3000 + "@acme.example", "X@X.example"),
        ("mary@" + "x" * 3000 + ".example", "X@X"),
        ("5 @ 3, @mary, mary@ home", "5 @ 3, @mary, mary@ home"),
    ],
)
def test_nothing_of_an_address_stays(text: str, redacted: str) -> None:
    """Whatever stands in it, however it is encoded, and wherever it is: as a text, in one, or as a key."""
    for content in (text, [text], {"note": text}, {text: 1}, {"message": {"x": text}}):
        found = personal_data(content)

        assert _shape(found) == json.dumps(content).replace(json.dumps(text), json.dumps(redacted))
        assert personal_data(found) == found


def test_an_address_is_the_same_however_it_is_written() -> None:
    """A field, a text and a URL have the same pseudonym."""
    redacted = [
        email_addresses(content)
        for content in (
            {"email": "Mary.O'Brien@acme.example"},
            "<mary.o'brien@ACME.example>",
            "https://bolt.example/?to=mary.o%27brien%40acme.example",
        )
    ]

    assert len(set(re.findall("x[0-9a-f]{8}", str(redacted)))) == 2


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("Write to Mary Doe <mary@acme.example>, please", "name X <X@X.example>, please"),
        ('"Doe, Mary" <mary@acme.example>', '"name X" <X@X.example>'),
        ("<mary@acme.example> Mary", "<X@X.example> Mary"),
        (": <mary@acme.example>", ": <X@X.example>"),
        ("Mary < Bea", "Mary < Bea"),
    ],
)
def test_the_name_before_an_address_is_one(text: str, redacted: str) -> None:
    """As mail programs write it, in any text."""
    for content in (text, [text], {"note": text}):
        found = personal_data(content)

        assert _shape(found) == json.dumps(content).replace(json.dumps(text), json.dumps(redacted))
        assert personal_data(found) == found


@pytest.mark.parametrize(
    ("message", "redacted"),
    [
        ("The company 'Mary O'Brien & Co' can't be 'pro'", "The company 'name X' can't be 'pro'"),
        ("\u201cMary\u201d or \u00abMary Doe\u00bb or `M D`", "\u201cname X\u201d or \u00abname X\u00bb or `name X`"),
        ('{"name": "Mary Doe", "tier": {"name": "Pro"}', '{"name": "name X", "tier": {"name": "name X"}'),
        ('[{"message": "\'Mary Doe\' is none"}]', '[{"message": "\'name X\' is none"}]'),
        ('[{"path":["name"],"message":"Invalid"}]', '[{"path":["name"],"message":"Invalid"}]'),
        ('No "query"-procedure on path "features.setAccess"', 'No "query"-procedure on path "features.setAccess"'),
        ("Failed query: insert into x\nparams: Mary Doe,mary", "Failed query: ..."),
        ("[" * 5000, "[" * 5000),
    ],
)  # fmt: skip
def test_a_refusal_loses_the_names_it_quotes(message: str, redacted: str) -> None:
    """Those that the recording has not shown, too, and what a database was asked; codes and paths stay."""
    content = {"message": message, "data": {"stack": message, "code": "CONFLICT"}}

    found = personal_data(content)

    assert _shape(found) == json.dumps(content).replace(json.dumps(message), json.dumps(redacted))
    assert personal_data(found) == found


@pytest.mark.slow
@pytest.mark.parametrize(
    "part",
    [
        "a", "a ", "@", "a@", "a@b@", "%40", "%25", "%", "a.b@c.d ", "<a@b.c> ", "a<", '"', "'a ", "://", "a://b@c ",
        "\u0301", "www.", "[", "mailto:", "\u201c", '{"a":', "&#0", "Mary ", "\n",
    ],
)  # fmt: skip
def test_the_time_grows_with_the_text_and_no_faster(part: str) -> None:
    """Eight times the text takes about eight times as long, whatever it is made of; a square would be sixty-four."""

    def taken(size: int) -> float:
        text = (part * size)[:size]
        fields = {"email": text, "domain": text, "name": text, "avatarUrl": text, "metadata": text, "message": text}
        content = [
            text,
            {text: fields, "shortId": text, "name": text},
            {"email": f"a@{text}.b"},
            f"a@{text}",
            f"<{text}",
        ]
        times = []
        for _ in range(3):
            started = process_time()
            personal_data(content)
            times.append(process_time() - started)
        return min(times)

    taken(100)
    assert taken(16_000) < 24 * taken(2_000)


def test_a_refusal_does_not_quote_what_was_redacted(tmp_path: Path) -> None:
    """What was taken out of an input is taken out of the words that quote it, whatever they are."""
    path = tmp_path / "recording.jsonl"
    refusal = BadRequestError(
        "Joan Doe <joan> of ACME", code="BAD_REQUEST", data={"fields": {"Joan Doe": ["'joan' is none", 5]}}
    )
    fake = FakeTransport()
    fake.fail(error=refusal)
    with (
        ChatarminOS(transport=RecordingTransport(fake, path, redact=personal_data)) as client,
        pytest.raises(BadRequestError),
    ):
        client.call(
            "contacts.create",
            {"name": "Joan Doe", "email": "joan", "metadata": {"firm": ["ACME", 5]}, "n": ["ok"]},
            kind="mutation",
        )

    text = path.read_text(encoding="utf-8")
    assert [word for word in ("Joan", "joan", "ACME") if word in text] == []
    assert "of redacted" in text


def test_a_refusal_quotes_nothing_of_earlier_calls(tmp_path: Path) -> None:
    """A name that an answer has shown is taken out of later words too, whatever its case."""
    path = tmp_path / "recording.jsonl"
    fake = FakeTransport()
    with ChatarminOS(transport=RecordingTransport(fake, path, redact=personal_data)) as client:
        client.companies.create(
            name="Vandelay Industries", external_org_id="org_1", domain="https://www.Vandelay.example"
        )
        fake.fail(error=ConflictError("VANDELAY INDUSTRIES (vandelay.example) is there already", code="CONFLICT"))
        with pytest.raises(ConflictError):
            client.tiers.list()

    assert "vandelay" not in path.read_text(encoding="utf-8").lower()


@pytest.mark.parametrize("content", [{"metadata": "text"}, {"metadata": [1]}, {"name": ["Joan", 5]}])
def test_what_has_the_wrong_type_keeps_it(content: dict[str, Any]) -> None:
    """The service refuses it, and has to refuse what stands in its place."""
    redacted = personal_data(content)

    [key] = content
    assert type(redacted[key]) is (str if key == "metadata" else list)
    assert "Joan" not in str(redacted)
    assert personal_data(redacted) == redacted


def test_they_reach_into_lists_and_objects() -> None:
    """However deep it stands."""
    content = {"contacts": [{"name": "Joan", "metadata": {"a": 1}, "deep": [["joan@acme.example"]]}]}

    [contact] = metadata(names(email_addresses(content)))["contacts"]

    assert "Joan" not in str(contact)
    assert "joan@" not in str(contact)
    assert contact["metadata"].keys() == {"redacted"}


@pytest.mark.parametrize(
    ("name", "message", "left"),
    [
        ("Bo", "Bo and Bodo", " and Bodo"),
        ("to", "is given to a company", "is given to a company"),
        (" Mary Doe ", "No MARY DOE here", "No "),
        ("Mary O'Brien", "VALUES ('Mary O''Brien')", "VALUES"),
        ("Mary O'Brien", "<p>Mary O&#39;Brien &amp; Mary O&#x27;Brien", "<p>"),
        ('Mary "May" Doe', 'in {"name":"Mary \\"May\\" Doe"}', "in {"),
        ("Mary Doe", "GET /?name=Mary+Doe&n=Mary%20Doe", "GET /?name="),
        ("M\u00fcller", "mu\u0308ller is M\u00dcLLER", " is "),
        ("\u5c71\u7530", "\u5c71\u7530\u3055\u3093", "\u3055\u3093"),
        ("\u0130stanbul", "in \u0130STANBUL", "in "),
        ("\ud800 Mary", "\ud800 Mary is none", " is none"),
        ("a b c d e f g h i j Mary", "A B C D E F G H I J Mary, a b c d e f g h i j Maryam", "Maryam"),
        ("Mary " * 200, "Mary " * 200 + "is none", "is none"),
    ],
)
def test_a_name_is_found_as_messages_write_it(name: str, message: str, left: str) -> None:
    """Trimmed, escaped, composed otherwise, in other letter case, short or long; the words around it stay."""
    redaction = Redaction(personal_data)
    error = {"message": message, "data": {message: 1}}

    came = redaction.of(Recorded("a.b", "query", {"name": name}, {"error": error})).came["error"]

    for text in (came["message"], *came["data"]):
        assert left in text
        assert not re.search(r"Mary\b|MARY|May|Bo\b|ller|stanbul|STANBUL|\u5c71", text)


@pytest.mark.slow
def test_many_names_do_not_slow_a_refusal_down() -> None:
    """A message is read once, however many names the recording has shown."""

    def taken(size: int) -> float:
        redaction = Redaction(personal_data)
        refused = Recorded("a.b", "query", None, {"error": {"message": "Company 1 Ltd is there " * 9, "data": None}})
        for number in range(size):
            redaction.of(Recorded("a.b", "query", {"name": f"Company {number} Ltd"}, {"answer": None}))
        times = []
        for _ in range(3):
            started = process_time()
            for _ in range(20):
                redaction.of(refused)
            times.append(process_time() - started)
        return min(times)

    assert taken(4_000) < 8 * taken(100)


@pytest.mark.slow
def test_many_names_that_begin_alike_do_not_slow_a_refusal_down() -> None:
    """Nor do names that differ in their last word alone, of which the message is full."""

    def taken(size: int) -> float:
        redaction = Redaction(personal_data)
        begin = "The customer of our load test number "
        refused = Recorded("a.b", "query", None, {"error": {"message": begin * 200, "data": None}})
        for number in range(size):
            redaction.of(Recorded("a.b", "query", {"name": f"{begin}{number}"}, {"answer": None}))
        times = []
        for _ in range(3):
            started = process_time()
            redaction.of(refused)
            times.append(process_time() - started)
        return min(times)

    assert taken(3_000) < 8 * taken(100)


def test_values_under_a_redacted_key_are_told_apart(tmp_path: Path) -> None:
    """What stood under an address and is not personal stays in the words of later refusals."""
    path = tmp_path / "recording.jsonl"
    fake = FakeTransport()
    fake.fail(error=ConflictError("pro for Mary Doe", code="CONFLICT"))
    with (
        ChatarminOS(transport=RecordingTransport(fake, path, redact=personal_data)) as client,
        pytest.raises(ConflictError),
    ):
        client.call("a.b", {"mary@acme.example": "pro", "name": "Mary Doe"})

    assert "pro for name x" in path.read_text(encoding="utf-8")
