"""Any file ends in rows or `InvalidInput`, tables of any dialect read back equal, and time is linear."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import time
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest
from customer_files import HEADER, line_of, read, read_text, write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chatarmin_os import InvalidInput
from chatarmin_os.backfill import Row, read_rows
from chatarmin_os.backfill.failed import lines_of_failures
from chatarmin_os.backfill.problems import FileProblem
from chatarmin_os.backfill.row import origin_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FUZZ = settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
MANY = settings(FUZZ, max_examples=1_000)

NAMES = ("a.csv", "a.tsv", "a.json", "a.jsonl", "a")
STARTS = (b"", b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\x1f\x8b\x08\x00", b"BZh9", b"\xfd7zXZ\x00", b"sep=;\n")
TABLE = b'external_org_id,name,created_at,contacts\norg_1,"A ""b"", c",2024-01-15T12:30:00Z,ann@a.example\norg_2,B,,\n'
LINES = b'{"external_org_id": "1", "name": "A"}\n{"external_org_id": "2", "name": "B", "contacts": ["ann@a.example"]}\n'
ARRAY = b"[" + LINES.strip().replace(b"\n", b",\n") + b"]\n"
PARTS = (
    b'"',
    b"'",
    b"\\",
    b",",
    b";",
    b"\t",
    b"\n",
    b"\r",
    b"\0",
    b"{",
    b"[",
    b"]",
    b"}",
    b":",
    b"\xff",
    b"\xc3",
    b"9" * 5_000,
)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Return a file with parts removed, inserted or repeated."""
    content = draw(st.sampled_from([TABLE, LINES, ARRAY, HEADER.encode(), TABLE.decode().encode("utf-16")]))
    for _ in range(draw(st.integers(0, 4))):
        start, end = sorted(draw(st.tuples(*[st.integers(0, len(content))] * 2)))
        part = draw(st.sampled_from(PARTS))
        content = draw(
            st.sampled_from(
                [
                    content[:start] + content[end:],
                    content[:start] + part + content[start:],
                    content[:end] + content[start:],
                    content[:start],
                ]
            )
        )
    return draw(st.sampled_from([content, content, gzip.compress(content), gzip.compress(content)[:-5]]))


FILES = st.one_of(
    st.builds(bytes.__add__, st.sampled_from(STARTS), st.binary(max_size=200)),
    st.text("\"'\\,;\t|\n\r {}[]:1ae\u2028é", max_size=100).map(lambda text: (HEADER + text).encode()),
    damaged(),
)


def _check_any_file(folder: Path, content: bytes, name: str) -> None:
    path = write(folder, content, name)
    count = len(re.findall(rb"\r\n?|\n", content)) + 1
    for one in read(path):
        if isinstance(one, Row):
            origin = origin_of(one)
            assert origin is not None
            json.dumps(origin)
            assert content[:2] == b"\x1f\x8b" or 1 <= origin.line <= count
        else:
            assert str(one).startswith(f"{path}")
            assert str(one).isprintable()
            json.dumps(one.args)


@FUZZ
@given(content=FILES, name=st.sampled_from(NAMES))
def test_any_file_ends_in_rows_or_invalid_input(tmp_path: Path, content: bytes, name: str) -> None:
    """No other exception, and no endless iterator."""
    _check_any_file(tmp_path, content, name)


@pytest.mark.slow
@MANY
@given(content=FILES, name=st.sampled_from(NAMES))
def test_any_of_many_files_ends_in_rows_or_invalid_input(tmp_path: Path, content: bytes, name: str) -> None:
    """As above, longer."""
    _check_any_file(tmp_path, content, name)


WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12)
# The end makes no name a placeholder, and the start no name a formula.
CELLS = WORDS.map(lambda text: f"{text} A".strip()).filter(lambda text: not text.startswith('="'))


def _csv(rows: list[list[str]], **dialect: Any) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, **dialect).writerows([["external_org_id", "name", "note"], *rows])
    return text.getvalue()


@FUZZ
@given(
    names=st.lists(CELLS, min_size=1, max_size=6),
    notes=WORDS,
    separator=st.sampled_from(",;\t|"),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    line_end=st.sampled_from(["\n", "\r\n", "\r"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]),
)
def test_table_of_any_dialect_reads_back_equal(  # noqa: PLR0917 - given by name
    tmp_path: Path, names: list[str], notes: str, separator: str, quoting: Any, line_end: str, encoding: str
) -> None:
    """Separator, quoting, line ends and encoding are detected; each line is the physical one."""
    rows = [[f"org_{number}", name, notes] for number, name in enumerate(names)]
    # Older versions of Python leave a carriage return unquoted if it does not end lines.
    rows = [[re.sub("[\r\n]+", line_end, cell) for cell in row] for row in rows]
    if separator == "\t":  # without quotes, a backslash is refused: it may be an escape
        rows = [[cell.replace("\\", "/") for cell in row] for row in rows]
    text = _csv(rows, delimiter=separator, quoting=quoting, lineterminator=line_end)

    found = read_text(tmp_path, text.encode(encoding))

    assert found == [Row(row[0], row[1]) for row in rows]
    parts = [
        _csv(rows[:count], delimiter=separator, quoting=quoting, lineterminator=line_end) for count in range(len(rows))
    ]
    expected = [len(re.findall("\r\n|\r|\n", part)) + 1 for part in parts]
    assert [line_of(row) for row in found] == expected


@pytest.mark.parametrize("quote", ['"', "'"], ids=["quotes", "apostrophes"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"], ids=["comma", "semicolon", "tab", "bar"])
def test_table_with_other_quotes_reads_back_equal(tmp_path: Path, separator: str, quote: str) -> None:
    """Apostrophes around all cells, and backslashes in front of quotes."""
    rows = [["org_1", f"A {quote}b{quote}{separator} c\nd", "x"], ["org_2", r"a\b", "y"]]
    doubled = _csv(rows, delimiter=separator, quotechar=quote, quoting=csv.QUOTE_ALL)
    escaped = _csv(
        rows, delimiter=separator, quotechar=quote, escapechar="\\", doublequote=False, quoting=csv.QUOTE_ALL
    )

    assert read_text(tmp_path, doubled) == [Row(*row[:2]) for row in rows]
    assert read_text(tmp_path, escaped) == [Row(*row[:2]) for row in rows]


@FUZZ
@given(names=st.lists(CELLS, min_size=1, max_size=6), indent=st.sampled_from([None, 0, 2]), is_ascii=st.booleans())
def test_json_reads_back_equal(tmp_path: Path, names: list[str], indent: int | None, is_ascii: bool) -> None:  # noqa: FBT001 - given
    """An array, objects one after the other, and JSON Lines."""
    rows = [{"external_org_id": f"org_{number}", "name": name} for number, name in enumerate(names)]
    array = json.dumps(rows, indent=indent, ensure_ascii=is_ascii)
    objects = "\n".join(json.dumps(row, indent=indent, ensure_ascii=is_ascii) for row in rows)
    expected = [Row(**row) for row in rows]

    assert read_text(tmp_path, array, name="customers.json") == expected
    assert read_text(tmp_path, objects, name="customers.json") == expected
    lines = "\n".join(json.dumps(row, ensure_ascii=is_ascii) for row in rows)
    assert read_text(tmp_path, lines, name="customers.jsonl") == expected


@FUZZ
@given(
    names=st.lists(CELLS, min_size=1, max_size=6),
    notes=WORDS,
    column=st.sampled_from(["note", "error", "a,b"]),
    cuts=st.lists(st.integers(1, 5), min_size=6, max_size=6),
)
def test_failed_rows_read_back_equal(
    tmp_path: Path, names: list[str], notes: str, column: str, cuts: list[int]
) -> None:
    """Twice: rows that were read are equal, and rows with too few or too many cells are refused again."""
    # A backslash in front of a quote may be an escape, so such rows may be refused.
    cells = [[f"org_{place}", name, notes, "x", "y"] for place, name in enumerate(names)]
    rows = [[cell.replace("\\", "/") for cell in row[:cut]] for row, cut in zip(cells, cuts, strict=False)]
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerows([["external_org_id", "name", column], *rows])
    found = read_text(tmp_path, text.getvalue())

    again = found
    for _ in range(2):
        sources = [one.source if isinstance(one, FileProblem) else _source(one) for one in again]
        again = read_text(tmp_path, b"".join(lines_of_failures((source, 'TIER: "x", y') for source in sources)))
        assert [one if isinstance(one, Row) else None for one in again] == [
            one if isinstance(one, Row) else None for one in found
        ]


def _source(one: Row | InvalidInput) -> Any:
    origin = origin_of(one) if isinstance(one, Row) else None
    assert origin is not None
    return origin.source


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"], ids=["lf", "crlf", "cr"])
def test_lines_are_those_of_the_file(tmp_path: Path, line_end: str) -> None:
    """Blank lines and line breaks inside of quotes count, also in a byte order mark's file."""
    text = '\nexternal_org_id,name\n\norg_1,"A\nB\n"\nTotal,\n\norg_2,C\norg_3,"D\n"E\norg_4,F\n'
    found = read_text(tmp_path, text.replace("\n", line_end).encode("utf-8-sig"))

    assert [line_of(one) for one in found] == [
        4,
        7,
        9,
        10,
        11,
        12,
    ]


def test_lines_of_json_are_those_of_the_file(tmp_path: Path) -> None:
    """An object is at the line of its brace."""
    text = '\n[{"external_org_id": "1",\n"name": "A"}\n\n, {"external_org_id": "2", "name": "B"},\n5,\n{"a\n'
    found = read_text(tmp_path, text.replace("\n", "\r\n"), name="customers.json")

    assert [line_of(one) for one in found] == [2, 5, 6, 7]


def _lines(part: str) -> Callable[[int], str]:
    return lambda count: HEADER + part * count


SLOW_FILES: dict[str, tuple[str, Callable[[int], str]]] = {
    "rows": ("a.csv", _lines("org_1,Acme\n")),
    "opening-quotes": ("a.csv", _lines('org_1,"Acme\n')),
    "closing-quotes": ("a.csv", _lines('org_1,Acme"\n')),
    "broken-quotes": ("a.csv", _lines('org_1,"A"b\n')),
    "three-quotes": ("a.csv", _lines('org_1,"""\n')),
    "many-quotes": ("a.csv", _lines('"' * 41 + "\n")),
    "quote-then-rows": ("a.csv", lambda count: HEADER + ('org_1,"A\n' + "org_2,B\n" * 500) * (count // 500)),
    "quotes-in-one-line": ("a.csv", _lines('"')),
    "separators": ("a.csv", _lines(",")),
    "escapes": ("a.csv", _lines('org_1,"A \\"b\\""\norg_1,"\\\n')),
    "blank-lines": ("a.csv", _lines("\n")),
    "one-line": ("a.csv", _lines("x")),
    "objects": ("a.json", lambda count: "[" + '{"external_org_id": "1", "name": "A"},\n' * count),
    "long-string": ("a.json", lambda count: '[{"external_org_id": "' + "x" * count * 20),
    "spaces": ("a.json", lambda count: "[" + " " * count * 20),
    "lists": ("a.json", lambda count: "[" * count * 20),
    "json-lines": ("a.jsonl", lambda count: '{"external_org_id": "1", "name": "A"}\n' * count),
    "broken-lines": ("a.jsonl", lambda count: '{"external_org_id": "1"\n' * count),
}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "content"), SLOW_FILES.values(), ids=SLOW_FILES)
def test_time_is_linear(tmp_path: Path, name: str, content: Callable[[int], str]) -> None:
    """Eight times the file takes at most twenty times the time: 64 times would be quadratic."""
    small, large = (_seconds(write(tmp_path, content(count), name)) for count in (2_500, 20_000))

    assert large < 20 * small + 0.1


def _seconds(path: Path) -> float:
    """Return the least time of two."""
    times = []
    for _ in range(2):
        start = time.process_time()
        rows, is_over = read_rows(path), False
        while not is_over:
            try:
                next(rows)
            except StopIteration:
                is_over = True
            except InvalidInput:
                continue
        times.append(time.process_time() - start)
    return min(times)


OBJECT = '{"external_org_id": "1", "name": "A"}'
CONTENTS: dict[str, Callable[[int], str]] = {
    "csv": lambda count: HEADER + "org_1,Acme\n" * count,
    "json": lambda count: "[" + ",\n".join([OBJECT] * count) + "]",
    "jsonl": lambda count: f"{OBJECT}\n" * count,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.json", "a.jsonl"])
def test_memory_does_not_grow_with_the_file(tmp_path: Path, name: str) -> None:
    """A file is never held whole."""
    peaks = []
    for count in (1_000, 10_000):
        data = CONTENTS[name.split(".")[1]](count).encode()
        path = write(tmp_path, gzip.compress(data) if name.endswith(".gz") else data, name)
        tracemalloc.start()
        try:
            assert sum(1 for _ in read_rows(path)) == count
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()

    assert peaks[1] < peaks[0] + 200_000
