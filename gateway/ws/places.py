"""How far the connections here have been shown each stream, so that its events come in their order,
once each and without holes, whatever realtime does to them."""

from collections.abc import Iterable

from projections.chats import Chat
from projections.realtime.port import Publication

#: Events put by behind a hole; those after them are read from the feed as well.
MAX_AHEAD = 256


class Place:
    """A stream that someone connected here has.

    `shown` is the seq of the last event shown, `heard` the highest that was published. `ahead`
    holds events that came before their turn.
    """

    __slots__ = ("ahead", "heard", "shown")

    def __init__(self, shown: int) -> None:
        self.shown = shown
        self.heard = shown
        self.ahead: list[Publication] = []

    @property
    def has_hole(self) -> bool:
        return self.heard > self.shown

    def take(self, published: Publication) -> bool:
        """Whether this event is the next to show. One seen before is dropped, one that comes before
        its turn is put by."""
        seq = published.seq
        if seq == self.shown + 1:
            self.shown = seq
            return True
        if seq > self.shown:
            self.put_by(published)
        return False

    def put_by(self, published: Publication) -> None:
        self.heard = max(self.heard, published.seq)
        if len(self.ahead) < MAX_AHEAD:
            self.ahead.append(published)

    def turn(self) -> list[Publication]:
        """What was put by, to be taken again."""
        ahead, self.ahead = self.ahead, []
        return ahead

    def skip(self) -> None:
        """Give up what is missing: go on with what was put by, or with what comes next."""
        self.shown = min((p.seq - 1 for p in self.ahead), default=self.heard)


class Room(Place):
    """A chat with members connected here: `floors` has for each the first seq they may see.

    Someone may be let into a chat of which nothing is known here: they are `invited`, and until the
    room is open its events are put by. `members_count` is as of `counted`.
    """

    __slots__ = ("_counted", "_start", "floors", "invited", "members_count", "open", "since_joined")

    def __init__(self) -> None:
        super().__init__(0)
        self.open = False
        self.since_joined = False
        self.members_count = 0
        self.floors: dict[str, int] = {}
        self.invited: set[str] = set()
        self._counted = 0
        self._start: int | None = None

    def enter(self, user: str, joined: int, chat: Chat) -> None:
        """A member is here, who has or will be given the events up to the head of the chat."""
        self.floors[user] = joined if chat.history == "since_joined" else 0
        if not self.open:
            self._start = chat.seq if self._start is None else min(self._start, chat.seq)
            # Whoever is invited is let in by an event that may lie before that.
            if not self.invited:
                self._begin(chat, self._start)

    def admit(self, chat: Chat, joined: Iterable[int]) -> bool:
        """Open with the first event that lets one of the invited in; false if none does."""
        starts = [seq - 1 for seq in joined]
        if self._start is not None:
            starts.append(self._start)
        if starts:
            self._begin(chat, min(starts))
        else:
            self.invited.clear()
        return self.open

    def _begin(self, chat: Chat, shown: int) -> None:
        self.open = True
        self.shown = shown
        self.heard = max(self.heard, shown)
        self.since_joined = chat.history == "since_joined"
        self.members_count = chat.members_count
        self._counted = chat.seq

    def take(self, published: Publication) -> bool:
        if self.open:
            return super().take(published)
        self.put_by(published)
        return False

    def count(self, seq: int, change: int) -> None:
        """Take note of a change of the number of members."""
        if seq > self._counted:
            self._counted = seq
            self.members_count += change
