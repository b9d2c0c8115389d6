#!/bin/sh
# Django REST framework 3.18.3: an APIException turns the numbers, booleans and None in its `detail` into text.
#
# `detail` may be a dict or a list, and becomes the body of the answer, so one expects `raise` with a dict to give the
# JSON that `Response` gives with the same dict. Every leaf becomes a str instead (an ErrorDetail): a denial that tells
# how much is used says "10", where "9" > "10", and False and None arrive as "False" and "None", which are true in
# JavaScript and no JSON. Setting `error.detail` after the constructor keeps the values. (Asked for in
# encode/django-rest-framework#5858, and declined.)
#
# Seen (Python 3.11.7, Django 5.2.19):
#   Response: {"used":10,"limit":null,"allowed":false,"ratio":0.5}
#   raise: {"used":"10","limit":"None","allowed":"False","ratio":"0.5"}
#
# Exits with 0 if the two lines are as above, else with 1.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check djangorestframework==3.18.3 django==5.2.19 >&2
cat >answer.py <<'PY'
import django
from django.conf import settings

settings.configure(
    REST_FRAMEWORK={
        "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
        "UNAUTHENTICATED_USER": None,
    }
)
django.setup()

from rest_framework.exceptions import PermissionDenied
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory
from rest_framework.views import APIView

denial = {"used": 10, "limit": None, "allowed": False, "ratio": 0.5}


class Export(APIView):
    authentication_classes = []
    permission_classes = []

    def get(self, request):
        return Response(denial, status=403)

    def post(self, request):
        raise PermissionDenied(denial)


view, request = Export.as_view(), APIRequestFactory()
lines = [
    f"Response: {view(request.get('/')).render().content.decode()}",
    f"raise: {view(request.post('/')).render().content.decode()}",
]
print(*lines, sep="\n")
raise SystemExit(
    lines
    != [
        'Response: {"used":10,"limit":null,"allowed":false,"ratio":0.5}',
        'raise: {"used":"10","limit":"None","allowed":"False","ratio":"0.5"}',
    ]
)
PY
venv/bin/python answer.py
