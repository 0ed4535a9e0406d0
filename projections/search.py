"""The search index: the words of each message and of each user's name."""

from collections.abc import Iterable

import msgspec

from domain import events as e
from projections.fold import Made, ReadModel, Seen, WorkingSet
from projections.store.port import Collection, Document, Ref, Terms
from projections.words import has_link, index_terms

# Filters are terms too, of a form that no word can have.
FILTER = "\x01"


class MessageWords(Document, frozen=True):
    """`terms` counts each word of a message, `length` all of them; both empty once it is gone.

    `expires_at` is the message's, so that ranking need not read every message that it ranks.
    """

    chat: str
    message: int
    time: str
    sender: str
    kind: str
    expires_at: str | None = None
    terms: dict[str, int] = msgspec.field(default_factory=dict)
    length: int = 0


class UserWords(Document, frozen=True):
    """The words of a user's name, and their email address as one term; `scope` is the same for
    all users. `verified` is the term of the address that was last shown to be theirs."""

    user: str
    time: str
    scope: str = "users"
    name: tuple[str, ...] = ()
    email: str | None = None
    verified: str | None = None
    terms: dict[str, int] = msgspec.field(default_factory=dict)


MESSAGE_WORDS = Collection(
    "message_words",
    MessageWords,
    ("chat", "message"),
    terms=Terms("terms", "chat", "time"),
)
USER_WORDS = Collection(
    "user_words", UserWords, ("scope", "user"), terms=Terms("terms", "scope", "time")
)


def from_term(user: str) -> str:
    return f"{FILTER}from:{user}"


def has_term(what: str) -> str:
    return f"{FILTER}has:{what}"


def email_term(address: str) -> str:
    # Not folded like words: that would make one of addresses that differ in a dot.
    return f"{FILTER}email:{address.casefold()}"


def verified_term(email: str) -> str:
    """What finds those to whom an address, as a term, was shown to belong."""
    return f"{FILTER}verified:{email}"


def _needs(seen: Seen, _: WorkingSet) -> Iterable[Ref]:
    match seen.data:
        case e.MessageEdited() | e.MessageDeleted() | e.MessageExpired():
            if seen.envelope.source.startswith("/chats/"):
                yield MESSAGE_WORDS, (seen.id, seen.data.message)
        case e.UserChanged() | e.UserErased() | e.EmailVerified():
            yield USER_WORDS, ("users", seen.id)


def _fold(seen: Seen, docs: WorkingSet) -> Made:
    envelope, data = seen.envelope, seen.data
    seq = envelope.seq
    match data:
        case e.MessageSent():
            yield (
                MESSAGE_WORDS,
                _worded(
                    MessageWords(
                        seq=seq,
                        chat=seen.id,
                        message=seq,
                        time=envelope.time,
                        sender=envelope.actor,
                        kind=data.kind,
                        expires_at=data.expires_at,
                    ),
                    seen.clear.get("content"),
                ),
            )
        case e.MessageEdited():
            known = docs.get(MESSAGE_WORDS, seen.id, data.message)
            assert known is not None
            known = msgspec.structs.replace(known, seq=seq)
            yield MESSAGE_WORDS, _worded(known, seen.clear.get("content"))
        case e.MessageDeleted() | e.MessageExpired():
            known = docs.get(MESSAGE_WORDS, seen.id, data.message)
            assert known is not None
            yield MESSAGE_WORDS, msgspec.structs.replace(known, seq=seq, terms={}, length=0)
        case e.UserRegistered():
            words = UserWords(seq=seq, user=seen.id, time=envelope.time)
            yield USER_WORDS, _named(_changed(words, seen))
        case e.EmailVerified():
            user = docs.get(USER_WORDS, "users", seen.id)
            assert user is not None
            address = seen.clear.get("email")
            verified = email_term(address) if address else None
            yield USER_WORDS, _named(msgspec.structs.replace(user, seq=seq, verified=verified))
        case e.UserChanged():
            user = docs.get(USER_WORDS, "users", seen.id)
            assert user is not None
            yield USER_WORDS, _named(_changed(msgspec.structs.replace(user, seq=seq), seen))
        case e.UserErased():
            user = docs.get(USER_WORDS, "users", seen.id)
            assert user is not None
            yield (
                USER_WORDS,
                msgspec.structs.replace(
                    user, seq=seq, name=(), email=None, verified=None, terms={}
                ),
            )


def _worded(words: MessageWords, content: str | None) -> MessageWords:
    terms, length = index_terms(content or "")
    filters = [from_term(words.sender)]
    if words.kind != "text":
        filters.append(has_term(words.kind))
    if words.kind not in ("text", "location"):
        filters.append(has_term("media"))
    if content and has_link(content):
        filters.append(has_term("link"))
    return msgspec.structs.replace(
        words, terms={**terms, **dict.fromkeys(filters, 1)}, length=length
    )


def _changed(words: UserWords, seen: Seen) -> UserWords:
    if "name" in seen.clear:
        words = msgspec.structs.replace(words, name=tuple(index_terms(seen.clear["name"] or "")[0]))
    if "email" in seen.clear:
        email = seen.clear["email"]
        words = msgspec.structs.replace(words, email=email_term(email) if email else None)
    return words


def _named(words: UserWords) -> UserWords:
    terms = dict.fromkeys(words.name, 1)
    if words.email is not None:
        terms[words.email] = 1
        if words.verified == words.email:
            terms[verified_term(words.email)] = 1
    return msgspec.structs.replace(words, terms=terms)


MODEL = ReadModel((MESSAGE_WORDS, USER_WORDS), _needs, _fold)
