#!/bin/sh
# distributed 2026.8.0: if the scheduler is lost while the result of a task is fetched, the future of
# `Client.get_executor()` stays pending forever. Futures of tasks that still run are cancelled, as one expects.
#
# The coroutine that passes the outcome on does not expect that fetching it fails: its CommClosedError goes to the log of
# tornado alone. `future.result()` without a timeout, `wait` and `as_completed` of concurrent.futures never return, though
# the client knows that the scheduler is gone, and the future of Dask itself raises.
#
# The scheduler here ends as soon as a result is asked for, as one would that is killed at that moment.
#
# Seen (Python 3.11.7; 20 s after the loss, which the client notices within a few):
#   executor, task that runs: CancelledError
#   executor, result that is fetched: pending
#   client, result that is fetched: CommClosedError
#
# Exits with 0 if the three lines are as above, else with 1.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check distributed==2026.8.0 >&2
cat >ending.py <<'PY'
import os


def dask_setup(scheduler):
    scheduler.handlers["gather"] = lambda *arguments, **options: os._exit(1)
PY
cat >lose.py <<'PY'
import os
import subprocess
import sys
import time
from concurrent.futures import wait

from distributed import Client

os.environ["PYTHONPATH"] = os.getcwd()
limits = {"DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "2s"}


def start(*command):
    log = open("log", "a")
    return subprocess.Popen([sys.executable, "-m", *command], env=os.environ | limits, stdout=log, stderr=log)


def outcome(future, wait_for):
    wait_for(future)
    if not future.done():
        return "pending"
    try:
        return future.result()
    except BaseException as error:
        return type(error).__name__


def lose(name):
    file = f"{name}.json"
    options = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--preload", "ending"]
    processes = [start("distributed.cli.dask_scheduler", "--scheduler-file", file, *options)]
    worker = ["--nthreads", "2", "--no-nanny", "--no-dashboard", "--death-timeout", "60"]
    processes.append(start("distributed.cli.dask_worker", "--scheduler-file", file, *worker))
    try:
        while not os.path.exists(file):
            time.sleep(0.1)
        client = Client(scheduler_file=file, timeout=60)
        client.wait_for_workers(1, timeout=60)
        client._timeout = 2  # seconds in which it tries to connect again
        yield client
        client.close(timeout=1)
    finally:
        for process in processes:
            process.kill()
            process.wait()


for client in lose("executor"):
    executor = client.get_executor()
    running = executor.submit(time.sleep, 3600)
    fetched = executor.submit(pow, 2, 3)
    print("executor, task that runs:", outcome(running, lambda one: wait([one], 60)))
    print("executor, result that is fetched:", outcome(fetched, lambda one: wait([one], 20)))
for client in lose("client"):
    future = client.submit(pow, 2, 3)
    print("client, result that is fetched:", outcome(future, lambda one: time.sleep(5)))
PY
DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT=30s venv/bin/python lose.py >output 2>errors || { cat errors; exit 1; }
cat output
[ "$(cat output)" = "executor, task that runs: CancelledError
executor, result that is fetched: pending
client, result that is fetched: CommClosedError" ]
