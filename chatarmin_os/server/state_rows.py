"""A snapshot of the fake as rows, so that a state file is written only where something has changed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping

    from chatarmin_os._json import JSON

Tables = dict[str, dict[int | str, Any]]
"""Values by table and key. The key of a list's item is its index."""
Change = tuple[str, int | str, str | None]
"""A table, a key, and the new value as JSON; None: the row is gone."""

MIGRATIONS = [
    (
        "CREATE TABLE products (id TEXT PRIMARY KEY, name TEXT NOT NULL)",
        """
        CREATE TABLE entries (
            product_id TEXT NOT NULL, table_name TEXT NOT NULL, key NOT NULL, value TEXT NOT NULL,
            PRIMARY KEY (product_id, table_name, key)
        )
        """,
    )
]

_GROUPS = ("catalogue", "stripe")  # parts of a snapshot that hold tables themselves
_EMPTY = -1  # the key of a table's first row, which is the table without rows
_MISSING = object()


def split(snapshot: Mapping[str, Any]) -> Tables:
    """Return the tables of a snapshot, not copied.

    Example:
        >>> split({"format": 1, "links": [{"label": "x"}], "stripe": {"sessions": []}})
        {'format': {-1: 1}, 'links': {-1: [], 0: {'label': 'x'}}, 'stripe.sessions': {-1: []}}
    """
    tables: Tables = {}
    for name, content in snapshot.items():
        parts = {f"{name}.{part}": table for part, table in content.items()} if name in _GROUPS else {name: content}
        for part, table in parts.items():
            if isinstance(table, list):
                tables[part] = {_EMPTY: [], **dict(enumerate(table))}
            elif isinstance(table, dict):
                tables[part] = {_EMPTY: {}, **table}
            else:
                tables[part] = {_EMPTY: table}
    return tables


def join(tables: Tables) -> JSON:
    """Return the snapshot that has these tables.

    Raises:
        LookupError, TypeError: The rows contradict each other.

    Example:
        >>> join({"links": {-1: [], 0: {"label": "x"}}, "stripe.sessions": {-1: []}})
        {'links': [{'label': 'x'}], 'stripe': {'sessions': []}}
    """
    snapshot: dict[str, Any] = {}
    for name, rows in tables.items():
        group, _, part = name.rpartition(".")
        content = rows[_EMPTY]
        values = {key: value for key, value in rows.items() if key != _EMPTY}
        if isinstance(content, list):
            content = [values[index] for index in range(len(values))]
        elif values:
            content = {**content, **values}
        (snapshot.setdefault(group, {}) if group else snapshot)[part] = content
    return snapshot


def find_changes(before: Tables, after: Tables) -> list[Change]:
    """Return the changes that lead from some tables to others.

    Example:
        >>> find_changes({"mrr": {-1: {}, "a": 1, "b": 2}}, {"mrr": {-1: {}, "a": 3}})
        [('mrr', 'a', '3'), ('mrr', 'b', None)]
    """
    changes: list[Change] = []
    for name, rows in after.items():
        known = before.get(name, {})
        changes += [(name, key, json.dumps(row)) for key, row in rows.items() if known.get(key, _MISSING) != row]
        changes += [(name, key, None) for key in known.keys() - rows.keys()]
    return changes


def apply(changes: Iterable[Change], tables: Tables) -> None:
    """Make the changes to some tables, which share nothing with others afterwards."""
    for name, key, text in changes:
        rows = tables.setdefault(name, {})
        if text is None:
            del rows[key]
        else:
            rows[key] = json.loads(text)


def load(connection: sqlite3.Connection) -> tuple[dict[str, str], dict[str, Tables]]:
    """Return the names and the tables of all products, by their ids.

    Raises:
        ValueError: A value is not JSON.
        LookupError, TypeError: The rows contradict each other.
    """
    names = dict(connection.execute("SELECT id, name FROM products ORDER BY rowid"))
    tables: dict[str, Tables] = {product_id: {} for product_id in names}
    for product_id, name, key, text in connection.execute("SELECT * FROM entries ORDER BY rowid"):
        tables[product_id].setdefault(name, {})[key] = json.loads(text)
    return names, tables


def store(connection: sqlite3.Connection, product_id: str, product_name: str, changes: Iterable[Change]) -> None:
    """Make the changes to the rows of a product in the database, which may not have it yet."""
    connection.execute("INSERT OR IGNORE INTO products VALUES (?, ?)", (product_id, product_name))
    for name, key, text in changes:
        if text is None:
            connection.execute(
                "DELETE FROM entries WHERE product_id = ? AND table_name = ? AND key = ?", (product_id, name, key)
            )
        else:
            connection.execute(
                "INSERT INTO entries VALUES (?, ?, ?, ?)"
                " ON CONFLICT (product_id, table_name, key) DO UPDATE SET value = excluded.value",
                (product_id, name, key, text),
            )


def delete(connection: sqlite3.Connection, product_id: str) -> None:
    """Delete a product from the database."""
    connection.execute("DELETE FROM products WHERE id = ?", (product_id,))
    connection.execute("DELETE FROM entries WHERE product_id = ?", (product_id,))
