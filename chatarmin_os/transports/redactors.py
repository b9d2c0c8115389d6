"""Ready-made redactors for recordings: they take personal data out, and keep equal values equal.

What is taken out is replaced by the beginning of its digest, so that a replay finds it. That is a pseudonym, no secret:
who guesses a value can check the guess. It will do for test accounts; customers are better not recorded at all.
"""

from __future__ import annotations

import json
import re
from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from chatarmin_os._json import JSON

_ADDRESS = re.compile(r"[^\s@<>\"'(),:;\[\]\\]+@[^\s@<>\"'(),:;\[\]\\]+")
_DOMAIN_NAMES = frozenset({"domain"})
_NAMES = frozenset({"name", "companyName", "contactName", "customerName", "displayName"})
_FREE_FORM = frozenset({"metadata"})


def personal_data(content: JSON) -> JSON:
    """Take out addresses, domains, names and metadata: all that the others here take out.

    Example:
        >>> personal_data({"email": "joan@acme.example", "name": "Joan Doe", "role": "owner"})
        {'email': 'x66bd53cd@x54667cc7.example', 'name': 'name x21b6e9c0', 'role': 'owner'}
    """
    return metadata(names(email_addresses(content)))


def email_addresses(content: JSON) -> JSON:
    """Replace every e-mail address in any text, and the domains of companies, by others of the same shape.

    Example:
        >>> email_addresses(["Joan <joan@acme.example>", "joan@acme.example", "no address"])
        ['Joan <x66bd53cd@x54667cc7.example>', 'x66bd53cd@x54667cc7.example', 'no address']
    """
    return _changed(content, _without_addresses)


def names(content: JSON) -> JSON:
    """Replace the names of companies, contacts and customers; also those of features and tiers, which look the same.

    Example:
        >>> names({"companyName": "Acme Inc", "featureCode": "seats"})
        {'companyName': 'name x...', 'featureCode': 'seats'}
    """
    return _changed(content, lambda key, value: f"name {_digest(value)}" if key in _NAMES and value else value)


def metadata(content: JSON) -> JSON:
    """Replace free-form metadata as a whole, where there is any.

    Example:
        >>> metadata({"metadata": {"phone": "123"}, "quantity": 5})
        {'metadata': {'redacted': 'x...'}, 'quantity': 5}
    """
    if isinstance(content, dict):
        return {
            key: {"redacted": _digest(_text(value))} if key in _FREE_FORM and value else metadata(value)
            for key, value in content.items()
        }
    return [metadata(item) for item in content] if isinstance(content, list) else content


def _without_addresses(key: str, text: str) -> str:
    if key in _DOMAIN_NAMES:
        return f"{_digest(text.lower())}.example" if text else text
    return _ADDRESS.sub(lambda found: _pseudonym(found.group()), text)


def _pseudonym(address: str) -> str:
    local, _, domain = address.lower().rpartition("@")  # an address is the same in capitals
    return f"{_digest(f'{local}@{domain}')}@{_digest(domain)}.example"


def _text(value: JSON) -> str:
    return json.dumps(value, sort_keys=True)


def _digest(text: str) -> str:
    return "x" + sha256(text.encode(errors="surrogatepass")).hexdigest()[:8]


def _changed(content: JSON, change: Callable[[str, str], str], key: str = "") -> JSON:
    """Return JSON whose texts are changed; *change* is told the key at which each stands."""
    if isinstance(content, dict):
        return {name: _changed(value, change, name) for name, value in content.items()}
    if isinstance(content, list):
        return [_changed(item, change, key) for item in content]
    return change(key, content) if isinstance(content, str) else content
