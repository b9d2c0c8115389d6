#!/bin/sh
# opentelemetry-instrumentation 0.66b1 (with opentelemetry-sdk 1.45.1): without the package opentelemetry-distro,
# `opentelemetry-instrument` records nothing, whatever exporter is named, and says nothing about it.
#
# The command comes with opentelemetry-instrumentation, loads every instrumentation that is installed, and takes
# `--traces_exporter console`, which the SDK has. One expects spans, or an error. But only a package with the entry point
# `opentelemetry_configurator` sets the SDK up, and without one nothing does. A misspelled exporter, which has an error
# with the distro, has none then.
#
# Seen (Python 3.11.7):
#   without distro: console: exit 0, 0 spans, silent; typo: exit 0, 0 spans, silent
#   with distro: console: exit 0, 1 spans, silent; typo: exit 0, 0 spans, says why
#
# Exits with 0 if the two lines are as above, else with 1.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check opentelemetry-instrumentation==0.66b1 \
  opentelemetry-sdk==1.45.1 >&2
cat >work.py <<'PY'
from opentelemetry import trace

with trace.get_tracer("work").start_as_current_span("work"):
    pass
PY
try() {
  code=0
  OTEL_METRICS_EXPORTER=none OTEL_LOGS_EXPORTER=none \
    venv/bin/opentelemetry-instrument --traces_exporter "$1" venv/bin/python work.py >out 2>err || code=$?
  says=silent
  if grep -q "$1" err; then says="says why"; fi
  printf '%s: exit %s, %s spans, %s' "$2" "$code" "$(grep -c '"trace_id"' out || true)" "$says"
}
line() { echo "$1: $(try console console); $(try consoel typo)"; }
line "without distro" | tee seen
venv/bin/pip install --quiet --disable-pip-version-check opentelemetry-distro==0.66b1 >&2
line "with distro" | tee -a seen
cat >expected <<'TXT'
without distro: console: exit 0, 0 spans, silent; typo: exit 0, 0 spans, silent
with distro: console: exit 0, 1 spans, silent; typo: exit 0, 0 spans, says why
TXT
cmp -s expected seen
