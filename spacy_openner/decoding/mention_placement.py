"""Place the mentions that a model listed in a text, whatever their order and small differences of spelling."""

import unicodedata
from collections.abc import Sequence
from itertools import accumulate

# Characters that differ in type only, as NFKC does not see it.
SAME = str.maketrans(
    {**dict.fromkeys("‘’‚‛`´ʼ′", "'"), **dict.fromkeys("“”„‟«»″", '"'), **dict.fromkeys("‐‑‒–—―−", "-")}
)
# Line ends, where a hyphen may divide a word.
LINE_ENDS = "\r\n"


class SpellingIndex:
    """A text without what writers and models spell differently: case, spaces, compatibility forms, quotes, dashes,
    invisible characters, and hyphens at line ends.

    text (str): The text.
    starts, ends (Sequence[int]): The first character of each word, and the one behind its last.
    stretches (Sequence[int] | None): The number of the stretch of text that each word lies in, where no mention may lie
        in several.
    """

    def __init__(
        self, text: str, starts: Sequence[int], ends: Sequence[int], stretches: Sequence[int] | None = None
    ) -> None:
        self.stretches = stretches
        self.letters, at = spelled_letters(text)
        # Positions among the letters at which words start and end.
        self.word_starts, self.word_ends = {}, {}
        position = [0] * (len(text) + 1)
        for i, char in enumerate(at):
            position[char + 1] = i + 1
        for i in range(1, len(position)):
            position[i] = max(position[i], position[i - 1])
        for word, (start, end) in enumerate(zip(starts, ends, strict=True)):
            if position[start] < position[end]:
                self.word_starts[position[start]] = word
                self.word_ends[position[end]] = word + 1

    def find(self, mention: str) -> list[tuple[int, int]]:
        """Return all places of a mention within a stretch: its first and last word, exclusive."""
        spans = self.find_across(mention)
        if self.stretches is None:
            return spans
        return [(first, last) for first, last in spans if self.stretches[first] == self.stretches[last - 1]]

    def find_across(self, mention: str) -> list[tuple[int, int]]:
        """Return all places of a mention, whatever stretches they lie in."""
        letters, _ = spelled_letters(mention)
        spans, at = [], self.letters.find(letters) if letters else -1
        while at >= 0:
            first, last = self.word_starts.get(at), self.word_ends.get(at + len(letters))
            if first is not None and last is not None:
                spans.append((first, last))
            at = self.letters.find(letters, at + 1)
        return spans


def place_mentions(index: SpellingIndex, mentions: Sequence[tuple[str, str]]) -> list[tuple[int, int] | None]:
    """Choose a place for each mention: longer ones first, equal ones from left to right.

    A mention that is listed as often as it stands alone gets these places; one that is listed more often stands within
    a longer one, too. No place has two mentions of one label.

    mentions (Sequence[tuple[str, str]]): Texts and labels.
    RETURNS (list[tuple[int, int] | None]): The first and last word (exclusive) of each; None where the text has it not,
        or not as often.

    "Paris Hilton" takes the first "Paris" away from the city:

        >>> index = SpellingIndex("Paris Hilton saw Paris", [0, 6, 13, 17], [5, 12, 16, 22])
        >>> place_mentions(index, [("Paris", "city"), ("Paris Hilton", "person")])
        [(3, 4), (0, 2)]
    """
    options = {text: index.find(text) for text in dict.fromkeys(text for text, _ in mentions)}
    longest_first = sorted(range(len(mentions)), key=lambda i: -len(mentions[i][0]))
    chosen: list[tuple[int, int] | None] = [None] * len(mentions)
    covered: set[int] = set()
    # What is covered stays so: each place is looked at once.
    left = {text: iter(runs) for text, runs in options.items()}
    for i in longest_first:
        chosen[i] = next((run for run in left[mentions[i][0]] if covered.isdisjoint(range(*run))), None)
        covered.update(range(*(chosen[i] or (0, 0))))
    before = [0, *accumulate(word in covered for word in range(max(covered, default=-1) + 1))]
    taken = {(span, label) for span, (_, label) in zip(chosen, mentions, strict=True)}
    inner = {(text, label): iter(options[text]) for text, label in mentions}
    for i in longest_first:
        if chosen[i] is None:
            text, label = mentions[i]
            fitting = (run for run in inner[text, label] if (run, label) not in taken and _is_covered(run, before))
            chosen[i] = next(fitting, None)
    return chosen


def _is_covered(run: tuple[int, int], before: Sequence[int]) -> bool:
    """Tell whether all words of a run are covered.

    before (Sequence[int]): How many words before each one are; of those behind the last such word nothing is said.
    """
    first, last = run
    return last < len(before) and before[last] - before[first] == last - first


def spelled_letters(text: str) -> tuple[str, list[int]]:
    """Return the letters of a text that count (see `SpellingIndex`), and the character that each comes from."""
    letters: list[str] = []
    origins: list[int] = []
    for i, char in enumerate(text):
        if char in "-\u2010\u00ad" and text[i + 1 : i + 2] in LINE_ENDS and text[i + 1 : i + 2]:
            continue
        if char.isspace() or unicodedata.category(char) == "Cf":
            continue
        # A combining character joins the letter before it.
        if unicodedata.combining(char) and letters:
            joined = unicodedata.normalize("NFKC", letters[-1] + char)
            if len(joined) == 1:
                letters[-1] = joined.casefold()
                origins[-1] = i
                continue
        for letter in unicodedata.normalize("NFKC", char).translate(SAME).casefold():
            if not letter.isspace():
                letters.append(letter)
                origins.append(i)
    return "".join(letters), origins
