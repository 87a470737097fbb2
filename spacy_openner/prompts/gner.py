"""GNER's format: the answer repeats every word with its tag in brackets (GNER, section 4.1)."""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ..errors import error

OUTSIDE = "O"
BEGIN, INSIDE = "B-", "I-"
INSTRUCTION = """\
Please analyze the sentence provided, identifying the type of entity for each word on a token-by-token basis.
Output format is: word_1(label_1), word_2(label_2), ...
We'll use the BIO-format to label the entities, where:
1. B- (Begin) indicates the start of a named entity.
2. I- (Inside) is used for words within a named entity but are not the first word.
3. O (Outside) denotes words that are not part of a named entity.

Use the specific entity tags: {labels} and O.
Sentence: {sentence}"""
CAUSAL = "[INST] {prompt} [/INST]"
PLACEHOLDER = re.compile(r"\{(labels|sentence)\}")
UNKNOWN_TAG = r"[BI]-[^()]*"


class TaggedWord(NamedTuple):
    """A word of an answer, and the tag in its brackets."""

    word: str
    tag: str


class GNERPrompt(NamedTuple):
    """See `GNERPrompt_v1`."""

    instruction: str = INSTRUCTION
    causal: str = CAUSAL

    def render(self, words: Sequence[str], labels: Sequence[str], *, causal: bool = False) -> str:
        """Ask for the tags of all words.

        causal (bool): For a model that goes on with the prompt, instead of answering it.
        """
        values = {"labels": ", ".join(labels), "sentence": " ".join(words)}
        # One pass: a label or a text that spells a placeholder stays as it is.
        question = PLACEHOLDER.sub(lambda match: values[match[1]], self.instruction)
        return self.causal.replace("{prompt}", question, 1) if causal else question

    def chunk(self, word: str, tag: str) -> str:
        """One word of an answer."""
        return f"{word}({tag})"

    def tags(self, labels: Sequence[str]) -> list[str]:
        """All tags, "O" first, then each label's two."""
        return [OUTSIDE, *(mark + label for label in labels for mark in (BEGIN, INSIDE))]

    def answer(self, words: Sequence[str], tags: Sequence[str]) -> str:
        """What a model is trained to say."""
        return " ".join(self.chunk(word, tag) for word, tag in zip(words, tags, strict=True))

    def parse(self, text: str, labels: Sequence[str]) -> list[TaggedWord]:
        """Read an answer, however it went wrong.

        Labels may hold brackets, spaces between words may be missing, and words may look like tags: of two tags in a
        row the first belongs to the word. A tag of no known label is read as long as it has no bracket inside.

        text (str): What a model said.
        labels (Sequence[str]): The types that it was asked for.
        RETURNS (list[TaggedWord]): In order. Text after the last tag is no word of any tag, and left out.
        """
        # Longest first: a label may begin with another one.
        known = sorted((re.escape(tag) for tag in self.tags(labels)), key=len, reverse=True)
        found = list(re.finditer(rf"\((?P<tag>{'|'.join(known)}|{UNKNOWN_TAG})\)", text))
        words, start = [], 0
        for i, match in enumerate(found):
            follows = i + 1 < len(found) and found[i + 1].start() == match.end()
            # "(O)(O)" is the word "(O)" with its tag, and so is the end of "f(O)(O)".
            if follows:
                continue
            words.append(TaggedWord(text[start : match.start()].strip(), match["tag"]))
            start = match.end()
        return [word for word in words if word.word]


def GNERPrompt_v1(instruction: str = INSTRUCTION, causal: str = CAUSAL) -> GNERPrompt:
    """The prompt of published GNER checkpoints, registered as "spacy-openner.GNERPrompt.v1".

    instruction (str): The text around "{labels}" and "{sentence}".
    causal (str): The text around "{prompt}", for causal models.
    RETURNS (GNERPrompt): Renders questions and answers, and reads answers.
    RAISES (SettingError): When a placeholder is missing.
    """
    for name, text, needed in (
        ("instruction", instruction, ("{labels}", "{sentence}")),
        ("causal", causal, ("{prompt}",)),
    ):
        if any(place not in text for place in needed):
            raise error("O001", name=name, value=text, allowed=f"a text with {' and '.join(needed)}")
    return GNERPrompt(instruction, causal)


def spans_of(tags: Iterable[str]) -> list[tuple[int, int, str]]:
    """Entities of a sequence of tags: first word, end, label. An I- that continues nothing starts an entity."""
    spans: list[tuple[int, int, str]] = []
    for i, tag in enumerate(tags):
        label = tag[len(BEGIN) :]
        if tag.startswith(INSIDE) and spans and spans[-1][1] == i and spans[-1][2] == label:
            spans[-1] = (spans[-1][0], i + 1, label)
        elif tag != OUTSIDE:
            spans.append((i, i + 1, label))
    return spans


def tags_of(n_words: int, spans: Iterable[tuple[int, int, str]]) -> list[str]:
    """Tags of entities that do not overlap."""
    tags = [OUTSIDE] * n_words
    for start, end, label in spans:
        tags[start:end] = [BEGIN + label] + [INSIDE + label] * (end - start - 1)
    return tags
