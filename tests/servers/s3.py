"""An S3 store that keeps its objects in memory: a restart empties it."""

import sys

import httpx

from tests.servers.process import ServerProcess

BUCKET = "hansard"


class S3Server(ServerProcess):
    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def url_at(self, port: int) -> str:
        return f"s3://{BUCKET}?endpoint=http://127.0.0.1:{port}"

    def _command(self) -> list[str]:
        return [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]

    def _ready(self) -> bool:
        try:
            return httpx.put(f"{self.endpoint}/{BUCKET}").is_success
        except httpx.TransportError:
            return False
