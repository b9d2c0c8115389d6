"""What can be asked of the service: one request class per procedure, a module per noun; `table` lists all."""
