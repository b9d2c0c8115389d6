"""tRPC without I/O: what both ends read and write."""
