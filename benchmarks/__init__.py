"""The figures of the package, each with that of an alternative."""
