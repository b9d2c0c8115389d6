"""The service over HTTP."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, NoReturn

import requests
from requests.auth import AuthBase

from chatarmin_os._call import Call, copy_error
from chatarmin_os._clock import perf_counter
from chatarmin_os._input import Number, secret
from chatarmin_os._json import JSON
from chatarmin_os.errors import (
    ApiError,
    ChatarminError,
    InvalidResponse,
    RateLimitError,
    ServerError,
    TransportError,
)
from chatarmin_os.transports.base import Transport, sharing
from chatarmin_os.transports.http import proxies as _proxies
from chatarmin_os.transports.http import retry, settings
from chatarmin_os.transports.http import trust as _trust
from chatarmin_os.transports.http.batches import REFUSES_SIZE, UNCERTAIN, Batches
from chatarmin_os.transports.http.exchange import Courier, Failure, Reply
from chatarmin_os.trpc import client
from chatarmin_os.trpc.superjson import Repeats

if TYPE_CHECKING:
    from chatarmin_os.transports.http.retry import Deadline, Repeat
    from chatarmin_os.trpc.client import Envelope, Transformer

_log = logging.getLogger("chatarmin_os")
_log.addHandler(logging.NullHandler())

_BAD_REQUEST = 400
_PROBE = Call("tiers.list", "query", None, safe_to_repeat=True)


class _Result(NamedTuple):
    """What an attempt gave of one call, and which calls may be made again after it."""

    answer: JSON | ChatarminError
    repeat: Repeat = "never"


class HTTPTransport(Transport):
    """The service over HTTP, through requests.

    Args:
        api_key: The product's key (`os_sk_...`); default: OS_API_KEY.
        base_url: Where the service is; default: OS_BASE_URL, else the public service.
        timeout: Seconds for a whole call.
        max_retries: How often a call is repeated at most.
        transformer: How the service's tRPC writes values: `"json"`, `"superjson"`, or `"auto"` to find out.
        session: A session of your own, instead of one that is made here.
        auth: Any auth of requests, instead of the header `Authorization: Bearer KEY`; no key is needed then.
        paths: The paths of procedures that a service names otherwise: path here -> path there.
        allow_http: Plain http is refused but for loopback addresses, unless this is True or OS_ALLOW_HTTP is 1.
        verify: The path of a file (PEM) or folder (as `openssl rehash` leaves it) of the authorities that are trusted
            instead of certifi's; default: OS_CA_BUNDLE, REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE. False is refused.
        cert: The path of a client certificate (PEM) that has its key in the same file, or a pair of the paths of
            certificate and key; default: OS_CLIENT_CERT and OS_CLIENT_KEY. The key must not be encrypted.

    Raises:
        InvalidInput: An invalid setting, or a file that cannot be used; argument or variable is named.

    Policies:
        - **Deadline**: *timeout* bounds a call whole: looking up the name, connecting, TLS, headers, body, repeats and
          the waits between them, also where bytes drip. A batch with all its round trips has one deadline.
        - **Repeats**: at most *max_retries*, each after a random wait of up to 0.1, 0.2, 0.4 ... 2 seconds. Any call
          is repeated that was certainly not sent (refused, no such host, lost while connecting), and after a complete
          429. Calls that are safe to repeat are repeated also when the connection is lost after sending, and after
          502, 503 and 504; these are all queries, and all mutations but `companies.create`, `links.create`,
          `links.reset` and those of `client.call`. Nothing else is repeated: no other refusal, no redirect, no
          certificate that fails, no answer that is complete and wrong, and no 500, which is the service's own failure
          and would most likely be one again. A budget of the whole transport (20 repeats; each call that is answered
          gives back a fifth) keeps a service that is down from being stormed.
        - **Retry-After** of a 429 or 503, in seconds or as a date and of any size, is waited for if it fits the
          deadline; if not, the error is raised at once, with `retry_after`. In a batch it concerns the calls whose own
          status is one of these.
        - **Sizes**: a batch that a server refuses for its size (413, 414 or 431, also 400 or 404 for a long URL) is
          sent again in parts, and later batches of its kind are no larger. A single call that is too large raises what
          the server said, with its size: an `ApiError` with the code `PAYLOAD_TOO_LARGE`, or an `InvalidResponse`.
        - **Outcome**: `"not_sent"` only where not one byte of the request can have reached the service.
        - **Answers** are at most 64 MiB. Redirects, and what is not tRPC, are `InvalidResponse`.
        - **Trust**: TLS is always verified. When a file of *verify* or *cert* changes, the next call opens a new
          connection with what is in it then, and no connection from before is used again: an authority that is removed
          is not trusted any longer, and a renewed certificate is shown. (A folder changes when files are added to it or
          removed from it.) A file that is missing or half written at that moment is a `ConnectionFailed`, not sent.
          SSL_CERT_FILE is not read. Redirects are not followed. Cookies are neither kept nor sent. `.netrc` is not
          read. The key is in no repr, log or error, and a transport does not pickle.
        - **Proxies** of the environment are read when the transport is made, and refused if they are invalid (SOCKS
          too, for no deadline holds through it); loopback addresses are reached without. NO_PROXY takes names (also
          `.example.com`, and `*.example.com` for what is below it), addresses and networks, each with a port or
          without, and `*`.
        - **Threads** share a transport; each call has a connection to itself.
        - **Forks**: a child process opens connections of its own and leaves its parent's alone. Where threads are at
          work while a process forks, let it make a call first: modules that are being imported would stay locked.
        - **Other options**: `with_options` returns a transport that shares all but its two options with this one.
        - **A session of your own** is used as it is, by every thread that uses the client, and is not closed. It has
          its own trust and proxies: *verify*, *cert* and the variables that begin with OS_ are not for it. Its adapters
          time each wait on the network and not the whole, so that an answer that drips can outlast the deadline, and
          what they do not show to be unsent counts as unknown: with adapters of another class, or with retries of
          their own, that is all.
        - **Transformer**: with `"auto"` the first answer tells. A mutation is sent only when it is known: before a
          first mutation a query (`tiers.list`) asks, and what it meets, such as a wrong key, is that mutation's error.
          A service that changes it later is noticed.
        - **Log**: the logger `chatarmin_os` has a line per attempt at DEBUG and one per repeat at INFO, without inputs.
        - **Compatibility**: tRPC 10 and 11.

    Example:
        >>> from chatarmin_os import ChatarminOS
        >>> transport = HTTPTransport("os_sk_...", base_url="https://os.example.com/api/v1", timeout=2)
        >>> with ChatarminOS(transport=transport) as client:
        ...     client
        <ChatarminOS on HTTPTransport>
    """

    __slots__ = ("_max_retries", "_timeout")  # all else is shared with what `with_options` returns

    def __init__(
        self,
        api_key: str | None = None,
        base_url: str | None = None,
        *,
        timeout: Number = 10.0,
        max_retries: int = 2,
        transformer: Literal["auto", "json", "superjson"] = "auto",
        session: requests.Session | None = None,
        auth: AuthBase | Callable[[Any], Any] | tuple[str, str] | None = None,
        paths: Mapping[str, str] | None = None,
        allow_http: bool = False,
        verify: str | os.PathLike[str] | None = None,
        cert: str | os.PathLike[str] | tuple[str | os.PathLike[str], str | os.PathLike[str]] | None = None,
    ) -> None:
        given = None if auth is not None and api_key is None else secret(api_key)
        del api_key
        key = settings.api_key(given) if given else None
        self._base_url = settings.base_url(base_url, allow_http=allow_http)
        self.name = self._base_url
        self._timeout = settings.timeout(timeout)
        self._max_retries = settings.max_retries(max_retries)
        self._is_auto = settings.transformer(transformer) == "auto"
        self._transformer: Transformer | None = None if transformer == "auto" else transformer
        self._paths = settings.paths(paths)
        self._batches = Batches(self._base_url, self._paths)
        self._budget = retry.Budget()
        own_session = settings.session(session, verify=verify, cert=cert)
        self._courier = Courier(
            self._base_url,
            authorise=settings.auth(auth, key),
            blotted=settings.blotting(key),
            session=own_session,
            proxies=_proxies.proxies_for(self._base_url) if own_session is None else {},
            trust=_trust.trust_for(self._base_url, verify, cert) if own_session is None else _trust.Trust(),
        )
        self._fingerprint = settings.fingerprint(key, self._base_url) if key and auth is None else None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} to {getattr(self, '_base_url', None)}>"  # it may not be made yet

    def __reduce__(self) -> NoReturn:
        raise TypeError("a transport does not pickle: it has a key and connections; make one in each process")

    def fingerprint(self) -> str | None:
        """Return a digest of base URL and API key, from which the key cannot be read; None with an auth of your own."""
        return self._fingerprint

    def with_options(self, *, timeout: Number | None = None, max_retries: int | None = None) -> HTTPTransport:
        """Return this transport with another deadline or number of retries.

        The two share all else: connections, the retry budget, and what they learned of the service. Closing either
        closes the connections of both, and both can still be used: the next call opens a new connection.

        Args:
            timeout: Seconds for a whole call; None keeps the value of this transport.
            max_retries: The maximum number of retries of a call; None keeps the value of this transport.

        Raises:
            InvalidInput: An invalid value; the argument is named.
        """
        return sharing(
            self,
            _timeout=self._timeout if timeout is None else settings.timeout(timeout),
            _max_retries=self._max_retries if max_retries is None else settings.max_retries(max_retries),
        )

    def send(self, call: Call) -> JSON:
        """Return the service's answer.

        Raises:
            ApiError: The service refused, or failed.
            TransportError: There is no answer to be had.
        """
        [answer] = self._settled([call], retry.Deadline(self._timeout))
        if isinstance(answer, ChatarminError):
            raise answer
        return answer

    def send_many(self, calls: Sequence[Call]) -> list[JSON | ChatarminError]:
        """Return the answers in the order of *calls*, errors as values; all within one deadline.

        Queries and mutations go in requests of their own, of at most 50 calls and 8,000 characters of URL.
        """
        deadline = retry.Deadline(self._timeout)
        answers: list[JSON | ChatarminError] = [None] * len(calls)
        for kind in ("query", "mutation"):
            places = iter([place for place, call in enumerate(calls) if call.kind == kind])
            of_kind = [call for call in calls if call.kind == kind]
            for part in self._batches.parts(of_kind, self._transformer):
                for answer in self._settled(part, deadline):
                    answers[next(places)] = answer
        return answers

    def close(self) -> None:
        """Close all connections; a session of your own stays as it is."""
        self._courier.close()

    def _settled(self, calls: Sequence[Call], deadline: Deadline) -> list[JSON | ChatarminError]:
        """Return the answers to calls that go in one request, made again where that is right: the only such loop."""
        if calls[0].kind == "mutation" and self._transformer is None:
            in_the_way = self._find_transformer(calls, deadline)
            if in_the_way is not None:
                return [copy_error(in_the_way) for _ in calls]
        answers: list[JSON | ChatarminError] = [None] * len(calls)
        may_have_reached = [False] * len(calls)
        pending = list(range(len(calls)))
        attempt = 0
        while True:
            attempt += 1
            results = self._attempt([calls[place] for place in pending], attempt, deadline)
            again, least_wait = [], 0.0
            for place, (answer, repeat) in zip(pending, results, strict=True):
                answers[place] = answer
                may_have_reached[place] = may_have_reached[place] or _may_have_reached(answer)
                if isinstance(answer, TransportError):
                    answer.outcome = "unknown" if may_have_reached[place] else "not_sent"
                    answer.attempts = max(answer.attempts, attempt)  # more where a batch was taken apart
                if repeat == "any" or (repeat == "safe" and calls[place].safe_to_repeat):
                    again.append(place)
                    least_wait = max(least_wait, retry.told_wait(answer))
            if not again:
                if not any(isinstance(result.answer, TransportError) for result in results):
                    self._budget.give_back()
                break
            wait = max(least_wait, retry.random.uniform(0, retry.longest_wait(attempt)))
            if attempt > self._max_retries or wait >= deadline.remaining() or not self._budget.take():
                break
            _log.info("%s: again in %.0f ms", _named(calls[place] for place in again), wait * 1000)
            time.sleep(wait)
            pending = again
        return answers

    def _find_transformer(self, calls: Sequence[Call], deadline: Deadline) -> ChatarminError | None:
        """Ask for the transformer before mutations; return the error that stands in their way."""
        [answer] = self._settled([_PROBE], deadline)
        if self._transformer is not None:
            return None
        if isinstance(answer, ApiError) and not isinstance(answer, ServerError):
            return answer  # a wrong key, most likely
        failed = answer if isinstance(answer, TransportError) else InvalidResponse("")
        reason = f"{answer} (asked by {_PROBE.path})"
        if not isinstance(answer, ChatarminError):
            reason = f"{_PROBE.path} does not tell how the service writes values; transformer= of HTTPTransport can"
        failed.args = (f"{reason}; {_named(calls)} was not sent",)
        failed.outcome = "not_sent"
        return failed

    def _attempt(
        self, calls: Sequence[Call], attempt: int, deadline: Deadline, *, is_corrected: bool = False
    ) -> list[_Result]:
        """Make one request of *calls* and return what came of each call.

        A query that went out in the wrong transformer is asked again in the right one: what it asked may have been
        lost on the way.
        """
        spoken, started = self._transformer or "json", perf_counter()
        message = client.message(calls, spoken, self._paths)
        reply = self._courier.carried(message, deadline, may_repeat=all(call.safe_to_repeat for call in calls))
        if _log.isEnabledFor(logging.DEBUG):
            _log_attempt(calls, attempt, reply, perf_counter() - started)
        if isinstance(reply, Failure):
            return _to_all(reply, calls)
        said = self._said(reply, calls)
        if reply.status >= _BAD_REQUEST and (refused := self._refused_for_size(reply, said, calls, deadline)):
            return refused
        if isinstance(said, Failure):
            return _to_all(said, calls)
        told: Transformer | None = next((envelope.transformer for envelope in said if envelope.transformer), None)
        if self._is_auto and told:
            self._transformer = told
        if told in {None, spoken}:
            return self._results(reply, said, calls)
        if self._is_auto and calls[0].kind == "query" and not is_corrected:
            results = self._attempt(calls, attempt, deadline, is_corrected=True)
            for result in results:
                if isinstance(result.answer, TransportError):
                    result.answer.outcome = "unknown"  # the service has seen the call, whatever became of the second
            return results
        reason = f"it writes {told} and was written to in {spoken}: transformer={told!r} would fit"
        return _to_all(self._courier.unexpected(reply, reason, "never"), calls)

    def _said(self, reply: Reply, calls: Sequence[Call]) -> list[Envelope] | Failure:
        """Return what a reply says, of each call or (one envelope) of the whole request."""
        try:
            content = client.parsed(reply.body)
            items = content if len(calls) > 1 and isinstance(content, list) else [content]
            repeats = Repeats(len(reply.body))
            said = [envelope for item in items if (envelope := client.envelope(item, repeats))]
        except (ValueError, RecursionError) as error:
            return self._courier.unexpected(reply, f"no JSON of the service ({self._courier.shown(str(error), 80)})")
        is_whole_failure = len(calls) > 1 and isinstance(content, dict) and said and said[0].error is not None
        if len(said) != len(items) or not (len(said) == len(calls) or is_whole_failure):
            return self._courier.unexpected(reply, f"no answer of the service to {len(calls)} call(s)")
        return said

    def _refused_for_size(
        self, reply: Reply, said: list[Envelope] | Failure, calls: Sequence[Call], deadline: Deadline
    ) -> list[_Result]:
        """Return what comes of calls whose request is larger than a server takes, nothing if that is not the reason."""
        if len(calls) == 1:
            if not isinstance(said, Failure) or reply.status not in REFUSES_SIZE:
                return []
            size = self._batches.described(calls[0], self._transformer)
            return _to_all(self._courier.unexpected(reply, f"the request is too large for the server ({size})"), calls)
        kind, foreign = calls[0].kind, isinstance(said, Failure)
        before = self._batches.limits[kind]
        whole = said[0].error if not isinstance(said, Failure) and len(said) < len(calls) else None
        message = None if foreign else str((whole or {}).get("message"))
        if not self._batches.shrink(calls, self._transformer, status=reply.status, body=reply.body, said=message):
            return []
        parts = self._batches.parts(calls, self._transformer)
        results = [_Result(answer) for part in parts for answer in self._settled(part, deadline)]
        if (
            foreign
            and reply.status in UNCERTAIN
            and all(isinstance(result.answer, InvalidResponse) for result in results)
        ):
            self._batches.limits[kind] = before  # it was something else
        return results

    def _results(self, reply: Reply, said: list[Envelope], calls: Sequence[Call]) -> list[_Result]:
        """Return what the envelopes of a reply come to; a whole request that was refused has one."""
        whole = said * len(calls) if len(said) < len(calls) else said
        return [self._result(reply, envelope, call) for envelope, call in zip(whole, calls, strict=True)]

    def _result(self, reply: Reply, envelope: Envelope, call: Call) -> _Result:
        if envelope.error is None:
            return _Result(envelope.data)
        self._courier.blot(envelope.error)
        refusal = client.refusal(envelope.error, status=reply.status, path=call.path, request_id=reply.request_id)
        if isinstance(refusal, (RateLimitError, ServerError)):
            # The status of a batch is none of its calls' own, and it has one header for all of them.
            refusal.retry_after = retry.retry_after(refusal.http_status or 0, reply.retry_after)
        if refusal.http_status in REFUSES_SIZE:
            refusal.request_size = self._batches.described(call, self._transformer)
        return _Result(refusal, retry.after_refusal(refusal))


def _may_have_reached(answer: JSON | ChatarminError) -> bool:
    """Return whether an attempt that gave *answer* may have reached the service: all may but what was not sent."""
    return getattr(answer, "outcome", "unknown") == "unknown"


def _to_all(failure: Failure, calls: Sequence[Call]) -> list[_Result]:
    return [_Result(copy_error(failure.error), failure.repeat) for _ in calls]


def _named(calls: Iterable[Call]) -> str:
    """Return the paths of calls, each once."""
    return ",".join(dict.fromkeys(call.path for call in calls))


def _log_attempt(calls: Sequence[Call], attempt: int, reply: Reply | Failure, seconds: float) -> None:
    came = str(reply.status) if isinstance(reply, Reply) else type(reply.error).__name__
    request = f", request {reply.request_id}" if isinstance(reply, Reply) and reply.request_id else ""
    _log.debug("%s, attempt %d: %s after %.1f ms%s", _named(calls), attempt, came, seconds * 1000, request)
