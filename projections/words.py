"""The words of a text, folded: what the search index holds of a message and what a query asks for.

A word is one of three things:

- a run of letters, digits and their marks; everything else (punctuation, `_`, `'`) ends it;
- an emoji, with its skin tones, flags and joined sequences (Unicode TS #51), apart from its
  neighbours; one with a skin tone is found without it too;
- in scripts written without spaces or with endings grown together (Han, kana, bopomofo, Hangul,
  Thai, Lao, Khmer, Myanmar) each character, and each pair of neighbours (bigrams, as Lucene's
  CJKBigramFilter makes them).

Offsets count characters (Unicode code points) of the text as it was given.
"""

import re
import unicodedata
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import NamedTuple

MAX_TERM = 64
"""Characters of a term; the rest of a longer word is not indexed."""

MIN_PREFIX = 2
"""Characters that the last word of a query needs to stand for the words it begins."""

_UNSPACED = (
    "\u0e01-\u0e4e\u0e81-\u0ece\u1000-\u109f\u1100-\u11ff\u1780-\u17d3"
    "\u3005-\u3007\u3021-\u3029\u3031-\u3035\u3038-\u303b\u3041-\u309a\u309d-\u309f\u30a1-\u30fa"
    "\u30fc-\u30ff\u3105-\u312f\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\ua960-\ua97c"
    "\uac00-\ud7a3\ud7b0-\ud7fb\uf900-\ufaff\U0001b000-\U0001b16f\U00020000-\U0003fffd"
)
_TONES = "\U0001f3fb-\U0001f3ff"
_FLAG_LETTERS = "\U0001f1e6-\U0001f1ff"
_EMOJI = (
    "\u2194-\u2199\u21a9\u21aa\u231a\u231b\u2328\u23cf\u23e9-\u23f3\u23f8-\u23fa\u25aa\u25ab\u25b6"
    "\u25c0\u25fb-\u25fe\u2600-\u2767\u2794-\u27bf\u2934\u2935\u2b05-\u2b07\u2b1b\u2b1c\u2b50\u2b55"
    "\U0001f000-\U0001f0ff\U0001f150-\U0001f3fa\U0001f400-\U0001faff"
)
# What only means something inside an emoji: the joiner and the tags that spell a region's flag.
_GLUE = "\u200d\U000e0020-\U000e007f"
_SIGN = f"[{_EMOJI}][{_TONES}]?[\U000e0020-\U000e007f]{{0,7}}"

# At most five signs are joined, one more than in any emoji there is, so no emoji has to be cut.
_TOKEN = re.compile(
    f"(?P<unspaced>[{_UNSPACED}]+)"
    f"|(?P<emoji>[{_FLAG_LETTERS}]{{2}}|{_SIGN}(?:\u200d{_SIGN}){{0,4}}|[{_TONES}])"
    f"|[^ {_UNSPACED}{_EMOJI}{_TONES}]+"
)
_TONE = re.compile(f"[{_TONES}]")
_STRAY_GLUE = re.compile(f"[{_GLUE}]+")
_KEPT_AS_IT_IS = re.compile(f"[{_EMOJI}{_TONES}{_GLUE}]")
_NOT_ONE_WORD = re.compile(f"[{_UNSPACED}{_EMOJI}{_TONES}{_GLUE}]")
_UNSPACED_CHARACTER = re.compile(f"[{_UNSPACED}]")
_LINK = re.compile(r"(?<![A-Za-z0-9])https?://[\w\[]", re.IGNORECASE)

# Marks that tell a spelling from another, not a word: accents, Hebrew points, Arabic and Syriac
# vowel signs, variation selectors; and those of musical notes. In other scripts (Devanagari, Thai,
# kana …) a mark is a vowel or makes another letter, and stays.
_ACCENT = re.compile(
    "[\u0300-\u036f\u0483-\u0489\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed\u0711"
    "\u0730-\u074a\u0897-\u089f\u08ca-\u08ff\u180b-\u180f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff"
    "\ufe00-\ufe0f\ufe20-\ufe2f\U0001d165-\U0001d1ad\U0001d242-\U0001d244\U000e0100-\U000e01ef]"
)
# Letters that Unicode doesn't decompose, Latin ones as Lucene's ASCIIFoldingFilter reads them,
# Arabic ones as its ArabicNormalizer and PersianNormalizer do; and signs that need a rule.
_LETTERS = {
    "ı": "i",
    "ł": "l",
    "ø": "o",
    "đ": "d",
    "ð": "d",
    "ħ": "h",
    "ŧ": "t",
    "æ": "ae",
    "œ": "oe",
    "þ": "th",
    "\u0671": "\u0627",  # alef wasla: alef
    "\u0649": "\u064a",  # alef maksura: yeh
    "\u06cc": "\u064a",  # Farsi yeh: yeh
    "\u06a9": "\u0643",  # keheh: kaf
    "\u0629": "\u0647",  # teh marbuta: heh
    "\u0640": "",  # tatweel
    "\u200b": " ",  # the zero width space parts words, unlike other invisible characters
    "\u115f": "",  # Hangul fillers, which show nothing
    "\u1160": "",
    "\u2122": " ",  # NFKC would make letters of the trade and service marks
    "\u2120": " ",
}
# The longest group of characters that are composed and put in order together, so that a tower of
# marks costs no quadratic time: more than the 30 marks of UAX #15's stream-safe text. In a higher
# tower the order of marks counts.
_MAX_GROUP = 32


class Word(NamedTuple):
    """A term of the index and the part of the text, `[start, end)`, that it stands for."""

    text: str
    start: int
    end: int


class _Folded(dict[int, str]):
    """What each character folds to, found once."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        folded = _fold_character(character)
        # Unassigned ones are not remembered: they could fill the memory and are never written.
        if unicodedata.category(character) != "Cn":
            self[code] = folded
        return folded


def _fold_character(character: str) -> str:
    if character in _LETTERS or _KEPT_AS_IT_IS.match(character):
        return _fold_decomposed(character)
    decomposed = _without_accents(_without_accents(character).casefold())
    folded = unicodedata.normalize("NFC", "".join(map(_fold_decomposed, decomposed)))
    # Several words in one (as `½`) are no part of the word before: `1½` is not eleven halves.
    return f" {folded} " if " " in folded.rstrip() else folded


def _without_accents(text: str) -> str:
    return "".join(
        c
        for c in unicodedata.normalize("NFKD", text)
        if not (unicodedata.category(c)[0] == "M" and _ACCENT.match(c))
    )


def _fold_decomposed(character: str) -> str:
    if character in _LETTERS:
        return _LETTERS[character]
    if _KEPT_AS_IT_IS.match(character):
        return character
    category = unicodedata.category(character)
    if category == "Nd":
        return str(unicodedata.decimal(character))
    if category == "Cf":
        return ""
    # An unassigned character here is a Han one newer than this Python.
    new_han = category == "Cn" and _UNSPACED_CHARACTER.match(character)
    return character if category[0] in "LMN" or new_han else " "


_FOLDED = _Folded()


def fold_text(text: str) -> str:
    """The text as its words are compared: one space for each character that is in no word.

    NFKC without case, accents, vowel points and invisible characters; digits of every script as
    ASCII; `ß` as `ss`, `İ` and `ı` as `i`, the forms of the Arabic alef as one. Folding what is
    folded changes nothing, and canonically equal texts fold to the same.
    """
    folded = text.translate(_FOLDED)
    if unicodedata.is_normalized("NFC", folded):
        return folded
    return _compose(folded, range(len(folded)))[0]


def _fold_with_offsets(text: str) -> tuple[str, Sequence[int]]:
    """`fold_text`, with the offset in the text of each folded character and, last, of the end."""
    if text.isascii():
        return text.translate(_FOLDED), range(len(text) + 1)
    pieces = [_FOLDED[ord(c)] for c in text]
    folded = "".join(pieces)
    starts = [start for start, piece in enumerate(pieces) for _ in piece]
    if not unicodedata.is_normalized("NFC", folded):
        folded, starts = _compose(folded, starts)
    return folded, [*starts, len(text)]


def _compose(folded: str, starts: Sequence[int]) -> tuple[str, list[int]]:
    """The NFC form, with the start of each of its characters.

    A letter and the marks that were composed with it, or put in order after it, share its start.
    """
    groups: list[str] = []
    group_starts: list[int] = []
    for character, start in zip(folded, starts, strict=True):
        if groups and groups[-1] != " " and len(groups[-1]) < _MAX_GROUP:
            joined = groups[-1] + character
            composed = unicodedata.normalize("NFC", joined)
            if composed != joined or unicodedata.combining(character):
                groups[-1] = composed
                continue
        groups.append(character)
        group_starts.append(start)
    grouped = zip(groups, group_starts, strict=True)
    return "".join(groups), [start for group, start in grouped for _ in group]


def _terms(folded: str) -> Iterator[tuple[str, int, int]]:
    """The terms of a folded text by their start, each with its place `[start, end)` in that."""
    for token in _TOKEN.finditer(folded):
        start, end = token.span()
        if token.lastgroup == "unspaced":
            for at in range(start, end):
                yield folded[at], at, at + 1
                if at + 1 < end:
                    yield folded[at : at + 2], at, at + 2
        elif token.lastgroup == "emoji":
            yield token[0], start, end
            toneless = _TONE.sub("", token[0])
            if toneless and toneless != token[0]:
                yield toneless, start, end
        elif term := _term(token[0]):
            yield term, start, end


def _term(word: str) -> str:
    if not word.isascii() and _STRAY_GLUE.search(word):
        word = unicodedata.normalize("NFC", _STRAY_GLUE.sub("", word))
    return word[:MAX_TERM]


def words_of(text: str, wanted: Callable[[str], bool] = lambda _: True) -> list[Word]:
    """The wanted terms of a text by their start and end, each with its place in the text as given.

    Places overlap where a character is indexed by itself and in a pair.
    """
    folded, starts = _fold_with_offsets(text)
    words = []
    for term, start, end in _terms(folded):
        if not wanted(term):
            continue
        # One character may fold to several: a word ends where that character does.
        while starts[end] == starts[end - 1]:
            end += 1
        words.append(Word(term, starts[start], starts[end]))
    return words


def index_terms(text: str) -> tuple[dict[str, int], int]:
    """How often each term occurs, and the length of the text in words.

    A character of an unspaced script counts as one word of the length, its pairs as none.
    """
    counts: dict[str, int] = {}
    length = 0
    for chunk in fold_text(text).split():
        if chunk.isascii() or not _NOT_ONE_WORD.search(chunk):
            term = chunk[:MAX_TERM]
            counts[term] = counts.get(term, 0) + 1
            length += 1
            continue
        last_start = -1
        for term, start, _ in _terms(chunk):
            counts[term] = counts.get(term, 0) + 1
            length += start != last_start
            last_start = start
    return counts, length


def query_terms(text: str) -> tuple[tuple[str, ...], str | None]:
    """What a text asks for: the terms to be found whole, each once, and the one to be begun with.

    The last word is a prefix from `MIN_PREFIX` characters on. In unspaced scripts a single
    character already is: each character and pair of the index is a term of its own, so it is
    found whole wherever its word goes on. An emoji is always whole.
    """
    terms: list[str] = []
    prefix: str | None = None
    for token in _TOKEN.finditer(fold_text(text)):
        if token.lastgroup is None and not (term := _term(token[0])):
            continue
        if prefix is not None:
            terms.append(prefix)
            prefix = None
        if token.lastgroup == "unspaced":
            run = token[0]
            terms += [run[at : at + 2] for at in range(max(1, len(run) - 1))]
        elif token.lastgroup == "emoji":
            terms.append(token[0])
        elif len(term) >= MIN_PREFIX:
            prefix = term
        else:
            terms.append(term)
    # A repeated word asks once.
    return tuple(dict.fromkeys(terms)), None if prefix in terms else prefix


def highlights(
    text: str, terms: Collection[str], prefix: str | None = None
) -> list[tuple[int, int]]:
    """The places `[start, end)` of the words that are one of the terms or begin with the prefix.

    Sorted; what touches or overlaps is one place.
    """
    whole = frozenset(terms)
    places: list[tuple[int, int]] = []
    for _, start, end in words_of(
        text, lambda word: word in whole or (prefix is not None and word.startswith(prefix))
    ):
        if places and start <= places[-1][1]:
            places[-1] = (places[-1][0], end)
        else:
            places.append((start, end))
    return places


def has_link(text: str) -> bool:
    """Whether an http or https URL stands in the text."""
    return "://" in text and _LINK.search(text) is not None
