#!/bin/sh
# openfeature-sdk 0.10.0: after `api.shutdown()` an evaluation is a success: the caller's default, with the reason DEFAULT
# and no error code, by a client that says it is ready. 0.8.4 answers PROVIDER_NOT_READY, and calls it an error.
#
# Since 0.9 a shutdown also puts the provider that does nothing in the place of yours. (The specification, 1.6.2, resets
# the state of the API.) One expects PROVIDER_NOT_READY (1.7.6). A request that ends after the hook of a server's exit
# thus takes a default for a decision; hooks for errors do not run, and a default of True grants without a trace.
#
# Seen (Python 3.11.7):
#   0.8.4: True ERROR PROVIDER_NOT_READY, client NOT_READY, error hooks 1
#   0.10.0: True DEFAULT None, client READY, error hooks 0
#
# Exits with 0 if the two lines are as above, else with 1.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >evaluate.py <<'PY'
import sys

from openfeature import api
from openfeature.flag_evaluation import FlagResolutionDetails
from openfeature.hook import Hook
from openfeature.provider.in_memory_provider import InMemoryFlag, InMemoryProvider


class Counting(Hook):
    errors = 0

    def error(self, hook_context, exception, hints):
        Counting.errors += 1


getattr(api, "set_provider_and_wait", api.set_provider)(InMemoryProvider({"flag": InMemoryFlag("off", {"off": False, "on": True})}))
client = api.get_client()
client.add_hooks([Counting()])
assert client.get_boolean_value("flag", True) is False
api.shutdown()
found = client.get_boolean_details("flag", True)
code = found.error_code and found.error_code.value
status = client.get_provider_status().value
print(f"{sys.argv[1]}: {found.value} {found.reason} {code}, client {status}, error hooks {Counting.errors}")
PY
output=$(for version in 0.8.4 0.10.0; do
  python3 -m venv "$version"
  "$version/bin/pip" install --quiet --disable-pip-version-check "openfeature-sdk==$version" >&2
  "$version/bin/python" evaluate.py "$version"
done)
echo "$output"
[ "$output" = "0.8.4: True ERROR PROVIDER_NOT_READY, client NOT_READY, error hooks 1
0.10.0: True DEFAULT None, client READY, error hooks 0" ]
