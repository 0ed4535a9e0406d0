"""The distributed edition for the black-box tests: each part a process of its own."""

import base64
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from tests.servers.hansard import UNLIMITED, HansardServer
from tests.servers.process import Server

#: One of each of these makes a whole.
ROLES = ("decider", "projector", "fanout", "notifier", "scheduler", "gateway")
PARTITIONS = 4


class Backing(NamedTuple):
    """The servers that a distributed Hansard stands on; each test has names of its own on them."""

    kafka: Server
    mongo: Server
    redis: Server

    def environ(self, name: str, partitions: int = PARTITIONS) -> dict[str, str]:
        return {
            "HANSARD_LOG_URL": f"{self.kafka.url_for(name)}?partitions={partitions}",
            "HANSARD_STORE_URL": self.mongo.url_for(name),
            "HANSARD_KEYRING_URL": self.mongo.url_for(f"{name}_keys"),
            "HANSARD_REALTIME_URL": self.redis.url_for(name),
            "HANSARD_MASTER_KEY": base64.b64encode(bytes(range(32))).decode(),
            "HANSARD_VAPID_PRIVATE_KEY": base64.urlsafe_b64encode(bytes(range(32))).decode(),
            "HANSARD_JWT_SECRET": "a secret that all the gateways of the tests share",
        }


class Cluster(HansardServer):
    """Looks like the process of a gateway, and has all the others with it."""

    def __init__(
        self,
        folder: Path,
        backing: Backing,
        environ: Mapping[str, str] | None = None,
        partitions: int = PARTITIONS,
    ) -> None:
        self._shared = {
            **backing.environ(folder.name, partitions),
            **(UNLIMITED if environ is None else environ),
        }
        super().__init__(folder / "gateway", self._shared, "gateway")
        self.home = folder
        self.others = [self.process(role) for role in ROLES if role != "gateway"]

    def process(self, role: str, name: str | None = None) -> HansardServer:
        """One more process of the cluster, not started yet."""
        return HansardServer(self.home / (name or role), self._shared, role)

    def the(self, role: str) -> HansardServer:
        """The cluster's first process of a role."""
        return next(one for one in (self, *self.others) if one.command == role)

    def start(self) -> "Cluster":
        self.home.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            [sys.executable, "-m", "workers.cli", "migrate"],
            env=self.environ,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        for one in (*self.others, self):
            one.spawn()
        for one in (*self.others, self):
            one.await_ready()
        return self

    def stop(self) -> int:
        codes = [super().stop(), *(one.stop() for one in self.others)]
        return next((code for code in codes if code), 0)

    def kill(self) -> None:
        super().kill()
        for one in self.others:
            one.kill()
