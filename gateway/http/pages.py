"""Lists as clients see them: `{items, next}`, with a cursor that is theirs alone."""

from collections.abc import Sequence
from typing import Annotated, Generic, TypeVar

import msgspec
from msgspec import Meta

from gateway.http.dependencies import Call
from gateway.problems import invalid_request
from projections.views.shapes import Event, Listing, Place

#: The largest page of most lists, and of a feed.
MAX_LIMIT = 100
MAX_FEED_LIMIT = 500

T = TypeVar("T")

Limit = Annotated[int, Meta(ge=1)]
#: A place in a stream, or before its first event.
At = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Cursor = Annotated[str, Meta(max_length=2048)]


def several(ids: str, name: str, most: int) -> list[str]:
    """The ids that the parameter of this name has, separated by commas.

    Raises:
        Problem: there are more than `most`.
    """
    found = [id for id in ids.split(",") if id]
    if len(found) > most:
        raise invalid_request(name, f"At most {most} {name}.")
    return found


class Page(msgspec.Struct, Generic[T], frozen=True):
    """`next` is the `cursor` of the next page, null at the end."""

    items: Sequence[T]
    next: str | None


class Feed(msgspec.Struct, frozen=True):
    """`next` is the value for `after`, null once the feed has caught up."""

    items: Sequence[Event]
    next: int | None


class PageQuery(msgspec.Struct, frozen=True):
    cursor: Cursor | None = None
    limit: Limit = 50


class FeedQuery(msgspec.Struct, frozen=True):
    after: At = 0
    limit: Limit = 50


class Cursors:
    """The cursors of one list: good for one user and for what identifies the list."""

    def __init__(self, call: Call, *query: object) -> None:
        self._codec = call.services.cursors
        self._user = call.user
        self._query = msgspec.json.encode(query).decode()

    def place(self, cursor: str | None) -> Place | None:
        """The place that a cursor stands for.

        Raises:
            Problem: `invalid_request` for one that was not given out for this list.
        """
        if cursor is None:
            return None
        place = self._codec.decode(self._user, self._query, cursor)
        return tuple(value for value in place if value is not None)

    def page(self, listing: Listing[T]) -> Page[T]:
        """A listing with its place as a cursor."""
        place = listing.next
        if place is None:
            return Page(listing.items, None)
        return Page(listing.items, self.at((place,) if isinstance(place, int) else place))

    def at(self, place: Place) -> str:
        """The cursor of a place."""
        return self._codec.encode(self._user, self._query, [*place])
