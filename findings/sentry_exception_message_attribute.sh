#!/bin/sh
# sentry-sdk 2.75.0: the text of an exception in an event is its attribute `message` (or `detail`), not `str(error)`.
#
# A class that keeps the raw message of a remote service in `.message` and overrides __str__ to leave out text that
# must not be logged is safe in tracebacks, in logging and in structlog, and sends the raw text to Sentry. One expects the
# value to be str(error), as a traceback shows it. An empty `.message` falls back to `.detail`, then to str.
# The frames' local variables are off here, so this is the event's own text.
#
# Seen (Python 3.11.7):
#   traceback: RemoteError: query failed
#   sentry: RemoteError: Failed query: insert into contacts ... params: ann@acme.com
#
# Exits with 0 if the two lines are as above, else with 1.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check sentry-sdk==2.75.0 >&2
cat >report.py <<'PY'
import traceback

import sentry_sdk


class RemoteError(Exception):
    def __init__(self, message):
        super().__init__(message)
        self.message = message

    def __str__(self):
        return "query failed"


events = []
sentry_sdk.init(
    dsn="http://key@127.0.0.1:9/1",
    include_local_variables=False,
    before_send=lambda event, hint: events.append(event),  # None: nothing is sent
)
try:
    raise RemoteError("Failed query: insert into contacts ... params: ann@acme.com")
except RemoteError as error:
    print("traceback:", traceback.format_exception_only(error)[0].strip().removeprefix("__main__."))
    sentry_sdk.capture_exception()
seen = events[0]["exception"]["values"][0]
print(f"sentry: {seen['type']}: {seen['value']}")
PY
output=$(venv/bin/python report.py)
echo "$output"
[ "$output" = "traceback: RemoteError: query failed
sentry: RemoteError: Failed query: insert into contacts ... params: ann@acme.com" ]
