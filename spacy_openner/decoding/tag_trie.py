"""All that an answer may say about one word: a trie of pieces, with the model's choices at its branches."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

Pieces = tuple[int, ...]
NOTHING = -1
O_TAG = 0


class Decision(NamedTuple):
    """A place where the model chooses.

    offset: Of the piece that is chosen, from the start of the trie's path.
    pieces: Those allowed.
    masks: For each of them the tags that it leads to, as bits.
    chosen: Which of them the path takes.
    """

    offset: int
    pieces: Pieces
    masks: tuple[int, ...]
    chosen: int


class Path(NamedTuple):
    """The pieces that say one tag, and the decisions on the way."""

    pieces: Pieces
    decisions: tuple[Decision, ...]


class Node(NamedTuple):
    """What may follow some pieces.

    children: The next piece -> what follows it.
    mask: The tags that can still be reached, as bits.
    """

    children: dict[int, "Node"]
    mask: int


class TagTrie:
    """The pieces of every tag, as a trie.

    sequences (Sequence[Pieces]): For each tag its pieces; none may begin with another one.
    RAISES (ValueError): With the places of two tags that cannot be told apart.
    """

    def __init__(self, sequences: Sequence[Pieces]) -> None:
        self.sequences = [tuple(sequence) for sequence in sequences]
        self._check()
        self.root = _build(self.sequences, list(range(len(self.sequences))), 0)
        self._paths: dict[tuple[int, int], Path] = {}

    def path(self, tag: int, allowed: int) -> Path:
        """The way to a tag among those allowed (bits, the tag's own included)."""
        key = (tag, allowed)
        if key not in self._paths:
            self._paths[key] = Path(self.sequences[tag], tuple(self._decisions(tag, allowed)))
        return self._paths[key]

    def _decisions(self, tag: int, allowed: int) -> Iterator[Decision]:
        node = self.root
        for offset, piece in enumerate(self.sequences[tag]):
            ways = [(next_piece, child.mask & allowed) for next_piece, child in node.children.items()]
            ways = [way for way in ways if way[1]]
            if len(ways) > 1:
                pieces, masks = zip(*ways, strict=True)
                yield Decision(offset, pieces, masks, pieces.index(piece))
            node = node.children[piece]

    def _check(self) -> None:
        """No tag's pieces may begin another's: the end of one would be a choice that the text cannot show."""
        order = sorted(range(len(self.sequences)), key=lambda tag: self.sequences[tag])
        for a, b in pairwise(order):
            if self.sequences[b][: len(self.sequences[a])] == self.sequences[a]:
                raise ValueError(a, b)


def _build(sequences: Sequence[Pieces], tags: Sequence[int], depth: int) -> Node:
    below: dict[int, list[int]] = {}
    for tag in tags:
        if len(sequences[tag]) > depth:
            below.setdefault(sequences[tag][depth], []).append(tag)
    children = {piece: _build(sequences, found, depth + 1) for piece, found in below.items()}
    return Node(children, bits(tags))


def bits(tags: Sequence[int]) -> int:
    """A set of tags as bits."""
    mask = 0
    for tag in tags:
        mask |= 1 << tag
    return mask


def single(mask: int) -> int:
    """The only tag of a set; NOTHING if there are several."""
    return mask.bit_length() - 1 if mask and not mask & (mask - 1) else NOTHING


class Tagset(NamedTuple):
    """The tags of BIO, numbered: 0 is O, then each label's B- and I-.

    n_labels: How many labels.
    """

    n_labels: int

    def label(self, tag: int) -> int:
        """The label of a tag; NOTHING for O."""
        return (tag - 1) // 2 if tag else NOTHING

    def entity(self, label: int, length: int) -> list[int]:
        """The tags of an entity of so many words."""
        begin = 1 + 2 * label
        return [begin, *[begin + 1] * (length - 1)]

    def spans(self, tags: Sequence[int]) -> list[tuple[int, int, int]]:
        """The entities of legal tags: first word, last word (exclusive), label."""
        found: list[tuple[int, int, int]] = []
        for i, tag in enumerate(tags):
            if self.is_inside(tag):
                found[-1] = (found[-1][0], i + 1, found[-1][2])
            elif tag != O_TAG:
                found.append((i, i + 1, self.label(tag)))
        return found

    def is_inside(self, tag: int) -> bool:
        """Whether a tag continues an entity."""
        return tag > 0 and tag % 2 == 0

    def allowed(self, previous: int) -> int:
        """The tags, as bits, that may follow a tag (0 at the start): I-x only after B-x and I-x."""
        starts = 1 | sum(1 << (1 + 2 * label) for label in range(self.n_labels))
        return starts | (1 << (2 + 2 * self.label(previous)) if previous else 0)

    def legal(self, tag: int, previous: int) -> int:
        """A tag that may follow another one: an I- without its entity becomes a B-."""
        return tag - 1 if self.is_inside(tag) and self.label(previous) != self.label(tag) else tag


class Word(NamedTuple):
    """One word of an answer: its forced pieces, and the trie of what follows them."""

    forced: Pieces
    trie: TagTrie


def allowed_next(words: Sequence[Word], tagset: Tagset, end: int, said: Sequence[int]) -> list[int]:
    """The pieces that may follow what was said, by walking from the start: what `generate` is constrained by.

    words (Sequence[Word]): The text.
    end (int): The piece that ends the answer.
    said (Sequence[int]): The pieces so far, without the one that starts the answer.
    RETURNS (list[int]): Allowed pieces; `end` after the last word.
    """
    i, previous = 0, 0
    for word in words:
        rest = said[i:]
        if len(rest) < len(word.forced):
            return [word.forced[len(rest)]]
        node, depth, allowed = word.trie.root, len(word.forced), tagset.allowed(previous)
        while node.children:
            if depth == len(rest):
                return [piece for piece, child in node.children.items() if child.mask & allowed]
            node, depth = node.children[rest[depth]], depth + 1
        previous = single(node.mask)
        i += depth
    return [end]
