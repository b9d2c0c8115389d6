"""The requests: one class per procedure, a module per noun; `table` lists all of them."""
