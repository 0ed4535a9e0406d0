"""Kafka in KRaft mode: one node that is broker and controller."""

import base64
import subprocess
import uuid
from pathlib import Path
from typing import Final

from tests.servers import parts
from tests.servers.disk import SmallDisk
from tests.servers.process import STOP_WITHIN, ServerProcess, free_port

#: For a fast start: what the second compiler would gain comes later than most tests end.
_JVM: Final = ("-Xms128m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")

_LOGGING: Final = """
rootLogger.level=info
rootLogger.appenderRef.out.ref=out
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d %p %m (%c{1})%n
logger.config.name=org.apache.kafka.common.config
logger.config.level=warn
"""


class KafkaServer(ServerProcess):
    def __init__(self, folder: Path, disk: SmallDisk | None = None) -> None:
        """Its data are in `folder`, or else on `disk`, which has to be mounted."""
        super().__init__(folder)
        # Whoever enters a small disk finds itself in another folder, so paths are whole.
        self._settings = folder / "server.properties"
        self._data = folder / "data"
        if disk is not None:
            self._data = disk.folder / "data"
            self.launcher = disk.launcher
        self._controller_port = free_port()
        self._proxied_port = free_port()
        self._proxy_port = free_port()
        self._log_start = 0

    def url_at(self, port: int) -> str:
        return f"kafka://127.0.0.1:{port}"

    @property
    def upstream_port(self) -> int:
        return self._proxied_port

    @property
    def proxy_port(self) -> int:
        # Clients go to the address that the broker tells, so it must know the proxy's.
        return self._proxy_port

    def _properties(self) -> str:
        own, proxied = f"127.0.0.1:{self.port}", f"127.0.0.1:{self._proxied_port}"
        controller = f"127.0.0.1:{self._controller_port}"
        proxy = f"127.0.0.1:{self._proxy_port}"
        return f"""
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{controller}
listeners=PLAINTEXT://{own},PROXIED://{proxied},CONTROLLER://{controller}
advertised.listeners=PLAINTEXT://{own},PROXIED://{proxy}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
log.dirs={self._data}
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
offsets.topic.num.partitions=5
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=5
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
# A broker that was killed is let in again when its old session has run out.
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=2000
# Thousands of partitions come and go in a run; at their full size each index takes 10 MiB of
# address space.
log.index.size.max.bytes=1048576
"""

    def _java(self, main: str, *arguments: str) -> list[str]:
        logging = f"-Dlog4j2.configurationFile={self.folder}/log4j2.properties"
        return ["java", *_JVM, logging, "-cp", f"{parts.kafka()}/*", main, *arguments]

    def _prepare(self) -> None:
        (self.folder / "log4j2.properties").write_text(_LOGGING)
        self._settings.write_text(self._properties())
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        with self._log.open("ab") as log:
            subprocess.run(
                [
                    *self.launcher,
                    *self._java(
                        "kafka.tools.StorageTool",
                        "format",
                        # It may begin with a dash.
                        f"--cluster-id={cluster}",
                        "-c",
                        str(self._settings),
                    ),
                ],
                cwd=self.folder,
                stdout=log,
                stderr=log,
                timeout=STOP_WITHIN,
                check=True,
            )

    def _command(self) -> list[str]:
        self._log_start = self._log.stat().st_size
        return self._java("kafka.Kafka", str(self._settings))

    def _ready(self) -> bool:
        """Written after the controller has let the broker in."""
        with self._log.open("rb") as log:
            log.seek(self._log_start)
            return b"Kafka Server started" in log.read()
