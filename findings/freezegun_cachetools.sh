#!/bin/sh
# freezegun 1.5.5 with cachetools 8.0.2: an entry of a TTLCache made under freeze_time does not expire when the frozen
# clock moves on, although time.monotonic() does.
#
# freezegun replaces time.monotonic wherever a module refers to it, and ticks it. cachetools took the real function as
# the default of its parameter `timer` when it was imported, which no patch reaches. So a test that moves the clock by
# a year to see a cached entitlement expire sees the cached one, and passes or fails for the wrong reason; the clock
# in the same test says that a year has passed. `timer=lambda: time.monotonic()` behaves as expected.
#
# Seen (Python 3.11.7):
#   freezegun: monotonic +31536000 s, default timer: cached, timer given: expired
#
# Exits with 0 if the line is as above, else with 1.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check freezegun==1.5.5 cachetools==8.0.2 >&2
cat >expire.py <<'PY'
import datetime
import time

from cachetools import TTLCache
from freezegun import freeze_time

with freeze_time("2027-01-01") as frozen:
    caches = [TTLCache(10, ttl=60), TTLCache(10, ttl=60, timer=lambda: time.monotonic())]
    for cache in caches:
        cache["seats"] = 3
    before = time.monotonic()
    frozen.tick(datetime.timedelta(days=365))
    default, given = ("cached" if "seats" in cache else "expired" for cache in caches)
    print(f"freezegun: monotonic +{time.monotonic() - before:.0f} s, default timer: {default}, timer given: {given}")
PY
output=$(venv/bin/python expire.py)
echo "$output"
[ "$output" = "freezegun: monotonic +31536000 s, default timer: cached, timer given: expired" ]
