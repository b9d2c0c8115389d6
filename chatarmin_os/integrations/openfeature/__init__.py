"""OpenFeature: a provider whose flags are the features of a gate.

    >>> from chatarmin_os.gate import Gate
    >>> from chatarmin_os.integrations.openfeature import ChatarminProvider
    >>> from openfeature import api
    >>> from openfeature.evaluation_context import EvaluationContext
    >>> api.set_provider(ChatarminProvider(Gate(client)), domain="docs")
    >>> company = client.onboard(external_org_id="org_1", tier_code="free")
    >>> flags = api.get_client("docs")
    >>> flags.get_integer_value("ai_credit", 0, EvaluationContext("org_1"))
    100

Where to look: `provider` has the methods, `flags` the keys, `resolution` the value of a decision, `values` the
conversions, `failures` the error codes, and `events` the events.
"""

try:
    import openfeature.provider  # noqa: F401
except ImportError as missing:
    raise ImportError(
        "chatarmin_os.integrations.openfeature needs the SDK of OpenFeature: pip install 'chatarmin-os[openfeature]'"
    ) from missing

from chatarmin_os.integrations.openfeature.flags import Flag
from chatarmin_os.integrations.openfeature.provider import ChatarminProvider
from chatarmin_os.integrations.openfeature.values import UNLIMITED

__all__ = ["UNLIMITED", "ChatarminProvider", "Flag"]
