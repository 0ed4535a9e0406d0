"""Messages to search in: the same ones in every run, their words used as unevenly as in a language.

Of the Zipf-Mandelbrot law the n-th word of a vocabulary is used in proportion to 1 / (n + 2.7).
"""

import random
from collections.abc import Sequence
from itertools import accumulate

import msgspec

_SEED = 20240501
_WORDS = 20_000
_HAN = 1_500
_LONGEST = 24
#: One message in so many is in Chinese, has a link, is a location.
_CHINESE, _LINKED, _LOCATED = 12, 25, 60

_ONSETS = [
    *"bcdfghjklmnprstvwz",
    *("bl", "br", "ch", "dr", "fl", "gr", "pl", "sh", "st", "th", "tr"),
]
_VOWELS = [*"aeiou", *("ai", "ea", "ee", "io", "ou")]
_CODAS = ["", "", "", *"lmnrst", *("nd", "rt", "st")]


class Said(msgspec.Struct, frozen=True):
    """What a message says; `words` in lower case, of Chinese ones the whole text."""

    content: str
    words: frozenset[str]
    located: bool


class Corpus:
    def __init__(self) -> None:
        self._random = random.Random(_SEED)
        made: dict[str, None] = {}
        while len(made) < _WORDS:
            syllables = self._random.choices((1, 2, 3), (1, 4, 3))[0]
            made["".join(self._syllable() for _ in range(syllables))] = None
        # Short words are the common ones.
        self.words: Sequence[str] = sorted(made, key=lambda word: (len(word) > 4, len(word) > 7))
        self.han = [chr(0x4E00 + 7 * n) for n in range(_HAN)]
        self._shares = _zipf(_WORDS)
        self._han_shares = _zipf(_HAN)

    def next(self) -> Said:
        pick = self._random
        if pick.randrange(_CHINESE) == 0:
            text = "".join(pick.choices(self.han, cum_weights=self._han_shares, k=14))
            return Said(text, frozenset((text,)), located=False)
        length = pick.randint(2, _LONGEST)
        words = pick.choices(self.words, cum_weights=self._shares, k=length)
        if pick.randrange(_LINKED) == 0:
            words.append(f"https://{words[0]}.example/{words[1]}")
        located = pick.randrange(_LOCATED) == 0
        return Said(" ".join(words).capitalize(), frozenset(words), located=located)

    def _syllable(self) -> str:
        parts: tuple[Sequence[str], ...] = (_ONSETS, _VOWELS, _CODAS)
        return "".join(map(self._random.choice, parts))


def _zipf(count: int) -> list[float]:
    return list(accumulate(1 / (n + 2.7) for n in range(1, count + 1)))
