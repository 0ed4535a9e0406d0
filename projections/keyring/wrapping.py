"""Wrapping of the keys in a keyring by its master key, the same for every adapter."""

import os
from base64 import b64decode, b64encode

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from domain.sealing import KEY_BYTES, mac
from projections.keyring.port import KeyringError

_NONCE_BYTES = 12


class WrongMasterKey(KeyringError):
    """The keyring was made with another master key."""


class MasterKey:
    """Wraps each key by AES-256-GCM under a wrapping key made for its id, with the id bound in.

    Random nonces under one key are safe for 2^32 uses (NIST SP 800-38D, section 8.3), which a key
    for every message would use up. A wrapping key for each id (HMAC-SHA256) is used about once.

    Raises:
        ValueError: the master key has not 32 bytes.
    """

    def __init__(self, secret: bytes) -> None:
        if len(secret) != KEY_BYTES:
            raise ValueError(f"a master key has {KEY_BYTES} bytes, not {len(secret)}")
        self._secret = secret

    def new_key(self, key_id: str) -> str:
        """A new random key, wrapped, in base64."""
        fresh = os.urandom(_NONCE_BYTES + KEY_BYTES)
        nonce, key = fresh[:_NONCE_BYTES], fresh[_NONCE_BYTES:]
        wrapped = self._wrapping(key_id).encrypt(nonce, key, key_id.encode())
        return b64encode(nonce + wrapped).decode()

    def unwrap(self, key_id: str, wrapped: str) -> bytes:
        """The key in what `new_key` made for this id.

        Raises:
            KeyringError: it was changed, or made for another id or by another master key.
        """
        try:
            box = b64decode(wrapped, validate=True)
            nonce, sealed = box[:_NONCE_BYTES], box[_NONCE_BYTES:]
            return self._wrapping(key_id).decrypt(nonce, sealed, key_id.encode())
        except (InvalidTag, ValueError) as error:
            raise KeyringError(f"the key {key_id!r} can't be unwrapped: it was changed") from error

    def _wrapping(self, key_id: str) -> AESGCM:
        return AESGCM(mac(self._secret, b"keyring\0" + key_id.encode()))
