"""Messages that destroy themselves: at their time they are gone from every answer, and for good."""

import shutil
import sqlite3
from pathlib import Path

from domain.ids import command_id
from domain.instants import later
from tests.servers.audit import read_log
from tests.servers.clients import connected, make_chat, register, rest
from tests.servers.hansard import HansardServer
from tests.system.rest_support import Person, ahead, done, people, refused, shown
from tests.waiting import until

SECRET = "xyzzy-plugh"


async def over(person: Person, chat: str, seq: int) -> None:
    """Return when the time of a message is over for those who read it."""

    async def gone() -> bool:
        found = shown(await person.get(f"/v1/chats/{chat}/messages/{seq}"))
        return found["content"] is None

    await until(gone)


async def test_it_vanishes_on_every_path_at_its_time(server: HansardServer) -> None:
    async with people(server, "ann", "bob") as (ann, bob):
        chat = await ann.chat(bob)
        await bob.say(chat, "before")
        seq = (await ann.say(chat, "first", expires_in=1))["seq"]
        at = f"/v1/chats/{chat}/messages"
        message = f"{at}/{seq}"
        edited = shown(await ann.patch(message, json={"content": f"now {SECRET}"}))
        assert edited["content"] == f"now {SECRET}"
        shown(await bob.put(f"{message}/reaction", json={"emoji": "x"}))
        answer = (await bob.say(chat, "an answer", reply_to=seq))["seq"]
        await over(bob, chat, seq)

        paths = (
            at,
            f"{at}?around={seq}",
            message,
            f"{message}/history",
            f"{at}/{answer}",
            f"/v1/chats/{chat}/events",
            "/v1/me/events",
            "/v1/chats",
            f"/v1/search/messages?q={SECRET}",
        )
        for one in [await person.get(path) for person in (ann, bob) for path in paths]:
            shown(one)
            assert SECRET not in one.text
            assert "first" not in one.text

        assert shown(await bob.get(f"{message}/history"))["items"] == []
        found = shown(await bob.get(message))
        assert (found["reactions"], found["reaction_counts"], found["deleted_at"]) == ([], {}, None)
        assert found["expires_at"] > found["sent_at"]
        preview = shown(await bob.get(f"{at}/{answer}"))["reply_to"]
        assert preview == {"seq": seq, "sender": ann.user, "kind": "text", "content": None}
        feed = shown(await bob.get(f"/v1/chats/{chat}/events"))["items"]
        about = [e for e in feed if e["seq"] == seq or e["data"].get("message") == seq]
        assert [e.get("redacted") for e in about if e["type"] != "message.expired"] == [True] * 3
        assert shown(await ann.get("/v1/search/messages", params={"q": SECRET}))["items"] == []
        refused(await ann.patch(message, json={"content": "x"}), "message_deleted")
        reaction = await bob.put(f"{message}/reaction", json={"emoji": "y"})
        refused(reaction, "message_deleted")


async def test_it_counts_as_unread_no_longer_and_is_not_the_last(server: HansardServer) -> None:
    async with people(server, "ann", "bob") as (ann, bob):
        chat = await ann.chat(bob)
        kept = (await ann.say(chat, "kept"))["seq"]
        seq = (await ann.say(chat, SECRET, expires_in=1))["seq"]
        await over(bob, chat, seq)
        [row] = await bob.inbox()
        assert (row["unread"], row["last_message"]["seq"]) == (1, kept)


async def test_who_is_connected_hears_of_its_end(server: HansardServer) -> None:
    users = ["brief-ann", "brief-bob"]
    await register(server, *users)
    chat = await make_chat(server, *users)
    async with connected(server, users[0]) as ann, connected(server, users[1]) as bob:
        ack = await ann.ask("send", chat=chat, kind="text", content=SECRET, expires_in=1)
        assert (await bob.event("message.sent"))["data"]["content"] == SECRET
        expired = await bob.event("message.expired")
        assert (expired["actor"], expired["data"]["message"]) == ("system", ack["seq"])
        async with connected(server, users[1], resume={f"chats/{chat}": 1}) as again:
            sent = await again.event("message.sent")
            assert sent["redacted"]
            assert sent["data"] == {"ordinal": 1, "kind": "text"}


def wrapped(folder: Path, key: str) -> str | None:
    """What the keyring holds of a key."""
    with sqlite3.connect(f"file:{folder}/keys.db?mode=ro", uri=True) as keyring:
        row = keyring.execute("SELECT wrapped FROM keys WHERE id = ?", (key,)).fetchone()
    keyring.close()
    assert row is not None
    value: str | None = row[0]
    return value


def back_up(folder: Path, copy: Path) -> None:
    with sqlite3.connect(f"file:{folder}/keys.db?mode=ro", uri=True) as keyring:
        with sqlite3.connect(copy) as backup:
            keyring.backup(backup)
        backup.close()
    keyring.close()


def restore(folder: Path, copy: Path) -> None:
    for file in folder.glob("keys.db*"):
        file.unlink()
    shutil.copy(copy, folder / "keys.db")


async def test_its_key_is_destroyed_and_stays_so_after_a_restore(
    fresh_server: HansardServer, tmp_path: Path
) -> None:
    server = fresh_server
    async with people(server, "ann") as (ann,):
        chat = await ann.chat()
        one, two = [(await ann.say(chat, SECRET, expires_in=2))["seq"] for _ in range(2)]
        # The second one is deleted before its time: its key goes when that is over.
        done(await ann.delete(f"/v1/chats/{chat}/messages/{two}", params={"for": "everyone"}))
        back_up(server.folder, tmp_path / "backup.db")
        events = read_log(server.folder)[f"chats/{chat}"]
        keys = [e["data"]["content"]["sealed"] for e in events if e["type"] == "message.sent"]
        assert len(set(keys)) == 2

        async def destroyed() -> bool:
            return not any(wrapped(server.folder, key) for key in keys)

        await until(destroyed)
        events = read_log(server.folder)[f"chats/{chat}"]
        expired = [e["data"] for e in events if e["type"] == "message.expired"]
        assert sorted(e["message"] for e in expired) == [one, two]
        assert sorted(e["key"] for e in expired) == sorted(keys)

        server.stop()
        restore(server.folder, tmp_path / "backup.db")
        assert all(wrapped(server.folder, key) for key in keys)
        server.start()
        assert not any(wrapped(server.folder, key) for key in keys)


async def test_a_scheduled_one_counts_from_its_sending(server: HansardServer) -> None:
    users = ["later-ann", "later-bob"]
    await register(server, *users)
    chat = await make_chat(server, *users)
    async with connected(server, users[0]) as ann, connected(server, users[1]) as bob:
        body = {"kind": "text", "content": SECRET, "expires_in": 1, "scheduled_for": ahead(0.3)}
        await ann.ask("send", id="s", chat=chat, **body)
        sent = await bob.event("message.sent")
        assert sent["data"]["content"] == SECRET
        assert sent["data"]["expires_at"] == later(sent["time"], 1)
        expired = await bob.event("message.expired")
        assert expired["time"] >= sent["data"]["expires_at"]
        # One key seals the schedule and what was sent.
        assert (
            expired["data"]["key"] == f"messages/{command_id(users[0], f'users/{users[0]}', 's')}"
        )
    async with rest(server, users[0]) as client:
        for path in ("/v1/me/events", f"/v1/chats/{chat}/events", "/v1/me/scheduled"):
            assert SECRET not in (await client.get(path)).text
