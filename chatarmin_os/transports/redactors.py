"""Ready-made redactors for recordings: they take personal data out, and keep equal values equal.

What is taken out is replaced by the beginning of its digest, so that a replay finds it. That is a pseudonym, no secret:
who guesses a value can check the guess. It will do for test accounts; customers are better not recorded at all.

What the service takes to be equal stays equal: addresses in capitals, domains written as URLs, names with another
legal form. What it would refuse stays malformed, domains of free mail providers stay as they are, and what was redacted
is not redacted again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from hashlib import sha256

from chatarmin_os._json import JSON
from chatarmin_os.fake.rules import addresses
from chatarmin_os.fake.rules.names import normalised, slug
from chatarmin_os.fake.rules.urls import is_url

_ADDRESS = re.compile(r"[^\s@<>\"'(),:;\[\]\\]+@[^\s@<>\"'(),:;\[\]\\]+")
_PSEUDONYM = re.compile(r"x[0-9a-f]{8}")
_EMAILS = frozenset({"email", "emails", "contactEmail"})
_DOMAINS = frozenset({"domain"})
_NAMES = frozenset(
    {"name", "firstName", "lastName", "companyName", "contactName", "customerName", "displayName", "label"}
)
_PICTURES = frozenset({"avatarUrl"})
_FREE_FORM = frozenset({"metadata"})


def personal_data(content: JSON) -> JSON:
    """Take out e-mail addresses, domains, names, pictures and metadata: all that the others here take out.

    Ids, roles and the settings of features stay as they are.

    Example:
        >>> personal_data({"email": "joan@acme.example", "name": "Joan Doe", "role": "owner"})
        {'email': 'x66bd53cd@x54667cc7.example', 'name': 'name x...', 'role': 'owner'}
    """
    return metadata(names(email_addresses(content)))


def email_addresses(content: JSON) -> JSON:
    """Replace every e-mail address in any text, and the domains of companies, by others of the same shape.

    Example:
        >>> email_addresses(["Joan <joan@acme.example>", "JOAN@acme.example", "no address"])
        ['Joan <x66bd53cd@x54667cc7.example>', 'x66bd53cd@x54667cc7.example', 'no address']
    """
    return _changed(content, _without_addresses)


def names(content: JSON) -> JSON:
    """Replace names of companies, contacts and customers, the short ids made of them, labels of links, and pictures.

    The names of features and tiers stay: they have a code beside them, or are those of a subscription's tier.

    Example:
        >>> names({"companyName": "Acme Inc", "featureCode": "seats"})
        {'companyName': 'name x...', 'featureCode': 'seats'}
    """
    if isinstance(content, list):
        return [names(item) for item in content]
    if not isinstance(content, dict):
        return content
    kept = {"tier", "name"} if "code" in content else {"tier"}
    renamed = {key: value if key in kept else _renamed(key, value) for key, value in content.items()}
    if isinstance(short_id := content.get("shortId"), str) and short_id:
        renamed["shortId"] = _short_id(short_id, content.get("name"), renamed.get("name"))
    return renamed


def metadata(content: JSON) -> JSON:
    """Replace free-form metadata as a whole, where there is any.

    Example:
        >>> metadata({"metadata": {"phone": "123"}, "quantity": 5})
        {'metadata': {'redacted': 'x...'}, 'quantity': 5}
    """
    if isinstance(content, dict):
        return {
            key: _without_settings(value) if key in _FREE_FORM and value else metadata(value)
            for key, value in content.items()
        }
    return [metadata(item) for item in content] if isinstance(content, list) else content


def _without_addresses(key: str, text: str) -> str:
    if key in _DOMAINS:
        return _domain(text) if text.strip() else text
    if key in _EMAILS and text.strip() and addresses.email(text) is None:
        return _digest(text)  # is none either
    return _ADDRESS.sub(lambda found: _address(found.group()), text)


def _address(address: str) -> str:
    local, _, domain = address.lower().rpartition("@")
    if _PSEUDONYM.fullmatch(local) and domain == _domain(domain):
        return address
    return f"{_digest(f'{local}@{domain}')}@{_domain(domain)}"


def _domain(text: str) -> str:
    domain = addresses.domain(text)
    if domain is None:
        return _digest(text.lower())  # is none either
    is_kept = domain in addresses.FREE_MAIL_DOMAINS or _PSEUDONYM.fullmatch(domain.removesuffix(".example"))
    return domain if is_kept else f"{_digest(domain)}.example"


def _renamed(key: str, value: JSON) -> JSON:
    if isinstance(value, list):
        return [_renamed(key, item) for item in value]
    if not isinstance(value, str) or not value.strip():
        return names(value)
    if key in _NAMES and not _PSEUDONYM.fullmatch(value.removeprefix("name ")):
        return f"name {_digest(normalised(value) or value)}"
    if key in _PICTURES and not _PSEUDONYM.fullmatch(value.removeprefix("https://").removesuffix(".example")):
        return f"https://{_digest(value)}.example" if is_url(value) else _digest(value)  # is none either
    return value


def _short_id(short_id: str, name: JSON, renamed: JSON) -> str:
    """Return the short id of what a name was replaced by, with the number that told two of them apart."""
    if not isinstance(name, str) or not isinstance(renamed, str):
        return _digest(short_id)
    number = re.fullmatch(r"-\d+", short_id.removeprefix(slug(name)))
    return slug(renamed) + (number.group() if number else "")


def _without_settings(value: JSON) -> JSON:
    if not isinstance(value, dict):
        return _digest(value if isinstance(value, str) else json.dumps(value))  # no settings either
    if value.keys() == {"redacted"} and isinstance(value["redacted"], str):
        return {"redacted": _digest(value["redacted"])}
    return {"redacted": _digest(json.dumps(value, sort_keys=True))}


def _digest(text: str) -> str:
    if _PSEUDONYM.fullmatch(text):
        return text
    return "x" + sha256(text.encode(errors="surrogatepass")).hexdigest()[:8]


def _changed(content: JSON, change: Callable[[str, str], str], key: str = "") -> JSON:
    """Return JSON whose texts are changed; *change* is told the key at which each stands."""
    if isinstance(content, dict):
        return {name: _changed(value, change, name) for name, value in content.items()}
    if isinstance(content, list):
        return [_changed(item, change, key) for item in content]
    return change(key, content) if isinstance(content, str) else content
