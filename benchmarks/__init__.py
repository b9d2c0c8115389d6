"""The figures of the package, each beside that of an alternative."""
