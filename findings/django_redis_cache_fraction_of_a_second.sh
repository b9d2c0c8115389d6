#!/bin/sh
# Django 5.2.19 (and redis-py 8.1.0): RedisCache cuts timeouts to whole seconds: below 1 s nothing is stored, and
# `touch` deletes.
#
# Tests on LocMemCache pass, which keeps a value for the 0.9 s that it is given, and Redis knows milliseconds, so one
# expects the same of RedisCache. It takes int(timeout), which is 0: `set(..., timeout=0.9)` stores nothing, `add`
# returns True (a lock that nobody holds), and `touch` returns True and removes the value that was there.
#
# Seen (Python 3.11.7; needs redis-server):
#   LocMemCache  set 1  add True 1  touch True 1
#   RedisCache   set None  add True None  touch True None
#
# Exits with 0 if the lines are as above, else with 1.
set -eu
dir=$(mktemp -d)
trap 'kill "$redis" 2>/dev/null || true; rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check django==5.2.19 redis==8.1.0 >&2
redis-server --port 0 --unixsocket "$dir/redis.sock" --save "" --dir "$dir" >&2 &
redis=$!
cat >compare.py <<'PY'
import os
import sys
import time

from django.core.cache import CacheHandler

while not os.path.exists(f"{sys.argv[1]}/redis.sock"):
    time.sleep(0.05)
caches = CacheHandler(
    {
        "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
        "redis": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": f"unix://{sys.argv[1]}/redis.sock",
        },
    }
)
lines = []
for alias in ("default", "redis"):
    cache = caches[alias]
    cache.set("key", 1, timeout=0.9)
    line = ["set", cache.get("key")]
    cache.delete("key")
    line += ["add", cache.add("key", 1, timeout=0.9), cache.get("key")]
    cache.set("key", 1, timeout=60)
    line += ["touch", cache.touch("key", timeout=0.9), cache.get("key")]
    lines.append(" ".join(map(str, line)))
    print(f"{type(cache).__name__:12} {lines[-1]}")
raise SystemExit(lines != ["set 1 add True 1 touch True 1", "set None add True None touch True None"])
PY
venv/bin/python compare.py "$dir"
