"""All read models, in the order in which their documents are written.

`chats` and `profiles` come last: every event of a chat or a user raises the `seq` of its document
there, so that a document that has seen an event says that all others have, too.
"""

from typing import Any

from projections import (
    blocks,
    chats,
    destroyed_keys,
    devices,
    feed,
    hidden,
    marks,
    media,
    messages,
    notifications,
    profiles,
    reports,
    schedules,
    search,
)
from projections.dead_letters import DEAD_LETTERS
from projections.fold import ReadModel
from projections.outbox import OUTBOX
from projections.outcomes import OUTCOMES
from projections.store.port import Collection

MODELS: tuple[ReadModel, ...] = (
    notifications.MODEL,
    messages.MODEL,
    schedules.MODEL,
    search.MODEL,
    feed.MODEL,
    destroyed_keys.MODEL,
    hidden.MODEL,
    devices.MODEL,
    media.MODEL,
    blocks.MODEL,
    reports.MODEL,
    marks.MODEL,
    profiles.MODEL,
    chats.MODEL,
)

COLLECTIONS: tuple[Collection[Any], ...] = (
    OUTCOMES,
    DEAD_LETTERS,
    *OUTBOX,
    notifications.NOTIFICATIONS,
    messages.MESSAGES,
    schedules.SCHEDULES,
    search.MESSAGE_WORDS,
    search.USER_WORDS,
    feed.FEED,
    destroyed_keys.DESTROYED_KEYS,
    hidden.HIDDEN,
    devices.ATTENTION,
    devices.DEVICES,
    media.MEDIA,
    media.MEDIA_HOLDERS,
    blocks.BLOCKS,
    reports.REPORTS,
    marks.MARK_STEPS,
    marks.MARKS,
    chats.MEMBERSHIPS,
    profiles.PROFILES,
    chats.CHATS,
)
