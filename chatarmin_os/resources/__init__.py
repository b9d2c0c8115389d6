"""The methods of a client, a module per noun: a typed signature, what it does, one line."""
