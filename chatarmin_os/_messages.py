"""Foreign text in messages: on one line, of limited length, without the data of a database or e-mail addresses."""

from __future__ import annotations

import re
from collections.abc import Iterable

MAX_TEXT_LENGTH = 700
"""Characters of a foreign text that a message shows."""


def printable(text: str, max_length: int = MAX_TEXT_LENGTH) -> str:
    r"""Return *text* on one line, without control characters and cut to *max_length* characters.

    Example:
        >>> printable("not\nfound"), printable("x" * 100, 10)
        ('not found', 'xxxxxxx...')
    """
    cut = text if len(text) <= max_length else f"{text[: max_length - 3]}..."
    return cut if cut.isprintable() else "".join(letter if letter.isprintable() else " " for letter in cut)


_KEY = re.compile(r"""os_sk_\w(?:[^\s'"]*[^\s'":;,)])?""")


def redact_keys(text: str) -> str:
    """Return a text without API keys, such as one that was typed instead of the name of its file.

    Example:
        >>> redact_keys("--api-key-file os_sk_live_1: No such file or directory")
        '--api-key-file [key]: No such file or directory'
    """
    return _KEY.sub("[key]", text)


_MAX_COMPARED_LETTERS = 100


def closest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that is most like *word*, whatever its case; None if none is similar.

    Example:
        >>> closest("Pro", ["free", "pro"]), closest("x", ["free", "pro"])
        ('pro', None)
    """
    from difflib import get_close_matches  # late: only mistakes need it

    by_lower = {one.lower(): one for one in known}
    close = get_close_matches(word[:_MAX_COMPARED_LETTERS].strip().lower(), by_lower, n=1)
    return by_lower[close[0]] if close else None


_LETTER = r"[^\s@'\"(){}\[\]<>,;:=]"
_LOCAL_PART = re.compile(
    # A first letter, at the beginning of a word; the rest of the word, which may have quotes between letters.
    rf"(?<!{_LETTER})(?<!{_LETTER}')({_LETTER})(?:{_LETTER}|(?<={_LETTER})'(?={_LETTER}))*+@"
)


def shorten_addresses(text: str) -> str:
    """Return *text* with the local part of each e-mail address cut to its first letter.

    Example:
        >>> shorten_addresses("invited by ann.smith@acme.com")
        'invited by a...@acme.com'
    """
    return _LOCAL_PART.sub(r"\1...@", text)


# In the pattern `~` is white space, `@` where a statement or a line begins; both may be escaped, as they are in JSON.
_QUERY = r"""
    (?:(?<![a-z])|(?<=\\n)|(?=[^a-z\ ]))                # where a word begins, or at punctuation: faster
    (?:
      failed\ query:                                    # Drizzle: the query, with its parameters on the next line
    | invalid\ `[^`\n]{1,200}`\ invocation              # Prisma: the arguments of the call, with their values
    | (?:@|\[)(?:params|parameters|bindings):           # also SQLAlchemy
    | [\[(]sql:                                         # SQLAlchemy, Laravel
    | (?:insert|merge|replace)~into(?=~[\w."`[\]\\]{1,200}(?:\s?\(|~(?:values|select|default|using|as)\b))
    | delete~from(?=~(?:[\\"`[]|[\w.]{1,200}~(?:where|using|returning)\b))
    | @update(?=~[\w."`[\]\\]{1,200}~set\b)
    | @select(?=~(?:distinct~)?(?:[\\"`*['(]|\w{1,100}\(|[\w.,\s]{1,500}~from~[\w."`[\]\\]{1,200}
        ~(?:where|join|inner|left|cross|order|group|having|limit|offset|for|union|as)\b))
    | @with(?=~(?:recursive~)?[\w"`\\]{1,200}~as~\()
    | \)=(?=\()                                         # PostgreSQL in any language: Key (email)=(...)
    | failing\ row\ contains | @detail: | json\ data,\ line\ [0-9]{1,9}:
    | invalid\ (?:input|byte|text|value|data|json|escape|encoding|regular|datetime|type|name|reference)\b
        [^:\n]{0,100}:(?=~\\?")
    | (?:invalid\ value|malformed\ \w{1,50}\ literal:|out\ of\ range:|at\ or\ near)(?=~\\?")
    | @value(?=~\\?")
    | (?:duplicate\ entry|(?:incorrect|truncated)\ [\w\ ]{1,100}\ value:|syntax\ to\ use\ near)(?=\ ')  # MySQL
    | duplicate\ key\ value\ is(?=\ \()                 # SQL Server
    | dup\ key:(?=\ \{)                                 # MongoDB
    )
    """.replace("@", r"(?:\A|(?:[\n:`\x22]|\\n)\s{0,20})").replace("~", r"(?:\s|\\[nt]){1,50}")
"""The words after which a message of a database, or of its library, shows a query or values of a row."""


def without_query(text: str) -> str:
    r"""Return *text* up to where a database error shows a query, its parameters, or the values of a row.

    tRPC sends the message of an unexpected error to its clients, and database libraries write the failed statement
    into it. The forms are those of Drizzle, Prisma, Knex, SQLAlchemy, PostgreSQL, MySQL, SQL Server and MongoDB.

    Example:
        >>> without_query("Failed query: select * from contacts where email = $1\nparams: ann@acme.com")
        'Failed query: ...'
        >>> without_query("Key (email)=(ann@acme.com) already exists.")
        'Key (email)= ...'
        >>> without_query("The tier has no price")
        'The tier has no price'
    """
    match = re.search(_QUERY, text, re.IGNORECASE | re.VERBOSE)  # compiled at its first use: importing must be fast
    return f"{text[: match.end()]} ..." if match else text
