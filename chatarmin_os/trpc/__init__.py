"""tRPC without I/O: the messages of client and server."""
