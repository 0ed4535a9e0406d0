"""The settings: `HANSARD_` variables of the environment, read once into one frozen object."""

import base64
import difflib
import re
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network, ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar
from urllib.parse import urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import HMACAlgorithm
from pydantic import (
    AfterValidator,
    BeforeValidator,
    ByteSize,
    Field,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from gateway.email_addresses import parse_address
from gateway.limits import Kind, parse_rate

PREFIX = "HANSARD_"
MASTER_KEY_BYTES = 32
VAPID_KEY_BYTES = 32
KEYRING_FILE = "keys.db"

# Variables of tests and benchmarks, which the servers they start inherit.
_NOT_OURS = re.compile(r"HANSARD_(CORPUS|TEST_\w+)")
_ORIGIN = re.compile(r"\*|[a-z][a-z0-9+.-]*://[^/?#\s]+")


class StartRefused(Exception):
    """The start can't go on; the text is one clear line for the operator."""


class SettingsError(StartRefused):
    """A variable is unknown or wrong."""


def decode_master_key(text: str) -> bytes:
    """The 32 bytes of a master key written in base64.

    Raises:
        ValueError: it is not base64, or of another length.
    """
    key = base64.b64decode(text, validate=True)
    if len(key) != MASTER_KEY_BYTES:
        raise ValueError("another length")
    return key


def _path(value: object) -> object:
    if value == "":
        raise ValueError("empty")
    return value


def _master_key(value: object) -> object:
    return decode_master_key(value) if isinstance(value, str) else value


def decode_vapid_key(text: str) -> bytes:
    """The private key, 32 bytes, that signs for push services, written in base64url.

    Raises:
        ValueError: it is none of P-256.
    """
    raw = base64.urlsafe_b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4))
    if len(raw) != VAPID_KEY_BYTES:
        raise ValueError("another length")
    ec.derive_private_key(int.from_bytes(raw), ec.SECP256R1())
    return raw


def _vapid_key(value: object) -> object:
    return decode_vapid_key(value) if isinstance(value, str) else value


def _subject(value: str) -> str:
    if not value.startswith(("mailto:", "https://")):
        raise ValueError("another form")
    return value


def _address(value: str) -> str:
    return parse_address(value).addr_spec


def _on_or_off(value: object) -> object:
    if isinstance(value, str) and value not in ("on", "off"):
        raise ValueError("another word")
    return value


def _separated(value: object) -> object:
    if not isinstance(value, str):
        return value
    return [part for part in map(str.strip, value.split(",")) if part]


def _url(*schemes: str) -> AfterValidator:
    def check(value: str) -> str:
        if "://" not in value or urlsplit(value).scheme not in schemes:
            raise ValueError("another scheme")
        return value

    return AfterValidator(check)


def _rate(value: str) -> str:
    parse_rate(value)
    return value


def _origin(value: str) -> str:
    if _ORIGIN.fullmatch(value) is None:
        raise ValueError("no origin")
    return value


def _hmac_secret(value: str) -> str:
    try:
        HMACAlgorithm(HMACAlgorithm.SHA256).prepare_key(value)
    except jwt.InvalidKeyError as error:
        raise ValueError("empty, or a key of another kind") from error
    return value


T = TypeVar("T")
Separated = Annotated[tuple[T, ...], BeforeValidator(_separated)]
Text = Annotated[str, Field(min_length=1)]
Switch = Annotated[bool, BeforeValidator(_on_or_off), Field(description="on or off")]
Rate = Annotated[
    str, AfterValidator(_rate), Field(description="one limit such as 20/second, or off")
]


class Settings(BaseSettings):
    """All settings; docs/configuration.md says what each is for.

    A field's description is what the operator is told when the value is another.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, validate_default=True)

    data_dir: Annotated[Path, BeforeValidator(_path), AfterValidator(Path.absolute)] = Field(
        Path("data"), description="a folder"
    )
    cache_dir: Annotated[Path, BeforeValidator(_path), AfterValidator(Path.absolute)] = Field(
        Path("data/cache"), description="a folder"
    )
    log_url: Annotated[str, _url("sqlite", "kafka")] = Field(
        "", repr=False, description="a sqlite:// or kafka:// URL"
    )
    store_url: Annotated[str, _url("sqlite", "mongodb", "mongodb+srv")] = Field(
        "", repr=False, description="a sqlite:// or mongodb:// URL"
    )
    realtime_url: Annotated[str, _url("memory", "redis", "rediss")] = Field(
        "memory://", repr=False, description="memory:// or a redis:// URL"
    )
    media_url: Annotated[str, _url("file", "s3")] = Field(
        "", repr=False, description="a file:// or s3:// URL"
    )
    keyring_url: Annotated[str, _url("sqlite", "mongodb", "mongodb+srv")] = Field(
        "", repr=False, description="a sqlite:// or mongodb:// URL"
    )

    host: Text = Field("127.0.0.1", description="an address or host name to listen on")
    port: int = Field(8000, ge=0, le=65535, description="a port number, 0 to 65535")
    trusted_proxies: Separated[IPv4Network | IPv6Network] = Field(
        (), description="CIDRs separated by commas, such as 10.0.0.0/8"
    )
    cors_origins: Separated[Annotated[str, AfterValidator(_origin)]] = Field(
        (), description="origins separated by commas, such as https://chat.example.org"
    )

    jwt_secret: Annotated[Text, AfterValidator(_hmac_secret)] | None = Field(
        None, repr=False, description="a secret text, not a public key or certificate"
    )
    jwt_jwks_url: Annotated[str, _url("http", "https")] | None = Field(
        None, repr=False, description="an http:// or https:// URL"
    )
    jwt_issuer: Text | None = Field(None, description="the issuer that tokens must name")
    jwt_audience: Text | None = Field(None, description="the audience that tokens must name")
    allow_address_ids: Switch = False
    directory: Literal["all", "shared", "off"] = Field("all", description="all, shared or off")

    master_key: Annotated[bytes, BeforeValidator(_master_key)] | None = Field(
        None, repr=False, description=f"{MASTER_KEY_BYTES} bytes in base64"
    )
    sealing: Switch = True
    delete_destroys: Switch = False

    rate_writes: Rate = "20/second"
    rate_reads: Rate = "100/second"
    rate_uploads: Rate = "60/minute"
    rate_connects: Rate = "10/second"
    rate_unauthenticated: Rate = "10/second"
    media_quota: ByteSize = Field(ByteSize(5 * 2**30), ge=0, description="a size such as 5GiB")
    notify_content: Switch = False
    public_url: Annotated[str, _url("http", "https")] | None = Field(
        None, description="an http:// or https:// URL"
    )
    push_hosts: Separated[Text] = Field(
        (), description="hosts separated by commas, such as *.push.example.org"
    )
    push_delay: int = Field(5, ge=0, le=3600, description="seconds, 0 to 3600")
    vapid_private_key: Annotated[bytes, BeforeValidator(_vapid_key)] | None = Field(
        None, repr=False, description="a private key of P-256: 32 bytes in base64url"
    )
    vapid_subject: Annotated[str, AfterValidator(_subject)] | None = Field(
        None, description="a mailto: or https: URL"
    )
    smtp_url: Annotated[str, _url("smtp", "smtps")] | None = Field(
        None, repr=False, description="an smtp:// or smtps:// URL"
    )
    mail_from: Annotated[str, AfterValidator(_address)] | None = Field(
        None, description="an email address"
    )
    mail_delay: int = Field(600, ge=0, le=86400, description="seconds, 0 to 86400")

    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="debug, info, warning or error"
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 (the base class calls it by this name)
        init_settings: PydanticBaseSettingsSource,
        *_: PydanticBaseSettingsSource,
        **__: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        # Only what is handed in counts, so that several can live in one process.
        return (init_settings,)

    @model_validator(mode="before")
    @classmethod
    def _keep_data_together(cls, given: dict[str, Any]) -> dict[str, Any]:
        folder = Path(given.get("data_dir", "data")).absolute()
        return {
            "cache_dir": folder / "cache",
            "log_url": f"sqlite:///{folder}/log.db",
            "store_url": f"sqlite:///{folder}/read.db",
            "keyring_url": f"sqlite:///{folder}/{KEYRING_FILE}",
            "media_url": f"{folder.as_uri()}/media",
        } | given

    @model_validator(mode="after")
    def _pin_one_algorithm(self) -> Self:
        if self.jwt_secret is not None and self.jwt_jwks_url is not None:
            raise ValueError("HANSARD_JWT_SECRET and HANSARD_JWT_JWKS_URL: set only one of them")
        return self

    @property
    def on_loopback(self) -> bool:
        """Whether only programs on the same machine can connect."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def rates(self) -> dict[Kind, str]:
        """The rate of each kind, as the limiter takes them."""
        return {
            "writes": self.rate_writes,
            "reads": self.rate_reads,
            "uploads": self.rate_uploads,
            "connects": self.rate_connects,
            "unauthenticated": self.rate_unauthenticated,
        }


def variable(field: str) -> str:
    """The variable that sets a field."""
    return PREFIX + field.upper()


def read_settings(environ: Mapping[str, str]) -> Settings:
    """The settings in an environment, defaults filled in.

    Raises:
        SettingsError: a `HANSARD_` variable is unknown or wrong. The text names it and what is
            expected, never its value, which may be a secret.
    """
    known = {variable(field): field for field in Settings.model_fields}
    given = {
        name: value
        for name, value in environ.items()
        if name.startswith(PREFIX) and _NOT_OURS.fullmatch(name) is None
    }
    faults = [_unknown(name, known) for name in sorted(given.keys() - known.keys())]
    if faults:
        raise SettingsError("; ".join(faults))
    try:
        return Settings.model_validate({known[name]: value for name, value in given.items()})
    except ValidationError as error:
        found = dict.fromkeys(_wrong(each["loc"], each["msg"]) for each in error.errors())
    raise SettingsError("; ".join(found))


def _unknown(name: str, known: Mapping[str, str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"{name} is not a setting" + (f" (did you mean {close[0]}?)" if close else "")


def _wrong(location: tuple[int | str, ...], message: str) -> str:
    if not location:
        return message.removeprefix("Value error, ")
    field = str(location[0])
    return f"{variable(field)}: expected {Settings.model_fields[field].description}"
