"""OpenTelemetry: spans and durations of calls, the decisions of gates, and what outboxes hold.

    >>> from chatarmin_os.integrations.opentelemetry import instrument
    >>> instrument(client) is client
    True

Nothing that it records has an input, an answer, a key, a query string or the text of an error.

Where to look: `instrumentor` turns it on and off, `telemetry` records calls and decisions, `outboxes` has the gauges.
The seam is `chatarmin_os/_watching.py`.
"""

from chatarmin_os.integrations.opentelemetry.instrumentor import Instrumentor, instrument, uninstrument

__all__ = ["Instrumentor", "instrument", "uninstrument"]
