import asyncio
import hmac
from collections.abc import Coroutine, Iterable, Sequence
from typing import Any

import pytest
from msgspec import UNSET
from structlog.testing import capture_logs

from domain import sealing
from projections.keyring.port import KeyringError
from projections.vault import KEEP_SECONDS, KeyDestroyed, KeyNotLoaded, Opened, Vault

STREAM = "chats/tea"
COMMAND = "0a6f7c1e-64f5-5d58-8a55-6b7f3a9f0f21"
ERASED = Opened(None, erased=True)


class MemoryKeyring:
    """Notes what it is asked; answers with what it had then, once `answering` is set."""

    def __init__(self) -> None:
        self.keys: dict[str, bytes | None] = {}
        self.asked: list[set[str]] = []
        self.broken = False
        self.answering = asyncio.Event()
        self.answering.set()
        self._questioned = asyncio.Event()

    def hold(self) -> None:
        """Let the next questions wait for their answers."""
        self.answering.clear()
        self._questioned.clear()

    async def until_questioned(self) -> None:
        async with asyncio.timeout(5):
            await self._questioned.wait()

    async def ensure(self, ids: Sequence[str]) -> dict[str, bytes]:
        for key_id in ids:
            self.keys.setdefault(key_id, hmac.digest(b"keyring", key_id.encode(), "sha256"))
        return await self.get(ids)

    async def get(self, ids: Sequence[str]) -> dict[str, bytes]:
        self.asked.append(set(ids))
        self._questioned.set()
        if self.broken:
            raise KeyringError("broken")
        answer = {key_id: key for key_id in ids if (key := self.keys.get(key_id))}
        await self.answering.wait()
        return answer

    async def destroy(self, ids: Sequence[str]) -> None:
        self.keys |= dict.fromkeys(ids)

    async def close(self) -> None:
        pass


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def keyring() -> MemoryKeyring:
    return MemoryKeyring()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def vault(keyring: MemoryKeyring, clock: Clock) -> Vault:
    return Vault(keyring, clock=clock)


def sealed(vault: Vault, value: Any = "hello", key_id: str = "users/alice") -> Any:
    return vault.seal(key_id, STREAM, COMMAND, {"content": value})["content"]


def opened(vault: Vault, value: Any) -> Opened:
    return vault.open(STREAM, COMMAND, "content", value)


def run_without_waiting(step: Coroutine[Any, Any, None]) -> None:
    with pytest.raises(StopIteration):
        step.send(None)


# Sealing and opening


@pytest.mark.parametrize("value", ["hello", "", 0, False, [], {"location": {"lat": 1.5}}])
async def test_what_was_sealed_opens(vault: Vault, value: Any) -> None:
    await vault.ensure(["users/alice"])

    box = sealed(vault, value)

    assert sealing.is_sealed(box)
    assert opened(vault, box) == Opened(value, erased=False)


async def test_another_vault_opens_it(vault: Vault, keyring: MemoryKeyring) -> None:
    await vault.ensure(["users/alice"])
    box = sealed(vault)
    other = Vault(keyring)

    await other.load(Vault.key_ids([box]))

    assert opened(other, box) == Opened("hello", erased=False)


async def test_nothing_to_seal_passes(vault: Vault) -> None:
    await vault.ensure(["users/alice"])

    fields = vault.seal("users/alice", STREAM, COMMAND, {"name": None, "email": UNSET, "of": "A"})

    assert fields["name"] is None
    assert fields["email"] is UNSET
    assert vault.open(STREAM, COMMAND, "of", fields["of"]) == Opened("A", erased=False)


async def test_a_command_sealed_again_gives_the_same_bytes(vault: Vault) -> None:
    await vault.ensure(["users/alice"])

    assert sealed(vault, "hello") == sealed(vault, "hello")
    assert sealed(vault, "hello")["nonce"] != sealed(vault, "hullo")["nonce"]


async def test_with_sealing_off_values_stay_plain_and_boxes_still_open(
    vault: Vault, keyring: MemoryKeyring
) -> None:
    await vault.ensure(["users/alice"])
    box = sealed(vault)
    plain = Vault(keyring, sealing=False)
    await plain.ensure(["users/alice"])

    assert plain.seal("users/alice", STREAM, COMMAND, {"content": "hello", "name": None}) == {
        "content": "hello",
        "name": None,
    }
    assert opened(plain, box) == Opened("hello", erased=False)
    assert plain.digest("users/alice", b"{}") == vault.digest("users/alice", b"{}")


@pytest.mark.parametrize(
    "value",
    [
        None,
        "hello",
        {"sealed": "users/alice"},
        {"sealed": ["users/alice"], "commit": 1, "nonce": 2, "box": 3},
    ],
)
def test_what_is_no_box_is_returned_as_it_is(vault: Vault, value: Any) -> None:
    assert opened(vault, value) == Opened(value, erased=False)
    assert Vault.key_ids([value]) == set()


async def test_the_keys_that_boxes_need(vault: Vault) -> None:
    await vault.ensure(["users/alice", "chats/tea"])
    boxes = [sealed(vault, key_id=key_id) for key_id in ("users/alice", "chats/tea", "chats/tea")]

    assert Vault.key_ids([*boxes, None, "plain"]) == {"users/alice", "chats/tea"}


async def test_a_box_that_does_not_open_reads_as_erased_and_is_logged_without_content(
    vault: Vault,
) -> None:
    await vault.ensure(["users/alice"])
    box = sealed(vault, "a secret")

    with capture_logs() as logs:
        assert vault.open(STREAM, COMMAND, "metadata", box) == ERASED
        assert opened(vault, box | {"commit": "0" * 64}) == ERASED
        assert opened(vault, box | {"box": "!"}) == ERASED

    assert [(entry["event"], entry["key_id"]) for entry in logs] == [
        ("box_not_opened", "users/alice")
    ] * 3
    assert box["box"] not in str(logs)
    assert "secret" not in str(logs)


async def test_the_digest_is_an_hmac_under_a_key_of_its_own(
    vault: Vault, keyring: MemoryKeyring
) -> None:
    await vault.ensure(["users/alice", "users/bob"])
    key = keyring.keys["users/alice"]
    assert key is not None

    for _ in range(2):
        digest = vault.digest("users/alice", b'{"do":"react"}')
        expected = hmac.digest(sealing.digest_key(key), b'{"do":"react"}', "sha256")
        assert digest == expected.hex()
    assert digest != vault.digest("users/bob", b'{"do":"react"}')


# Keys that are gone, and keys that were never fetched


async def test_a_destroyed_key_can_not_be_ensured(vault: Vault, keyring: MemoryKeyring) -> None:
    await keyring.destroy(["users/bob"])

    for _ in range(2):
        with pytest.raises(KeyDestroyed) as caught:
            await vault.ensure(["users/alice", "users/bob"])
        assert caught.value.key_id == "users/bob"


async def test_a_box_whose_key_is_gone_reads_as_erased(
    vault: Vault, keyring: MemoryKeyring
) -> None:
    await vault.ensure(["users/alice"])
    box = sealed(vault)
    await keyring.destroy(["users/alice"])
    other = Vault(keyring)

    await other.load(["users/alice"])

    assert opened(other, box) == ERASED
    with pytest.raises(KeyDestroyed):
        sealed(other)
    with pytest.raises(KeyDestroyed):
        other.digest("users/alice", b"{}")


async def test_a_key_that_was_never_fetched_is_a_mistake_and_not_erased(
    vault: Vault, keyring: MemoryKeyring
) -> None:
    await vault.ensure(["users/alice"])
    box = sealed(vault)
    other = Vault(keyring)

    for use in (opened, sealed):
        with pytest.raises(KeyNotLoaded):
            use(other, box)


async def test_a_key_that_load_did_not_find_can_be_made_at_once(vault: Vault) -> None:
    await vault.load(["users/alice"])

    await vault.ensure(["users/alice"])

    assert opened(vault, sealed(vault)) == Opened("hello", erased=False)


# How long keys are kept


@pytest.mark.parametrize("step", ["ensure", "load"])
async def test_keys_at_hand_cost_no_wait(vault: Vault, keyring: MemoryKeyring, step: str) -> None:
    await vault.ensure(["users/alice", "users/bob"])

    run_without_waiting(getattr(vault, step)(["users/bob", "users/alice"]))

    assert len(keyring.asked) == 1


async def test_only_what_is_missing_is_asked_for(vault: Vault, keyring: MemoryKeyring) -> None:
    await vault.ensure(["users/alice"])
    await vault.load(["users/alice", "users/bob"])
    await vault.ensure(["users/alice", "users/bob", "users/carol"])

    assert keyring.asked == [{"users/alice"}, {"users/bob"}, {"users/bob", "users/carol"}]


@pytest.mark.parametrize("step", ["ensure", "load"])
async def test_a_key_is_asked_for_again_after_its_time(
    vault: Vault, keyring: MemoryKeyring, clock: Clock, step: str
) -> None:
    await vault.ensure(["users/alice"])
    clock.now += KEEP_SECONDS - 0.001
    run_without_waiting(getattr(vault, step)(["users/alice"]))

    clock.now += 0.001
    await getattr(vault, step)(["users/alice"])

    assert len(keyring.asked) == 2


async def test_a_destruction_is_seen_after_that_time_without_notice(
    vault: Vault, keyring: MemoryKeyring, clock: Clock
) -> None:
    await vault.ensure(["users/alice"])
    box = sealed(vault)
    await keyring.destroy(["users/alice"])
    await vault.load(["users/alice"])
    assert opened(vault, box) == Opened("hello", erased=False)

    clock.now += KEEP_SECONDS
    await vault.load(["users/alice"])

    assert opened(vault, box) == ERASED


async def test_the_time_counts_from_the_question(
    vault: Vault, keyring: MemoryKeyring, clock: Clock
) -> None:
    keyring.hold()
    asking = asyncio.create_task(vault.load(["users/alice"]))
    await keyring.until_questioned()
    clock.now += KEEP_SECONDS - 1
    keyring.answering.set()
    await asking

    clock.now += 1
    await vault.load(["users/alice"])

    assert len(keyring.asked) == 2


async def test_that_there_is_no_key_is_remembered_as_long(
    vault: Vault, keyring: MemoryKeyring, clock: Clock
) -> None:
    await vault.load(["users/alice"])
    await keyring.ensure(["users/alice"])
    run_without_waiting(vault.load(["users/alice"]))
    with pytest.raises(KeyDestroyed):
        sealed(vault)

    clock.now += KEEP_SECONDS
    await vault.load(["users/alice"])

    assert opened(vault, sealed(vault)) == Opened("hello", erased=False)


async def test_the_least_recently_wanted_key_makes_room(keyring: MemoryKeyring) -> None:
    vault = Vault(keyring, capacity=2)
    for key_id in ("users/alice", "users/bob", "users/alice", "users/carol"):
        await vault.load([key_id])
    keyring.asked.clear()

    await vault.load(["users/alice"])
    assert keyring.asked == []
    await vault.load(["users/bob"])
    assert keyring.asked == [{"users/bob"}]


async def test_a_fetch_does_not_push_out_what_it_was_asked_with(keyring: MemoryKeyring) -> None:
    vault = Vault(keyring, capacity=3)
    await vault.ensure(["users/alice"])
    await vault.ensure(["users/bob", "users/carol"])

    await vault.ensure(["users/alice", "users/dora", "users/emil"])

    for key_id in ("users/alice", "users/dora", "users/emil"):
        assert opened(vault, sealed(vault, key_id=key_id)) == Opened("hello", erased=False)


@pytest.mark.parametrize("step", ["ensure", "load"])
async def test_more_keys_than_there_is_room_for_are_refused(
    keyring: MemoryKeyring, step: str
) -> None:
    vault = Vault(keyring, capacity=2)

    with pytest.raises(ValueError, match="3 keys at once"):
        await getattr(vault, step)(["users/alice", "users/bob", "users/carol"])


# Notice of destruction


async def test_a_forgotten_key_is_used_no_more(vault: Vault, keyring: MemoryKeyring) -> None:
    await vault.ensure(["users/alice", "users/bob"])
    box = sealed(vault)
    kept = sealed(vault, key_id="users/bob")
    vault.digest("users/alice", b"{}")
    await keyring.destroy(["users/alice"])

    vault.forget(["users/alice", "users/nobody"])

    assert opened(vault, box) == ERASED
    with pytest.raises(KeyDestroyed):
        sealed(vault)
    with pytest.raises(KeyDestroyed):
        vault.digest("users/alice", b"{}")
    with pytest.raises(KeyDestroyed):
        await vault.ensure(["users/alice"])
    assert opened(vault, kept) == Opened("hello", erased=False)


@pytest.mark.parametrize("was_at_hand", [True, False])
async def test_notice_beats_an_answer_from_before_the_destruction(
    vault: Vault, keyring: MemoryKeyring, clock: Clock, was_at_hand: bool
) -> None:
    box = await box_of_another_vault(keyring)
    if was_at_hand:
        await vault.load(["users/alice"])
        clock.now += KEEP_SECONDS
    keyring.asked.clear()
    keyring.hold()
    asking = asyncio.create_task(vault.load(["users/alice"]))
    await keyring.until_questioned()

    await keyring.destroy(["users/alice"])
    vault.forget(["users/alice"])
    keyring.answering.set()
    await asking

    assert opened(vault, box) == ERASED


async def box_of_another_vault(keyring: MemoryKeyring) -> Any:
    other = Vault(keyring)
    await other.ensure(["users/alice"])
    return sealed(other)


async def test_notice_while_a_key_is_ensured_ends_in_its_destruction(
    vault: Vault, keyring: MemoryKeyring
) -> None:
    keyring.hold()
    asking = asyncio.create_task(vault.ensure(["users/alice"]))
    await keyring.until_questioned()

    await keyring.destroy(["users/alice"])
    vault.forget(["users/alice"])
    keyring.answering.set()

    with pytest.raises(KeyDestroyed):
        await asking


# Many at once


def ask_at_once(vault: Vault, ids: Iterable[str]) -> list[asyncio.Task[None]]:
    return [asyncio.create_task(vault.ensure([key_id])) for key_id in ids]


async def test_those_who_ask_meanwhile_share_the_next_question(
    vault: Vault, keyring: MemoryKeyring
) -> None:
    keyring.hold()
    first = ask_at_once(vault, ["users/alice"])
    await keyring.until_questioned()
    later = ask_at_once(vault, ["users/bob", "users/alice", "users/carol", "users/bob"])
    reading = asyncio.create_task(vault.load(["users/dora"]))
    keyring.answering.set()

    await asyncio.gather(*first, *later, reading)

    assert keyring.asked == [
        {"users/alice"},
        {"users/alice", "users/bob", "users/carol"},
        {"users/dora"},
    ]


async def test_one_who_gives_up_leaves_the_others_their_answer(
    vault: Vault, keyring: MemoryKeyring
) -> None:
    keyring.hold()
    one, other = ask_at_once(vault, ["users/alice", "users/bob"])
    await keyring.until_questioned()

    one.cancel()
    await asyncio.wait([one])
    keyring.answering.set()
    await other

    assert one.cancelled()
    assert opened(vault, sealed(vault, key_id="users/bob")) == Opened("hello", erased=False)


async def test_a_failing_keyring_is_told_to_all_who_asked_and_asked_again(
    vault: Vault, keyring: MemoryKeyring
) -> None:
    keyring.broken = True
    answers = await asyncio.gather(
        *ask_at_once(vault, ["users/alice", "users/bob"]), return_exceptions=True
    )
    assert [type(answer) for answer in answers] == [KeyringError, KeyringError]

    keyring.broken = False
    await vault.ensure(["users/alice"])

    assert opened(vault, sealed(vault)) == Opened("hello", erased=False)
