"""The service as an echo, a process of its own: a wrong answer is seen at once.

    python echo_server.py [CERTIFICATE]     prints its port; then one line of JSON for each command on standard input

A feature is named as its code, and its usage is the number of the connection that was asked on. The company says how
long the answer takes: `wait:0.05` seconds, `gather:100` until so many of these are asked at the same time, or no time.
It ends when its standard input does, so also when the process that started it is killed.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
from collections import Counter
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit


class Echo:
    """Connections by number, and the responses that are held back."""

    def __init__(self) -> None:
        """Start without connections."""
        self.opened = 0
        self.open: set[int] = set()
        self.gathered: Counter[int] = Counter()
        self.gatherings: dict[int, asyncio.Event] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer on one connection until the client ends it."""
        self.opened += 1
        number = self.opened
        self.open.add(number)
        try:
            while True:
                body = json.dumps(await self.answered(reader, number)).encode()
                head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
                writer.write(head.encode() + body)
                await writer.drain()
        except (asyncio.IncompleteReadError, OSError, asyncio.CancelledError):
            pass  # it has ended, with or without a farewell, or the echo ends
        finally:
            self.open.discard(number)
            writer.close()

    async def answered(self, reader: asyncio.StreamReader, number: int) -> Any:
        """Read one request and return the response."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        target = urlsplit(head.split(" ", 2)[1])
        _, has_body, rest = head.lower().partition("content-length:")
        text = (await reader.readexactly(int(rest.split("\r\n", 1)[0]))).decode() if has_body else ""
        query = parse_qs(target.query)
        inputs = json.loads(text or query.get("input", ["{}"])[0])
        paths = unquote(target.path).rpartition("/")[2].split(",")
        if "batch" not in query:
            return await self.one(paths[0], inputs, number)
        return [await self.one(path, inputs.get(str(index), {}), number) for index, path in enumerate(paths)]

    async def one(self, path: str, given: Any, number: int) -> Any:
        """Return the envelope of one call."""
        how, _, much = given.get("companyId", "").partition(":")
        if how == "wait":
            await asyncio.sleep(float(much))
        elif how == "gather":
            await self.gather(int(much))
        return {"result": {"data": answer(path, given, number)}}

    async def gather(self, many: int) -> None:
        """Wait until so many are here."""
        self.gathered[many] += 1
        gathering = self.gatherings.setdefault(many, asyncio.Event())
        if self.gathered[many] == many:
            gathering.set()
            del self.gathered[many], self.gatherings[many]
        await gathering.wait()

    def report(self) -> str:
        """Return the state as one line."""
        waiting = sum(self.gathered.values())
        return json.dumps({"opened": self.opened, "open": len(self.open), "waiting": waiting})


def answer(path: str, given: Any, number: int) -> Any:
    """Return the answer to one call."""
    if path == "tiers.list":
        return []
    if path == "billing.trackUsage":
        return {"currentUsage": given["quantity"]}
    code = given["featureCode"]
    return {"featureCode": code, "featureName": code, "isEnabled": True, "currentUsage": number}


async def main(certificate: str | None) -> None:
    """Serve until standard input ends."""
    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
    echo = Echo()
    server = await asyncio.start_server(echo.serve, "127.0.0.1", 0, ssl=context, backlog=512)
    commands = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    while await commands.readline():
        sys.stdout.write(f"{echo.report()}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else None))
