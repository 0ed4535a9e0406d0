"""Messages in the form clients see: all that a page of them needs is read once, for the page."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from domain.ids import user_stream
from projections.fold import Held
from projections.media import MEDIA, MediaItem
from projections.messages import MESSAGES, Message
from projections.store.port import Key
from projections.views import shapes
from projections.views.access import Access
from projections.views.reading import Reading
from projections.views.receipts import Roll, rolls
from projections.views.visibility import Place, hidden

#: Reactions of a message that a list shows; the counts are always of all.
REACTIONS_SHOWN = 50


class Rendering:
    """What some messages are shown with. Unlock `sealed` before showing any."""

    def __init__(
        self,
        reading: Reading,
        accesses: Mapping[str, Access],
        messages: Sequence[Message],
        answered: Mapping[Key, Message],
        unseen: set[Place],
        media: Mapping[Key, MediaItem],
        rolls: Mapping[str, Roll],
    ) -> None:
        self._reading = reading
        self._accesses = accesses
        self._messages = messages
        self._answered = answered
        self._unseen = unseen
        self._media = media
        self.rolls = rolls

    @staticmethod
    async def of(
        reading: Reading,
        accesses: Mapping[str, Access],
        messages: Sequence[Message],
        chats: Iterable[str] = (),
    ) -> "Rendering":
        """Read what these messages of the accessed chats are shown with.

        Rolls are read of their chats, and of `chats`.
        """
        shown = [m for m in messages if not reading.gone(m)]
        at_hand: dict[Key, Message] = {(m.chat, m.message): m for m in messages}
        answered = {
            (m.chat, m.reply_to)
            for m in shown
            if m.reply_to is not None and m.reply_to >= accesses[m.chat].floor
        }
        found = await reading.get(MESSAGES, answered - at_hand.keys())
        unseen = await hidden(reading, accesses, answered)
        media = await reading.get(MEDIA, {(m.media,) for m in shown if m.media is not None})
        by_chat: dict[str, list[Message]] = {chat: [] for chat in chats}
        for message in messages:
            by_chat.setdefault(message.chat, []).append(message)
        rolled = await rolls(reading, by_chat)
        return Rendering(reading, accesses, messages, {**at_hand, **found}, unseen, media, rolled)

    def sealed(self) -> Iterable[Held | None]:
        """The fields to unlock."""
        for message in (*self._messages, *self._answered.values()):
            yield message.content
            yield message.metadata
        for item in self._media.values():
            yield item.name

    def show(self, message: Message, *, all_reactions: bool = False) -> shapes.Message:
        """The message; without its content once it is gone."""
        gone = self._reading.gone(message)
        content = self._open(message, "content")
        metadata = self._open(message, "metadata")
        erased = not gone and (content.erased or metadata.erased)
        return shapes.Message(
            chat=message.chat,
            seq=message.message,
            ordinal=message.ordinal,
            sender=message.sender,
            kind=message.kind,
            content=None if gone else content.value,
            metadata=None if gone or erased else self._metadata(message, metadata.value),
            reply_to=None if gone else self._preview(message),
            mentions=() if gone else message.mentions,
            reactions=() if gone else self._reactions(message, all_reactions),
            reaction_counts=(
                {} if gone else dict(Counter(r.emoji for r in message.reactions.values()))
            ),
            status=self.rolls[message.chat].status(message),
            sent_at=message.sent_at,
            edited_at=None if gone else message.edited_at,
            deleted_at=message.deleted_at,
            expires_at=message.expires_at,
            erased=erased,
        )

    def _open(self, message: Message, name: str) -> Any:
        return self._reading.open_in_chat(message.chat, name, getattr(message, name))

    def _metadata(self, message: Message, metadata: Any) -> Any:
        if message.media is None:
            return metadata
        item = self._media.get((message.media,))
        name = None
        if item is not None:
            name = self._reading.open(user_stream(item.owner), "name", item.name).value
        return {
            "media": message.media,
            "file_name": name,
            "file_size": item and item.size,
            "mime_type": item and item.mime,
            "width": item and item.width,
            "height": item and item.height,
            "duration": item and item.duration,
            "thumbnail": item and item.thumbnail,
        }

    def _preview(self, message: Message) -> shapes.Preview | None:
        if message.reply_to is None:
            return None
        place = (message.chat, message.reply_to)
        answered = self._answered.get(place)
        if answered is None:  # It is too old for the reader, and was not read.
            return shapes.Preview(seq=message.reply_to, sender=None, kind=None, content=None)
        unseen = place in self._unseen or self._reading.gone(answered)
        content = self._open(answered, "content")
        return shapes.Preview(
            seq=answered.message,
            sender=answered.sender,
            kind=answered.kind,
            content=None if unseen else content.value,
            erased=not unseen and content.erased,
        )

    def _reactions(self, message: Message, everyone: bool) -> Sequence[shapes.Reaction]:
        """In the order they were set; one's own among them even if it is an old one."""
        reactions = [
            shapes.Reaction(emoji=reaction.emoji, user=user, at=reaction.at)
            for user, reaction in message.reactions.items()
        ]
        shown = reactions if everyone else reactions[-REACTIONS_SHOWN:]
        reader = self._accesses[message.chat].user
        if len(shown) < len(reactions) and all(r.user != reader for r in shown):
            own = [r for r in reactions if r.user == reader]
            return own + shown[len(own) :]
        return shown


async def rendered(
    reading: Reading, access: Access, messages: Sequence[Message], *, all_reactions: bool = False
) -> list[shapes.Message]:
    """Messages of one chat as its member sees them."""
    rendering = await Rendering.of(reading, {access.id: access}, messages)
    await reading.unlock(rendering.sealed())
    return [rendering.show(message, all_reactions=all_reactions) for message in messages]
