"""What every keyring promises."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from projections.keyring import Keyring, WrongMasterKey, open_keyring

HERE = Path(__file__).parent


@pytest.fixture
async def keyring(url: str, master_key: bytes) -> AsyncIterator[Keyring]:
    keyring = await open_keyring(url, master_key)
    yield keyring
    await keyring.close()


async def test_ensure_makes_a_key_of_its_own_for_each_id(keyring: Keyring) -> None:
    keys = await keyring.ensure(["users/alice", "users/bob", "users/alice"])

    assert keys.keys() == {"users/alice", "users/bob"}
    assert [len(key) for key in keys.values()] == [32, 32]
    assert keys["users/alice"] != keys["users/bob"]


async def test_a_key_stays_what_it_is(keyring: Keyring) -> None:
    first = await keyring.ensure(["users/alice"])
    more = await keyring.ensure(["users/bob", "users/alice"])

    assert more["users/alice"] == first["users/alice"]
    assert await keyring.get(["users/alice", "users/bob"]) == more


async def test_get_makes_nothing(keyring: Keyring) -> None:
    made = await keyring.ensure(["users/alice"])

    assert await keyring.get(["users/alice", "users/nobody"]) == made
    assert await keyring.get(["users/nobody"]) == {}
    assert await keyring.get([]) == await keyring.ensure([]) == {}


async def test_thousands_at_once(keyring: Keyring) -> None:
    ids = [f"messages/{number}" for number in range(5_000)]

    made = await keyring.ensure(ids)

    assert made.keys() == set(ids)
    assert len(set(made.values())) == len(ids)
    assert await keyring.get(ids) == made


async def test_all_who_ensure_an_id_at_once_get_the_same_key(url: str, master_key: bytes) -> None:
    keyrings = await asyncio.gather(*(open_keyring(url, master_key) for _ in range(3)))
    ids = [f"users/{number}" for number in range(50)]

    answers = await asyncio.gather(
        *(keyring.ensure(ids[turn:]) for turn in range(10) for keyring in keyrings)
    )

    stored = await keyrings[0].get(ids)
    assert stored.keys() == set(ids)
    for answer in answers:
        assert answer.items() <= stored.items()
    for keyring in keyrings:
        await keyring.close()


async def test_a_destroyed_key_is_gone_for_good(keyring: Keyring) -> None:
    before = await keyring.ensure(["users/alice", "users/bob"])

    await keyring.destroy(["users/alice"])

    assert await keyring.get(["users/alice", "users/bob"]) == {"users/bob": before["users/bob"]}
    assert await keyring.ensure(["users/alice"]) == {}
    assert await keyring.get(["users/alice"]) == {}


async def test_an_id_destroyed_before_it_had_a_key_never_gets_one(keyring: Keyring) -> None:
    await keyring.destroy(["users/alice"])

    assert await keyring.ensure(["users/alice"]) == {}


async def test_destroying_again_changes_nothing(keyring: Keyring) -> None:
    bob = await keyring.ensure(["users/bob"])
    await keyring.ensure(["users/alice"])

    for _ in range(2):
        await keyring.destroy(["users/alice", "users/nobody", "users/alice"])
    await keyring.destroy([])

    assert await keyring.ensure(["users/alice", "users/nobody", "users/bob"]) == bob


async def test_destruction_meets_those_who_ensure(url: str, master_key: bytes) -> None:
    one, other = await asyncio.gather(*(open_keyring(url, master_key) for _ in range(2)))
    ids = [f"users/{number}" for number in range(200)]

    await asyncio.gather(other.destroy(ids), *(one.ensure([key_id]) for key_id in ids))

    assert await one.ensure(ids) == await other.get(ids) == {}
    await one.close()
    await other.close()


async def test_everything_is_there_after_reopening(url: str, master_key: bytes) -> None:
    keyring = await open_keyring(url, master_key)
    made = await keyring.ensure(["users/alice", "users/bob"])
    await keyring.destroy(["users/bob"])
    await keyring.close()

    again = await open_keyring(url, master_key)

    assert await again.get(["users/alice", "users/bob"]) == {"users/alice": made["users/alice"]}
    assert await again.ensure(["users/bob"]) == {}
    await again.close()


async def test_another_master_key_is_refused_and_harms_nothing(url: str, master_key: bytes) -> None:
    keyring = await open_keyring(url, master_key)
    made = await keyring.ensure(["users/alice"])
    await keyring.close()

    for _ in range(2):
        with pytest.raises(WrongMasterKey, match="another master key"):
            await open_keyring(url, bytes(32))

    again = await open_keyring(url, master_key)
    assert await again.get(["users/alice"]) == made
    await again.close()


async def test_a_master_key_that_has_not_32_bytes_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="32 bytes, not 16"):
        await open_keyring(url, bytes(16))


async def test_keys_survive_a_kill_right_after_ensure(url: str, master_key: bytes) -> None:
    ids = ["users/alice", "users/bob"]
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        str(HERE / "ensure_and_wait.py"),
        url,
        master_key.hex(),
        *ids,
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(HERE.parents[2])},
    )
    assert child.stdout is not None
    told = await child.stdout.readline()
    child.kill()
    await child.communicate()

    keyring = await open_keyring(url, master_key)

    assert told
    assert await keyring.get(ids) == msgspec.json.decode(told, type=dict[str, bytes])
    await keyring.close()


@pytest.mark.parametrize("url", ["mysql://host/keys", "sqlite://keys.db", "sqlite:///", "keys.db"])
async def test_another_url_is_refused(url: str, master_key: bytes) -> None:
    with pytest.raises(ValueError, match="sqlite:///"):
        await open_keyring(url, master_key)
