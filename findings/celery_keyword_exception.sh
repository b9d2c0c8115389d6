#!/bin/sh
# celery 5.7.0: an exception whose constructor needs another argument than `args` never reaches `except` of its class,
# and attributes set on an exception are lost on a worker but kept in eager tests.
#
# Celery checks whether a task's exception can be rebuilt as `cls(*args)`. If not, `result.get()` raises an
# UnpickleableExceptionWrapper, which is neither the class nor a subclass, even with results as JSON, where nothing
# is pickled, and even eagerly in the same process. If it can, the class arrives, but attributes set on the instance
# (a wait, a status) do not; with task_always_eager they do, so that the tests of a retry by `error.retry_after`
# pass and production raises AttributeError.
#
# Seen (Python 3.11.7, kombu 5.7.0):
#   worker: quota UnpickleableExceptionWrapper, limited Limited without retry_after
#   eager: quota UnpickleableExceptionWrapper, limited Limited with retry_after
#
# Exits with 0 if the two lines are as above, else with 1.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check celery==5.7.0 kombu==5.7.0 >&2
cat >tasks.py <<'PY'
from celery import Celery

app = Celery("tasks", broker="memory://", backend="cache+memory://")


class QuotaExceeded(Exception):
    def __init__(self, feature, *, limit):
        super().__init__(f"{feature}: {limit}")
        self.limit = limit


class Limited(Exception):
    retry_after: float


@app.task
def quota():
    raise QuotaExceeded("seats", limit=3)


@app.task
def limited():
    error = Limited("slow down")
    error.retry_after = 2.0
    raise error
PY
cat >run.py <<'PY'
import logging

from celery.contrib.testing.worker import start_worker

from tasks import app, limited, quota


def raised(task):
    try:
        task.delay().get(timeout=20)
    except Exception as error:
        return error


def line(where):
    first, second = raised(quota), raised(limited)
    has = "with" if hasattr(second, "retry_after") else "without"
    print(f"{where}: quota {type(first).__name__}, limited {type(second).__name__} {has} retry_after")


logging.disable(logging.CRITICAL)
with start_worker(app, perform_ping_check=False, pool="solo"):
    line("worker")
app.conf.task_always_eager = True
line("eager")
PY
output=$(venv/bin/python -W ignore run.py)
echo "$output"
[ "$output" = "worker: quota UnpickleableExceptionWrapper, limited Limited without retry_after
eager: quota UnpickleableExceptionWrapper, limited Limited with retry_after" ]
