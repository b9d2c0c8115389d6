"""Headers that hide a secret from whoever only looks at them."""

from __future__ import annotations

import json
from copy import copy
from pprint import pformat

from requests.structures import CaseInsensitiveDict

from chatarmin_os._input import secret
from chatarmin_os.transports.http.masked import MASK, Masked, MaskedHeaders

SECRET = "Bearer os_sk_canary4f1c"  # noqa: S105 - of a test


def _headers() -> MaskedHeaders:
    return MaskedHeaders({"Accept": "application/json"}, Authorization=secret(SECRET))


def test_a_masked_text_is_the_text_itself_and_shows_it_in_no_repr() -> None:
    """It is compared, encoded and written as any text; a formatter that cuts it short shows nothing either."""
    masked = Masked(SECRET)

    assert masked == SECRET
    assert (masked.encode(), f"{masked}", str(masked), json.dumps(masked)) == (
        SECRET.encode(),
        SECRET,
        SECRET,
        f'"{SECRET}"',
    )
    assert type(str(masked)) is str
    assert {repr(masked), repr(masked[:20]), repr(masked[3]), pformat([masked])[1:-1]} == {repr(MASK)}
    assert masked[7:] == SECRET[7:]


def test_masked_headers_are_read_as_any() -> None:
    """Also by a copy, in a comparison, and by what goes through all of them."""
    headers = _headers()

    for one in (headers, headers.copy(), copy(headers)):
        assert one["authorization"] == one.get("AUTHORIZATION") == SECRET
        assert dict(one) == {"Accept": "application/json", "Authorization": SECRET}
        assert one == CaseInsensitiveDict({"accept": "application/json", "authorization": SECRET})
    headers["Authorization"] = "Basic eA=="
    assert headers["Authorization"] == "Basic eA=="
    assert "canary" not in repr(headers.copy())


def test_nothing_that_looks_at_masked_headers_finds_the_secret() -> None:
    """Neither `repr`, nor what goes through attributes, nor a copy of them as a mapping."""
    headers = _headers()

    assert "canary" not in repr(headers) + repr(vars(headers)) + repr(dict(headers)) + pformat(list(headers.items()))


def test_masked_headers_are_parted_into_what_may_be_seen_and_the_secrets() -> None:
    """The mask stands where a secret belongs."""
    shown, secrets = _headers().parted()

    assert shown == {"Accept": "application/json", "Authorization": MASK}
    assert [secret() for secret in secrets] == [SECRET]
