"""The keyring. Its adapters are reached through `open_keyring` alone."""

from projections.keyring.mongo import MongoKeyring
from projections.keyring.port import Keyring, KeyringError
from projections.keyring.sqlite import SqliteKeyring
from projections.keyring.wrapping import MasterKey, WrongMasterKey

__all__ = ["Keyring", "KeyringError", "WrongMasterKey", "open_keyring"]


async def open_keyring(url: str, master_key: bytes) -> Keyring:
    """The keyring at `sqlite:///{path}` (an absolute path gives four slashes) or
    `mongodb://{host}/{database}`, made if missing.

    Raises:
        ValueError: another kind of URL, or a master key that has not 32 bytes.
        WrongMasterKey: the keyring was made with another one.
        KeyringError: the keyring can't be used.
    """
    scheme, _, rest = url.partition("://")
    if scheme in ("mongodb", "mongodb+srv"):
        return await MongoKeyring.open(url, MasterKey(master_key))
    if scheme != "sqlite" or not rest.startswith("/") or rest == "/":
        raise ValueError("a keyring is at sqlite:///{path} or mongodb://{host}/{database}")
    return await SqliteKeyring.open(rest[1:], MasterKey(master_key))
