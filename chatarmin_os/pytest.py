"""The public path of the plugin for pytest, `chatarmin_os.integrations.pytest`.

PYTEST_DONT_REWRITE: it has no assert statement, and a conftest.py may import from it before it is loaded.
"""

from chatarmin_os.integrations.pytest import (
    assert_no_drift,
    assert_same_state,
    fake_os,
    os_catalogue,
    os_fake,
    os_redact,
    pytest_addoption,
    pytest_runtest_call,
    pytest_runtest_makereport,
    pytest_runtest_teardown,
    recorded_os,
)

__all__ = [
    "assert_no_drift",
    "assert_same_state",
    "fake_os",
    "os_catalogue",
    "os_fake",
    "os_redact",
    "pytest_addoption",
    "pytest_runtest_call",
    "pytest_runtest_makereport",
    "pytest_runtest_teardown",
    "recorded_os",
]
