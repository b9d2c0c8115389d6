"""What comes back: frozen attrs classes, a module per noun, all exported by `chatarmin_os`.

- A field that may be missing is None where it is; a sequence is a tuple, empty where it is missing; a mapping is a
  plain dict of the model's own. Models with a mapping are not hashable.
- What the service sends beyond these fields is in `extra`, by its wire name. It does not count in `==` or `repr`.
- An instant is an aware datetime in UTC. A status or source that this version does not know stays a plain string.
"""
