#!/bin/sh
# urllib3 2.8.0 Retry under requests 2.34.2: a Retry-After that is no whole number replaces the response by an
# exception, and nothing is retried.
#
# With `Retry(status_forcelist=[429, 503])` one expects a header that cannot be read to be ignored, as an absent one
# is, with the usual backoff and, in the end, the response or RetryError. "1.5" raises InvalidHeader at the first
# answer: status and body are lost, and because InvalidHeader is a ValueError as well, code that catches ValueError
# around `.json()` takes it for broken JSON.
#
# Seen (Python 3.11.7):
#   Retry-After 1: RetryError after 3 requests
#   Retry-After 1.5: InvalidHeader (a ValueError: True) after 1 requests
#
# Exits with 0 if the two lines are as above, else with 1.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check requests==2.34.2 urllib3==2.8.0 >&2
cat >retry.py <<'PY'
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import requests
from requests.adapters import HTTPAdapter
from urllib3 import Retry


class Busy(BaseHTTPRequestHandler):
    wait, requests = "", 0

    def do_GET(self):
        Busy.requests += 1
        self.send_response(503)
        self.send_header("Retry-After", Busy.wait)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


server = HTTPServer(("127.0.0.1", 0), Busy)
threading.Thread(target=server.serve_forever, daemon=True).start()
for wait in ("1", "1.5"):
    Busy.wait, Busy.requests = wait, 0
    session = requests.Session()
    session.trust_env = False
    session.mount("http://", HTTPAdapter(max_retries=Retry(total=2, status_forcelist=[503])))
    try:
        session.get(f"http://127.0.0.1:{server.server_port}/")
    except requests.RequestException as error:
        value_error = f" (a ValueError: {isinstance(error, ValueError)})" if isinstance(error, ValueError) else ""
        print(f"Retry-After {wait}: {type(error).__name__}{value_error} after {Busy.requests} requests")
PY
output=$(venv/bin/python retry.py)
echo "$output"
[ "$output" = "Retry-After 1: RetryError after 3 requests
Retry-After 1.5: InvalidHeader (a ValueError: True) after 1 requests" ]
