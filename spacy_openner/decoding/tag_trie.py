"""All that a constrained answer may say about one word: a trie of subwords; the model chooses at its branches."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

Subwords = tuple[int, ...]
NO_LABEL = NO_STRETCH = -1
O_TAG = 0
ALL_TAGS = -1
"""The set of all tags, as bits."""


class Decision(NamedTuple):
    """A branch of the trie, where the model chooses.

    offset (int): Index of the subword that is chosen, from the start of the trie's path.
    subwords (Subwords): Those allowed.
    masks (tuple[int, ...]): For each of them the tags that it leads to, as bits.
    chosen (int): Index of the one that the path takes.
    """

    offset: int
    subwords: Subwords
    masks: tuple[int, ...]
    chosen: int


class Path(NamedTuple):
    """The subwords that spell one tag, and the decisions on the way."""

    subwords: Subwords
    decisions: tuple[Decision, ...]


class Node(NamedTuple):
    """The subwords that may follow some others.

    children (dict[int, Node]): The next subword -> what follows it; none where a single tag can be reached.
    mask (int): The tags that can still be reached, as bits.
    """

    children: dict[int, "Node"]
    mask: int


KEPT_PATHS = 50_000


class TagTrie:
    """The subwords of every tag, as a trie.

    sequences (Sequence[Subwords]): The subwords of each tag; none may begin with another's.
    RAISES (ValueError): With the numbers of two tags that cannot be told apart.

    With the tags "(O)", "(B-a)", "(I-a)" spelt as subwords `9 1 8`, `9 2 5 8` and `9 3 5 8`, the trie branches once,
    after the bracket 9:

        >>> trie = TagTrie([(9, 1, 8), (9, 2, 5, 8), (9, 3, 5, 8)])
        >>> trie.path(1, allowed=0b111)
        Path(subwords=(9, 2, 5, 8), decisions=(Decision(offset=1, subwords=(1, 2, 3), masks=(1, 2, 4), chosen=1),))

    After "O" no I- may follow (`allowed=0b011`), so that the model chooses between two subwords. Where one tag alone is
    allowed there is nothing to choose:

        >>> trie.path(1, allowed=0b011).decisions
        (Decision(offset=1, subwords=(1, 2), masks=(1, 2), chosen=1),)
        >>> trie.path(0, allowed=0b001).decisions
        ()
    """

    def __init__(self, sequences: Sequence[Subwords]) -> None:
        self.sequences = [tuple(sequence) for sequence in sequences]
        self._check()
        self.root = _build(self.sequences)
        self._paths: dict[tuple[int, int], Path] = {}

    def path(self, tag: int, allowed: int) -> Path:
        """Return the path to a tag among those allowed (bits, the tag's own included)."""
        key = (tag, allowed)
        path = self._paths.get(key)
        if path is None:
            # There are as many sets of allowed tags as hints of labels can name.
            if len(self._paths) >= KEPT_PATHS:
                self._paths = {}
            path = self._paths[key] = Path(self.sequences[tag], tuple(self._decisions(tag, allowed)))
        return path

    def _decisions(self, tag: int, allowed: int) -> Iterator[Decision]:
        node = self.root
        for offset, subword in enumerate(self.sequences[tag]):
            if not node.children:
                return
            branches = [(following, child.mask & allowed) for following, child in node.children.items()]
            branches = [branch for branch in branches if branch[1]]
            if len(branches) > 1:
                subwords, masks = zip(*branches, strict=True)
                yield Decision(offset, subwords, masks, subwords.index(subword))
            node = node.children[subword]

    def _check(self) -> None:
        """Refuse tags of which one begins another: the end of one would be a choice that the text cannot show."""
        order = sorted(range(len(self.sequences)), key=lambda tag: self.sequences[tag])
        for a, b in pairwise(order):
            if self.sequences[b][: len(self.sequences[a])] == self.sequences[a]:
                raise ValueError(a, b)


def _build(sequences: Sequence[Subwords]) -> Node:
    """Build the trie, down to where one tag is left: what follows is its own, and no choice.

    Not by recursion, as labels may share more subwords than Python nests calls.
    """
    everything = list(range(len(sequences)))
    root = Node({}, tag_mask(everything))
    waiting = [(root, everything, 0)]
    while waiting:
        node, tags, depth = waiting.pop()
        if len(tags) < 2:
            continue
        below: dict[int, list[int]] = {}
        for tag in tags:
            below.setdefault(sequences[tag][depth], []).append(tag)
        for subword, tags_below in below.items():
            node.children[subword] = Node({}, tag_mask(tags_below))
            waiting.append((node.children[subword], tags_below, depth + 1))
    return root


def tag_mask(tags: Sequence[int]) -> int:
    """Return a set of tags as bits."""
    mask = 0
    for tag in tags:
        mask |= 1 << tag
    return mask


def only_tag(mask: int) -> int | None:
    """Return the only tag of a set; None if there are several, or none."""
    return mask.bit_length() - 1 if mask and not mask & (mask - 1) else None


class Tagset(NamedTuple):
    """The BIO tags of some labels by number: 0 is O, then each label's B- and I-.

    n_labels (int): How many labels.
    """

    n_labels: int

    def label(self, tag: int) -> int:
        """Return the label of a tag; `NO_LABEL` for O."""
        return (tag - 1) // 2 if tag else NO_LABEL

    def entity(self, label: int, length: int) -> list[int]:
        """Return the tags of an entity of `length` words."""
        begin = 1 + 2 * label
        return [begin, *[begin + 1] * (length - 1)]

    def spans(self, tags: Sequence[int]) -> list[tuple[int, int, int]]:
        """Return the entities of legal tags: first word, last word (exclusive), label."""
        spans: list[tuple[int, int, int]] = []
        for i, tag in enumerate(tags):
            if self.is_inside(tag):
                spans[-1] = (spans[-1][0], i + 1, spans[-1][2])
            elif tag != O_TAG:
                spans.append((i, i + 1, self.label(tag)))
        return spans

    def is_inside(self, tag: int) -> bool:
        """Return whether a tag continues an entity."""
        return tag > 0 and tag % 2 == 0

    def allowed(self, previous: int) -> int:
        """Return the tags, as bits, that may follow a tag (0 at the start): I-x only after B-x and I-x."""
        starts = 1 | sum(1 << (1 + 2 * label) for label in range(self.n_labels))
        return starts | (1 << (2 + 2 * self.label(previous)) if previous else 0)

    def legal(self, tag: int, previous: int, limit: int = ALL_TAGS) -> int:
        """Return the tag, or B- for an I- whose entity does not precede it; O where a limit (bits) allows neither."""
        if self.is_inside(tag) and (self.label(previous) != self.label(tag) or not limit >> tag & 1):
            tag -= 1
        return tag if limit >> tag & 1 else O_TAG

    def limits(self, stretches: Sequence[int]) -> list[int]:
        """Return the tags, as bits, that each word of a text with boundaries may have.

        stretches (Sequence[int]): See `Words`: what stands for a boundary is in no entity, and none goes on behind it.
        """
        opening = self.allowed(O_TAG)
        return [
            1 << O_TAG if stretch < 0 else ALL_TAGS if stretch == before else opening
            for before, stretch in zip([NO_STRETCH, *stretches], stretches, strict=False)
        ]

    def within(self, tags: Sequence[int], limits: Sequence[int]) -> list[int]:
        """Return tags that keep to limits, each as it is where it does, and legal behind the ones before."""
        kept: list[int] = []
        for tag, limit in zip(tags, limits, strict=True):
            kept.append(self.legal(tag, kept[-1] if kept else O_TAG, limit))
        return kept


class AnswerWord(NamedTuple):
    """One word of a constrained answer: the subwords that are forced, and the trie of the tags that follow them.

    limit: The tags, as bits, that it may have, whatever the word before has.
    """

    forced: Subwords
    trie: TagTrie
    limit: int = ALL_TAGS


def allowed_subwords(words: Sequence[AnswerWord], tagset: Tagset, end: int, answer: Sequence[int]) -> list[int]:
    """Return the subwords that may follow an answer so far, by reading it from the start.

    `generate` of Hugging Face is constrained by it.

    words (Sequence[AnswerWord]): The text.
    end (int): The subword that ends the answer.
    answer (Sequence[int]): The subwords so far, without the one that starts the answer.
    RETURNS (list[int]): Allowed subwords; `end` after the last word.
    """
    i, previous = 0, 0
    for word in words:
        rest = answer[i:]
        if len(rest) < len(word.forced):
            return [word.forced[len(rest)]]
        node, depth, allowed = word.trie.root, len(word.forced), tagset.allowed(previous) & word.limit
        while node.children:
            if depth == len(rest):
                return [subword for subword, child in node.children.items() if child.mask & allowed]
            node, depth = node.children[rest[depth]], depth + 1
        previous = node.mask.bit_length() - 1
        whole = (*word.forced, *word.trie.sequences[previous])
        if len(rest) < len(whole):
            return [whole[len(rest)]]
        i += len(whole)
    return [end]
