"""Values that JavaScript can write and JSON or Python cannot: half an emoji, invalid numbers, repeats of repeats."""

from __future__ import annotations

import json
import tracemalloc
from contextlib import suppress
from datetime import datetime
from time import process_time
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
import responses

from chatarmin_os import ApiError, ChatarminOS, Company, FeatureAccess, InvalidResponse, NotFoundError
from chatarmin_os.transports import HTTPTransport
from chatarmin_os.trpc import client as _wire
from chatarmin_os.trpc import superjson

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Mock: TypeAlias = responses.RequestsMock

URL = "https://os.test/api/v1"
HIGH, LOW = "\\ud83d", "\\ude00"  # as JSON writes the halves of an emoji


@pytest.fixture(autouse=True)
def mocked() -> Iterator[Mock]:
    """Answer every request with the responses that a test adds."""
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


def _client(transformer: Any = "json") -> ChatarminOS:
    return ChatarminOS(transport=HTTPTransport("os_sk_test", URL, transformer=transformer, max_retries=0))


def _answer(mocked: Mock, body: str, status: int = 200) -> None:
    for method in (responses.GET, responses.POST):
        mocked.add(method, f"{URL}/{PATH[method]}", body, status=status)


PATH = {responses.GET: "companies.getByProductLink", responses.POST: "companies.create"}


# Half a surrogate pair


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (HIGH, "\ufffd"),
        (LOW, "\ufffd"),
        (f"Ann {HIGH}", "Ann \ufffd"),
        (f"{HIGH}{HIGH}{LOW}", "\ufffd\U0001f600"),
        (f"{HIGH}{LOW}{LOW}", "\U0001f600\ufffd"),
        (f"{LOW}{HIGH}", "\ufffd\ufffd"),
        (f"{HIGH}x{LOW}", "\ufffdx\ufffd"),
        (HIGH.upper().replace("\\U", "\\u"), "\ufffd"),
        ("\\\\ud83d", "\\ud83d"),
        (f"\\\\{HIGH}", "\\\ufffd"),
        (f"{HIGH}{LOW}", "\U0001f600"),
        ("\\ud7ff\\ue000", "\ud7ff\ue000"),
    ],
)
@pytest.mark.parametrize("transformer", ["json", "superjson"])
def test_half_a_surrogate_pair_is_the_replacement_character(
    mocked: Mock, transformer: str, written: str, read: str
) -> None:
    """A name that JavaScript has cut through an emoji is readable text, and the client takes it as input again."""
    company = f'{{"id": "c1", "name": "{written}", "extra": {{"{written}": ["{written}"]}}}}'
    data = company if transformer == "json" else f'{{"json": {company}}}'
    _answer(mocked, f'{{"result": {{"data": {data}}}}}')
    client = _client(transformer)

    found = client.companies.get_by_product_link(external_org_id="org")

    assert isinstance(found, Company)
    assert found.name == read
    assert found.extra == {"extra": {read: [read]}}
    assert client.companies.create(name=str(found.name), external_org_id="org").name == read


@pytest.mark.parametrize("transformer", ["json", "superjson"])
def test_error_has_no_half_of_a_surrogate_pair(mocked: Mock, transformer: str) -> None:
    """Message, path, code and whatever else came along can be encoded, logged and stored."""
    error = f'{{"message": "No {HIGH}", "code": -32004, "data": {{"code": "NOT_FOUND", "{LOW}": ["{HIGH}"]}}}}'
    _answer(mocked, f'{{"error": {error if transformer == "json" else f"""{{"json": {error}}}"""}}}', status=404)

    with pytest.raises(NotFoundError) as raised:
        _client(transformer).companies.get_by_product_link(external_org_id="org")

    assert raised.value.message == "No \ufffd"
    assert raised.value.data == {"code": "NOT_FOUND", "\ufffd": ["\ufffd"]}
    str(raised.value).encode()


def test_superjson_value_has_no_half_of_a_surrogate_pair() -> None:
    """Keys of a map and paths are repaired alike."""
    types = f'{{"m": ["map", {{"0.1": ["bigint"]}}], "{LOW}": ["bigint"]}}'
    body = f'{{"json": {{"m": [["{HIGH}", "1"]], "{LOW}": "2"}}, "meta": {{"values": {types}}}}}'

    assert superjson.decode(_wire.parse(body.encode())) == {"m": {"\ufffd": 1}, "\ufffd": 2}


def test_single_text_is_repaired() -> None:
    """An answer that is nothing but a text is no other than one inside an object."""
    assert _wire.parse(f'"a{HIGH}"'.encode()) == "a\ufffd"


def test_error_has_no_stack_at_any_depth(mocked: Mock) -> None:
    """The traces of an error's causes are removed, and everything else of the causes is kept."""
    cause = {
        "message": "m",
        "stack": "Error: m\n    at f (/app/a.js:1:2)",
        "causes": [{"stack": ["f"], "code": "23505"}],
    }
    data = {"code": "NOT_FOUND", "stack": "TRPCError: m", "cause": cause}
    _answer(mocked, json.dumps({"error": {"message": "m", "code": -32004, "data": data}}), status=404)

    with pytest.raises(NotFoundError) as raised:
        _client().companies.get_by_product_link(external_org_id="org")

    assert raised.value.data == {"code": "NOT_FOUND", "cause": {"message": "m", "causes": [{"code": "23505"}]}}


# Numbers that are none


def _access(**fields: tuple[Any, str]) -> str:
    """Return a response with fields of superjson: their JSON, and their types."""
    content = {"featureCode": "seats", "isEnabled": True, **{name: value for name, (value, _) in fields.items()}}
    meta = {"values": {name: [kind] for name, (_, kind) in fields.items()}, "v": 1}
    return json.dumps({"result": {"data": {"json": content, "meta": meta}}})


def _checked(mocked: Mock, **fields: tuple[Any, str]) -> FeatureAccess:
    mocked.add(responses.GET, f"{URL}/features.check", _access(**fields))
    return _client("superjson").features.check(company_id="c1", feature_code="seats")


@pytest.mark.parametrize("name", ["quantityLimit", "includedQuantity", "remaining", "currentUsage", "validUntil"])
@pytest.mark.parametrize("number", ["NaN", "-Infinity"])
def test_invalid_number_is_an_invalid_response(mocked: Mock, name: str, number: str) -> None:
    """NaN and minus infinity do not read as unlimited or as no expiry."""
    with pytest.raises(InvalidResponse, match=name):
        _checked(mocked, **{name: (number, "number")})


@pytest.mark.parametrize("date", ["Invalid Date", "NaN", ""])
def test_invalid_date_is_an_invalid_response(mocked: Mock, date: str) -> None:
    """A date that says no instant does not read as no expiry."""
    with pytest.raises(InvalidResponse, match="validUntil"):
        _checked(mocked, validUntil=(date, "Date"))


@pytest.mark.parametrize("name", ["quantityLimit", "validUntil"])
def test_infinity_is_no_limit(mocked: Mock, name: str) -> None:
    """Infinity as a limit is unlimited, and as an expiry it is none."""
    access = _checked(mocked, **{name: ("Infinity", "number")})

    assert (access.quantity_limit, access.valid_until) == (None, None)


@pytest.mark.parametrize(
    ("value", "kind", "read"),
    [
        ("-0", "number", 0),
        (5, "number", 5),
        (None, "undefined", None),
        ("12", "undefined", None),
        ("12", "bigint", 12),
    ],
)
def test_other_values_of_a_number_are_read(mocked: Mock, value: Any, kind: str, read: Any) -> None:
    """Minus zero is zero, numbers are unchanged, and undefined equals missing."""
    assert _checked(mocked, quantityLimit=(value, kind)).quantity_limit == read


def test_invalid_number_fails_only_its_own_call(mocked: Mock) -> None:
    """In a batch the other answers are there."""
    bad, good = json.loads(_access(quantityLimit=("NaN", "number"))), json.loads(_access(quantityLimit=(5, "number")))
    mocked.add(responses.GET, f"{URL}/features.check%2Cfeatures.check", json.dumps([bad, good]))
    mocked.add(responses.GET, f"{URL}/features.check,features.check", json.dumps([bad, good]))
    client = _client("superjson")

    answers: list[Any] = client.batch([_check(), _check()])

    assert isinstance(answers[0], InvalidResponse)
    assert answers[1].quantity_limit == 5


def _check() -> Any:
    from chatarmin_os import FeatureCheckInput

    return FeatureCheckInput(company_id="c1", feature_code="seats")


def test_invalid_number_is_text_if_no_type_is_expected(mocked: Mock) -> None:
    """Values of unknown types stay as superjson wrote them, and are JSON."""
    access = _checked(mocked, odd=("NaN", "number"))

    assert access.extra == {"odd": "NaN"}
    assert isinstance(json.dumps(access.extra, allow_nan=False), str)


# Work and memory in proportion to the answer


def _doubled(times: int) -> dict[str, Any]:
    """Return an envelope of which each part repeats all before it twice: its meaning is 2**times large."""
    content: dict[str, Any] = {"0": {"a": None, "b": None, "x": "x" * 20}}
    content |= {str(place): {"a": None, "b": None} for place in range(1, times)}
    repeats = {str(place - 1): [f"{place}.a", f"{place}.b"] for place in range(1, times)}
    return {"json": content, "meta": {"values": {}, "referentialEqualities": repeats, "v": 1}}


def _peak(work: Callable[[], object]) -> int:
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


@pytest.mark.parametrize("times", [20, 30, 40])
def test_repeats_of_repeats_are_refused_before_they_cost_memory(times: int) -> None:
    """A kilobyte of repeats that double costs no more than a long answer would."""

    def refused() -> None:
        with pytest.raises(ValueError, match="repeated values are too large"):
            superjson.decode(_doubled(times))

    assert len(json.dumps(_doubled(times))) < 2500
    assert _peak(refused) < 4 * 2**20


def test_endless_repeats_are_an_invalid_response(mocked: Mock) -> None:
    """It is refused as an answer, in the client as in the local service."""
    mocked.add(responses.GET, f"{URL}/features.check", json.dumps({"result": {"data": _doubled(30)}}))

    with pytest.raises(InvalidResponse, match="repeated values are too large"):
        _client("superjson").features.check(company_id="c1", feature_code="seats")


@pytest.mark.slow
@pytest.mark.parametrize("count", [10, 50])
def test_responses_of_a_batch_share_one_bound(count: int) -> None:
    """Many small answers whose repeats double cost memory in proportion to all of them, up to a bound."""
    body = json.dumps([{"result": {"data": _doubled(20)}}] * count)
    items, repeats = json.loads(body), superjson.Repeats(len(body))

    def decode() -> None:
        for item in items:
            with suppress(ValueError):
                _wire.parse_envelope(item, repeats)

    assert _peak(decode) < min(1024 * len(body), 64 * 2**20)


@pytest.mark.slow
@pytest.mark.parametrize(("rows", "letters"), [(10, 10_000), (1000, 1000), (20_000, 10), (100_000, 100)])
def test_listing_that_repeats_an_object_is_read(rows: int, letters: int) -> None:
    """A server that leaves out repeats says the settings of a listing in its first row alone."""
    shared = {"plan": "pro", "settings": {"colour": "g" * letters}}
    content = [{"code": f"f{row}", "config": shared if row == 0 else None} for row in range(rows)]
    repeats = {"0.config": [f"{row}.config" for row in range(1, rows)]}

    decoded = superjson.decode({"json": content, "meta": {"referentialEqualities": repeats, "v": 1}})

    assert [row["config"] for row in decoded] == [shared] * rows
    assert len({id(row["config"]) for row in decoded}) == rows


def _types(size: int) -> Any:
    """Return an envelope with a type for each of *size* values."""
    return {"json": ["1"] * size, "meta": {"values": {str(place): ["bigint"] for place in range(size)}, "v": 1}}


def _long_paths(size: int) -> Any:
    """Return paths of many steps that lead nowhere, and one of many that does."""
    deep: Any = "1"
    for _ in range(50):
        deep = {"a": deep}
    paths = {".".join(["a"] * steps): ["bigint"] for steps in (size, 50)}
    return {"json": deep, "meta": {"values": {**paths, "b" * size: ["bigint"]}, "v": 1}}


def _many_repeats_of_one(size: int) -> Any:
    """Return many paths that all lead to one place."""
    return {"json": {"a": "x" * 1000, "b": None}, "meta": {"referentialEqualities": {"a": ["b"] * size}, "v": 1}}


def _many_originals(size: int) -> Any:
    """Return an equality for each pair of neighbours."""
    content = {str(place): 1 if place % 2 else None for place in range(size)}
    repeats = {str(place): [str(place - 1)] for place in range(1, size, 2)}
    return {"json": content, "meta": {"referentialEqualities": repeats, "v": 1}}


def _bigints(size: int) -> Any:
    """Return large integers, each as long as it may be."""
    count = max(1, size // 400)
    content = ["9" * 4000] * count
    return {"json": content, "meta": {"values": {str(place): ["bigint"] for place in range(count)}, "v": 1}}


def _maps(size: int) -> Any:
    """Return maps of which each row has one type inside."""
    rows = [[f"k{place}", "1"] for place in range(size)]
    inside = {f"{place}.1": ["bigint"] for place in range(size)}
    return {"json": rows, "meta": {"values": ["map", inside], "v": 1}}


GROWING = [_types, _long_paths, _many_repeats_of_one, _many_originals, _bigints, _maps]


@pytest.mark.slow
@pytest.mark.parametrize("envelope", GROWING, ids=lambda make: make.__name__.strip("_").replace("_", "-"))
def test_decoding_takes_time_and_memory_in_proportion(envelope: Callable[[int], Any]) -> None:
    """Sixteen times the answer costs about sixteen times the work, and not its square."""

    def taken(size: int) -> tuple[float, int]:
        times = []
        for _ in range(3):
            given = envelope(size)
            started = process_time()
            superjson.decode(given)
            times.append(process_time() - started)
        return min(times), _peak(lambda: superjson.decode(envelope(size)))

    (less, small), (more, large) = taken(1_000), taken(16_000)

    assert more < 48 * less
    assert large < 48 * max(small, 2**14)


@pytest.mark.parametrize("depth", [100, 500, 100_000])
def test_nested_types_end_in_a_value_or_a_typed_error(mocked: Mock, depth: int) -> None:
    """A tree of types that is nested without end is an answer that is not the service's, and no RecursionError."""
    tree = '{"0.1":["map",' * depth + '{"0":["bigint"]}' + "]}" * depth
    body = f'{{"result": {{"data": {{"json": [], "meta": {{"values": {tree}}}}}}}}}'
    mocked.add(responses.GET, f"{URL}/features.check", body)

    with pytest.raises(InvalidResponse):
        _client("superjson").features.check(company_id="c1", feature_code="seats")


def test_repair_takes_time_in_proportion() -> None:
    """Halves of pairs in each of many texts and keys cost as much as they are many."""

    def taken(size: int) -> float:
        body = json.dumps([{f"{place}\ud83d": "\ude00"} for place in range(size)]).encode()
        times = []
        for _ in range(3):
            started = process_time()
            _wire.parse(body)
            times.append(process_time() - started)
        return min(times)

    assert taken(16_000) < 48 * taken(1_000)


def test_timestamps_stay_text() -> None:
    """A date of superjson is read as the instant that a field expects."""
    decoded = superjson.decode({"json": "2027-01-01T00:00:00.000Z", "meta": {"values": ["Date"]}})

    assert datetime.fromisoformat(decoded).year == 2027
    assert not isinstance(decoded, ApiError)
