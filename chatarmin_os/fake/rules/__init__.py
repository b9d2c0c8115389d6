"""The rules of the service as pure functions: they decide and never store.

Each module opens with its rule; the docstrings' examples are its edge cases. Rules marked *(README)* are stated by the
README of the service's TypeScript SDK; all others are decided by this project, where the README is silent, for the less
convenient of two possible services: a kinder fake would let tests pass that production fails.
"""
