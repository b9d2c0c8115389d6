#!/bin/sh
# openfeature-sdk 0.8.1: the context that a `before` hook returns loses to that of the evaluation, so a hook that sets
# another targeting key changes nothing, and raises nothing. Since 0.8.2 the hook wins.
#
# The specification (4.3.4) merges the result of the hook last. A hook that replaces the user by the tenant works in
# tests that pass no context, and in the application, which passes one, the flag is decided about the user.
#
# Seen (Python 3.11.7):
#   0.8.1: evaluation without a context: tenant, with one: user
#   0.8.2: evaluation without a context: tenant, with one: tenant
#   0.10.0: evaluation without a context: tenant, with one: tenant
#
# Exits with 0 if the three lines are as above, else with 1.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >evaluate.py <<'PY'
import sys

from openfeature import api
from openfeature.evaluation_context import EvaluationContext
from openfeature.flag_evaluation import FlagResolutionDetails
from openfeature.hook import Hook
from openfeature.provider import AbstractProvider, Metadata


class Echo(AbstractProvider):
    def get_metadata(self):
        return Metadata("echo")

    def resolve_string_details(self, flag_key, default_value, evaluation_context=None):
        return FlagResolutionDetails(value=str(evaluation_context.targeting_key))

    resolve_boolean_details = resolve_integer_details = resolve_float_details = resolve_object_details = (
        resolve_string_details
    )


class ByTenant(Hook):
    def before(self, hook_context, hints):
        return EvaluationContext("tenant")


api.set_provider(Echo())
client = api.get_client()
client.add_hooks([ByTenant()])
without = client.get_string_value("flag", "default")
given = client.get_string_value("flag", "default", EvaluationContext("user"))
print(f"{sys.argv[1]}: evaluation without a context: {without}, with one: {given}")
PY
output=$(for version in 0.8.1 0.8.2 0.10.0; do
  python3 -m venv "$version"
  "$version/bin/pip" install --quiet --disable-pip-version-check "openfeature-sdk==$version" >&2
  "$version/bin/python" evaluate.py "$version"
done)
echo "$output"
[ "$output" = "0.8.1: evaluation without a context: tenant, with one: user
0.8.2: evaluation without a context: tenant, with one: tenant
0.10.0: evaluation without a context: tenant, with one: tenant" ]
