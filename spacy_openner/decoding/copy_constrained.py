"""Decode greedily under the constraint that an answer repeats its text, many words per pass of the decoder.

The words of an answer are known; only its tags are new. A draft of all tags is scored in one pass of the decoder. The
choices that agree with the draft are final up to the first that does not, which is final, too; what the model chose
later in the same pass is the next draft (Jacobi iteration). So a few passes settle a text, and the result is that of
decoding one subword after another.

A worked example, "Ann saw Oslo Fjord" with the one type "place", a draft of O only:

    pass  fed to the decoder                                  the model chooses            settled after the pass
    1     Ann(O) saw(O) Oslo(O) Fjord(O                       O     O      B      B        Ann(O) saw(O) Oslo(B-place)
    2     Oslo(B-place) Fjord(I-place                                             I        Fjord(I-place)

Pass 1 agrees with the draft for "Ann" and "saw", and differs at "Oslo": that choice is right as well, since all before
it was. "Fjord" was chosen after a wrong tag, and is only a guess: two neighbours that both became entities are drafted
as one, so that pass 2 is fed I-place, and confirms it. One subword at a time, the same answer takes as many passes as
it has subwords.
"""

import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np

from .tag_trie import O_TAG, AnswerWord, Decision, Path, Tagset, only_tag


class DecoderState(Protocol):
    """A decoder that has read one prompt per row, and keeps a cache of what each row was fed."""

    def feed(self, rows: Sequence[int], subwords: Sequence[Sequence[int]], keep: Sequence[int]) -> None:
        """Feed more subwords to some rows, in as many passes as suit the device.

        rows (Sequence[int]): Which rows, ascending; the others are done and may be forgotten.
        subwords (Sequence[Sequence[int]]): Those of each row.
        keep (Sequence[int]): How many of the subwords fed before each row keeps.
        """

    def choice_log_probs(
        self, positions: Sequence["FedPosition"], allowed: Sequence[Sequence[int]]
    ) -> list[np.ndarray]:
        """Score the subwords that may follow at positions of what was just fed.

        positions (Sequence[FedPosition]): Where.
        allowed (Sequence[Sequence[int]]): The subwords to score at each.
        RETURNS (list[np.ndarray]): Log probabilities among the allowed subwords, one array per position.
        """


class FedPosition(NamedTuple):
    """A subword that was just fed: index into the rows of that feed, and into the row's subwords."""

    row: int
    offset: int


class DecodedTags(NamedTuple):
    """The tags of one text.

    tags (list[int]): The tag of each word.
    log_probs (list[float]): Of each word's tag, among those allowed there.
    n_passes (int): How many passes of the decoder the text was in.
    n_fed (int): How many subwords those were fed for it.
    """

    tags: list[int]
    log_probs: list[float]
    n_passes: int
    n_fed: int


class OpenDecision(NamedTuple):
    """A decision in the part of a draft that a pass is fed.

    word (int): The word whose tag is chosen.
    number (int): Which of that word's decisions it is.
    position (int): Index of the subword of the answer after which it is made.
    """

    word: int
    number: int
    position: int


@dataclass
class DecodingRow:
    """A text that is being decoded.

    words (Sequence[AnswerWord]): The words, with their tries.
    tagset (Tagset): The tags.
    start (int): The subword that starts the answer.
    tags (list[int]): Settled before `word`, drafted from there on.
    log_probs (list[float]): Of the settled choices of each word.
    word (int): The word whose choices come next.
    n_settled (int): How many choices of that word are settled.
    mask (int): The tags that these leave, as bits.
    settled (list[int]): The subwords of all words before it.
    n_fed (int): How many subwords the decoder has been fed for good, the one that starts the answer included.
    open (list[OpenDecision]): The decisions of the pass that is being made.
    """

    words: Sequence[AnswerWord]
    tagset: Tagset
    start: int
    tags: list[int]
    log_probs: list[float]
    word: int = 0
    n_settled: int = 0
    mask: int = 0
    settled: list[int] = field(default_factory=list)
    n_fed: int = 0
    passes: int = 0
    total_fed: int = 0
    open: list[OpenDecision] = field(default_factory=list)

    @property
    def done(self) -> bool:
        """Tell whether all words are settled."""
        return self.word == len(self.words)

    def path(self, i: int) -> Path:
        """Return the path of a word's tag in the draft."""
        return self.words[i].trie.path(self.tags[i], self.allowed(i))

    def allowed(self, i: int) -> int:
        """Return the tags, as bits, that a word may have behind the one before."""
        return self.tagset.allowed(self.tags[i - 1] if i else O_TAG) & self.words[i].limit

    def decision(self, choice: OpenDecision) -> Decision:
        """Return the branch of the trie at which a choice is made."""
        return self.path(choice.word).decisions[choice.number]

    def answer(self) -> DecodedTags:
        """Return the result."""
        return DecodedTags(self.tags, self.log_probs, self.passes, self.total_fed)


def decode(
    decoder: DecoderState,
    texts: Sequence[Sequence[AnswerWord]],
    n_labels: Sequence[int],
    start: Sequence[int],
    drafts: Sequence[Sequence[int]] | None = None,
    window: int = 512,
) -> list[DecodedTags]:
    """Tag texts by constrained greedy decoding.

    decoder (DecoderState): Has read the prompt of each text.
    texts (Sequence[Sequence[AnswerWord]]): The words of each.
    n_labels (Sequence[int]): How many labels each text has; its tags are those of `Tagset(n_labels)`.
    start (Sequence[int]): The subword that starts each answer.
    drafts (Sequence[Sequence[int]] | None): A guess at the tag of each word; O if None. It makes decoding faster, not
        different.
    window (int): The most subwords that a pass is fed for each text.
    RETURNS (list[DecodedTags]): As if the model had chosen one subword after another.
    """
    rows = []
    for i, words in enumerate(texts):
        tags = list(drafts[i]) if drafts is not None else [O_TAG] * len(words)
        rows.append(DecodingRow(words, Tagset(n_labels[i]), start[i], tags, [0.0] * len(words)))
        _begin_word(rows[-1], 0)
        _make_legal(rows[-1], 0)
    keep = [0] * len(rows)
    while active := [i for i, row in enumerate(rows) if not row.done]:
        feeds = [_open_window(rows[i], window) for i in active]
        decoder.feed(active, feeds, [keep[i] for i in active])
        scores = _score_open(decoder, [rows[i] for i in active])
        for i, feed, values in zip(active, feeds, scores, strict=True):
            _settle(rows[i], values)
            rows[i].passes += 1
            rows[i].total_fed += len(feed)
            if not rows[i].open:
                # The way to the next choice is certain.
                rows[i].n_fed += len(feed)
            keep[i] = rows[i].n_fed
    return [row.answer() for row in rows]


def score_tags(
    decoder: DecoderState,
    texts: Sequence[Sequence[AnswerWord]],
    n_labels: Sequence[int],
    start: Sequence[int],
    tags: Sequence[Sequence[int]],
) -> list[list[float]]:
    """Score given tags in one pass: the log probability of each word's tag, among those allowed there.

    tags (Sequence[Sequence[int]]): The tags of each text, legal ones. For the other arguments see `decode`.
    """
    rows = [
        DecodingRow(words, Tagset(n_labels[i]), start[i], list(tags[i]), [0.0] * len(words))
        for i, words in enumerate(texts)
    ]
    feeds = [_open_window(row, sys.maxsize) for row in rows]
    open_rows = [i for i, row in enumerate(rows) if row.open]
    if open_rows:
        decoder.feed(open_rows, [feeds[i] for i in open_rows], [0] * len(open_rows))
        scores = _score_open(decoder, [rows[i] for i in open_rows])
        for row, values_per_choice in zip([rows[i] for i in open_rows], scores, strict=True):
            for choice, values in zip(row.open, values_per_choice, strict=True):
                row.log_probs[choice.word] += float(values[row.decision(choice).chosen])
    return [row.log_probs for row in rows]


def _open_window(row: DecodingRow, size: int) -> list[int]:
    """Return the next subwords to feed, and note the decisions that they lead to."""
    row.open = []
    subwords = [row.start, *row.settled]
    end = row.n_fed + size
    for i in range(row.word, len(row.words)):
        path = row.path(i)
        # A subword of the answer is chosen where the one before it was fed, which has the same number.
        offset = len(subwords) - 1 + len(row.words[i].forced)
        for number, decision in enumerate(path.decisions):
            if offset + decision.offset < end and (i > row.word or number >= row.n_settled):
                row.open.append(OpenDecision(i, number, offset + decision.offset))
        subwords += [*row.words[i].forced, *path.subwords]
        if len(subwords) > end:
            break
    # Nothing after the last choice needs to be fed.
    return subwords[row.n_fed : row.open[-1].position + 1 if row.open else end]


def _score_open(decoder: DecoderState, rows: Sequence[DecodingRow]) -> list[list[np.ndarray]]:
    """Score the open decisions of the rows of a pass."""
    choices = [(index, row, choice) for index, row in enumerate(rows) for choice in row.open]
    positions = [FedPosition(index, choice.position - row.n_fed) for index, row, choice in choices]
    scores = decoder.choice_log_probs(positions, [row.decision(choice).subwords for _, row, choice in choices])
    per_row: list[list[np.ndarray]] = [[] for _ in rows]
    for (index, _, _), values in zip(choices, scores, strict=True):
        per_row[index].append(values)
    return per_row


def _settle(row: DecodingRow, scores: Sequence[np.ndarray]) -> None:
    """Take over the model's choices as far as the draft was right, and draft anew from there on."""
    guesses: dict[int, int] = {}
    agreed = True
    for choice, values in zip(row.open, scores, strict=True):
        best, decision = int(values.argmax()), row.decision(choice)
        if agreed:
            _advance(row, choice.word)
            row.log_probs[choice.word] += float(values[best])
            row.n_settled, row.mask = choice.number + 1, decision.masks[best]
            row.n_fed = choice.position + 1
            agreed = best == decision.chosen
            if not agreed:
                guesses[choice.word] = _guess(row, decision.masks[best])
        elif choice.word not in guesses and best != decision.chosen:
            guesses[choice.word] = _guess(row, decision.masks[best])
    for i, tag in guesses.items():
        row.tags[i] = tag
    _join_neighbours(row, guesses)
    _make_legal(row, row.word)
    while not row.done and row.n_settled >= len(row.path(row.word).decisions):
        _advance(row, row.word + 1)


def _advance(row: DecodingRow, word: int) -> None:
    """Go on to a later word: all before it have their tags."""
    while row.word < word:
        row.settled += [*row.words[row.word].forced, *row.path(row.word).subwords]
        _begin_word(row, row.word + 1)


def _begin_word(row: DecodingRow, word: int) -> None:
    row.word, row.n_settled = word, 0
    row.mask = 0 if row.done else row.allowed(word)


def _guess(row: DecodingRow, mask: int) -> int:
    """Guess a tag from a set: the only one, or the one that was drafted last, or the first."""
    tag = only_tag(mask)
    if tag is not None:
        return tag
    drafted = [t for t in reversed(row.tags) if mask >> t & 1]
    return drafted[0] if drafted else (mask & -mask).bit_length() - 1


def _join_neighbours(row: DecodingRow, guesses: Collection[int]) -> None:
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


def _make_legal(row: DecodingRow, start: int) -> None:
    """Mend the draft where an I- has lost its entity, or a word may not have its tag."""
    for i in range(start, len(row.words)):
        legal = row.tagset.legal(row.tags[i], row.tags[i - 1] if i else O_TAG, row.words[i].limit)
        if i == row.word and not row.mask >> legal & 1:
            legal = _guess(row, row.mask)
        row.tags[i] = legal
