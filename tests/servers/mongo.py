"""MongoDB, as a replica set of one."""

from typing import Any

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from tests.servers import parts
from tests.servers.process import ServerProcess


class MongoServer(ServerProcess):
    def url_at(self, port: int) -> str:
        # Clients of a replica set go to the address that its members tell, past any proxy.
        option = "replicaSet=rs0" if port == self.port else "directConnection=true"
        return f"mongodb://127.0.0.1:{port}/?{option}"

    def _command(self) -> list[str]:
        command = [
            str(parts.mongod()), "--replSet", "rs0", "--bind_ip", "127.0.0.1",
            "--port", str(self.port), "--dbpath", str(self.folder), "--nounixsocket",
            "--wiredTigerCacheSizeGB", "0.5", "--oplogSize", "256",
        ]  # fmt: skip
        parameters = {
            "diagnosticDataCollectionEnabled": "false",
            # How long it waits for clients to go elsewhere before it stops.
            "shutdownTimeoutMillisForSignaledShutdown": "0",
        }
        for name, value in parameters.items():
            command += ["--setParameter", f"{name}={value}"]
        return command

    def _ready(self) -> bool:
        with MongoClient[dict[str, Any]](
            "127.0.0.1", self.port, directConnection=True, serverSelectionTimeoutMS=100
        ) as client:
            try:
                state = client.admin.command("hello")
                if not state.get("setName"):
                    member = {"_id": 0, "host": f"127.0.0.1:{self.port}"}
                    client.admin.command("replSetInitiate", {"_id": "rs0", "members": [member]})
                return bool(state["isWritablePrimary"])
            except PyMongoError:
                return False
