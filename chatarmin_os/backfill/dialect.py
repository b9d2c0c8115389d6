"""The separator and the quotes of a table, detected from its first lines."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple

from chatarmin_os.backfill.columns import Mapped, fields_read
from chatarmin_os.backfill.row import REQUIRED
from chatarmin_os.errors import InvalidInput

SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "vertical bar"}


_ESCAPE = re.compile(r"\\(?:[\\abfnrtv0']|$)")


class Dialect(NamedTuple):
    """How a table is written.

    Example:
        >>> next(csv.reader(['org_1; "Acme; Inc"'], **Dialect(";").options()))
        ['org_1', 'Acme; Inc']
    """

    separator: str
    quote: str = '"'
    escape: str | None = None
    r"""The letter before a quote inside of quotes, a backslash; None if the quote is doubled."""

    def options(self) -> dict[str, Any]:
        """Return the arguments of `csv.reader`."""
        return {
            "delimiter": self.separator,
            "quotechar": self.quote,
            "escapechar": self.escape,
            "doublequote": self.escape is None,
            "skipinitialspace": True,
            "strict": True,
        }

    def fits(self, text: str) -> bool:
        r"""Return whether the quotes of a record with escapes are closed in front of a separator.

        `csv` checks that itself in dialects without escapes.

        Example:
            >>> dialect = Dialect(",", escape="\\")
            >>> dialect.fits('org_1,"say \\"hi\\""\r\n'), dialect.fits('org_1,"Acme"s\n')
            (True, False)
        """
        return _escaped_record(self.separator, self.quote).fullmatch(text) is not None

    def may_have_escapes(self, sample: Sequence[str]) -> bool:
        r"""Return whether a backslash may stand for another letter: PostgreSQL, MySQL and jq write such tables.

        They separate cells by tabs and have no quotes.

        Example:
            >>> Dialect("\t").may_have_escapes(["id\tname\n"]), Dialect("\t").may_have_escapes(['"id"\t"name"\n'])
            (True, False)
        """
        return self.separator == "\t" and not any(re.search(rf"(?:^|\t){self.quote}", line) for line in sample)

    def line(self, text: str) -> str:
        r"""Return a line for `csv`, which takes any letter behind a backslash for itself: PostgreSQL and MySQL do not.

        Example:
            >>> print(Dialect(",", escape="\\").line(r'"\"A\"",\N,C:\x'))
            "\"A\"",\\N,C:\\x
        """
        if self.escape is None or self.escape not in text:
            return text
        return _backslashes(self.separator, self.quote).sub(lambda found: found[1] or r"\\", text)


def has_escape(cell: str) -> bool:
    r"""Return whether a cell has a line break, a tab or a backslash as a table without quotes has it.

    Example:
        >>> [has_escape(cell) for cell in (r"Bolt\nLtd", r"A\\B", "A\\", r"A\B", r"\N")]
        [True, True, True, False, False]
    """
    return "\\" in cell and _ESCAPE.search(cell) is not None


@cache
def _backslashes(separator: str, quote: str) -> re.Pattern[str]:
    return re.compile(rf"(\\[\\\r\n{quote}{re.escape(separator)}])|\\")


@cache
def _escaped_record(separator: str, quote: str) -> re.Pattern[str]:
    separator = re.escape(separator)
    cell = rf" *+(?:{quote}(?:[^{quote}\\]|\\.)*+{quote}|(?!{quote})(?:[^\\\r\n{separator}]|\\.)*+)"
    return re.compile(rf"{cell}(?:{separator}{cell})*+[\r\n]*+", re.DOTALL)


def _possible_quotes(sample: Sequence[str]) -> Iterator[tuple[str, str | None]]:
    """Yield quotes and escapes, the most frequent first: it is chosen unless the other reads more rows.

    Apostrophes are quotes only if the header begins with one: names of customers begin with them too.
    """
    quote = "'" if "".join(sample).lstrip().startswith("'") else '"'
    yield quote, None
    if any(f"\\{quote}" in line for line in sample):
        yield quote, "\\"


def detect(sample: Sequence[str], mapping: Mapped, separators: Sequence[str] = tuple(SEPARATORS)) -> Dialect:
    r"""Return the dialect of a table: the one whose header has the required columns, and whose rows fit the header.

    Args:
        sample: The first lines, the header included.
        mapping: Columns -> fields.
        separators: The separators to choose from.

    Raises:
        InvalidInput: Two separators are possible.

    Example:
        >>> detect(["external_org_id;name, legal;name\n", "org_1;Acme, Inc;Acme\n"], {})
        Dialect(separator=';', quote='"', escape=None)
        >>> detect(["id;company,since\n"], {})
        Traceback (most recent call last):
        ...
        chatarmin_os.errors.InvalidInput: the header has two possible separators, comma and semicolon; use one of ...
    """
    dialects = [Dialect(separator, *quotes) for quotes in _possible_quotes(sample) for separator in separators]
    headers = {dialect: next(_records(sample, dialect), []) for dialect in dialects}
    usable = [dialect for dialect in dialects if _is_complete(headers[dialect], mapping)]
    if not usable:  # the error about missing columns shows the columns of the most likely separator
        widest = max(map(len, headers.values()))
        usable = [dialect for dialect in dialects if len(headers[dialect]) == widest > 1] or dialects[:1]
    possible = sorted({SEPARATORS[dialect.separator] for dialect in usable})
    if len(possible) > 1:
        raise InvalidInput(
            f"the header has two possible separators, {' and '.join(possible)}", "use one of them, and quote the others"
        )
    return max(usable, key=lambda dialect: _fitting_rows(sample, dialect))


def is_header(start: str, mapping: Mapped) -> bool:
    r"""Return whether a text begins with a header that has the required columns.

    Example:
        >>> is_header("external_org_id,name,error\norg_1,Acme,x\n", {}), is_header("5\n", {})
        (True, False)
    """
    sample = start.splitlines(keepends=True)
    return any(_is_complete(next(_records(sample, Dialect(separator)), []), mapping) for separator in SEPARATORS)


def _is_complete(header: Sequence[str], mapping: Mapped) -> bool:
    return fields_read([name.strip() for name in header], mapping).keys() >= {*REQUIRED}


def _fitting_rows(sample: Sequence[str], dialect: Dialect) -> int:
    """Return the number of rows with as many cells as the header."""
    records = _records(sample, dialect)
    width = len(next(records, []))
    return sum(len(cells) == width for cells in records)


def _records(lines: Sequence[str], dialect: Dialect) -> Iterator[list[str]]:
    """Yield the records that can be read and are not blank."""
    reader = csv.reader(map(dialect.line, lines), **dialect.options())
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            continue
        if not is_blank(cells):
            yield cells


def is_blank(cells: Sequence[str]) -> bool:
    """Return whether all cells are blank: spreadsheets write such rows below a table.

    Example:
        >>> is_blank(["", " "]), is_blank(["", "0"])
        (True, False)
    """
    return not "".join(cells).strip()
