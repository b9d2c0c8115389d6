"""The ready-made redactors: they leave nothing personal in a recording, and its replay finds every call."""

from __future__ import annotations

import json
import re
from time import process_time
from typing import TYPE_CHECKING, Any

import pytest

from chatarmin_os import BadRequestError, ChatarminOS, ConflictError, NotFoundError
from chatarmin_os.fake import FakeTransport, demo_catalogue
from chatarmin_os.recording.line import RecordedCall
from chatarmin_os.recording.redaction import Redaction
from chatarmin_os.recording.redactors import email_addresses, metadata, names, personal_data
from chatarmin_os.transports import RecordingTransport, ReplayTransport

if TYPE_CHECKING:
    from pathlib import Path

PLANTED = [
    "joan", "Joan", "JOAN", "doe", "Doe", "acme.example", "Acme", "acme", "sohne", "Söhne", "+49 170", "secret note",
    "Bolt", "bea@",
]  # fmt: skip


def _act(client: ChatarminOS) -> list[Any]:
    """Make every call that has personal data, and return values to compare."""
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


def test_redacted_recording_has_nothing_personal_and_replays(tmp_path: Path) -> None:
    """Planted addresses, domains, names and metadata are removed everywhere, including messages."""
    path = tmp_path / "recording.jsonl"
    recording = RecordingTransport(FakeTransport(demo_catalogue()), path, redact=personal_data)
    with ChatarminOS(transport=recording) as client:
        recorded = _act(client)

    text = path.read_text(encoding="utf-8")
    assert [word for word in PLANTED if word in text] == []
    with ChatarminOS(transport=ReplayTransport(path, redact=personal_data)) as client:
        assert _act(client) == recorded


def test_equal_values_stay_equal_and_others_differ() -> None:
    """An address is the same in capitals and within a text; two addresses of a domain share theirs."""
    one, other, third = email_addresses(["joan@acme.example", "Write to JOAN@Acme.example, please", "bea@acme.example"])

    assert other == f"Write to {one}, please"
    assert one != third
    assert one.split("@")[1] == third.split("@")[1]


@pytest.mark.parametrize("content", [None, 5, True, "", "x", [], {}, {"name": None}, {"domain": ""}, {"metadata": {}}])
def test_other_values_are_kept(content: Any) -> None:
    """Null, numbers, codes and empty values do not change."""
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
def test_values_that_the_service_treats_as_equal_stay_equal(content: Any, redacted: Any) -> None:
    """Short ids follow their names, free mail and malformed text are kept, and redacting again changes nothing."""
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
def test_whole_address_is_removed(text: str, redacted: str) -> None:
    """With any character and in any encoding, as a text, inside one, or as a key."""
    for content in (text, [text], {"note": text}, {text: 1}, {"message": {"x": text}}):
        found = personal_data(content)

        assert _shape(found) == json.dumps(content).replace(json.dumps(text), json.dumps(redacted))
        assert personal_data(found) == found


def test_pseudonym_of_an_address_does_not_depend_on_its_notation() -> None:
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
def test_name_before_an_address_is_removed(text: str, redacted: str) -> None:
    """In the notation of mail programs, in any text."""
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
def test_refusal_loses_the_names_that_it_quotes(message: str, redacted: str) -> None:
    """Also names that the recording has not shown, and queries of a database; codes and paths are kept."""
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
def test_redacting_takes_linear_time(part: str) -> None:
    """Eight times the text takes about eight times as long, for any text; quadratic time would be sixty-four."""

    def seconds(size: int) -> float:
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

    seconds(100)
    assert seconds(16_000) < 24 * seconds(2_000)


def test_refusal_loses_the_redacted_texts_of_its_input(tmp_path: Path) -> None:
    """A text that was removed from an input is removed from any message that quotes it."""
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


def test_refusal_loses_the_redacted_texts_of_earlier_calls(tmp_path: Path) -> None:
    """A name that an answer has shown is removed from later messages too, in any letter case."""
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
def test_value_of_the_wrong_type_keeps_its_type(content: dict[str, Any]) -> None:
    """The service refuses it, and must refuse its replacement."""
    redacted = personal_data(content)

    [key] = content
    assert type(redacted[key]) is (str if key == "metadata" else list)
    assert "Joan" not in str(redacted)
    assert personal_data(redacted) == redacted


def test_redactors_reach_into_lists_and_objects() -> None:
    """At any depth."""
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
def test_name_is_found_in_the_notations_of_messages(name: str, message: str, left: str) -> None:
    """Trimmed, escaped, normalised, in other letter case, short or long; the words around it stay."""
    redaction = Redaction(personal_data)
    error = {"message": message, "data": {message: 1}}

    redacted = redaction.redact(RecordedCall("a.b", "query", {"name": name}, {"error": error})).outcome["error"]

    for text in (redacted["message"], *redacted["data"]):
        assert left in text
        assert not re.search(r"Mary\b|MARY|May|Bo\b|ller|stanbul|STANBUL|\u5c71", text)


@pytest.mark.slow
def test_many_names_do_not_slow_a_refusal_down() -> None:
    """A message is read once, for any number of names that the recording has shown."""

    def seconds(size: int) -> float:
        redaction = Redaction(personal_data)
        refused = RecordedCall(
            "a.b", "query", None, {"error": {"message": "Company 1 Ltd is there " * 9, "data": None}}
        )
        for number in range(size):
            redaction.redact(RecordedCall("a.b", "query", {"name": f"Company {number} Ltd"}, {"answer": None}))
        times = []
        for _ in range(3):
            started = process_time()
            for _ in range(20):
                redaction.redact(refused)
            times.append(process_time() - started)
        return min(times)

    assert seconds(4_000) < 8 * seconds(100)


@pytest.mark.slow
def test_many_names_with_the_same_start_do_not_slow_a_refusal_down() -> None:
    """Names may differ in their last word alone, and the message may repeat the first ones."""

    def seconds(size: int) -> float:
        redaction = Redaction(personal_data)
        begin = "The customer of our load test number "
        refused = RecordedCall("a.b", "query", None, {"error": {"message": begin * 200, "data": None}})
        for number in range(size):
            redaction.redact(RecordedCall("a.b", "query", {"name": f"{begin}{number}"}, {"answer": None}))
        times = []
        for _ in range(3):
            started = process_time()
            redaction.redact(refused)
            times.append(process_time() - started)
        return min(times)

    assert seconds(3_000) < 8 * seconds(100)


def test_value_under_a_redacted_key_is_kept(tmp_path: Path) -> None:
    """A value next to an address that is not personal stays in the messages of later refusals."""
    path = tmp_path / "recording.jsonl"
    fake = FakeTransport()
    fake.fail(error=ConflictError("pro for Mary Doe", code="CONFLICT"))
    with (
        ChatarminOS(transport=RecordingTransport(fake, path, redact=personal_data)) as client,
        pytest.raises(ConflictError),
    ):
        client.call("a.b", {"mary@acme.example": "pro", "name": "Mary Doe"})

    assert "pro for name x" in path.read_text(encoding="utf-8")
