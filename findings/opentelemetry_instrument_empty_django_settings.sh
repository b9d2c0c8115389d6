#!/bin/sh
# opentelemetry-instrumentation-django 0.66b2: `opentelemetry-instrument python manage.py COMMAND`, with the `manage.py`
# that Django writes, runs on empty settings: `check` finds no problem in them, and `runserver` ends with an error about
# ALLOWED_HOSTS.
#
# `manage.py` names the settings by os.environ.setdefault in `main`. The instrumentation reads them before, as the
# interpreter starts; without DJANGO_SETTINGS_MODULE it calls `settings.configure()`, and says so at the level DEBUG.
# What `manage.py` names then comes too late. The documentation of the instrumentation says to set the variable; one
# expects a message, or no spans, and not that checks, tests and migrations of CI succeed about a project that is empty.
#
# Seen (Python 3.11.7, Django 5.2.19):
#   plain: ROOT_URLCONF shop; check: exit code 1
#   instrumented: ROOT_URLCONF None; check: exit code 0
#   instrumented runserver: CommandError: You must set settings.ALLOWED_HOSTS if DEBUG is False.
#   instrumented with DJANGO_SETTINGS_MODULE: ROOT_URLCONF shop; check: exit code 1
#
# Exits with 0 if the four lines are as above, else with 1.
set -eu
unset DJANGO_SETTINGS_MODULE
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check django==5.2.19 opentelemetry-instrumentation==0.66b2 \
  opentelemetry-instrumentation-django==0.66b2 opentelemetry-sdk==1.45.2 >&2
venv/bin/django-admin startproject project .
cat >shop.py <<'PY'
from django.core.checks import Error, register

urlpatterns = []


@register()
def fails(app_configs, **options):
    return [Error("a check of the project")]
PY
cat >>project/settings.py <<'PY'
ROOT_URLCONF = "shop"
INSTALLED_APPS = [*INSTALLED_APPS, "shop"]
PY
PATH="$dir/venv/bin:$PATH"
export PYTHONPATH="$dir" OTEL_TRACES_EXPORTER=none OTEL_METRICS_EXPORTER=none OTEL_LOGS_EXPORTER=none
line() {
  name=$1
  shift
  urls=$("$@" shell --no-imports -c 'from django.conf import settings; print(getattr(settings, "ROOT_URLCONF", None))')
  status=0
  "$@" check >/dev/null 2>&1 || status=$?
  echo "$name: ROOT_URLCONF $urls; check: exit code $status"
}
output=$(
  line plain python manage.py
  line instrumented opentelemetry-instrument python manage.py
  echo "instrumented runserver: $(opentelemetry-instrument python manage.py runserver --noreload 127.0.0.1:0 2>&1 | tail -n 1)"
  export DJANGO_SETTINGS_MODULE=project.settings
  line "instrumented with DJANGO_SETTINGS_MODULE" opentelemetry-instrument python manage.py
)
echo "$output"
[ "$output" = "plain: ROOT_URLCONF shop; check: exit code 1
instrumented: ROOT_URLCONF None; check: exit code 0
instrumented runserver: CommandError: You must set settings.ALLOWED_HOSTS if DEBUG is False.
instrumented with DJANGO_SETTINGS_MODULE: ROOT_URLCONF shop; check: exit code 1" ]
