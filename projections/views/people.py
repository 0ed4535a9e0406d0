"""Users as others see them, and as they see themselves."""

from collections.abc import Iterable, Sequence
from typing import Literal

from msgspec import UNSET

from domain.ids import user_stream
from projections.chats import MEMBERSHIPS
from projections.profiles import PROFILES, Profile
from projections.search import USER_WORDS, UserWords, email_term, verified_term
from projections.store.port import Begun, Match, Scan
from projections.views import shapes
from projections.views.reading import NotFound, Reading
from projections.words import query_terms

Directory = Literal["all", "shared", "off"]

MAX_FOUND = 20
MAX_EXPANSIONS = 200
MIN_CHARACTERS = 2
#: Words of a query; further ones are passed over.
MAX_WORDS = 16

_SCOPE = "users"


async def profile(reading: Reading, asker: str, user: str) -> shapes.Profile:
    """A profile, with the email address for the user alone.

    Raises:
        NotFound: `user_not_found`.
    """
    found = await profiles(reading, asker, [user])
    if not found:
        raise NotFound("user_not_found")
    return found[0]


async def profiles(
    reading: Reading, asker: str | None, users: Iterable[str]
) -> Sequence[shapes.Profile]:
    """The profiles that there are of these users, in their order."""
    keys = [(user,) for user in dict.fromkeys(users)]
    found = await reading.get(PROFILES, keys)
    await reading.unlock(
        field for one in found.values() for field in (one.name, one.email, one.avatar)
    )
    return [_shown(reading, found[key], asker) for key in keys if key in found]


def _shown(reading: Reading, profile: Profile, asker: str | None) -> shapes.Profile:
    stream = user_stream(profile.user)
    name = reading.open(stream, "name", profile.name)
    avatar = reading.open(stream, "avatar", profile.avatar)
    own = profile.user == asker
    return shapes.Profile(
        id=profile.user,
        name=name.value,
        avatar=avatar.value,
        registered_at=profile.registered_at,
        email=reading.open(stream, "email", profile.email).value if own else UNSET,
        erased=profile.erased or name.erased or avatar.erased,
    )


def verified_address(reading: Reading, profile: Profile) -> str | None:
    """The user's address, if it was shown to be theirs; unlock both fields before."""
    stream = user_stream(profile.user)
    address = reading.open(stream, "email", profile.email).value
    verified = reading.open(stream, "email", profile.verified_email).value
    if address is None or verified is None or address.casefold() != verified.casefold():
        return None
    return str(address)


async def search(
    reading: Reading, asker: str, query: str, directory: Directory
) -> shapes.Listing[shapes.Profile]:
    """Up to 20 users, newest first, by the beginnings of words of their names, all of which must
    be there, or by a whole email address. No answer shows an address.

    `directory` says among whom: all, those who share a chat with the asker, or nobody.
    """
    query = query.strip()
    users: Sequence[str] = ()
    if len(query) >= MIN_CHARACTERS and directory == "all":
        users = await _among_all(reading, query)
    elif len(query) >= MIN_CHARACTERS and directory == "shared":
        users = await _among_sharing(reading, asker, query)
    found = await profiles(reading, None, users)
    return shapes.Listing(items=[one for one in found if not one.erased], next=None)


async def _among_all(reading: Reading, query: str) -> Sequence[str]:
    groups: list[tuple[str, ...]] = []
    begun: list[Begun] = []
    if "@" in query:
        address = email_term(query)
        owners = await _owners(reading, address)
        if owners:
            return owners
        groups.append((address,))
    else:
        for word in _words(query):
            if len(word) < MIN_CHARACTERS:
                groups.append((word,))
                continue
            begun.append(await reading.store.expand(USER_WORDS, (_SCOPE,), word, MAX_EXPANSIONS))
    match = Match((_SCOPE,), tuple(groups), MAX_FOUND, begun=tuple(begun))
    if not all(match.sets) or not match.sets:
        return ()
    return [words.user for words in await reading.store.match(USER_WORDS, match)]


async def _owners(reading: Reading, address: str) -> Sequence[str]:
    """To whom an address was shown to belong: whoever else has written it down is not meant."""
    match = Match((_SCOPE,), ((verified_term(address),),), MAX_FOUND)
    return [words.user for words in await reading.store.match(USER_WORDS, match)]


async def _among_sharing(reading: Reading, asker: str, query: str) -> Sequence[str]:
    # The people one shares chats with are known and few next to all who may match.
    people = await sharing(reading, asker)
    found = await reading.get(USER_WORDS, [(_SCOPE, user) for user in people])
    words = _words(query)
    address = email_term(query) if "@" in query else None
    if address is not None and (owners := await _owners(reading, address)):
        return [user for user in owners if user in people]
    matching = [one for one in found.values() if _matches(one, words, address)]
    matching.sort(key=lambda one: (one.time, one.user), reverse=True)
    return [one.user for one in matching[:MAX_FOUND]]


def _matches(one: UserWords, words: Sequence[str], address: str | None) -> bool:
    if address is not None:
        return one.email == address
    return bool(words) and all(
        any(
            name == word or (len(word) >= MIN_CHARACTERS and name.startswith(word))
            for name in one.name
        )
        for word in words
    )


def _words(query: str) -> Sequence[str]:
    words, prefix = query_terms(query)
    return (*words, *([] if prefix is None else [prefix]))[:MAX_WORDS]


async def sharing_with(reading: Reading, user: str, others: Sequence[str]) -> set[str]:
    """Those of the others who are in a chat with the user now."""
    people = [user, *others]
    scans = [Scan((one,), along="by_user") for one in people]
    own, *theirs = [{m.chat for m in ms} for ms in await reading.scan(MEMBERSHIPS, scans)]
    return {other for other, chats in zip(others, theirs, strict=True) if own & chats}


async def sharing(reading: Reading, user: str) -> set[str]:
    """Everyone who is in a chat with the user now, the user too if in any."""
    [own] = await reading.scan(MEMBERSHIPS, [Scan((user,), along="by_user")])
    answers = await reading.scan(MEMBERSHIPS, [Scan((m.chat,), along="by_chat") for m in own])
    return {member.user for answer in answers for member in answer}
