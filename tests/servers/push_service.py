"""A push service on loopback, over TLS, and devices that decrypt what it got for them."""

import asyncio
import base64
import contextlib
import json
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any, NamedTuple

import http_ece
import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.servers.clients import PATIENCE

#: An answer that never comes.
NEVER = -1


def text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def raw(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Got(NamedTuple):
    """A request as the service had it, with its payload decrypted."""

    headers: dict[str, str]
    payload: dict[str, Any]


class Phone:
    """A device with a subscription of its own. `answers` are the statuses it is to be answered
    with, in turn; then 201."""

    def __init__(self, service: "PushService", name: str) -> None:
        self._service = service
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._auth = os.urandom(16)
        self.name = name
        self.answers: list[int] = []
        self.answer_headers: dict[str, str] = {}
        self.tried: list[Got] = []
        self.got: list[Got] = []

    @property
    def subscription(self) -> dict[str, Any]:
        public = self._key.public_key().public_bytes(
            serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
        )
        return {
            "endpoint": f"{self._service.url}/{self.name}",
            "keys": {"p256dh": text(public), "auth": text(self._auth)},
        }

    def take(self, headers: dict[str, str], body: bytes) -> int:
        """The status to answer with."""
        clear = http_ece.decrypt(
            body, private_key=self._key, auth_secret=self._auth, version="aes128gcm"
        )
        got = Got(headers, json.loads(clear))
        self.tried.append(got)
        status = self.answers.pop(0) if self.answers else 201
        if 200 <= status < 300:
            self.got.append(got)
        return status

    @property
    def ids(self) -> list[str]:
        return [got.payload["id"] for got in self.got]


class PushService:
    """Takes push messages for its phones and holds them to the rules."""

    def __init__(self, port: int, certificate: Path) -> None:
        self.host = f"localhost:{port}"
        self.url = f"https://{self.host}"
        self.certificate = certificate
        self.phones: dict[str, Phone] = {}
        self.connections = 0
        self.paths: list[str] = []
        self.faults: list[BaseException] = []
        self._changed = asyncio.Condition()

    def phone(self, name: str) -> Phone:
        return self.phones.setdefault(f"/{name}", Phone(self, name))

    async def arrived(self, phone: Phone, number: int) -> list[Got]:
        """What a phone has got, once it is so much."""
        async with asyncio.timeout(PATIENCE), self._changed:
            await self._changed.wait_for(lambda: len(phone.got) >= number)
        return phone.got

    def trusted(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.certificate)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                request, *lines = head.strip().split("\r\n")
                method, path, _ = request.split(" ")
                headers = {
                    name.lower(): value.strip()
                    for name, _, value in (line.partition(":") for line in lines)
                }
                body = await reader.readexactly(int(headers["content-length"]))
                assert method == "POST"
                status = self._take(path, headers, body)
                async with self._changed:
                    self._changed.notify_all()
                if status == NEVER:
                    await reader.read()
                    return
                extra = self.phones[path].answer_headers
                more = "".join(f"{name}: {value}\r\n" for name, value in extra.items())
                writer.write(f"HTTP/1.1 {status} x\r\ncontent-length: 0\r\n{more}\r\n".encode())
                await writer.drain()
        except (asyncio.IncompleteReadError, OSError):
            pass
        except Exception as fault:
            self.faults.append(fault)
        finally:
            writer.close()
            with contextlib.suppress(Exception):
                await writer.wait_closed()

    def _take(self, path: str, headers: dict[str, str], body: bytes) -> int:
        self.paths.append(path)
        assert headers["host"] == self.host
        assert headers["content-encoding"] == "aes128gcm"
        assert 0 <= int(headers["ttl"]) <= 24 * 3600
        assert headers["urgency"] in ("low", "normal")
        assert 1 <= len(headers["topic"]) <= 32
        token, key = headers["authorization"].removeprefix("vapid t=").split(",k=")
        public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), raw(key))
        claims = jwt.decode(
            token,
            public,
            algorithms=["ES256"],
            audience=self.url,
            # Tests put the sender's clock forward.
            options={"verify_exp": False},
        )
        assert claims["sub"].startswith("mailto:")
        assert len(body) <= 4096
        return self.phones[path].take(headers, body)


@asynccontextmanager
async def push_service(folder: Path) -> AsyncIterator[PushService]:
    """A running push service, which at the end must have found nothing wrong."""
    certificate, key = _certificate(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    services: list[PushService] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await services[0].serve(reader, writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    services.append(PushService(server.sockets[0].getsockname()[1], certificate))
    try:
        yield services[0]
    finally:
        server.close()
        if services[0].faults:
            raise services[0].faults[0]


def _certificate(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "push service")])
    now = datetime.now(UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder.mkdir(parents=True, exist_ok=True)
    paths = folder / "push.crt", folder / "push.key"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return paths
