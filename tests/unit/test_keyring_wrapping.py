from base64 import b64decode, b64encode

import pytest

from projections.keyring.port import KeyringError
from projections.keyring.wrapping import MasterKey

MASTER = MasterKey(bytes(range(32)))

WRAPPED = "AAECAwQFBgcICQoLDyzWQQ2GqykK6Q+9eIQLDF9kBVCw8VaYCZ+401kT1HqPChqId/7W6Md3KY1Ri7Wr"


def test_a_new_key_has_32_random_bytes() -> None:
    wrapped = [MASTER.new_key("users/alice") for _ in range(2)]
    keys = [MASTER.unwrap("users/alice", one) for one in wrapped]

    assert [len(key) for key in keys] == [32, 32]
    assert keys[0] != keys[1]
    assert all(key not in b64decode(one) for key, one in zip(keys, wrapped, strict=True))


def test_a_key_wrapped_by_an_earlier_version_is_unwrapped() -> None:
    """A keyring can't be rebuilt: a change here would lose every key in it."""
    assert MASTER.unwrap("users/alice", WRAPPED) == b"the key of alice, 32 bytes of it"


def test_another_id_or_master_key_does_not_unwrap_it() -> None:
    wrapped = MASTER.new_key("users/alice")

    with pytest.raises(KeyringError, match="'users/bob' can't be unwrapped"):
        MASTER.unwrap("users/bob", wrapped)
    with pytest.raises(KeyringError, match="'users/alice' can't be unwrapped"):
        MasterKey(bytes(32)).unwrap("users/alice", wrapped)


@pytest.mark.parametrize("place", [0, 12, 30, 59])
def test_a_changed_key_is_refused(place: int) -> None:
    wrapped = bytearray(b64decode(MASTER.new_key("users/alice")))
    wrapped[place] ^= 1

    with pytest.raises(KeyringError, match="it was changed"):
        MASTER.unwrap("users/alice", b64encode(wrapped).decode())


@pytest.mark.parametrize("wrapped", ["", "?", "AAAA"])
def test_what_is_no_wrapped_key_is_refused(wrapped: str) -> None:
    with pytest.raises(KeyringError, match="it was changed"):
        MASTER.unwrap("users/alice", wrapped)
