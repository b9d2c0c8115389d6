#!/bin/sh
# redis-py 8.1.0: `Redis(host=..., port=...)` retries ten times, `Redis.from_url(...)` with the same settings never.
#
# The defaults of the retries belong to the constructor of the client, which passes them to the pool that it makes;
# `from_url` makes the pool first, without them. (That a pool of one's own brings its own retries is documented; that
# from_url counts as one is not.) One expects a URL to be another way to write host and port: moving from one to the
# other turns a lost connection from a short delay into an error, or a timeout of 0.05 s into some 4 s.
#
# Seen (Python 3.11.7; the seconds vary, as the retries have jitter):
#   Redis(port=...)      11 connections, 3.76 s
#   Redis.from_url(...)  1 connections, 0.05 s
#
# Exits with 0 if the counts are 11 and 1, else with 1.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check redis==8.1.0 >&2
cat >count.py <<'PY'
import socket
import threading
import time

import redis

listener = socket.create_server(("127.0.0.1", 0), backlog=50)
port = listener.getsockname()[1]
connections = []


def accept():
    while True:
        connections.append(listener.accept()[0])  # it is never answered


threading.Thread(target=accept, daemon=True).start()
limits = {"socket_timeout": 0.05, "socket_connect_timeout": 0.05}


def count(client):
    before, start = len(connections), time.perf_counter()
    try:
        client.get("key")
    except redis.TimeoutError:
        taken = time.perf_counter() - start
        time.sleep(0.2)
        return len(connections) - before, taken


results = {
    "Redis(port=...)": count(redis.Redis(host="127.0.0.1", port=port, **limits)),
    "Redis.from_url(...)": count(redis.Redis.from_url(f"redis://127.0.0.1:{port}", **limits)),
}
for name, (number, taken) in results.items():
    print(f"{name:20} {number} connections, {taken:.2f} s")
raise SystemExit([number for number, _ in results.values()] != [11, 1])
PY
venv/bin/python count.py
