#!/bin/sh
# Django 5.2.19: in an `async def` test, `captureOnCommitCallbacks(execute=True)` captures and executes nothing.
#
# Django runs asynchronous tests of a TestCase, gives them `async_client`, and the block looks the same as in a
# synchronous test. One expects it to capture the callbacks of the view that the client calls. But it looks at
# `connections["default"]` from the coroutine, where this is another connection than that of the view and of the test's
# transaction (a connection belongs to a thread or a task). There is no error: the list is empty, the usage that the
# view reports on commit is never sent, and a test that asserts "a denied request reports nothing" passes whatever the
# view does. Around a synchronous part, inside sync_to_async, the block works.
#
# Seen (Python 3.11.7, asgiref 3.13.0):
#   async test: 200, captured 0, ran 0
#   inside sync_to_async: 200, captured 1, ran 1
#   sync test: 200, captured 1, ran 1
#
# Exits with 0 if the three lines are as above, else with 1.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check django==5.2.19 asgiref==3.13.0 >&2
cat >shop.py <<'PY'
from django.db import transaction
from django.http import HttpResponse
from django.urls import path

DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
ROOT_URLCONF = "shop"
ran = []


def export(request):
    transaction.on_commit(lambda: ran.append(True))
    return HttpResponse("exported")


urlpatterns = [path("export", export)]
PY
cat >test_export.py <<'PY'
import shop
from asgiref.sync import sync_to_async
from django.test import TestCase


class ExportTest(TestCase):
    def setUp(self):
        shop.ran.clear()

    def show(self, name, response, captured):
        print(f"{name}: {response.status_code}, captured {len(captured)}, ran {len(shop.ran)}")

    def synchronous(self, name):
        with self.captureOnCommitCallbacks(execute=True) as captured:
            response = self.client.get("/export")
        self.show(name, response, captured)

    async def test_1(self):
        with self.captureOnCommitCallbacks(execute=True) as captured:
            response = await self.async_client.get("/export")
        self.show("async test", response, captured)

    async def test_2(self):
        await sync_to_async(self.synchronous)("inside sync_to_async")

    def test_3(self):
        self.synchronous("sync test")
PY
output=$(DJANGO_SETTINGS_MODULE=shop venv/bin/python -m django test --verbosity 0 | grep captured)
echo "$output"
[ "$output" = "async test: 200, captured 0, ran 0
inside sync_to_async: 200, captured 1, ran 1
sync test: 200, captured 1, ran 1" ]
