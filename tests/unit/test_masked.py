"""Headers whose representation hides their secret."""

from __future__ import annotations

import json
from copy import copy
from pprint import pformat

from requests.structures import CaseInsensitiveDict

from chatarmin_os._input import secret
from chatarmin_os.transports.http.masked import MASK, Masked, MaskedHeaders

SECRET = "Bearer os_sk_canary4f1c"  # noqa: S105 - of a test


def _headers() -> MaskedHeaders:
    return MaskedHeaders({"Accept": "application/json", "Authorization": secret(SECRET)})


def test_masked_text_is_the_text_and_its_repr_hides_it() -> None:
    """It compares, encodes and writes as other text; a formatter that cuts it short shows nothing either."""
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


def test_masked_headers_read_as_other_headers() -> None:
    """So do copies, comparisons and iteration."""
    headers = _headers()

    for one in (headers, headers.copy(), copy(headers)):
        assert one["authorization"] == one.get("AUTHORIZATION") == SECRET
        assert dict(one) == {"Accept": "application/json", "Authorization": SECRET}
        assert one == CaseInsensitiveDict({"accept": "application/json", "authorization": SECRET})
    headers["Authorization"] = "Basic eA=="
    assert headers["Authorization"] == "Basic eA=="
    assert "canary" not in repr(headers.copy())
    del headers["AUTHORIZATION"]
    assert list(headers) == ["Accept"]
    assert len(headers) == 1
    assert headers != {"Accept": "text/html"}


def test_representations_of_masked_headers_hide_the_secret() -> None:
    """So do their attributes, and a copy as a mapping."""
    headers = _headers()

    assert "canary" not in repr(headers) + repr(headers._items) + repr(dict(headers)) + pformat(list(headers.items()))


def test_masked_headers_split_into_visible_headers_and_secrets() -> None:
    """The mask takes the place of each secret."""
    shown, secrets = _headers().split()

    assert shown == {"Accept": "application/json", "Authorization": MASK}
    assert [secret() for secret in secrets] == [SECRET]
