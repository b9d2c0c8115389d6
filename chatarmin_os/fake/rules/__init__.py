"""The rules of the service as pure functions: they decide and never store.

Each module opens with its rule; the examples in its docstrings are the edge cases. The README of the service's
TypeScript SDK states the rules marked *(README)*. The README is silent about all others: this project assumes them, for
the less convenient of two possible services. With a kinder fake, tests would pass where production fails.
"""
