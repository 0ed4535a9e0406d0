"""Sealed fields: opened by the right key in the right place, and by nothing else."""

import base64
import hashlib
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from domain import sealing

KEY, OTHER_KEY = bytes(range(32)), bytes(32)
PLACE = ("chats/g", "command-1")
NONCE = b"twelve bytes"


def box(value: Any = "hello", field: str = "content") -> dict[str, Any]:
    return sealing.seal("k1", sealing.derive(KEY, *PLACE), NONCE, *PLACE, field, value)


def hkdf(info: bytes) -> bytes:
    return HKDF(SHA256(), 32, None, info).derive(KEY)


def test_keys_are_derived_with_hkdf() -> None:
    assert sealing.derive(KEY, *PLACE) == hkdf(b"chats/g\0command-1")
    assert sealing.digest_key(KEY) == hkdf(b"commanddigest")


def test_a_box_is_aes_gcm_with_its_place_as_associated_data_and_commits_to_its_key() -> None:
    derived = hkdf(b"chats/g\0command-1")
    made = box()
    assert made.keys() == {"sealed", "commit", "nonce", "box"} == sealing.BOX_FIELDS
    assert (made["sealed"], made["commit"]) == ("k1", hashlib.sha256(derived).hexdigest())
    nonce, sealed = base64.b64decode(made["nonce"]), base64.b64decode(made["box"])
    place = b"chats/g\0command-1\0content"
    assert AESGCM(derived).decrypt(nonce, sealed, place) == b'"hello"'


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(st.characters(codec="utf-8")),
        lambda inner: (
            st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner)
        ),
    )
)
def test_what_was_sealed_is_opened(value: Any) -> None:
    derived = sealing.derive(KEY, *PLACE)
    assert sealing.open_box(derived, *PLACE, "content", box(value)) == value


@pytest.mark.parametrize(
    ("stream", "command", "field"),
    [
        ("chats/h", "command-1", "content"),
        ("chats/g", "command-2", "content"),
        ("chats/g", "command-1", "metadata"),
    ],
)
def test_a_box_opens_in_its_own_place_only(stream: str, command: str, field: str) -> None:
    with pytest.raises(sealing.CannotOpen):
        sealing.open_box(sealing.derive(KEY, *PLACE), stream, command, field, box())


@pytest.mark.parametrize(
    "derived",
    [
        sealing.derive(OTHER_KEY, *PLACE),
        sealing.derive(KEY, "chats/h", "command-1"),
        sealing.derive(KEY, "chats/g", "command-2"),
    ],
)
def test_a_box_opens_under_its_own_key_only(derived: bytes) -> None:
    committed_to_it = box() | {"commit": hashlib.sha256(derived).hexdigest()}
    for sealed in (box(), committed_to_it):
        with pytest.raises(sealing.CannotOpen):
            sealing.open_box(derived, *PLACE, "content", sealed)


@pytest.mark.parametrize(
    "changed",
    [
        {"commit": "0" * 64},
        {"nonce": base64.b64encode(b"other bytes!").decode()},
        {"nonce": ""},
        {"nonce": "?"},
        {"nonce": None},
        {"box": base64.b64encode(b"x" * 23).decode()},
        {"box": ""},
        {"box": "A"},
        {"box": 7},
    ],
)
def test_a_changed_box_does_not_open(changed: dict[str, Any]) -> None:
    with pytest.raises(sealing.CannotOpen):
        sealing.open_box(sealing.derive(KEY, *PLACE), *PLACE, "content", box() | changed)


def test_a_nonce_depends_on_the_key_the_field_and_what_is_sealed() -> None:
    nonces = {
        sealing.synthetic_nonce(derived, field, plain)
        for derived in (KEY, OTHER_KEY)
        for field in ("content", "metadata")
        for plain in (b"one", b"two")
    }
    assert len(nonces) == 8
    assert {len(nonce) for nonce in nonces} == {12}
    assert sealing.synthetic_nonce(KEY, "content", b"one") in nonces


@pytest.mark.parametrize("value", [None, "text", {}, {"sealed": "k1"}, {"media": "m1"}, ["sealed"]])
def test_plain_values_are_told_from_boxes(value: Any) -> None:
    assert sealing.is_sealed(box())
    assert not sealing.is_sealed(value)
    assert not sealing.is_sealed(box() | {"more": 1})
