"""What is searched for: queries of every kind, in turn."""

import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import cycle, pairwise

import msgspec

from benchmarks.corpus import Corpus, Said

#: Words used most, and words in the middle.
_COMMON, _USUAL = slice(0, 60), slice(100, 2_000)
_RARE = range(1, 21)


class Question(msgspec.Struct, frozen=True):
    """`words` stand in every answer. `count` is how many answers there are, where it is known.
    With `second` the page after the first is asked for."""

    kind: str
    query: dict[str, str]
    words: tuple[str, ...]
    count: int | None = None
    second: bool = False


def questions(
    corpus: Corpus, said: Sequence[Said], senders: Sequence[str], chats: Sequence[str], midway: str
) -> Iterator[Question]:
    """Without end. `midway` is a time between the messages."""
    pick = random.Random(1)
    common, usual = corpus.words[_COMMON], corpus.words[_USUAL]
    uses = Counter(word for one in said for word in one.words)
    # A query's last word stands for all that it begins, so that only these have a known number.
    rare = [
        word
        for word, after in pairwise([*sorted(uses), ""])
        if uses[word] in _RARE and word.isascii() and word.isalpha() and not after.startswith(word)
    ]
    chinese = [one.content for one in said if not one.content.isascii()]

    def asked(
        *words: str, filters: str = "", second: bool = False, sort: str = "", chat: str = ""
    ) -> Question:
        query = {"q": " ".join((*filters.split(), *words))}
        query |= {name: value for name, value in (("sort", sort), ("chat", chat)) if value}
        return Question("", query, words, second=second)

    def rarely() -> Question:
        word = pick.choice(rare)
        return Question("", {"q": word}, (word,), uses[word])

    def in_chinese() -> Question:
        start, length = pick.randrange(12), pick.randint(1, 3)
        part = pick.choice(chinese)[start : start + length]
        # Each two neighbours must stand together, not all of them.
        return Question("", {"q": part}, tuple(map("".join, pairwise(part))) or (part,))

    def a_common() -> str:
        return pick.choice(common)

    def a_usual() -> str:
        return pick.choice(usual)

    def sender() -> str:
        return f"from:{pick.choice(senders)}"

    def bearing() -> str:
        return f"has:{pick.choice(('link', 'location'))}"

    makers: Mapping[str, Callable[[], Question]] = {
        "a rare word": rarely,
        "a common word": lambda: asked(a_common()),
        "two words": lambda: asked(a_usual(), a_common()),
        "three words": lambda: asked(a_common(), a_common(), a_common()),
        "two letters": lambda: asked(a_usual()[:2]),
        "a word, two letters": lambda: asked(a_common(), a_usual()[:2]),
        "Chinese": in_chinese,
        "from:": lambda: asked(a_usual(), filters=sender()),
        "from: alone": lambda: asked(filters=sender()),
        "has:": lambda: asked(a_common(), filters=bearing()),
        "before:": lambda: asked(a_usual(), filters=f"before:{midway}"),
        "in one chat": lambda: asked(a_common(), chat=pick.choice(chats)),
        "second page": lambda: asked(a_common(), second=True),
        "relevance, a rare word": lambda: asked(pick.choice(rare), sort="relevance"),
        "relevance, a common word": lambda: asked(a_common(), sort="relevance"),
        "relevance, two words": lambda: asked(a_usual(), a_common(), sort="relevance"),
        "relevance, two letters": lambda: asked(a_usual()[:2], sort="relevance"),
        "relevance, second page": lambda: asked(a_common(), second=True, sort="relevance"),
    }
    for kind, make in cycle(makers.items()):
        yield msgspec.structs.replace(make(), kind=kind)
