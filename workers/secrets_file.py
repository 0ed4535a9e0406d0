"""The data folder and the secrets kept in it: made on the first start, read on every later one."""

import base64
import contextlib
import os
import secrets
import stat
from collections.abc import Callable
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec

from workers.settings import (
    KEYRING_FILE,
    MASTER_KEY_BYTES,
    VAPID_KEY_BYTES,
    Settings,
    StartRefused,
    decode_master_key,
    decode_vapid_key,
)

JWT_SECRET_FILE = "jwt.secret"
MASTER_KEY_FILE = "master.key"
VAPID_KEY_FILE = "vapid.key"

_JWT_SECRET_BYTES = 32


class SecretFileError(StartRefused):
    """The data folder or a secret in it can't be made, read or trusted."""


class Secrets(msgspec.Struct, frozen=True):
    """The secrets of a server.

    `jwt_secret` is None where a JWKS endpoint has the keys. `made_here` says that the server made
    it itself, on this start or an earlier one.
    """

    jwt_secret: str | None
    made_here: bool
    master_key: bytes
    vapid_key: bytes

    def __repr__(self) -> str:
        return f"Secrets(made_here={self.made_here})"


def open_secrets(settings: Settings) -> Secrets:
    """The secrets of the settings, and those that are not set there from the data folder.

    Makes the folder (mode 0700) and what is missing in it. Safe to run in several processes at
    once: all get the same secrets.

    Raises:
        SecretFileError: a secret can't be kept safely, or the one that is kept can't be used.
    """
    jwt_secret = settings.jwt_secret
    made_here = jwt_secret is None and settings.jwt_jwks_url is None
    master_key = settings.master_key
    vapid_key = settings.vapid_private_key
    try:
        make_data_folder(settings.data_dir)
        if made_here:
            jwt_secret = _kept(settings.data_dir / JWT_SECRET_FILE, _new_jwt_secret)
        if master_key is None:
            master_key = _kept_master_key(settings.data_dir)
        if vapid_key is None:
            vapid_key = _kept_vapid_key(settings.data_dir)
    except OSError as error:
        where = error.filename or settings.data_dir
        raise SecretFileError(f"{where}: {error.strerror}") from error
    return Secrets(
        jwt_secret=jwt_secret, made_here=made_here, master_key=master_key, vapid_key=vapid_key
    )


def make_data_folder(folder: Path) -> None:
    """Makes the folder with mode 0700 where it is missing, and the folders above it.

    Raises:
        OSError: that is not possible.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        if not folder.is_dir():
            raise
    else:
        _sync_folder(folder.parent)


def _new_jwt_secret() -> str:
    return secrets.token_urlsafe(_JWT_SECRET_BYTES)


def _new_master_key() -> str:
    return base64.b64encode(secrets.token_bytes(MASTER_KEY_BYTES)).decode()


def _new_vapid_key() -> str:
    number = ec.generate_private_key(ec.SECP256R1()).private_numbers().private_value
    return base64.urlsafe_b64encode(number.to_bytes(VAPID_KEY_BYTES)).rstrip(b"=").decode()


def _kept_vapid_key(folder: Path) -> bytes:
    path = folder / VAPID_KEY_FILE
    try:
        return decode_vapid_key(_kept(path, _new_vapid_key))
    except ValueError as error:
        raise SecretFileError(f"{path}: expected a private key of P-256 in base64url") from error


def _kept_master_key(folder: Path) -> bytes:
    path = folder / MASTER_KEY_FILE
    keyring = folder / KEYRING_FILE
    if keyring.exists() and not path.exists():
        # A new one would open none of the keys there, and everything sealed would seem erased.
        raise SecretFileError(
            f"{path} is missing, and {keyring} needs it: put it back, or set HANSARD_MASTER_KEY"
        )
    try:
        return decode_master_key(_kept(path, _new_master_key))
    except ValueError as error:
        raise SecretFileError(f"{path}: expected {MASTER_KEY_BYTES} bytes in base64") from error


def _kept(path: Path, make: Callable[[], str]) -> str:
    try:
        return _read(path)
    except FileNotFoundError:
        _write_new(path, make())
        return _read(path)


def _read(path: Path) -> str:
    with path.open(encoding="ascii", errors="replace") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        if mode & 0o077:
            raise SecretFileError(f"{path}: others can use it (mode {mode:04o}, expected 0600)")
        text = file.read().strip()
    if not text:
        raise SecretFileError(f"{path}: the file is empty")
    return text


def _write_new(path: Path, text: str) -> None:
    """Puts a whole file in place, unless another process has been faster.

    It gets its name only when its content is safe on the disk, so a crash leaves all of it or
    none.
    """
    unnamed = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(unnamed, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "w", encoding="ascii") as file:
            file.write(f"{text}\n")
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(unnamed, path)
    finally:
        unnamed.unlink()
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
