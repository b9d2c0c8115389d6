#!/bin/sh
# asgiref 3.13.0: a Flask application behind WsgiToAsgi answers one request at a time, for the whole process.
#
# asgiref's documentation says that the WSGI application runs in a thread pool, and Flask's recommends WsgiToAsgi for
# an ASGI server, so one expects as many requests at once as the pool has threads. The adapter uses sync_to_async
# with its default thread_sensitive=True and gives no request a context of its own: all share one thread, and
# ASGI_THREADS changes nothing. One call to a slow service stops every other request. The same application behind
# a2wsgi 1.10.10 runs in parallel. (django/asgiref#347.)
#
# Seen (Python 3.11.7, Flask 3.1.3, uvicorn 0.54.0; four requests sent at once):
#   WsgiToAsgi: at most 1 at a time, 1 thread
#   a2wsgi: at most 4 at a time, 4 threads
#
# Exits with 0 if the two lines are as above, else with 1.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check asgiref==3.13.0 a2wsgi==1.10.10 flask==3.1.3 \
  uvicorn==0.54.0 >&2
cat >requests_at_once.py <<'PY'
import socket
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import uvicorn
from a2wsgi import WSGIMiddleware
from asgiref.wsgi import WsgiToAsgi
from flask import Flask

app = Flask(__name__)
lock, running, most, threads = threading.Lock(), 0, 0, set()


@app.get("/")
def slow():
    global running, most
    with lock:
        running += 1
        most = max(most, running)
        threads.add(threading.get_ident())
    time.sleep(0.5)
    with lock:
        running -= 1
    return "done"


def measure(name, asgi):
    global most
    most = 0
    threads.clear()
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
    server = uvicorn.Server(uvicorn.Config(asgi, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    with ThreadPoolExecutor(4) as clients:
        answers = list(clients.map(lambda _: urllib.request.urlopen(url, timeout=30).read(), range(4)))
    server.should_exit = True
    thread.join()
    assert answers == [b"done"] * 4
    return f"{name}: at most {most} at a time, {len(threads)} thread{'s' * (len(threads) > 1)}"


lines = [measure("WsgiToAsgi", WsgiToAsgi(app)), measure("a2wsgi", WSGIMiddleware(app))]
print(*lines, sep="\n")
raise SystemExit(lines != ["WsgiToAsgi: at most 1 at a time, 1 thread", "a2wsgi: at most 4 at a time, 4 threads"])
PY
ASGI_THREADS=8 venv/bin/python requests_at_once.py
