"""Names are equal if only case, accents, punctuation and legal form differ; else their trigrams are compared."""

from __future__ import annotations

import re
import unicodedata

LEGAL_FORMS = frozenset(
    [
        "inc",
        "incorporated",
        "corp",
        "corporation",
        "co",
        "company",
        "llc",
        "ltd",
        "limited",
        "plc",
        "gmbh",
        "mbh",
        "ag",
        "kg",
        "ohg",
        "ug",
        "se",
        "eu",
        "sa",
        "sas",
        "sarl",
        "srl",
        "spa",
        "bv",
        "nv",
        "ab",
        "as",
        "oy",
        "aps",
        "kft",
        "doo",
        "sro",
        "pty",
    ]
)

_DROPPED = dict.fromkeys(map(ord, ".'\u2019\u2018\u02bc`\u00b4"))  # dots and every kind of apostrophe
_MAX_SLUG_LENGTH = 50
MAX_TRIGRAMS = 500
"""Names with more trigrams are compared for equality only: similarity would cost the product of their lengths."""

_MAX_MARKS = 30  # in a row, as in Unicode's Stream-Safe Text Format: sorting them costs the square of their number
_JOINER = "\u034f"  # ends such a row, and is dropped with the accents
# The accents of Latin, Greek and Cyrillic. In other scripts such a mark is a vowel: without it the name is another.
_ACCENTS = re.compile("[\u0300-\u036f]")
_OTHER = re.compile(r"[\W_]")  # than letters and digits
_NOT_IN_SLUG = re.compile(r"[^a-z0-9]+")


def normalised(name: str) -> str:
    """Return *name* in the form that is compared: words of letters and digits, without legal forms at the end.

    Example:
        >>> normalised("Café Müller GmbH & Co. KG")
        'cafe muller'
        >>> normalised("O'Neill-Systems, Inc."), normalised("Company"), normalised("Co. KG")
        ('oneill systems', 'company', 'co')
        >>> normalised("!!!"), normalised("ガス") == normalised("カス")
        ('', False)
    """
    plain = _drop_accents(_decompose(name.translate(_DROPPED)).casefold()).translate(_DROPPED)
    words = _OTHER.sub(_marks_only, plain).split()
    while len(words) > 1 and words[-1] in LEGAL_FORMS:
        words.pop()
    return " ".join(words)


def _drop_accents(text: str) -> str:
    return _ACCENTS.sub("", _decompose(text))


def _decompose(text: str) -> str:
    r"""Return *text* in NFKD, in time proportional to its length.

    Example:
        >>> len(_decompose("a" + "\u0323\u0301" * 40))
        83
    """
    if text.isascii():
        return text
    pieces, marks = [], 0
    # Letter by letter first, because some letters that are not marks decompose into several.
    for letter in "".join(unicodedata.normalize("NFKD", letter) for letter in text):
        marks = marks + 1 if unicodedata.combining(letter) else 0
        if marks > _MAX_MARKS:
            pieces.append(_JOINER)
            marks = 1
        pieces.append(letter)
    return unicodedata.normalize("NFKD", "".join(pieces))


def _marks_only(other: re.Match[str]) -> str:
    """Return a mark that is no accent unchanged, and a space for anything else that is neither letter nor digit."""
    return other[0] if unicodedata.category(other[0]).startswith("M") else " "


def trigrams(name: str) -> frozenset[str]:
    """Return the trigrams of a normalised name, each word padded with two spaces before and one after.

    Example:
        >>> sorted(trigrams("ab"))
        ['  a', ' ab', 'ab ']
    """
    padded = [f"  {word} " for word in name.split()]
    return frozenset(word[start : start + 3] for word in padded for start in range(len(word) - 2))


def name_confidence(shared: int, total: int) -> int:
    """Return the confidence of two different names in percent: 80 times shared / all trigrams, at most 79.

    Example:
        >>> name_confidence(3, 4), name_confidence(4, 4)
        (60, 79)
    """
    return min(80 * shared // total, 79)


def slug(name: str) -> str:
    """Return the short id of *name*: ASCII letters and digits, one `-` for anything else, at most 50 characters.

    Example:
        >>> slug("Acme Inc."), slug("Café  Müller & Co"), slug("日本")
        ('acme-inc', 'cafe-muller-co', 'company')
    """
    plain = _drop_accents(name).lower()
    return _NOT_IN_SLUG.sub("-", plain).strip("-")[:_MAX_SLUG_LENGTH].strip("-") or "company"
