"""The package's own figures, each beside what a user would take instead."""
