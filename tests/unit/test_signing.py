import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.signing import BadSignatureError, Signer

KEY = b"k" * 32


@given(st.binary(max_size=200), st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_what_was_signed_comes_back(payload: bytes, context: list[str]) -> None:
    signer = Signer(KEY, "test")
    assert signer.verify(signer.sign(payload, *context), *context) == payload


def test_another_key_or_purpose_signs_differently() -> None:
    text = Signer(KEY, "test").sign(b"payload")
    for other in (Signer(b"o" * 32, "test"), Signer(KEY, "other")):
        with pytest.raises(BadSignatureError):
            other.verify(text)


@pytest.mark.parametrize("context", [(), ("a",), ("ab",), ("b", "a"), ("a", "b", "")])
def test_another_context_is_refused(context: tuple[str, ...]) -> None:
    signer = Signer(KEY, "test")
    text = signer.sign(b"payload", "a", "b")
    with pytest.raises(BadSignatureError):
        signer.verify(text, *context)


def test_every_changed_character_is_noticed() -> None:
    signer = Signer(KEY, "test")
    text = signer.sign(b"payload")
    for place, character in enumerate(text):
        changed = text[:place] + ("A" if character != "A" else "B") + text[place + 1 :]
        with pytest.raises(BadSignatureError):
            signer.verify(changed)


@pytest.mark.parametrize("spelling", ["{}=", "{}\n", " {}", "{}!", "{}é", "", "AAAA"])
def test_another_spelling_is_refused(spelling: str) -> None:
    signer = Signer(KEY, "test")
    with pytest.raises(BadSignatureError):
        signer.verify(spelling.format(signer.sign(b"payload")))


def test_spare_bits_are_refused() -> None:
    signer = Signer(KEY, "test")
    text = signer.sign(b"x")
    assert text.endswith("g")  # 17 bytes leave two bits of the last character unused
    with pytest.raises(BadSignatureError):
        signer.verify(text[:-1] + "h")
