#!/bin/sh
# openfeature-sdk 0.10.0: if a provider's value has the wrong type, the async methods return that value and not the
# caller's default; and True counts as an integer.
#
# The specification (1.3.4) wants the default, and the error TYPE_MISMATCH is reported in both cases. The sync methods
# set `value` to the default after an error, the async ones do not; the same holds for a provider that returns details
# with an error code. Code that only reads the value, as `get_float_value_async` does, gets an int, a text or None.
# (A provider that raises its errors, and converts its values, is not affected.)
#
# Seen (Python 3.11.7):
#   float 100: sync 0.5 TYPE_MISMATCH, async 100 TYPE_MISMATCH
#   integer True: sync True None, async True None
#   error code with a value: sync 0.5 GENERAL, async 7.5 GENERAL
#
# Exits with 0 if the three lines are as above, else with 1.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check openfeature-sdk==0.10.0 >&2
cat >evaluate.py <<'PY'
import asyncio

from openfeature import api
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import FlagResolutionDetails
from openfeature.provider import AbstractProvider, Metadata


class Fixed(AbstractProvider):
    def __init__(self, details):
        self.details = details

    def get_metadata(self):
        return Metadata("fixed")

    def resolve_float_details(self, flag_key, default_value, evaluation_context=None):
        return self.details

    resolve_boolean_details = resolve_string_details = resolve_integer_details = resolve_object_details = (
        resolve_float_details
    )


def line(name, kind, default, details):
    api.set_provider_and_wait(Fixed(details))
    client = api.get_client()
    sync = getattr(client, f"get_{kind}_details")("flag", default)
    late = asyncio.run(getattr(client, f"get_{kind}_details_async")("flag", default))
    code = lambda found: found.error_code and found.error_code.value
    print(f"{name}: sync {sync.value} {code(sync)}, async {late.value} {code(late)}")


line("float 100", "float", 0.5, FlagResolutionDetails(value=100))
line("integer True", "integer", 5, FlagResolutionDetails(value=True))
line("error code with a value", "float", 0.5, FlagResolutionDetails(value=7.5, error_code=ErrorCode.GENERAL))
PY
output=$(venv/bin/python evaluate.py)
echo "$output"
[ "$output" = "float 100: sync 0.5 TYPE_MISMATCH, async 100 TYPE_MISMATCH
integer True: sync True None, async True None
error code with a value: sync 0.5 GENERAL, async 7.5 GENERAL" ]
