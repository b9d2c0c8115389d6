"""The transport over HTTP."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NoReturn

import requests
from requests.auth import AuthBase

from chatarmin_os._call import Call
from chatarmin_os._input import Number, secret
from chatarmin_os._json import JSON
from chatarmin_os.errors import ChatarminError
from chatarmin_os.transports import options
from chatarmin_os.transports.base import Transport, sharing
from chatarmin_os.transports.http import proxies as _proxies
from chatarmin_os.transports.http import settings
from chatarmin_os.transports.http import trust as _trust
from chatarmin_os.transports.http.channel import Channel
from chatarmin_os.transports.http.limits import Limits
from chatarmin_os.transports.http.redaction import Redactor
from chatarmin_os.transports.http.replies import Replies
from chatarmin_os.transports.http.retry import Deadline
from chatarmin_os.transports.http.sending import Sender


class HTTPTransport(Transport):
    """The service over HTTP, through requests.

    Args:
        api_key: The product's key (`os_sk_...`); default: OS_API_KEY.
        base_url: The URL of the service; default: OS_BASE_URL, else the public service.
        timeout: Seconds for a whole call.
        max_retries: The maximum number of retries of a call.
        transformer: How the service's tRPC writes values: `"json"`, `"superjson"`, or `"auto"` to find out.
        session: A session of your own, instead of one that is made here.
        auth: Any auth of requests, instead of the header `Authorization: Bearer KEY`; no key is needed then.
        paths: The paths of procedures that a service names otherwise: path here -> path there.
        allow_http: Plain http is refused except for loopback addresses, unless this is True or OS_ALLOW_HTTP is 1.
        verify: The path of a file (PEM) or folder (as `openssl rehash` leaves it) of the authorities to trust instead
            of certifi's; default: OS_CA_BUNDLE, REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE. False is refused.
        cert: The path of a client certificate (PEM) that has its key in the same file, or a pair of the paths of
            certificate and key; default: OS_CLIENT_CERT and OS_CLIENT_KEY. The key must not be encrypted.
        backoff: Returns the seconds to wait after an attempt (1, 2, ...); default: a random wait, see *Retries*.
        sleep: Waits so many seconds; default: `time.sleep`. Tests pass functions that do not wait.

    Raises:
        InvalidInput: A setting is invalid, or a file cannot be used; the argument or variable is named.

    Policies:
        - **Deadline**: *timeout* bounds a whole call: looking up the name, connecting, TLS, headers, body, retries and
          the waits between them, also if bytes drip. A batch with all its round trips has one deadline. `TimedOut`
          names the step that was running.
        - **Retries**: at most *max_retries*, each after a random wait of up to 0.1, 0.2, 0.4 ... 2 seconds. Any call is
          retried that was certainly not sent (refused, no such host, lost while connecting), and after a complete 429.
          Calls that are safe to repeat are also retried if the connection is lost after sending, and after 502, 503 and
          504; these are all queries, and all mutations but `companies.create`, `links.create`, `links.reset` and those
          of `client.call`. Nothing else is retried: no other refusal, no redirect, no certificate that fails, no
          response that is complete and wrong, and no 500, which is the service's own failure and would most likely
          fail again. A budget of the whole transport (20 retries; each answered call refunds a fifth) keeps retries
          from flooding a service that is down.
        - **Retry-After** of a 429 or 503, in seconds or as a date and of any size, is waited for if it fits the
          deadline; if not, the error is raised at once, with `retry_after`. In a batch it concerns the calls whose own
          status is one of these.
        - **Sizes**: a batch that a server refuses for its size (413, 414 or 431, also 400 or 404 for a long URL) is
          sent again in parts, and later batches of its kind are no larger. A single call that is too large raises the
          server's error with the size of the request: an `ApiError` with the code `PAYLOAD_TOO_LARGE`, or an
          `InvalidResponse`.
        - **Outcome**: `"not_sent"` only if not one byte of the request can have reached the service.
        - **Responses** have at most 64 MiB. Redirects, and responses that are not tRPC, are `InvalidResponse`.
        - **Trust**: TLS is always verified. When a file of *verify* or *cert* changes, the next call opens a new
          connection with its new content, and no older connection is used again: an authority that was removed is no
          longer trusted, and a renewed certificate is shown. (A folder changes when files are added to it or removed
          from it.) A file that is missing or half written at that moment is a `ConnectionFailed`, not sent.
          SSL_CERT_FILE is not read. Redirects are not followed. Cookies are neither kept nor sent. `.netrc` is not
          read. The key is in no repr, log or error, and a transport does not pickle.
        - **Proxies** of the environment are read when the transport is made, and refused if they are invalid (SOCKS
          too, for no deadline holds through it); loopback addresses are reached without. NO_PROXY takes names (also
          `.example.com`, and `*.example.com` for the names below it), addresses and networks, each with a port or
          without, and `*`.
        - **Threads** share a transport; each call has a connection to itself.
        - **Forks**: a child process opens its own connections and does not touch its parent's. If threads are at work
          while a process forks, let it make a call first: modules that are being imported would stay locked.
        - **Other options**: `with_options` returns a transport that shares all but its two options with this one.
        - **A session of your own** is used unchanged, by every thread that uses the client, and is not closed. It has
          its own trust and proxies: *verify*, *cert* and the variables that begin with OS_ do not apply to it. Its
          adapters time each wait on the network and not the whole call, so that a response that drips can outlast the
          deadline, and the outcome is unknown unless they show that nothing was sent: with adapters of another class,
          or with retries of their own, it is always unknown.
        - **Transformer**: with `"auto"` the first response shows it. A mutation is sent only when it is known: before a
          first mutation a query (`tiers.list`) asks, and its failure, such as a wrong key, is that mutation's error.
          A service that changes it later is noticed.
        - **Log**: the logger `chatarmin_os` has a line per attempt at DEBUG and one per retry at INFO, without inputs.
        - **Compatibility**: tRPC 10 and 11.

    Example:
        >>> from chatarmin_os import ChatarminOS
        >>> transport = HTTPTransport("os_sk_...", base_url="https://os.example.com/api/v1", timeout=2)
        >>> with ChatarminOS(transport=transport) as client:
        ...     client
        <ChatarminOS on HTTPTransport>
    """

    __slots__ = (
        "_max_retries",
        "_timeout",
    )  # everything else is shared with the transports that `with_options` returns

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
        backoff: Callable[[int], float] | None = None,
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        given = None if auth is not None and api_key is None else secret(api_key)
        del api_key
        key = settings.api_key(given) if given else None
        self._base_url = settings.base_url(base_url, allow_http=allow_http)
        self.name = self._base_url
        self._timeout = options.timeout(timeout)
        self._max_retries = options.max_retries(max_retries)
        self._fingerprint = settings.fingerprint(key, self._base_url) if key and auth is None else None
        known_transformer = settings.transformer(transformer)
        other_paths = settings.paths(paths)
        own_session = settings.session(session, verify=verify, cert=cert)
        redactor = Redactor(settings.redactor(key))
        self._channel = Channel(
            self._base_url,
            authorize=settings.auth(auth, key),
            redactor=redactor,
            session=own_session,
            proxies=_proxies.proxies_for(self._base_url) if own_session is None else {},
            trust=_trust.trust_for(self._base_url, verify, cert) if own_session is None else _trust.Trust(),
        )
        self._sender = Sender(
            self._channel,
            Replies(self._channel.host, redactor),
            Limits(self._base_url, other_paths),
            other_paths,
            known_transformer,
            backoff=settings.function("backoff", backoff),
            sleep=settings.function("sleep", sleep),
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} to {getattr(self, '_base_url', None)}>"  # also before `__init__` has run

    def __reduce__(self) -> NoReturn:
        raise TypeError("a transport does not pickle: it has a key and connections; make one in each process")

    def fingerprint(self) -> str | None:
        """Return a digest of base URL and API key, from which the key cannot be read; None with an auth of your own."""
        return self._fingerprint

    def with_options(self, *, timeout: Number | None = None, max_retries: int | None = None) -> HTTPTransport:
        """Return this transport with another deadline or number of retries.

        The two share everything else: connections, the retry budget, and the transformer and sizes of the service.
        Closing either closes the connections of both, and both can still be used: the next call opens a new connection.

        Args:
            timeout: Seconds for a whole call; None keeps the value of this transport.
            max_retries: The maximum number of retries of a call; None keeps the value of this transport.

        Raises:
            InvalidInput: An invalid value; the argument is named.
        """
        return sharing(
            self,
            _timeout=self._timeout if timeout is None else options.timeout(timeout),
            _max_retries=self._max_retries if max_retries is None else options.max_retries(max_retries),
        )

    def _max_seconds(self) -> float | None:
        return self._timeout

    def send(self, call: Call) -> JSON:
        """Return the service's answer.

        Raises:
            ApiError: The service refused, or failed.
            TransportError: No valid response was received.
        """
        [answer] = self._sender.send_with_retries([call], Deadline(self._timeout), self._max_retries)
        if isinstance(answer, ChatarminError):
            raise answer
        return answer

    def send_many(self, calls: Sequence[Call]) -> list[JSON | ChatarminError]:
        """Return the answers in the order of *calls*, errors as values; all within one deadline.

        Queries and mutations go in separate requests, of at most 50 calls and 8,000 characters of URL.
        """
        return self._sender.send_with_retries(calls, Deadline(self._timeout), self._max_retries)

    def close(self) -> None:
        """Close all connections; a session of your own stays open."""
        self._channel.close()
