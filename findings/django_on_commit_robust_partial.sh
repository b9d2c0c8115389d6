#!/bin/sh
# Django 5.2.19: `transaction.on_commit(callback, robust=True)` raises if `callback` is a functools.partial that fails.
#
# `robust=True` is there so that an error in a callback is logged, and neither reaches the caller nor keeps the next
# callbacks from running. For a partial, which Django's documentation shows as the way to pass arguments, and for any
# callable object, the line that logs reads `callback.__qualname__`, which these do not have. The caller gets an
# AttributeError for work that is committed, and if it repeats the work, does it twice; the callbacks registered
# after it never run. A lambda around the call is safe. (Django's ticket 36487; django/django#19609.)
#
# Seen (Python 3.11.7):
#   lambda: caller saw nothing, row stored, next callback ran
#   partial: caller saw AttributeError, row stored, next callback lost
#
# Exits with 0 if the two lines are as above, else with 1.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check django==5.2.19 >&2
cat >commit.py <<'PY'
import functools

import django
from django.conf import settings

settings.configure(DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}})
django.setup()

from django.db import connection, transaction


def report_usage(name):
    raise ConnectionError(f"usage of {name} not sent")


def run(first):
    seen, ran = "nothing", []
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM export")
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("INSERT INTO export VALUES ('acme')")
            transaction.on_commit(first, robust=True)
            transaction.on_commit(lambda: ran.append(True), robust=True)
    except Exception as error:
        seen = type(error).__name__
    with connection.cursor() as cursor:
        stored = cursor.execute("SELECT count(*) FROM export").fetchone()[0]
    return f"caller saw {seen}, row {'stored' if stored else 'lost'}, next callback {'ran' if ran else 'lost'}"


with connection.cursor() as cursor:
    cursor.execute("CREATE TABLE export (name text)")
lines = [
    f"lambda: {run(lambda: report_usage('acme'))}",
    f"partial: {run(functools.partial(report_usage, 'acme'))}",
]
print(*lines, sep="\n")
raise SystemExit(
    lines
    != [
        "lambda: caller saw nothing, row stored, next callback ran",
        "partial: caller saw AttributeError, row stored, next callback lost",
    ]
)
PY
venv/bin/python commit.py
