"""The vault on a real keyring: sealed in one run, read in the next, gone once the key is."""

from projections.keyring import open_keyring
from projections.vault import Opened, Vault

PLACE = ("chats/tea", "0a6f7c1e-64f5-5d58-8a55-6b7f3a9f0f21")


async def test_what_was_sealed_opens_until_its_key_is_destroyed(
    url: str, master_key: bytes
) -> None:
    keyring = await open_keyring(url, master_key)
    writer = Vault(keyring)
    await writer.ensure(["users/alice", "chats/tea"])
    content = writer.seal("users/alice", *PLACE, {"content": "hello"})["content"]
    name = writer.seal("chats/tea", *PLACE, {"name": "Tea"})["name"]
    await keyring.close()

    keyring = await open_keyring(url, master_key)
    reader = Vault(keyring)
    await reader.load(Vault.key_ids([content, name]))
    assert reader.open(*PLACE, "content", content) == Opened("hello", erased=False)

    await keyring.destroy(["users/alice"])
    reader.forget(["users/alice"])
    later = Vault(keyring)
    await later.load(Vault.key_ids([content, name]))

    for vault in (reader, later):
        assert vault.open(*PLACE, "content", content) == Opened(None, erased=True)
        assert vault.open(*PLACE, "name", name) == Opened("Tea", erased=False)
    await keyring.close()
