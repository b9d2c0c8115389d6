"""Ready-made redactors for recordings: they remove personal data, and keep equal values equal.

They replace each value by the beginning of its digest, so that a replay finds it. That is a pseudonym, not a secret:
anyone who guesses a value can check the guess. Use redactors for test accounts, and never record customers.

Values that the service treats as equal stay equal: addresses in capitals, domains written as URLs, names with another
legal form. Invalid values stay invalid, domains of free mail providers are kept, and a pseudonym is not redacted again.
The time that a redactor takes is proportional to the size of its input.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from hashlib import sha256
from urllib.parse import unquote

from chatarmin_os._json import JSON
from chatarmin_os._messages import without_query
from chatarmin_os.fake.rules import addresses
from chatarmin_os.fake.rules.names import normalised, slug
from chatarmin_os.fake.rules.urls import is_url

# The sign itself, its East Asian forms, and its escapes in URLs (also encoded twice), HTML and JSON.
_AT = re.compile(r"([@\uff20\ufe6b]|%(?:25)*40|&#0{0,9}64;|&#x0{0,9}40;|&commat;|\\u0040)", re.IGNORECASE)
_LOCAL = re.compile(r'[^\s@<>()\[\]\\,;"]*')  # both read from the end of a text
_QUOTED_LOCAL = re.compile(r'"[^"\r\n]{1,200}"')
_MAILTO = re.compile(r"mailto:", re.IGNORECASE)
_HOST = re.compile(
    r"\[[^\]\s]{1,200}\]"  # an IP address
    r"|(?:[a-z0-9._-]|[^\x00-\x7f\s\u2018-\u201e\u00ab\u00bb]|%(?:[89a-f][0-9a-f]|2[de]))*",
    re.IGNORECASE,
)
_DOTS = ".\u3002\uff0e\uff61"
_QUOTES = "'`\u2018\u2019\u201c\u201d\u201e\u00ab\u00bb"
_MAX_HOST = 2000  # characters

_BRACKETED = re.compile(r"(<[^<>\s](?:(?!@|%40)[^<>\s])*+(?:@|%40)[^<>\s]++>)")  # possessive: it never backtracks
_AROUND_NAMES = '"<>@,;:\r\n'
_QUOTED = re.compile(
    r"(?<!\w)([\"'`]).{1,200}?\1(?!\w)|\u201c[^\u201d]{1,200}\u201d|\u2018.{1,200}?\u2019(?!\w)"
    r"|\u201e[^\u201c]{1,200}\u201c|\u00ab[^\u00bb]{1,200}\u00bb|\u00bb[^\u00ab]{1,200}\u00ab",
    re.DOTALL,
)
_WORD_OF_A_PROGRAM = re.compile(r"[a-z0-9_$][\w.$:/@+-]*", re.ASCII)
_MAX_NAME = 500  # characters; the time to normalise grows with the square of combining marks in a row

_PSEUDONYM = re.compile(r"x[0-9a-f]{8}")
_MALFORMED_PSEUDONYM = re.compile(r"x[0-9a-f]{8}@x[0-9a-f]{8}")  # of an address with an invalid host
_EMAILS = frozenset({"email", "emails", "contactEmail"})
_DOMAINS = frozenset({"domain"})
_NAMES = frozenset(
    {"name", "firstName", "lastName", "companyName", "contactName", "customerName", "displayName", "label"}
)
_PICTURES = frozenset({"avatarUrl"})
_FREE_FORM = frozenset({"metadata"})
_MESSAGES = frozenset({"message", "stack", "detail"})


def personal_data(content: JSON) -> JSON:
    """Remove e-mail addresses, domains, names, pictures and metadata: everything that the other redactors here remove.

    Ids, roles and the settings of features are kept. A name that a refusal does not quote is removed from its
    message only if the recording has shown it: in this call, or in one before.

    Example:
        >>> personal_data({"email": "joan@acme.example", "name": "Joan Doe", "role": "owner"})
        {'email': 'x66bd53cd@x54667cc7.example', 'name': 'name x...', 'role': 'owner'}
    """
    return metadata(names(email_addresses(content)))


def email_addresses(content: JSON) -> JSON:
    """Replace every e-mail address in any text or key, and the domains of companies, by others of the same shape.

    That includes addresses in a URL, with an encoded sign (`%40`), and with an apostrophe.

    Example:
        >>> email_addresses(["Joan <joan@acme.example>", "JOAN@acme.example", "no address"])
        ['Joan <x66bd53cd@x54667cc7.example>', 'x66bd53cd@x54667cc7.example', 'no address']
    """
    return _map_texts(content, _without_addresses)


def names(content: JSON) -> JSON:
    """Replace names of companies, contacts and customers, their short ids, labels of links, and pictures.

    A refusal's message loses the names that it quotes, and the query that a database reports; any text loses the
    name in front of an `<address>`. The names of features and tiers stay: they have a code next to them, or belong to
    a subscription's tier.

    Example:
        >>> names({"companyName": "Acme Inc", "featureCode": "seats"})
        {'companyName': 'name x...', 'featureCode': 'seats'}
        >>> names({"message": "The company 'Acme Inc' has the feature 'seats'"})
        {'message': "The company 'name x...' has the feature 'seats'"}
    """
    if isinstance(content, str):
        return _without_display_names(content)
    if isinstance(content, list):
        return [names(item) for item in content]
    if not isinstance(content, dict):
        return content
    kept = {"tier", "name"} if "code" in content else {"tier"}
    renamed = {key: value if key in kept else _redact_names(key, value) for key, value in content.items()}
    if isinstance(short_id := content.get("shortId"), str) and short_id:
        renamed["shortId"] = _short_id(short_id, content.get("name"), renamed.get("name"))
    return renamed


def metadata(content: JSON) -> JSON:
    """Replace free-form metadata as a whole, unless it is empty.

    Example:
        >>> metadata({"metadata": {"phone": "123"}, "quantity": 5})
        {'metadata': {'redacted': 'x...'}, 'quantity': 5}
    """
    if isinstance(content, dict):
        return {
            key: _redact_metadata(value) if key in _FREE_FORM and value else metadata(value)
            for key, value in content.items()
        }
    return [metadata(item) for item in content] if isinstance(content, list) else content


def _without_addresses(key: str, text: str) -> str:
    if key in _DOMAINS:
        return _domain(text) if text.strip() else text
    address = addresses.email(text) if key in _EMAILS else None
    if address is not None:
        local, _, host = address.rpartition("@")
        return text.replace(address, _address(local, "@", host))
    if key in _EMAILS and text.strip():
        return text if _MALFORMED_PSEUDONYM.fullmatch(text.strip()) else _digest(text)  # stays invalid
    return _without_addresses_inside(text)


def _without_addresses_inside(text: str) -> str:
    """Replace the addresses in a text: around each sign for "at", all characters that an address may have.

    It may remove a bit more than the address, but never less.
    """
    first, *others = _AT.split(text)
    if not others:
        return text
    done: list[str] = []
    kept, local = _split_local(first)
    held = [local]  # one address may have several signs
    left = len(others) // 2
    for at, after in zip(others[::2], others[1::2], strict=True):
        left -= 1
        host = _beginning(_HOST, after).rstrip(_DOTS)
        if left and host == after:
            held += [at, after]
            continue
        local = "".join(held)
        if host and (local or "." in host):
            done += [kept, _address(local, at, host)]
            after = after[len(host) :]  # noqa: PLW2901 - the address is done
        else:
            done += [kept, local, at]
        kept, local = _split_local(after)
        held = [local]
    return "".join([*done, kept, *held])


def _split_local(text: str) -> tuple[str, str]:
    """Return the text before the local part of an address that ends with it, and the local part."""
    backwards = text[::-1]
    run = _beginning(_LOCAL, backwards)[::-1]
    if not run:
        local = _beginning(_QUOTED_LOCAL, backwards)
    elif "://" in run:
        local = run[max(map(run.rfind, "/?&=#")) + 1 :]
    else:
        local = _MAILTO.sub("", run).lstrip(_QUOTES)
    size = len(text) - len(local)
    return text[:size], text[size:]


def _beginning(pattern: re.Pattern[str], text: str) -> str:
    found = pattern.match(text)
    return found[0] if found else ""


def _address(local: str, at: str, host: str) -> str:
    local, domain = unquote(local).lower(), unquote(host).lower()
    known = _domain(domain)
    is_redacted = known == domain and (not local or _PSEUDONYM.fullmatch(local))
    return f"{local if is_redacted else _digest(f'{local}@{domain}')}{at}{known}"


def _domain(text: str) -> str:
    domain = addresses.domain(text) if len(text) <= _MAX_HOST else None
    if domain is None:
        return _digest(text.lower())  # stays invalid
    is_kept = domain in addresses.FREE_MAIL_DOMAINS or _PSEUDONYM.fullmatch(domain.removesuffix(".example"))
    return domain if is_kept else f"{_digest(domain)}.example"


def _redact_names(key: str, value: JSON) -> JSON:
    if isinstance(value, list):
        return [_redact_names(key, item) for item in value]
    if not isinstance(value, str) or not value.strip():
        return names(value)
    if key in _NAMES:
        return _name(value)
    if key in _PICTURES and not _PSEUDONYM.fullmatch(value.removeprefix("https://").removesuffix(".example")):
        return f"https://{_digest(value)}.example" if is_url(value) else _digest(value)  # stays invalid
    return _without_display_names(_message(value) if key in _MESSAGES else value)


def _name(name: str) -> str:
    if _PSEUDONYM.fullmatch(name.removeprefix("name ")):
        return name
    return f"name {_digest((len(name) <= _MAX_NAME and normalised(name)) or name)}"


def _message(text: str) -> str:
    """Return a refusal's message without the names that it quotes and without a query; zod's is a list as JSON."""
    try:
        issues = json.loads(text)
        redacted = names(issues)
    except (ValueError, RecursionError):
        issues = redacted = None
    if isinstance(issues, (list, dict)):
        return text if redacted == issues else json.dumps(redacted, ensure_ascii=False)
    return _QUOTED.sub(_without_quoted_name, without_query(text))


def _without_quoted_name(found: re.Match[str]) -> str:
    text = found[0]
    inner = text[1:-1]
    return text if _WORD_OF_A_PROGRAM.fullmatch(inner) else f"{text[0]}{_name(inner)}{text[-1]}"


def _without_display_names(text: str) -> str:
    if "<" not in text:
        return text
    *pairs, last = _BRACKETED.split(text)
    done: list[str] = []
    for before, address in zip(pairs[::2], pairs[1::2], strict=True):
        end = len(before.rstrip())
        is_quoted = before.endswith('"', 0, end)
        end -= is_quoted
        start = max(before.rfind(sign, 0, end) for sign in ('"' if is_quoted else _AROUND_NAMES)) + 1
        name = before[start:end].strip()
        done += [before[:start], before[start:end].replace(name, _name(name)) if name else before[start:end]]
        done += [before[end:], address]
    return "".join([*done, last])


def _short_id(short_id: str, name: JSON, renamed: JSON) -> str:
    """Return the short id of a name's replacement, with the number that distinguishes two of them."""
    if not isinstance(name, str) or not isinstance(renamed, str):
        return _digest(short_id)
    number = re.fullmatch(r"-\d+", short_id.removeprefix(slug(name[:_MAX_NAME])))
    return slug(renamed) + (number.group() if number else "")


def _redact_metadata(value: JSON) -> JSON:
    if not isinstance(value, dict):
        return _digest(value if isinstance(value, str) else json.dumps(value))  # stays invalid
    if value.keys() == {"redacted"} and isinstance(value["redacted"], str):
        return {"redacted": _digest(value["redacted"])}
    return {"redacted": _digest(json.dumps(value, sort_keys=True))}


def _digest(text: str) -> str:
    if _PSEUDONYM.fullmatch(text):
        return text
    return "x" + sha256(text.encode(errors="surrogatepass")).hexdigest()[:8]


def _map_texts(content: JSON, change: Callable[[str, str], str], key: str = "") -> JSON:
    """Return JSON with changed texts and keys; *change* gets the key of each text, "" for a key, and the text."""
    if isinstance(content, dict):
        return {change("", name): _map_texts(value, change, name) for name, value in content.items()}
    if isinstance(content, list):
        return [_map_texts(item, change, key) for item in content]
    return change(key, content) if isinstance(content, str) else content
