"""Redis, keeping what it was told in an append-only file."""

import redis

from tests.servers import parts
from tests.servers.process import ServerProcess


class RedisServer(ServerProcess):
    def url_at(self, port: int) -> str:
        return f"redis://127.0.0.1:{port}"

    def _command(self) -> list[str]:
        options = {
            "--bind": "127.0.0.1",
            "--port": str(self.port),
            "--dir": str(self.folder),
            "--appendonly": "yes",
            "--save": "",
        }
        return [str(parts.redis_server()), *(word for option in options.items() for word in option)]

    def _ready(self) -> bool:
        with redis.Redis(port=self.port, socket_timeout=1) as client:
            try:
                return bool(client.ping())
            except redis.RedisError:
                return False
