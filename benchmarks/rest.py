"""A small HTTP/1.1 client: one connection, one request at a time, cheap in CPU."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import httptools
import msgspec

from benchmarks import Stop, rate_limited


class Answer:
    """A response as it comes in; header names are in lower case."""

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}
        self.body = bytearray()
        self.complete = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode().lower()] = value.decode()

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.complete = True


class Rest:
    def __init__(
        self, host: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._host = host
        self._reader = reader
        self._writer = writer

    async def call(
        self, method: str, path: str, token: str, body: object = None, position: str = ""
    ) -> Answer:
        """A successful answer. Raises Stop for any other, OSError when the connection ends."""
        payload = b"" if body is None else msgspec.json.encode(body)
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: {self._host}\r\nAuthorization: Bearer {token}\r\n"
        )
        if position:
            head += f"Hansard-Position: {position}\r\n"
        if payload:
            head += f"Content-Type: application/json\r\nContent-Length: {len(payload)}\r\n"
        self._writer.write(head.encode() + b"\r\n" + payload)
        answer = Answer()
        parser = httptools.HttpResponseParser(answer)
        while not answer.complete:
            data = await self._reader.read(65536)
            if not data:
                raise ConnectionResetError("the server closed the connection")
            parser.feed_data(data)
        status = parser.get_status_code()
        if status == 429:
            raise rate_limited(f"429 on {method} {path}")
        if not 200 <= status < 300:
            text = bytes(answer.body[:500]).decode(errors="replace")
            raise Stop(f"{method} {path}: {status} {text}")
        return answer


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Rest]:
    """Raises OSError when nobody listens there."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 80)
    try:
        yield Rest(parts.netloc, reader, writer)
    finally:
        writer.close()
