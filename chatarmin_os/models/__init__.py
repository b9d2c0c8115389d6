"""The results of calls: frozen attrs classes, a module per noun, all exported by `chatarmin_os`.

- A field that the answer lacks is None, or an empty tuple if it is a sequence. A mapping is a plain dict that belongs
  to the model; models with a mapping are not hashable.
- Fields that this version does not know are in `extra`, by wire name. They do not count in `==` or `repr`.
- An instant is an aware datetime in UTC. An unknown status or source is a plain string.
"""
