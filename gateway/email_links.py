"""Links that prove an address: only who reads its mail has one."""

import hashlib
from typing import NamedTuple

import msgspec

from domain import instants
from gateway.signing import BadSignatureError, Signer

PATH = "/v1/email/verify"
#: How long a link is good, in seconds.
GOOD_FOR = 7 * 24 * 3600


class Proof(NamedTuple):
    """A user, until when it counts, and a hash of the address."""

    user: str
    until: str
    address: str


class EmailLinks:
    def __init__(self, key: bytes, public_url: str) -> None:
        self._signer = Signer(key, "email")
        self._public_url = public_url.rstrip("/")

    def link(self, user: str, address: str, now: str) -> str:
        """The link for a mail to this address."""
        proof = Proof(user, instants.later(now, GOOD_FOR), _hash(address))
        token = self._signer.sign(msgspec.json.encode(proof))
        return f"{self._public_url}{PATH}?token={token}"

    def read(self, token: str, now: str) -> Proof | None:
        """What a link proves now, if anything."""
        try:
            proof = msgspec.json.decode(self._signer.verify(token), type=Proof)
        except BadSignatureError:
            return None
        return proof if proof.until > now else None


def is_of(proof: Proof, address: str) -> bool:
    """Whether a link was sent to this address."""
    return proof.address == _hash(address)


def _hash(address: str) -> str:
    return hashlib.sha256(address.casefold().encode()).hexdigest()
