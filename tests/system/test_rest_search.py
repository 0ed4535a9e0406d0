"""Search for messages: every script, and queries that mean harm."""

import pytest

from tests.servers.hansard import HansardServer
from tests.system.rest_support import Person, fields, people, shown

# What was said, what is asked for, what of the former is marked. What comes before each shifts
# offsets in bytes and in UTF-16 away from those in characters.
BEFORE = "😀 né: "
FOUND = [
    ("Istanbul İSTANBUL ıstanbul", "istanbul", ["Istanbul", "İSTANBUL", "ıstanbul"]),
    ("ışık ve IŞIK", "ISIK", ["ışık", "IŞIK"]),
    ("Straße, STRASSE, STRAẞE", "strasse", ["Straße", "STRASSE", "STRAẞE"]),
    ("die Masse", "maße", ["Masse"]),
    ("ΟΔΥΣΣΕΥΣ, Ὀδυσσεύς", "οδυσσευσ", ["ΟΔΥΣΣΕΥΣ", "Ὀδυσσεύς"]),
    ("ＷＩＤＥ letters", "wide", ["ＷＩＤＥ"]),
    ("the ﬁrst", "first", ["ﬁrst"]),
    ("cafe\u0301s, Café", "café", ["cafe\u0301s", "Café"]),
    ("Café", "cafe\u0301", ["Café"]),
    ("मैं हिन्दी बोलता हूँ", "हिन्दी", ["हिन्दी"]),
    ("明日は東京都に行く", "東京都", ["東京都"]),
    ("明日は東京に行く", "京", ["京"]),
    ("ｶﾞﾗｽの靴", "ガラス", ["ｶﾞﾗｽ"]),
    ("학교에서 만나요", "학교", ["학교"]),
    ("ไปเชียงใหม่กัน", "เชียงใหม่", ["เชียงใหม่"]),
    ("قال مُحَمَّدٌ", "محمد", ["مُحَمَّدٌ"]),
    ("قال محمد", "مُحَمَّد", ["محمد"]),
    ("في الكتـــاب", "الكتاب", ["الكتـــاب"]),
    ("إلى أحمد", "احمد", ["أحمد"]),
    ("שָׁלוֹם", "שלום", ["שָׁלוֹם"]),
    ("great 👍🏿!", "👍", ["👍🏿"]),
    ("we 👨‍👩‍👧 go", "👨‍👩‍👧", ["👨‍👩‍👧"]),
    ("❤️‍🔥 and ❤️", "❤", ["❤️"]),
    ("from 🇩🇪🇫🇷", "🇫🇷", ["🇫🇷"]),
]
NOT_FOUND = [
    ("great 👍🏿", "👍🏽"),
    ("we 👨‍👩‍👧 go", "👩"),
    ("東京", "京東"),
    ("が", "か"),
    ("masse", "maser"),
]
PATTERNS = [
    *[".*", "^s", "s.cret", "secre[t]", "s+", "(s", "s|t", "\\w+", "\\", "s*", "?", "/s/i"],
    *["%", "_ecret", "s%", "'", '"', "' OR 1=1 --", "); DROP TABLE messages; --", "NEAR(a b)"],
    *["$where", "$ne", '{"$gt":""}', '{"$regex":".*"}', "[$ne]"],
    *["from:$ne", "from:.*", "in:*", "has:$exists", "before:$lt", "\x01from:", "\x01has:text"],
    *["\ufffe", "\U0010ffff", "\u202etreces", "\u200d", "\ufeff", "a" * 512],
]
TOO_MUCH = [
    "x" * 10_240,
    " ".join(f"w{n}" for n in range(1_000)),
    "".join(map(chr, range(0x4E00, 0x4E20))),
]
TOO_MUCH += ["w1 w2 w3 w4 w5 w6 w7 w8 w9 w10 w11 w12 w13 w14 w15 w16 w17", "a\0b", "", " "]


async def found(person: Person, q: str, **query: str) -> list[tuple[str, list[str]]]:
    """The contents of what is found, each with what of it is marked."""
    items = shown(await person.get("/v1/search/messages", params={"q": q, **query}))["items"]
    contents = [(item["message"]["content"], item["highlights"]) for item in items]
    return [(said, [said[start:end] for start, end in places]) for said, places in contents]


@pytest.mark.parametrize("sort", ["recent", "relevance"])
async def test_words_of_every_script_are_found_and_marked(server: HansardServer, sort: str) -> None:
    async with people(server, "ann") as (ann,):
        for said, asked, marked in FOUND:
            chat = await ann.chat()
            await ann.say(chat, BEFORE + said)
            assert await found(ann, asked, chat=chat, sort=sort) == [(BEFORE + said, marked)], asked


async def test_what_is_another_word_is_not_found(server: HansardServer) -> None:
    async with people(server, "ann") as (ann,):
        for said, asked in NOT_FOUND:
            chat = await ann.chat()
            await ann.say(chat, said)
            assert await found(ann, asked, chat=chat) == [], asked


async def test_no_query_is_a_pattern(server: HansardServer) -> None:
    async with people(server, "ann") as (ann,):
        await ann.say(await ann.chat(), "the secret treaty")
        for sort in ("recent", "relevance"):
            for q in PATTERNS:
                answer = await ann.get("/v1/search/messages", params={"q": q, "sort": sort})
                if answer.status_code == 422:
                    assert fields(answer) == ["q"], q
                else:
                    assert shown(answer)["items"] == [], q
        for q in ("secret", "sec", "SECRET!", "secret*", "(treaty)", "${secret}", "-secret"):
            assert len(await found(ann, q)) == 1, q


async def test_what_asks_too_much_is_refused(server: HansardServer) -> None:
    async with people(server, "ann") as (ann,):
        for q in TOO_MUCH:
            answer = await ann.get("/v1/search/messages", params={"q": q})
            assert fields(answer) == (["query"] if "\0" in q else ["q"]), q[:40]


async def test_parameters_of_another_form(server: HansardServer) -> None:
    async with people(server, "ann") as (ann,):
        chat = await ann.chat()
        await ann.say(chat, "the secret treaty")
        for query, field in (
            ("q[$ne]=x", "q"),
            ("q=secret&sort=$natural", "sort"),
            ("q=secret&sort[]=recent&sort=", "sort"),
            ("q=secret&cursor=made-up", "cursor"),
            ("q=secret&limit=0", "limit"),
            ("q=%00", "query"),
        ):
            assert fields(await ann.get(f"/v1/search/messages?{query}")) == [field], query
        # What is no UTF-8, a lone surrogate among it, is a character that no word has.
        for query in ("q=%FF", "q=%ED%A0%80", "q=%C0%80"):
            assert fields(await ann.get(f"/v1/search/messages?{query}")) == ["q"]
        assert len(shown(await ann.get("/v1/search/messages?q=%FFsecret"))["items"]) == 1
        for chat_id in ("$ne", ".*", "%00", "..", "x" * 2_000):
            answer = await ann.get(f"/v1/search/messages?q=secret&chat={chat_id}")
            assert answer.status_code in (404, 422), chat_id
