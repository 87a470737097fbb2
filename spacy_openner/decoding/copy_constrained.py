"""Greedy decoding that can only repeat the text, many words a pass, with the result of one piece at a time.

An answer's words are known; its tags are the news. A draft of all tags is scored in one pass of the decoder. The
choices that agree with the draft are final up to the first that does not, which is final, too; what the model
chose later in the same pass is the next draft (Jacobi iteration). So a few passes settle a text.
"""

import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np

from .tag_trie import NOTHING, O_TAG, Path, Tagset, Word, single


class Decoder(Protocol):
    """A model that has read its prompts. Rows are texts; each keeps a cache of what it was fed."""

    def feed(self, rows: Sequence[int], pieces: Sequence[Sequence[int]], keep: Sequence[int]) -> None:
        """Feed each row more pieces, each piece once: in one pass, or a few of some rows each.

        rows (Sequence[int]): Which rows, ascending; the others are done and may be forgotten.
        pieces (Sequence[Sequence[int]]): The pieces of each.
        keep (Sequence[int]): How many of the pieces fed before each row keeps.
        """
        ...

    def choices(self, places: Sequence[tuple[int, int]], allowed: Sequence[Sequence[int]]) -> list[np.ndarray]:
        """Score what may come next at places of the pass just made.

        places (Sequence[tuple[int, int]]): Index into the rows of the pass, and place among the pieces fed.
        allowed (Sequence[Sequence[int]]): The pieces to score at each.
        RETURNS (list[np.ndarray]): Log probabilities among the allowed pieces.
        """
        ...


class Answer(NamedTuple):
    """The tags of one text.

    tags: The tag of each word.
    log_probs: Of each word's tag, among what was allowed there.
    passes: How many passes of the decoder the text was in.
    fed: How many pieces those had for it.
    """

    tags: list[int]
    log_probs: list[float]
    passes: int
    fed: int


@dataclass
class Row:
    """A text on its way.

    tags: Settled up to `word`, drafted from there on.
    word: The word whose choices come next.
    settled: How many choices of that word are settled.
    mask: The tags that these leave.
    said: The pieces of all words before it.
    fed: How many pieces the decoder has of this row that will not change; the first is the one that starts answers.
    """

    words: Sequence[Word]
    tagset: Tagset
    first: int
    tags: list[int]
    log_probs: list[float]
    word: int = 0
    settled: int = 0
    mask: int = 0
    said: list[int] = field(default_factory=list)
    fed: int = 0
    passes: int = 0
    total: int = 0
    fresh: list["Choice"] = field(default_factory=list)

    @property
    def done(self) -> bool:
        """Whether all is settled."""
        return self.word == len(self.words)

    def path(self, i: int) -> Path:
        """The way of a word's tag in the draft."""
        return self.words[i].trie.path(self.tags[i], self.tagset.allowed(self.tags[i - 1] if i else 0))


class Choice(NamedTuple):
    """A decision in the piece of draft that a pass shows: its word, its number there, its place in the answer."""

    word: int
    number: int
    place: int


def decode(
    decoder: Decoder,
    texts: Sequence[Sequence[Word]],
    n_labels: Sequence[int],
    first: Sequence[int],
    drafts: Sequence[Sequence[int]] | None = None,
    window: int = 512,
) -> list[Answer]:
    """Tag texts.

    decoder (Decoder): Has read one prompt a text.
    texts (Sequence[Sequence[Word]]): The words of each.
    n_labels (Sequence[int]): The tags of each are those of `Tagset(n_labels)`.
    first (Sequence[int]): The piece that starts each answer.
    drafts (Sequence[Sequence[int]] | None): A tag for each word, as far as somebody has a guess; O if None. They
        make it faster, not different.
    window (int): The most pieces a pass feeds each text.
    RETURNS (list[Answer]): As if the model had chosen one piece after another.
    """
    rows = []
    for i, words in enumerate(texts):
        tags = list(drafts[i]) if drafts is not None else [0] * len(words)
        rows.append(Row(words, Tagset(n_labels[i]), first[i], tags, [0.0] * len(words)))
        _begin_word(rows[-1], 0)
        _make_legal(rows[-1], 0)
    kept = [0] * len(rows)
    while active := [i for i, row in enumerate(rows) if not row.done]:
        feeds = [_window(rows[i], window) for i in active]
        decoder.feed(active, feeds, [kept[i] for i in active])
        for i, scores in zip(active, _scores(decoder, [rows[i] for i in active]), strict=True):
            _settle(rows[i], scores)
        for i, feed in zip(active, feeds, strict=True):
            rows[i].passes += 1
            rows[i].total += len(feed)
            if not rows[i].fresh:
                # What leads to the next choice is certain.
                rows[i].fed += len(feed)
            kept[i] = rows[i].fed
    return [Answer(row.tags, row.log_probs, row.passes, row.total) for row in rows]


def _window(row: Row, size: int) -> list[int]:
    """The next pieces to feed, and note the decisions that they show."""
    row.fresh = []
    pieces = [row.first, *row.said]
    end = row.fed + size
    for i in range(row.word, len(row.words)):
        path = row.path(i)
        # A piece at a place of the answer is chosen where the one before it was fed, which has the same number.
        offset = len(pieces) - 1 + len(row.words[i].forced)
        for number, decision in enumerate(path.decisions):
            if offset + decision.offset < end and (i > row.word or number >= row.settled):
                row.fresh.append(Choice(i, number, offset + decision.offset))
        pieces += [*row.words[i].forced, *path.pieces]
        if len(pieces) > end:
            break
    # Nothing after the last choice needs to be fed.
    return pieces[row.fed : row.fresh[-1].place + 1 if row.fresh else end]


def _scores(decoder: Decoder, rows: Sequence[Row]) -> list[list[np.ndarray]]:
    """Score the decisions that the windows of a pass show."""
    places, allowed = [], []
    for index, row in enumerate(rows):
        for choice in row.fresh:
            places.append((index, choice.place - row.fed))
            allowed.append(row.path(choice.word).decisions[choice.number].pieces)
    scored = iter(decoder.choices(places, allowed))
    return [[next(scored) for _ in row.fresh] for row in rows]


def _settle(row: Row, scores: Sequence[np.ndarray]) -> None:
    """Take over the model's choices as far as the draft was right, and draft anew from there on."""
    chosen = [int(values.argmax()) for values in scores]
    guesses: dict[int, int] = {}
    agreed = True
    for choice, values, best in zip(row.fresh, scores, chosen, strict=True):
        decision = row.path(choice.word).decisions[choice.number]
        if agreed:
            _advance(row, choice.word)
            row.log_probs[choice.word] += float(values[best])
            row.settled, row.mask = choice.number + 1, decision.masks[best]
            row.fed = choice.place + 1
            agreed = best == decision.chosen
            if not agreed:
                guesses[choice.word] = _guess(row, decision.masks[best])
        elif choice.word not in guesses and best != decision.chosen:
            guesses[choice.word] = _guess(row, decision.masks[best])
    for i, tag in guesses.items():
        row.tags[i] = tag
    _join(row, guesses)
    _make_legal(row, row.word)
    _finish_settled(row)


def _advance(row: Row, word: int) -> None:
    """Go on to a later word: all before it have their tags."""
    while row.word < word:
        row.said += [*row.words[row.word].forced, *row.path(row.word).pieces]
        _begin_word(row, row.word + 1)


def _begin_word(row: Row, word: int) -> None:
    row.word, row.settled = word, 0
    row.mask = row.tagset.allowed(row.tags[word - 1] if word else 0)


def _finish_settled(row: Row) -> None:
    """Pass over words with no open decision."""
    while not row.done and row.settled >= len(row.path(row.word).decisions):
        _advance(row, row.word + 1)


def _guess(row: Row, mask: int) -> int:
    """A tag from a set: the only one, or the one whose label was last seen."""
    tag = single(mask)
    if tag != NOTHING:
        return tag
    known = [t for t in reversed(row.tags) if mask >> t & 1]
    return known[0] if known else (mask & -mask).bit_length() - 1


def _join(row: Row, guesses: Collection[int]) -> None:
    """Draft neighbours that both became entities as one, and have the rest of an entity follow its new label.

    They were chosen each without the other: after O, an entity's second word can only begin one.

    guesses (Collection[int]): The words whose tags are new.
    """
    changed = set(guesses)
    for i in range(row.word + 1, len(row.words)):
        tag, previous = row.tags[i], row.tags[i - 1]
        if i - 1 in changed and previous != O_TAG and (row.tagset.is_inside(tag) or (i in guesses and tag != O_TAG)):
            row.tags[i] = row.tagset.entity(row.tagset.label(previous), 2)[1]
            changed.add(i)


def _make_legal(row: Row, start: int) -> None:
    """Mend the draft where an I- has lost its entity."""
    for i in range(start, len(row.words)):
        legal = row.tagset.legal(row.tags[i], row.tags[i - 1] if i else 0)
        if i == row.word and not row.mask >> legal & 1:
            legal = _guess(row, row.mask)
        row.tags[i] = legal


def rate(
    decoder: Decoder,
    texts: Sequence[Sequence[Word]],
    n_labels: Sequence[int],
    first: Sequence[int],
    tags: Sequence[Sequence[int]],
) -> list[list[float]]:
    """Score given tags in one pass: the log probability of each word's, among what was allowed there.

    tags (Sequence[Sequence[int]]): The tags of each text, legal ones. For the rest see `decode`.
    """
    rows = [
        Row(words, Tagset(n_labels[i]), first[i], list(tags[i]), [0.0] * len(words)) for i, words in enumerate(texts)
    ]
    feeds = [_window(row, sys.maxsize) for row in rows]
    chosen = [i for i, row in enumerate(rows) if row.fresh]
    if chosen:
        decoder.feed(chosen, [feeds[i] for i in chosen], [0] * len(chosen))
        for row, scores in zip([rows[i] for i in chosen], _scores(decoder, [rows[i] for i in chosen]), strict=True):
            for choice, values in zip(row.fresh, scores, strict=True):
                decision = row.path(choice.word).decisions[choice.number]
                row.log_probs[choice.word] += float(values[decision.chosen])
    return [row.log_probs for row in rows]
