"""Whatever comes back, a call ends in a model as its type says, or in an error of the package that reads well."""

from __future__ import annotations

import json
import logging
import os
import pickle
import random
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import pytest
from fault_server import KEY, FaultServer, client_of, message
from samples import ANSWERS, is_right, request_of

from chatarmin_os import PROCEDURES, ChatarminError

if TYPE_CHECKING:
    from collections.abc import Callable

    from fault_server import Visit

    from chatarmin_os._request import Request

pytestmark = pytest.mark.slow

_log = logging.getLogger(__name__)

ANSWERED = 50_000 if os.environ.get("CHATARMIN_FULL") else 2_000
PARTS = 4  # tests, each with a seed of its own
PATHS = list(PROCEDURES)

ODD: list[Any] = [
    None, True, False, 0, -1, 1, 2**63, -(2**70), 0.5, -0.0, 1e308, 10**4000, "", "x", "\x1b[2J\r\n\0", "\u202e",
    "\ud800", "x" * 5000, KEY, "2024-02-30T00:00:00Z", "2024-01-15", "0001-01-01T00:00:00+14:00", "NaN",
    [], {}, [[]], [None], {"": None}, {"json": 1}, {"json": None, "meta": {"values": ["undefined"]}},
    {"error": {"message": KEY, "code": -32001}}, {"result": {"data": None}}, {"__proto__": {"a": 1}},
]  # fmt: skip
WORDS = [b"NaN", b"Infinity", b"-Infinity", b"1e999", b"\xff\xfe", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\0", b"9" * 5000]
WORDS += [b"[" * 2000, b'{"a":' * 2000, b"<html>", b"\\ud800", b"\\u0000", b'{"result":', b'"error":{"message":']
HEADERS = [
    "Content-Type: text/html; charset=utf-16", "Content-Encoding: gzip", "Content-Encoding: br", "Content-Length: 5",
    "Content-Length: -1", "Content-Length: x", "Transfer-Encoding: chunked", "Transfer-Encoding: gzip, chunked",
    "Retry-After: 0.001", "Retry-After: x", "Location: http://127.0.0.1:1/", f"X-Request-Id: {KEY}", "Set-Cookie: a=b",
    "X-Request-Id: \x1b[2J", ": none", "no colon", " folded", "X: \xff", "X-Long: " + "x" * 70_000,
    "WWW-Authenticate: x", "Connection: close", "Connection: upgrade\r\nUpgrade: h2c",
    "Content-Length: 99999999999999999999",
]  # fmt: skip
STATUSES = ["200", "207", "201", "204", "205", "206", "301", "304", "400", "401", "404", "408", "412", "429", "500"]
STATUSES += ["502", "503", "504", "599", "100", "101", "103", "000", "999", "abc", "-1", "2000", "²00"]


class _Fuzz:
    """Makes answers that are not quite right, always the same ones from a seed."""

    def __init__(self, seed: int, *, wraps: bool) -> None:
        """Make them from *seed*, most as superjson *wraps* them, or most as they are."""
        self.random, self._wraps = random.Random(seed), wraps  # noqa: S311 - nothing secret

    def __call__(self, visit: Visit) -> None:
        """Answer something, and close the connection."""
        visit.line.send(self._answer(visit))
        visit.line.close()

    def _answer(self, visit: Visit) -> bytes:
        results = [self._envelope(self._data(asked.path)) for asked in visit.read()]
        if visit.is_batch and self.random.random() < 0.1:
            results = results[: self.random.randrange(len(results) + 1)] * self.random.choice([0, 1, 2])
        content = results if visit.is_batch and self.random.random() < 0.95 else results[0] if results else {}
        body = json.dumps(content).encode()
        if self.random.random() < 0.4:
            body = self._damaged(body)
        headers: dict[str, str] = {}
        status = "200"
        if self.random.random() < 0.3:
            status = self.random.choice(STATUSES)
        whole = message(body, f"{status} {self.random.choice(['OK', '', KEY])}".encode().decode("latin-1"), headers)
        head, _, rest = whole.partition(b"\r\n\r\n")
        if self.random.random() < 0.2:
            more = self.random.choice(HEADERS).encode("latin-1")
            lines = head.split(b"\r\n")
            lines.insert(self.random.randrange(1, len(lines) + 1), more)
            head = b"\r\n".join(lines)
        if self.random.random() < 0.1:
            head = self._damaged(head)
        whole = head + b"\r\n\r\n" + rest
        return self._damaged(whole) if self.random.random() < 0.05 else whole

    def _data(self, path: str) -> Any:
        """Return a right answer, or one with something else in some places."""
        data = json.loads(json.dumps(ANSWERS[path]))
        for _ in range(self.random.choice([0, 1, 1, 1, 2, 5])):
            data = self._changed(data)
        return data

    def _changed(self, value: Any) -> Any:
        """Return JSON with another value at one place."""
        if not isinstance(value, (dict, list)) or not value or self.random.random() < 0.15:
            return deepcopy(self.random.choice([value, [value], {"a": value}, str(value), self._any(3), *ODD]))
        keys: list[Any] = list(value) if isinstance(value, dict) else list(range(len(value)))
        key = self.random.choice(keys)
        if self.random.random() < 0.15:
            del value[key]
        elif isinstance(value, dict) and self.random.random() < 0.1:
            value[self.random.choice(["", "extra", "__proto__", "id", KEY, "x" * 3000])] = self._any(3)
        else:
            value[key] = self._changed(value[key])
        return value

    def _any(self, depth: int) -> Any:
        """Return any JSON."""
        if depth and self.random.random() < 0.5:
            inner = [self._any(depth - 1) for _ in range(self.random.randrange(4))]
            names = ["json", "meta", "values", "v", "error", "data", "message", "code", "result", "a.b", "0", "\\"]
            return inner if self.random.random() < 0.5 else {self.random.choice(names): one for one in inner}
        return deepcopy(self.random.choice(ODD))

    def _envelope(self, data: Any) -> Any:
        """Return the envelope of an answer: of one kind or the other, of a refusal, or of nothing that is known."""
        values: list[Any] = [
            None,
            ["undefined"],
            ["Date"],
            {"id": ["bigint"]},
            {"a.b": ["Date"]},
            [["x"]],
            {"": [1]},
            "x",
            5,
        ]
        values += [["map", {"0": ["set"]}], {"features.0.isEnabled": ["number"]}, {"features": ["map"]}, self._any(3)]
        meta = {"values": self.random.choice(values), "v": self.random.choice([1, 0, None, "1"])}
        shared = self.random.choice([{"id": ["name"]}, [{"": ["a"]}], {"features": ["features.0"]}, self._any(2)])
        refusal = {"code": self.random.choice(["NOT_FOUND", "X", "", 5, KEY, None, "A\nB"]), "httpStatus": 404}
        error = {
            "message": self.random.choice([KEY, "", "no", None, 5, "[]", '[{"path":5}]', "[" * 3000, "\x07" * 2000]),
            "code": self.random.choice([-32004, "x", None, 10**30, []]),
            "data": self.random.choice([refusal, None, [], {"zodError": {"fieldErrors": {"a": 5}}}, self._any(3)]),
        }
        choices: list[tuple[float, Callable[[], Any]]] = [
            (0.6, lambda: {"result": {"data": {"json": data} if self._wraps else data}}),
            (0.1, lambda: {"result": {"data": data}}),
            (0.1, lambda: {"result": {"data": {"json": data}}}),
            (0.1, lambda: {"result": {"data": {"json": data, "meta": meta}}}),
            (0.02, lambda: {"result": {"data": {"json": data, "meta": {"referentialEqualities": shared}}}}),
            (0.08, lambda: {"error": error}),
            (0.04, lambda: {"error": {"json": error}}),
            (0.02, lambda: {"error": self._any(3), "result": {"data": data}}),
            (0.02, lambda: {"result": self._any(2)}),
            (0.02, lambda: self._any(3)),
        ]
        [make] = self.random.choices([make for _, make in choices], [weight for weight, _ in choices])
        return make()

    def _damaged(self, data: bytes) -> bytes:
        """Return bytes with some of them flipped, cut off, doubled or replaced."""
        place = self.random.randrange(len(data) + 1)
        end = self.random.randrange(place, len(data) + 1)
        kind = self.random.randrange(6)
        if kind == 0:
            return data[:place]
        if kind == 1:
            return data[:place] + data[end:]
        if kind == 2:
            return data[:end] + data[place:]
        if kind == 3:
            return data[:place] + self.random.choice(WORDS) + data[place:]
        if kind == 4:
            return data[:place] + self.random.randbytes(self.random.randrange(20)) + data[end:]
        flipped = bytearray(data)
        for _ in range(self.random.randrange(1, 6)):
            if flipped:
                flipped[self.random.randrange(len(flipped))] ^= 1 << self.random.randrange(8)
        return bytes(flipped)


def _look_at(request: Request[Any], result: Any) -> str:
    """Check the result of a call, and return its kind."""
    if isinstance(result, ChatarminError):
        assert result.request is request
        text = str(result)
        assert len(text) < 1000, f"{len(text)} characters: {text[:300]!r}"
        assert text.isprintable(), ascii(text)
        assert KEY not in text
        assert KEY not in repr(vars(result).get("data"))
        assert str(pickle.loads(pickle.dumps(result))) == text  # noqa: S301 - our own
        assert isinstance(getattr(result, "issues", []), list)
        return type(result).__name__
    assert is_right(result, request.result, lenient=request.may_be_empty), repr(result)[:1000]
    return "an answer"


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("how", ["alone", "in a batch", "with superjson", "to be found out"])
def test_fuzzed_responses_become_models_or_errors(how: str, part: int) -> None:
    """However a response is damaged, the result is a correct model or an error of the package."""
    transformer = {"with superjson": "superjson", "to be found out": "auto"}.get(how, "json")
    fuzz = _Fuzz(part, wraps=how == "with superjson")
    seen: dict[str, int] = {}
    with FaultServer() as server, client_of(server, transformer=transformer, max_retries=1) as client:
        server.behaviour = fuzz
        for number in range(ANSWERED // PARTS // 4):
            path = PATHS[number % len(PATHS)]
            asked = [request_of(path)]
            if how == "in a batch":
                asked = [request_of(fuzz.random.choice(PATHS)) for _ in range(4)]
                results: list[Any] = client.batch(asked)
            else:
                try:
                    results = [client.send(asked[0])]
                except ChatarminError as error:
                    results = [error]
            for request, result in zip(asked, results, strict=True):
                kind = _look_at(request, result)
                seen[kind] = seen.get(kind, 0) + 1

    _log.info("%s, part %d: %s", how, part, seen)
    # Of responses that alternate between the transformers, those to mutations are refused: fewer are right then.
    assert seen["an answer"] > sum(seen.values()) // (50 if how == "to be found out" else 20)
    assert seen["InvalidResponse"]
