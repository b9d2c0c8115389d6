"""tRPC as a server speaks it, without I/O: from a request to its answer.

What is told here was seen at @trpc/server 11.25 and 10.45. They differ in what they refuse, and how: 11 tells most of
it call by call, 10 of the whole request.

Otherwise than there, on purpose:

- The message of an exception that nobody expected is not told, nor where it was raised: it is a defect of the fake, and
  is in the log.
- Forms and binaries are no inputs: 11 takes `multipart/form-data` and `application/octet-stream`, no client here sends
  them.
- An input is JSON once it is read: instants are text, big integers are integers, sets are lists, zero has no sign. What
  superjson does not know or refuses to follow is left as it came, for the decoder is the client's.
- A list or object that stands twice in an output is written twice, without a word that it is the same.
- Integers beyond those of JavaScript are written in plain JSON, where `JSON.stringify` fails over a bigint.
- A streamed answer comes all at once.
"""

from __future__ import annotations

import json
import logging
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from urllib.parse import parse_qsl

from chatarmin_os._unset import UNSET
from chatarmin_os.errors import CODES, ApiError, TransportError
from chatarmin_os.trpc import javascript, superjson

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from chatarmin_os._request import Kind

_log = logging.getLogger("chatarmin_os")

_METHODS: dict[str, str] = {"query": "GET", "mutation": "POST"}
_JSON, _JSONL, _TEXT = "application/json", "application/jsonl", "text/plain;charset=UTF-8"
_MULTI_STATUS = 207
_NO_OBJECT = '"input" needs to be an object when doing a batch call'
_ONLY_11 = frozenset({"PAYMENT_REQUIRED", "UNSUPPORTED_MEDIA_TYPE", "PRECONDITION_REQUIRED"})
_ONLY_11 |= {"BAD_GATEWAY", "SERVICE_UNAVAILABLE", "GATEWAY_TIMEOUT"}


class Dialect(NamedTuple):
    """Which tRPC is spoken."""

    version: Literal[10, 11] = 11
    transformer: Literal["auto", "json", "superjson"] = "auto"
    """`auto`: the one a request was written in."""


class Request(NamedTuple):
    """A request, as it came."""

    method: str
    target: str
    """What follows the base URL: `tiers.get?input=...`."""
    headers: Mapping[str, str]
    """By lower-case names."""
    body: bytes | None
    """None: it is larger than any may be."""


class Answer(NamedTuple):
    """An answer, as it goes out."""

    status: int
    body: bytes
    headers: dict[str, str]


class Procedure(NamedTuple):
    """What answers calls of one path."""

    kind: Kind
    run: Callable[[Callable[[], Any]], Any]
    """Given a function that returns the input (`UNSET`: none), returns the output, or raises `ApiError`."""
    dated: Callable[[Any], Any] | None = None
    """Where all outputs are JSON: returns one with the dates that superjson tells from text."""


class _Outcome(NamedTuple):
    """What came of one call."""

    status: int
    content: dict[str, Any]
    """A result, or an error, not yet as the transformer writes it."""
    allow: str | None = None
    is_plain: bool = False
    """Whether it is JSON already."""


def answered(request: Request, find: Callable[[str], Procedure | None], dialect: Dialect) -> Answer:
    """Return the answer to *request*; *find* returns the procedure at a path.

    Raises:
        TransportError: A procedure raised it: the answer is to be lost.

    Example:
        >>> hello = Procedure("query", lambda read: {"said": read()})
        >>> answered(Request("GET", "hello?input=1", {}, b""), {"hello": hello}.get, Dialect()).body
        b'{"result": {"data": {"said": 1}}}'
    """
    if request.method == "HEAD":
        return Answer(204, b"", {})
    return (_Exchange11 if dialect.version == 11 else _Exchange10)(request, find, dialect).answer()  # noqa: PLR2004


class _Exchange(ABC):
    """One request on its way to an answer: what both versions have in common."""

    version: int
    whole_type: str
    """The content type of a refusal of the whole request."""
    vary: str | None
    encoding: str
    """Of a body."""
    no_json: str
    """The code where an input is no JSON."""
    no_superjson: str
    """The code where superjson cannot read it."""

    def __init__(self, request: Request, find: Callable[[str], Procedure | None], dialect: Dialect) -> None:
        self.request, self.find = request, find
        self.path, _, query = request.target.partition("?")
        parameters: dict[str, str] = {}
        for name, value in parse_qsl(query, keep_blank_values=True, errors="replace", max_num_fields=None):
            parameters.setdefault(name, value)
        self.is_batch = self.says_batch(parameters.get("batch", ""))
        self.problem: tuple[str, str] | None = None  # why no input can be read: a code, and a message
        self.content: Any = UNSET
        self.inputs: dict[str, Any] | None = None  # by the index of their call, once they were read
        if request.method == "GET":
            text = self.given(parameters.get("input"))
        elif request.body is None:
            text, self.problem = None, ("PAYLOAD_TOO_LARGE", "PAYLOAD_TOO_LARGE")
        else:
            text = request.body.decode(self.encoding, errors="replace") or None
        self.size = len(text or "")
        if text is not None:
            try:
                self.content = javascript.parsed(text)
            except ValueError as error:
                self.problem = (self.no_json, f"the input is no JSON: {error}")
        self.is_superjson = dialect.transformer == "superjson" or (
            dialect.transformer == "auto" and _is_wrapped(self.content, is_batch=self.is_batch)
        )

    @abstractmethod
    def says_batch(self, flag: str) -> bool:
        """Whether the parameter `batch` says that there may be several calls."""

    @abstractmethod
    def given(self, text: str | None) -> str | None:
        """Return the input that a query's parameter is."""

    @abstractmethod
    def checked(self) -> list[str]:
        """Return the paths of the calls.

        Raises:
            ApiError: The whole request is refused.
        """

    @abstractmethod
    def streams(self) -> bool:
        """Whether the answer is to be a stream."""

    @abstractmethod
    def outcome(self, path: str, index: int) -> _Outcome:
        """Return what comes of a call."""

    @abstractmethod
    def streamed(self, outcomes: list[_Outcome]) -> Answer:
        """Return a stream."""

    def answer(self) -> Answer:
        try:
            paths = self.checked()
        except ApiError as refusal:
            return self.refusal(refusal, self.whole_type)
        outcomes = [self.outcome(path, index) for index, path in enumerate(paths)]
        try:
            answer = self.streamed(outcomes) if self.streams() else self.together(outcomes)
        except (TypeError, ValueError, RecursionError):
            _log.exception("%s: an output that cannot be written", self.path)
            return self.refusal(ApiError.from_code("INTERNAL_SERVER_ERROR", "An output cannot be written"))
        allowed = next((outcome.allow for outcome in outcomes if outcome.allow), None)
        return answer._replace(headers={**answer.headers, "allow": allowed}) if allowed else answer

    def together(self, outcomes: list[_Outcome]) -> Answer:
        statuses = {outcome.status for outcome in outcomes}
        written = [self.written(outcome) for outcome in outcomes]
        status = statuses.pop() if len(statuses) == 1 else _MULTI_STATUS
        return self.told(status, written if self.is_batch else written[0])

    def refusal(self, refusal: ApiError, content_type: str = _JSON) -> Answer:
        """Return the answer to a request that is refused as a whole."""
        refused = _Outcome(*self.refused(refusal))
        return self.told(refused.status, self.written(refused), content_type)

    def told(self, status: int, content: Any, content_type: str = _JSON) -> Answer:
        headers = {"content-type": content_type}
        if self.vary:
            headers["vary"] = self.vary
        return Answer(status, json.dumps(content, allow_nan=False).encode(), headers)

    def ran(self, path: str, procedure: Procedure, index: int) -> _Outcome:
        """Run a call."""
        try:
            output = procedure.run(lambda: self.read(index))
        except ApiError as refusal:
            return _Outcome(*self.refused(refusal, path))
        except TransportError:
            raise
        except Exception:  # noqa: BLE001 - whatever it is, the other calls of the batch are answered
            _log.exception("%s failed", path)
            failure = ApiError.from_code("INTERNAL_SERVER_ERROR", "Internal server error: a defect of the fake")
            return _Outcome(*self.refused(failure, path))
        if procedure.dated is None:
            return _Outcome(200, {"result": {"data": output}})
        output = procedure.dated(output) if self.is_superjson else output
        return _Outcome(200, {"result": {"data": output}}, is_plain=True)

    def read(self, index: int) -> Any:
        """Return the input of a call, `UNSET` where it has none.

        Raises:
            ApiError: It cannot be read, or that of another call cannot.
        """
        if self.inputs is None:
            self.inputs = self.decoded()
        return self.inputs.get(str(index), UNSET)

    def decoded(self) -> dict[str, Any]:
        """Return all inputs, as the transformer reads them.

        Raises:
            ApiError: One of them cannot be read.
        """
        if self.problem:
            raise ApiError.from_code(*self.problem)
        if not self.is_batch:
            inputs = {} if self.content is UNSET else {"0": self.content}
        elif isinstance(self.content, dict):
            inputs = self.content
        else:
            raise ApiError.from_code("BAD_REQUEST", _NO_OBJECT)
        repeats = superjson.Repeats(self.size)
        try:
            return {index: _meant(one, repeats) for index, one in inputs.items()} if self.is_superjson else inputs
        except (ValueError, RecursionError) as error:
            raise ApiError.from_code(self.no_superjson, f"no superjson: {error}") from None

    def refused(self, refusal: ApiError, path: str | None = None) -> tuple[int, dict[str, Any]]:
        """Return status and envelope of a refusal; the number of a code that the version does not know is undefined."""
        known = None if self.version < 11 and refusal.code in _ONLY_11 else CODES.get(refusal.code)  # noqa: PLR2004
        status = refusal.http_status if known or refusal.code not in CODES else None
        status = status or (known.http_status if known else 500)
        data = {"code": refusal.code, "httpStatus": status}
        if path is not None:
            data["path"] = path
        number = known.number if known else UNSET
        return status, {"error": {"message": refusal.message, "code": number, "data": {**data, **(refusal.data or {})}}}

    def written(self, outcome: _Outcome) -> dict[str, Any]:
        """Return an envelope as the transformer writes it."""
        content = outcome.content
        if not self.is_superjson:
            written: dict[str, Any] = content if outcome.is_plain else javascript.plain(content)
            return written
        if "error" in content:
            return {"error": superjson.encode(content["error"])}
        return {"result": {"data": superjson.encode(content["result"]["data"])}}


class _Exchange11(_Exchange):
    version, whole_type, vary = 11, _TEXT, "trpc-accept, accept"
    encoding, no_json, no_superjson = "utf-8-sig", "BAD_REQUEST", "BAD_REQUEST"

    def says_batch(self, flag: str) -> bool:
        return flag == "1"

    def given(self, text: str | None) -> str | None:
        return text or None

    def streams(self) -> bool:
        headers = self.request.headers
        if "trpc-accept" in headers:
            return headers["trpc-accept"] == _JSONL
        return _JSONL in [one.strip() for one in headers.get("accept", "").split(",")]

    def checked(self) -> list[str]:
        if self.request.method != "GET":
            content_type = self.request.headers.get("content-type")
            if not content_type:
                raise ApiError.from_code("UNSUPPORTED_MEDIA_TYPE", "Missing content-type header")
            if content_type.partition(";")[0].strip().lower() != _JSON:
                raise ApiError.from_code("UNSUPPORTED_MEDIA_TYPE", f'Unsupported content-type "{content_type}')
        path = self.path.removesuffix("/")
        try:
            path = javascript.unquoted(path)
        except ValueError:
            raise ApiError.from_code("BAD_REQUEST", f'Invalid URL-encoding in path "{path}"') from None
        paths = path.split(",") if self.is_batch else [path]
        kinds = list(dict.fromkeys(known.kind for path in paths if (known := self.find(path))))
        if len(kinds) > 1:
            raise ApiError.from_code("BAD_REQUEST", f"Cannot mix procedure types in call: {', '.join(kinds)}")
        if self.streams() and not self.is_batch:
            raise ApiError.from_code("BAD_REQUEST", "Streaming requests must be batched (you can do a batch of 1)")
        given = {} if self.content is UNSET else self.content
        if self.is_batch and isinstance(given, dict):  # an input of no call is not looked at
            self.content = {index: given[index] for index in map(str, range(len(paths))) if index in given}
        return paths

    def outcome(self, path: str, index: int) -> _Outcome:
        procedure, method = self.find(path), self.request.method
        if procedure is None:
            message = f'No procedure found on path "{path}"'
            return _Outcome(*self.refused(ApiError.from_code("NOT_FOUND", message), path))
        allowed = _METHODS[procedure.kind]
        if method != allowed:
            message = f'Unsupported {method}-request to {procedure.kind} procedure at path "{path}"'
            return _Outcome(*self.refused(ApiError.from_code("METHOD_NOT_SUPPORTED", message), path), allow=allowed)
        return self.ran(path, procedure, index)

    def streamed(self, outcomes: list[_Outcome]) -> Answer:
        """All in one line: nothing here comes later than the rest."""
        head = {str(index): [[outcome.content]] for index, outcome in enumerate(outcomes)}
        answer = self.told(200, superjson.encode(head) if self.is_superjson else javascript.plain(head))
        return answer._replace(body=answer.body + b"\n")


class _Exchange10(_Exchange):
    version, whole_type, vary = 10, _JSON, None
    encoding, no_json, no_superjson = "utf-8", "PARSE_ERROR", "INTERNAL_SERVER_ERROR"

    def says_batch(self, flag: str) -> bool:
        return bool(flag)

    def given(self, text: str | None) -> str | None:
        return text

    def streams(self) -> bool:
        return self.is_batch and self.request.headers.get("trpc-batch-mode") == "stream"

    def checked(self) -> list[str]:
        if self.request.body is None and self.problem:
            raise ApiError.from_code(*self.problem)
        if self.request.method not in _METHODS.values():
            raise ApiError.from_code("METHOD_NOT_SUPPORTED", f"Unexpected request method {self.request.method}")
        self.inputs = self.decoded()
        if not self.is_batch:
            return [self.path]
        try:
            return javascript.unquoted(self.path).split(",")
        except ValueError:
            raise ApiError.from_code("INTERNAL_SERVER_ERROR", "URI malformed") from None

    def outcome(self, path: str, index: int) -> _Outcome:
        procedure = self.find(path)
        wanted = next(kind for kind, method in _METHODS.items() if method == self.request.method)
        if procedure is None or procedure.kind != wanted:
            message = f'No "{wanted}"-procedure on path "{path}"'
            return _Outcome(*self.refused(ApiError.from_code("NOT_FOUND", message), path))
        return self.ran(path, procedure, index)

    def streamed(self, outcomes: list[_Outcome]) -> Answer:
        """One envelope a line, as its client reads them."""
        lines = [f'"{i}":{json.dumps(self.written(one), allow_nan=False)}\n' for i, one in enumerate(outcomes)]
        headers = {"content-type": _JSON, "vary": "trpc-batch-mode"}
        return Answer(200, ("{" + ",".join(lines) + "}").encode(), headers)


def _is_wrapped(content: Any, *, is_batch: bool) -> bool:
    inputs = content.values() if is_batch and isinstance(content, dict) else [content]
    return any(isinstance(one, dict) and {"json"} <= one.keys() <= {"json", "meta"} for one in inputs)


def _meant(envelope: Any, repeats: superjson.Repeats) -> Any:
    """Return what an envelope of superjson means; without `json` it is undefined, as there."""
    if envelope is None:
        raise ValueError("null is no envelope")
    if not isinstance(envelope, dict) or "json" not in envelope:
        return UNSET
    meta = envelope.get("meta")
    is_undefined = isinstance(meta, dict) and meta.get("values") == ["undefined"]
    return UNSET if is_undefined else superjson.decode(envelope, repeats)
