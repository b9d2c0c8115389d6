"""One module per foreign library; each imports that library only, and nothing here imports it."""
