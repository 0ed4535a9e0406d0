from base64 import b64encode
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from domain import sealing

KEY = bytes(range(32))
STREAM = "chats/5e7c9a34-7f4e-5b0c-9a43-9b6f0a1f2c11"
COMMAND = "0a6f7c1e-64f5-5d58-8a55-6b7f3a9f0f21"
NONCE = bytes(range(100, 112))

GOLDEN = {
    "sealed": "users/alice",
    "commit": "c82307358834c64ab7173449a1b771b5d805a6f982e3e979d45f481318b084c1",
    "nonce": "ZGVmZ2hpamtsbW5v",
    "box": "u2mIPYrY9i+NY7HSE/3hRtBdiA93ES0bspRIVzodpPrGtpoiACIj",
}

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


def b64(data: bytes) -> str:
    return b64encode(data).decode()


def box_of(value: Any, key: bytes = KEY, field: str = "content") -> dict[str, Any]:
    derived = sealing.derive(key, STREAM, COMMAND)
    return sealing.seal("users/alice", derived, NONCE, STREAM, COMMAND, field, value)


def opened(box: dict[str, Any], key: bytes = KEY) -> Any:
    return sealing.open_box(sealing.derive(key, STREAM, COMMAND), STREAM, COMMAND, "content", box)


# Keys


def hkdf(info: bytes) -> bytes:
    return HKDF(SHA256(), length=32, salt=None, info=info).derive(KEY)


def test_derived_keys_are_those_of_hkdf() -> None:
    assert sealing.derive(KEY, STREAM, COMMAND) == hkdf(f"{STREAM}\0{COMMAND}".encode())
    assert sealing.digest_key(KEY) == hkdf(b"commanddigest")


def test_every_command_has_its_own_key() -> None:
    derived = {
        sealing.derive(key, stream, command)
        for key in (KEY, bytes(32))
        for stream in (STREAM, "users/alice")
        for command in (COMMAND, "another")
    }

    assert len(derived) == 8


# Boxes


@given(json_values)
def test_what_was_sealed_opens(value: Any) -> None:
    assert opened(box_of(value)) == value


def test_a_box_is_the_same_in_every_version() -> None:
    """Boxes lie in the log for ever: a change here makes old ones unreadable."""
    assert box_of("the motion is carried") == GOLDEN
    assert opened(GOLDEN) == "the motion is carried"


def test_a_box_shows_nothing_of_its_value() -> None:
    assert "carried" not in str(box_of("the motion is carried"))
    assert sealing.is_sealed(box_of(None))


@pytest.mark.parametrize("value", [None, "sealed", 1, [], {}, {"sealed": "users/alice"}])
def test_other_values_are_no_boxes(value: Any) -> None:
    assert not sealing.is_sealed(value)


@pytest.mark.parametrize(
    ("stream", "command", "field"),
    [
        ("chats/another", COMMAND, "content"),
        (STREAM, "another", "content"),
        (STREAM, COMMAND, "metadata"),
        (f"{STREAM}\0{COMMAND}", "", "content"),
    ],
)
def test_a_box_opens_only_where_it_was_sealed(stream: str, command: str, field: str) -> None:
    box = box_of("hello")
    derived = sealing.derive(KEY, STREAM, COMMAND)

    with pytest.raises(sealing.CannotOpen, match="belongs elsewhere"):
        sealing.open_box(derived, stream, command, field, box)


def flipped(text: str) -> str:
    return ("B" if text[0] == "A" else "A") + text[1:]


@pytest.mark.parametrize("part", ["commit", "nonce", "box"])
@pytest.mark.parametrize("change", [flipped, lambda text: text[:-4], lambda _: "", lambda _: 7])
def test_a_changed_box_does_not_open(part: str, change: Any) -> None:
    box = box_of("hello")

    with pytest.raises(sealing.CannotOpen):
        opened(box | {part: change(box[part])})


# Commitment


def test_a_box_of_another_key_is_refused() -> None:
    with pytest.raises(sealing.CannotOpen, match="another key"):
        opened(box_of("hello", key=bytes(32)))


def test_a_box_that_gcm_opens_under_two_keys_opens_under_the_committed_one_only() -> None:
    one, other = (sealing.derive(key, STREAM, COMMAND) for key in (KEY, bytes(32)))
    associated = f"{STREAM}\0{COMMAND}\0content".encode()
    ambiguous = sealed_under_both(one, other, associated)
    box = box_of("any") | {"nonce": b64(NONCE), "box": b64(ambiguous)}

    assert AESGCM(one).decrypt(NONCE, ambiguous, associated)
    assert AESGCM(other).decrypt(NONCE, ambiguous, associated)
    with pytest.raises(InvalidTag):
        AESGCM(KEY).decrypt(NONCE, ambiguous, associated)
    with pytest.raises(sealing.CannotOpen, match="another key"):
        sealing.open_box(other, STREAM, COMMAND, "content", box)


def sealed_under_both(one: bytes, other: bytes, associated: bytes) -> bytes:
    """A block and its tag that AES-GCM accepts under both keys.

    The tag is linear in the block over GF(2^128) (NIST SP 800-38D, section 6.4), so the block for
    which the two tags are equal is the solution of one linear equation.
    """
    (h1, sum1, mask1), (h2, sum2, mask2) = (parts(key, associated) for key in (one, other))
    square1, square2 = multiply(h1, h1), multiply(h2, h2)
    lengths = (len(associated) * 8) << 64 | 128
    constant1 = multiply(sum1, square1) ^ multiply(lengths, h1) ^ mask1
    constant2 = multiply(sum2, square2) ^ multiply(lengths, h2) ^ mask2
    block = multiply(constant1 ^ constant2, inverse(square1 ^ square2))
    tag = multiply(block, square1) ^ constant1
    return block.to_bytes(16, "big") + tag.to_bytes(16, "big")


def parts(key: bytes, associated: bytes) -> tuple[int, int, int]:
    """The hash key, the hash of the associated data, and what is added to the hash at the end."""
    cipher = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    hash_key = int.from_bytes(cipher.update(bytes(16)), "big")
    mask = int.from_bytes(cipher.update(NONCE + b"\0\0\0\1"), "big")
    total = 0
    for start in range(0, len(associated), 16):
        block = associated[start : start + 16].ljust(16, b"\0")
        total = multiply(total ^ int.from_bytes(block, "big"), hash_key)
    return hash_key, total, mask


def multiply(one: int, other: int) -> int:
    """In GF(2^128) as GCM writes it: NIST SP 800-38D, algorithm 1."""
    product = 0
    for bit in reversed(range(128)):
        if one >> bit & 1:
            product ^= other
        other = other >> 1 ^ (0xE1 << 120 if other & 1 else 0)
    return product


def inverse(element: int) -> int:
    """By Fermat: the power 2^128 - 2."""
    result, power = 1 << 127, element
    for _ in range(127):
        power = multiply(power, power)
        result = multiply(result, power)
    return result


# Nonces


def test_the_nonce_follows_from_what_is_sealed() -> None:
    derived = sealing.derive(KEY, STREAM, COMMAND)

    nonces = [
        sealing.synthetic_nonce(derived, "content", b'"hello"'),
        sealing.synthetic_nonce(derived, "content", b'"hello!"'),
        sealing.synthetic_nonce(derived, "metadata", b'"hello"'),
        sealing.synthetic_nonce(sealing.derive(KEY, STREAM, "b"), "content", b'"hello"'),
    ]

    assert nonces[0] == sealing.synthetic_nonce(derived, "content", b'"hello"')
    assert len(set(nonces)) == 4
    assert {len(nonce) for nonce in nonces} == {12}
