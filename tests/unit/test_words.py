import sys
import unicodedata
from collections import Counter

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from projections.words import (
    MAX_TERM,
    Word,
    fold_text,
    has_link,
    highlights,
    index_terms,
    query_terms,
    words_of,
)

# What meets in real messages and what is hard to fold, more often than chance would have it.
AWKWARD = [
    *"aBz09_-'. \n",
    *"éÉßẞİıIŁøæﬁ²½…™Å",
    *"\u0301\u0323\u0345\u20e3\ufe0f\u200b\u200c\u200d\u00ad\u202e",
    *"ЙйЁёΣςάᾳ",
    *"אבּ־ךأإآٱاىيةهـَّ٣۵ﷺ",
    *"हिन्दीक़কো\u0dca\u0dc1\u0dbb",
    *"กำุ้ນ້ကြီးខ្មែរ။",
    *"漢字々〇㍿㈱かがガｶﾞ\u3099\u309aー东\U00020000\U00031350",
    *"한글각한ㅋㅠﾡￂ",
    *"👍🏽👩💻👨❤😀🇩🇪🏴\U000e0067\U000e007f\U0001fae8★①🅰🈚",
    *"\0\ud800\ue000\U000e0fff",
]
texts = st.one_of(
    st.text(max_size=40),
    st.text(st.sampled_from(AWKWARD), max_size=40),
    st.lists(st.sampled_from(["foo", "Foo-bar", "don't", "漢字", "👍🏽", "y" * 70, "é"])).map(
        " ".join
    ),
)
# Letters with the marks that belong to them. A pile of marks of several scripts on one letter is
# no spelling, and the place of one of them can't be told from that of another.
LETTERS = [
    *"aB09_-' éßİıøﬁ½…™ŀЙёςאאَآٱىﷺ",
    *["e\u0301", "a\u0323\u0302", "co\u00adop", "1\ufe0f\u20e3", "a\u200db", "y" * 70],
    *["בּ", "־", "مُ", "می\u200cخ", "हि", "न्", "क\u093c", "श्\u200dर", "ক\u09c7\u09be"],
    *[
        "กุ้",
        "กำ",
        "ນ້",
        "ကြီး",
        "ខ្មែ",
        "。",
        "漢",
        "々",
        "㍿",
        "㈱",
        "が",
        "か\u3099",
        "ｶﾞ",
        "ー",
        "\U00020000",
    ],
    *["한", "\u1112\u1161\u11ab", "ㅋ", "ㅠ", "ﾡￂ"],
    *["👍", "👍🏽", "❤️", "👨‍👩‍👧", "👩🏽\u200d💻", "🇩🇪", "🏴\U000e0067\U000e007f", "★", "①", "🈚"],
]
written = st.lists(st.sampled_from(LETTERS), max_size=20).map("".join)
properties = settings(deadline=None, max_examples=500)


def matches(asked: str, text: str) -> bool:
    """Whether the index of a text answers to what was asked for."""
    terms, prefix = query_terms(asked)
    found = index_terms(text)[0]
    return (
        bool(terms or prefix)
        and all(term in found for term in terms)
        and (prefix is None or any(term.startswith(prefix) for term in found))
    )


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("Hello, World_42!", "hello  world 42 "),
        ("Éé e\u0301 Ångström", "ee e angstrom"),
        ("Straße STRASSE ẞ", "strasse strasse ss"),
        ("İstanbul ISTANBUL ıstanbul istanbul", "istanbul istanbul istanbul istanbul"),
        ("Łódź Øre Đorđe Ægir Œuvre Þór", "lodz ore dorde aegir oeuvre thor"),
        ("ΣΊΣΥΦΟΣ σίσυφος", "σισυφοσ σισυφοσ"),
        ("Ёлка Йод", "елка иод"),
        ("ﬁn ＷＩＤＥ ⅷ ㎏ m²", "fin wide viii kg m2"),
        ("1½ Windows™ coŀlegi", "1 1 2  windows  col legi"),
        ("أحمد إحمد آحمد ٱحمد", "احمد احمد احمد احمد"),
        ("مُحَمَّد محمـــد", "محمد محمد"),
        ("علی على مكتبة کتاب", "علي علي مكتبه كتاب"),
        ("שָׁלוֹם בֵּית־סֵפֶר", "שלום בית ספר"),
        ("٣ ۵ ५ 7", "3 5 5 7"),
        ("می\u200cخواهم co\u00adop a\u200bb", "ميخواهم coop a b"),
        ("हिन्दी", "हिन्दी"),
        ("ｶﾞ が か\u3099", "ガ が が"),
        ("한글 " + unicodedata.normalize("NFD", "한글"), "한글 한글"),
        ("❤️ 1️⃣", "❤ 1"),
        ("\0\ud800\ue000", "   "),
    ],
)
def test_folding(text: str, folded: str) -> None:
    assert fold_text(text) == folded


def test_every_character_folds_to_what_stays_folded() -> None:
    for code in range(sys.maxunicode + 1):
        if unicodedata.category(chr(code)) != "Cn":
            folded = fold_text(chr(code))
            assert fold_text(folded) == folded, hex(code)
            assert unicodedata.is_normalized("NFC", folded), hex(code)


@properties
@given(texts)
def test_folding_what_is_folded_changes_nothing(text: str) -> None:
    assert fold_text(fold_text(text)) == fold_text(text)


def test_every_character_is_indexed_as_its_decomposition() -> None:
    for code in range(sys.maxunicode + 1):
        decomposed = unicodedata.normalize("NFD", chr(code))
        if decomposed != chr(code):
            assert index_terms(f"0{decomposed}0") == index_terms(f"0{chr(code)}0"), hex(code)


@properties
@given(texts)
@example("\u1e0b\u0323 \u09c7\u09be \u1112\u1161\u11ab")
def test_canonically_equal_texts_have_the_same_index(text: str) -> None:
    composed = unicodedata.normalize("NFC", text)
    decomposed = unicodedata.normalize("NFD", text)
    assert index_terms(composed) == index_terms(decomposed) == index_terms(text)


def test_a_tower_of_marks_is_put_in_order_only_in_parts() -> None:
    # As one run it would be quadratic work: 4,096 marks move past as many others.
    tower = "a" + "\u094d\u093c" * 4096
    assert not unicodedata.is_normalized("NFC", fold_text(tower))
    (word,) = words_of(tower)
    assert (word.start, word.end) == (0, len(tower))
    assert index_terms(tower) == ({word.text: 1}, 1)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        ("... !!!", []),
        ("Foo-bar_baz", [("foo", 0, 3), ("bar", 4, 7), ("baz", 8, 11)]),
        ("don't", [("don", 0, 3), ("t", 4, 5)]),
        (
            "see http://a.org:80",
            [("see", 0, 3), ("http", 4, 8), ("a", 11, 12), ("org", 13, 16), ("80", 17, 19)],
        ),
        ("e\u0301te\u0301!", [("ete", 0, 5)]),
        ("co\u00adop", [("coop", 0, 5)]),
        ("\u202ehi\u202c x", [("hi", 1, 4), ("x", 5, 6)]),
        ("aß b", [("ass", 0, 2), ("b", 3, 4)]),
        ("½", [("1", 0, 1), ("2", 0, 1)]),
        ("東京都", [("東", 0, 1), ("東京", 0, 2), ("京", 1, 2), ("京都", 1, 3), ("都", 2, 3)]),
        ("a漢1", [("a", 0, 1), ("漢", 1, 2), ("1", 2, 3)]),
        ("か\u3099き", [("が", 0, 2), ("がき", 0, 3), ("き", 2, 3)]),
        ("\u1112\u1161\u11ab국", [("한", 0, 3), ("한국", 0, 4), ("국", 3, 4)]),
        ("ㅋㅋ", [("ᄏ", 0, 1), ("ᄏᄏ", 0, 2), ("ᄏ", 1, 2)]),
        (
            "0\u0e38\u0e3a",
            [("0", 0, 3), ("\u0e3a", 0, 3), ("\u0e3a\u0e38", 0, 3), ("\u0e38", 0, 3)],
        ),
        ("ไทย", [("ไ", 0, 1), ("ไท", 0, 2), ("ท", 1, 2), ("ทย", 1, 3), ("ย", 2, 3)]),
        ("hi👍😀", [("hi", 0, 2), ("👍", 2, 3), ("😀", 3, 4)]),
        ("👍🏽 ok", [("👍🏽", 0, 2), ("👍", 0, 2), ("ok", 3, 5)]),
        ("👨‍👩‍👧x", [("👨‍👩‍👧", 0, 5), ("x", 5, 6)]),
        ("❤️‍🔥❤️", [("❤‍🔥", 0, 4), ("❤", 4, 6)]),
        ("🇩🇪🇫🇷", [("🇩🇪", 0, 2), ("🇫🇷", 2, 4)]),
        (
            "🏴\U000e0067\U000e0062\U000e007f🏴",
            [("🏴\U000e0067\U000e0062\U000e007f", 0, 4), ("🏴", 4, 5)],
        ),
        ("\U0001fae8", [("\U0001fae8", 0, 1)]),
        ("श्\u200dर a\u200d", [("श्र", 0, 4), ("a", 5, 7)]),
        ("\u200d", []),
        ("ক\u09c7\u200d\u09be", [("ক\u09cb", 0, 4)]),
        ("x \u094d\u093c", [("x", 0, 1), ("\u093c\u094d", 2, 4)]),
        ("\U00031350", [("\U00031350", 0, 1)]),
        # Longer than any emoji there is.
        ("👩" + "\u200d👩" * 6, [("👩" + "\u200d👩" * 4, 0, 9), ("👩\u200d👩", 10, 13)]),
    ],
)
def test_words_and_their_places(text: str, words: list[tuple[str, int, int]]) -> None:
    assert words_of(text) == [Word(*word) for word in words]


@properties
@given(texts)
def test_a_word_stands_where_it_says(text: str) -> None:
    for word in words_of(text):
        assert 0 <= word.start < word.end <= len(text)
        assert word.text in index_terms(text[word.start : word.end])[0]
        assert 0 < len(word.text) <= MAX_TERM


@properties
@given(texts)
def test_the_index_holds_the_words(text: str) -> None:
    words = words_of(text)
    assert index_terms(text) == (
        Counter(word.text for word in words),
        # Only a pair of characters and an emoji's form without its tone share another's start,
        # but for what one character folds to: folded text has one character for each.
        len({word.start for word in words_of(fold_text(text))}),
    )


@pytest.mark.parametrize(
    ("text", "terms", "length"),
    [
        ("", {}, 0),
        ("the cat and The dog", {"the": 2, "cat": 1, "and": 1, "dog": 1}, 5),
        ("Übung macht den Meister", {"ubung": 1, "macht": 1, "den": 1, "meister": 1}, 4),
        ("漢字 ok", {"漢": 1, "字": 1, "漢字": 1, "ok": 1}, 3),
        ("👍🏽👍", {"👍🏽": 1, "👍": 2}, 2),
        ("x" * 100 + " y", {"x" * MAX_TERM: 1, "y": 1}, 2),
        ("é" * 100, {"e" * MAX_TERM: 1}, 1),
    ],
)
def test_counts_and_length(text: str, terms: dict[str, int], length: int) -> None:
    assert index_terms(text) == (terms, length)


@pytest.mark.parametrize(
    ("text", "terms", "prefix"),
    [
        ("", (), None),
        ("hello", (), "hello"),
        ("Hello  WORLD ", ("hello",), "world"),
        ("hello w", ("hello", "w"), None),
        ("hello w!", ("hello", "w"), None),
        ("foo-bar", ("foo",), "bar"),
        ("foo ...", (), "foo"),
        ("ß", (), "ss"),
        ("漢", ("漢",), None),
        ("東京都", ("東京", "京都"), None),
        ("iPhone充電", ("iphone", "充電"), None),
        ("漢字 abc", ("漢字",), "abc"),
        ("nice 👍🏽", ("nice", "👍🏽"), None),
        ("👍 nice \u200d", ("👍",), "nice"),
        ("foo bar foo bar", ("foo", "bar"), None),
        ("foo fo", ("foo",), "fo"),
        ("x" * 100, (), "x" * MAX_TERM),
    ],
)
def test_what_a_query_asks_for(text: str, terms: tuple[str, ...], prefix: str | None) -> None:
    assert query_terms(text) == (terms, prefix)


@properties
@given(texts)
def test_every_word_is_found_by_its_term(text: str) -> None:
    for word in words_of(text):
        assert matches(word.text, text)


@properties
@given(written)
def test_every_word_is_found_as_it_was_written(text: str) -> None:
    for word in words_of(text):
        assert matches(text[word.start : word.end], text)


@properties
@given(texts, st.integers(0, 40))
def test_a_word_is_found_by_its_beginning(text: str, length: int) -> None:
    for word in words_of(text):
        beginning = word.text[:length]
        if len(beginning) >= 2 and beginning.isalnum():
            assert matches(beginning, text)


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ("cafe", "CAFÉ"),
        ("café", "the Cafe\u0301s"),
        ("👍", "great 👍🏿"),
        ("東京", "私は東京都に住む"),
        ("京", "東京"),
        ("학교", "학교에서 만나요"),
        ("เชียงใหม่", "ไปเชียงใหม่กัน"),
        ("amour", "l'amour"),
    ],
)
def test_found(asked: str, text: str) -> None:
    assert matches(asked, text)


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ("cat dog", "cat"),
        ("ca cat", "cat"),
        ("c", "cat"),
        ("at", "cat"),
        ("c.t", "cat"),
        ("c*", "cat"),
        ("か", "が"),
        ("👍🏽", "👍🏿"),
        ("👩", "👨‍👩‍👧"),
        ("🇩🇪", "🇫🇷"),
        ("...", "..."),
    ],
)
def test_not_found(asked: str, text: str) -> None:
    assert not matches(asked, text)


@pytest.mark.parametrize(
    ("text", "terms", "prefix", "places"),
    [
        ("The cat saw the dog", ("the",), "do", [(0, 3), (12, 15), (16, 19)]),
        ("Cafe\u0301s, cafe", (), "cafe", [(0, 6), (8, 12)]),
        ("東京都と京都", ("東京", "京都"), None, [(0, 3), (4, 6)]),
        ("👍🏽👍😀", ("👍",), None, [(0, 3)]),
        ("nothing here", ("elsewhere",), None, []),
        ("anything", (), None, []),
    ],
)
def test_highlights(
    text: str, terms: tuple[str, ...], prefix: str | None, places: list[tuple[int, int]]
) -> None:
    assert highlights(text, terms, prefix) == places


@properties
@given(texts, st.data())
def test_highlights_are_the_words_that_were_asked_for(text: str, data: st.DataObject) -> None:
    words = words_of(text)
    own = st.sampled_from([word.text for word in words] or ["none"])
    terms = data.draw(st.lists(own | texts, max_size=4))
    prefix = data.draw(st.none() | own.map(lambda word: word[:2]))
    places = highlights(text, terms, prefix)

    bounds = [-1, *(bound for place in places for bound in place)]
    assert bounds == sorted(set(bounds))
    assert bounds[-1] <= len(text)
    assert {at for start, end in places for at in range(start, end)} == {
        at
        for word in words
        if word.text in terms or (prefix is not None and word.text.startswith(prefix))
        for at in range(word.start, word.end)
    }


@pytest.mark.parametrize(
    ("text", "linked"),
    [
        ("see https://example.org/x?y=1", True),
        ("HTTP://EXAMPLE.ORG", True),
        ("(http://[::1]:8080)", True),
        ("http://bücher.example", True),
        ("見てhttps://example.org", True),
        ("ftp://example.org", False),
        ("example.org", False),
        ("https:// what", False),
        ("xhttps://example.org", False),
        ("", False),
    ],
)
def test_links(text: str, linked: bool) -> None:
    assert has_link(text) is linked
