#!/bin/sh
# gunicorn 27.0.1 with gevent 26.9.0, and Django 5.2.19: while one `async def` view waits, every other request of the
# worker that uses the database or an async view fails with 500, in synchronous views too.
#
# Django's documentation says that under WSGI an async view runs in its own event loop "without any issues", and with
# threads it does. gevent's workers run all requests in one thread, and asyncio notes the running loop per thread of the
# system, which gevent does not replace: the loop of a view that waits seems to run in every other request. The ORM
# then raises SynchronousOnlyOperation, and async_to_sync a RuntimeError, in code that has nothing to do with the
# async view. Requests that do not overlap work, so tests pass. (django/asgiref#443.)
#
# Seen (Python 3.11.7, asgiref 3.13.0):
#   gthread: alone sync 200, async 200; while another view waits sync 200, async 200
#   gevent: alone sync 200, async 200; while another view waits sync 500, async 500
#
# Exits with 0 if the two lines are as above, else with 1.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check gunicorn==27.0.1 gevent==26.9.0 packaging==26.4 \
  django==5.2.19 asgiref==3.13.0 >&2
cat >shop.py <<'PY'
import asyncio
import pathlib

from django.conf import settings

settings.configure(
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "shop.db"}},
)

from django.core.wsgi import get_wsgi_application
from django.db import connection
from django.http import HttpResponse
from django.urls import path


async def waiting(request):
    pathlib.Path("entered").touch()
    while not pathlib.Path("release").exists():
        await asyncio.sleep(0.01)
    return HttpResponse("done")


async def quick(request):
    return HttpResponse("done")


def database(request):
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return HttpResponse("done")


urlpatterns = [path("waiting", waiting), path("async", quick), path("sync", database)]
application = get_wsgi_application()
PY
cat >overlap.py <<'PY'
import pathlib
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor


def status(path):
    try:
        return urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=30).status
    except urllib.error.HTTPError as error:
        return error.code


def both():
    return f"sync {status('sync')}, async {status('async')}"


lines = []
for worker in ["gthread", "gevent"]:
    for name in ["entered", "release"]:
        pathlib.Path(name).unlink(missing_ok=True)
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    options = ["--worker-class", worker, "--threads", "4", "--bind", f"fd://{listener.fileno()}", "--no-control-socket"]
    command = [sys.executable, "-m", "gunicorn", *options, "shop:application"]
    server = subprocess.Popen(command, pass_fds=[listener.fileno()])
    try:
        alone = both()
        with ThreadPoolExecutor(1) as other:
            waiting = other.submit(status, "waiting")
            while not pathlib.Path("entered").exists() and not waiting.done():
                time.sleep(0.01)
            overlapping = both()
            pathlib.Path("release").touch()
            assert waiting.result() == 200
    finally:
        pathlib.Path("release").touch()
        server.terminate()
        server.wait()
    lines.append(f"{worker}: alone {alone}; while another view waits {overlapping}")
    print(lines[-1])
raise SystemExit(
    lines
    != [
        "gthread: alone sync 200, async 200; while another view waits sync 200, async 200",
        "gevent: alone sync 200, async 200; while another view waits sync 500, async 500",
    ]
)
PY
venv/bin/python overlap.py
