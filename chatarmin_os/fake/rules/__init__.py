"""The rules of the service as pure functions: they decide and never store.

Each module opens with its rule; the examples in its docstrings are the edge cases. The README of the service's
TypeScript SDK states the rules marked *(README)*. This project assumes all others, because the README is silent, and
takes the less convenient of two possible services: a kinder fake would let tests pass that production fails.
"""
