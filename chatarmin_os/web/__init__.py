"""Settings, denials over HTTP and lazy features, which all integrations of web frameworks use; it imports none."""
