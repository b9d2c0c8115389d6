"""The public path of `chatarmin_os.recording.transports`."""

from chatarmin_os.recording.transports import RecordingTransport, ReplayTransport

__all__ = ["RecordingTransport", "ReplayTransport"]
