"""The keyring. Its adapters are reached through `open_keyring` alone."""

from projections.keyring.port import Keyring, KeyringError
from projections.keyring.sqlite import SqliteKeyring
from projections.keyring.wrapping import MasterKey, WrongMasterKey

__all__ = ["Keyring", "KeyringError", "WrongMasterKey", "open_keyring"]


async def open_keyring(url: str, master_key: bytes) -> Keyring:
    """The keyring at `sqlite:///{path}` (an absolute path gives four slashes), made if missing.

    Raises:
        ValueError: another kind of URL, or a master key that has not 32 bytes.
        WrongMasterKey: the keyring was made with another one.
        KeyringError: the keyring can't be used.
    """
    scheme, _, path = url.partition(":///")
    if scheme != "sqlite" or not path:
        raise ValueError("a keyring is at sqlite:///{path}")
    return await SqliteKeyring.open(path, MasterKey(master_key))
