"""GNER's format: the answer repeats every word with its tag in brackets (GNER, section 4.1)."""

import re
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple, cast

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
# "{labels}", "{labels: | }" with what stands between the labels, "{sentence}".
PLACEHOLDER = re.compile(r"\{(?P<name>labels|sentence)(?::(?P<separator>[^{}]*))?\}")
Target = Literal["bio", "bioes", "entities", "context"]
TARGETS: tuple[str, ...] = ("bio", "bioes", "entities", "context")
AS_BIO = {"B": "B", "S": "B", "I": "I", "E": "I"}


class TaggedWord(NamedTuple):
    """A word of an answer, its tag, and where in the answer both were said (characters)."""

    word: str
    tag: str
    first: int = 0
    last: int = 0


class GNERPrompt(NamedTuple):
    """See `GNERPrompt_v1`."""

    instruction: str | None = None
    causal: str = CAUSAL
    target: Target = "bio"
    context: int | None = None

    def fitting(self, own: str | None) -> "GNERPrompt":
        """The format for a model whose files name the instruction that it was trained on; one set here comes first."""
        return self._replace(instruction=self.instruction or own)

    @property
    def in_order(self) -> bool:
        """Whether answers say more of the text than its entities, in its order."""
        return self.target != "entities"

    @property
    def explain(self) -> bool:
        """Whether answers say why their entities are what they are."""
        return False

    @property
    def most_types(self) -> int | None:
        """The most types in one question: any number."""
        return None

    def render(
        self,
        words: Sequence[str],
        labels: Sequence[str],
        *,
        causal: bool = False,
        likely: Sequence[str] | None = None,
    ) -> str:
        """Ask for the entities of a text.

        causal (bool): For a model that goes on with the prompt, instead of answering it.
        likely (Sequence[str] | None): Types that the text probably holds; this format has no place for them.
        """
        values = {"labels": (labels, ", "), "sentence": (words, " ")}

        def value(match: re.Match[str]) -> str:
            parts, separator = values[match["name"]]
            return (separator if match["separator"] is None else match["separator"]).join(parts)

        # One pass: a label or a text that spells a placeholder stays as it is.
        question = PLACEHOLDER.sub(value, self.instruction or INSTRUCTION)
        return self.causal.replace("{prompt}", question, 1) if causal else question

    def chunk(self, word: str, tag: str) -> str:
        """One word of an answer that tags all words."""
        return f"{word}({tag})"

    def tags(self, labels: Sequence[str]) -> list[str]:
        """All tags of BIO, "O" first, then each label's two."""
        return bio_tags(labels)

    def answer(self, words: Sequence[str], tags: Sequence[str], explanations: Sequence[str] = ()) -> str:
        """What a model is trained to say (GNER, figure 3).

        tags (Sequence[str]): The tag of each word, in BIO whatever the target.
        explanations (Sequence[str]): Of the entities; this format has no place for them.
        """
        if self.target == "bio":
            return " ".join(self.chunk(word, tag) for word, tag in zip(words, tags, strict=True))
        if self.target == "bioes":
            return " ".join(self.chunk(word, tag) for word, tag in zip(words, _bioes(tags), strict=True))
        return _bracketed(words, tags, self.context if self.target == "context" else 0)

    def explanations(self, text: str, entities: Sequence[str]) -> list[str]:
        """What an answer says about why its entities are what they are: nothing, in this format."""
        return [""] * len(entities)

    def parse(self, text: str, labels: Sequence[str]) -> list[TaggedWord]:
        """Read an answer, however it went wrong.

        Labels may hold brackets, spaces between words may be missing, and words may look like tags: of two tags in a
        row the first belongs to the word. A tag of no known label is read as long as it has no bracket inside.

        text (str): What a model said.
        labels (Sequence[str]): The types that it was asked for.
        RETURNS (list[TaggedWord]): In order, with tags of BIO. Text after the last tag is no word of any tag, and left
            out where every word has one.
        """
        if self.target in ("entities", "context"):
            return _parse_bracketed(text, labels)
        marks = "BIES" if self.target == "bioes" else "BI"
        # Tokenizers move spaces, and lose case: BERT's writes "ann ( b - person )".
        tag = rf"(?P<mark>[{marks}])\s*-\s*(?P<label>{any_of(labels)}|[^()]*)|{OUTSIDE}"
        found = list(re.finditer(rf"\(\s*(?:{tag})\s*\)", text, re.IGNORECASE))
        words, start = [], 0
        for i, match in enumerate(found):
            # "(O)(O)" is the word "(O)" with its tag, and so is the end of "f(O)(O)".
            if i + 1 < len(found) and found[i + 1].start() == match.end():
                continue
            mark = match["mark"]
            tag = f"{AS_BIO[mark.upper()]}-{match['label'].strip()}" if mark else OUTSIDE
            words.append(TaggedWord(text[start : match.start()].strip(), tag, start, match.end()))
            start = match.end()
        return [word for word in words if word.word]


def bio_tags(labels: Sequence[str]) -> list[str]:
    """All tags of BIO, "O" first, then each label's two."""
    return [OUTSIDE, *(mark + label for label in labels for mark in (BEGIN, INSIDE))]


def key(text: str) -> str:
    """A tag or type as it is compared: uncased tokenizers lose its case, and some move its spaces."""
    return "".join(text.split()).casefold()


def any_of(labels: Sequence[str]) -> str:
    """A pattern of some names, however they are spaced. The longest first: a name may begin with another one."""
    letters = ["".join(label.split()) for label in sorted(labels, key=len, reverse=True)]
    return "|".join(r"\s*".join(map(re.escape, each)) for each in letters)


def mention(text: str, label: str, first: int, last: int) -> list[TaggedWord]:
    """An entity that was said at a place of an answer, as words."""
    return [TaggedWord(word, (INSIDE if i else BEGIN) + label, first, last) for i, word in enumerate(text.split())]


def _bioes(tags: Sequence[str]) -> list[str]:
    """Mark the ends of entities and single words."""
    marked = []
    for tag, after in zip(tags, [*tags[1:], OUTSIDE], strict=True):
        last = not after.startswith(INSIDE)
        mark = {BEGIN: "S-" if last else BEGIN, INSIDE: "E-" if last else INSIDE}.get(tag[:2])
        marked.append(mark + tag[2:] if mark else tag)
    return marked


def _bracketed(words: Sequence[str], tags: Sequence[str], context: int | None) -> str:
    """Entities as [mention](label), with so many words around each; None for all words."""
    spans = spans_of(tags)
    near = [context is None or any(s - context <= i < e + context for s, e, _ in spans) for i in range(len(words))]
    parts = [word if kept else "" for word, kept in zip(words, near, strict=True)]
    for start, end, label in spans:
        parts[start:end] = [f"[{' '.join(words[start:end])}]({label})"] + [""] * (end - start - 1)
    return " ".join(part for part in parts if part)


def _parse_bracketed(text: str, labels: Sequence[str]) -> list[TaggedWord]:
    # Tokenizers move spaces: BERT's writes "[ Paris ] ( city )".
    pattern = rf"\[(?P<mention>.+?)\](?:\s*\(\s*(?P<label>(?i:{any_of(labels)}))\s*\)|\((?P<unknown>[^()]*)\))"
    words, start = [], 0
    for match in re.finditer(pattern, text):
        words += [TaggedWord(word, OUTSIDE) for word in text[start : match.start()].split()]
        label = match["unknown"] if match["label"] is None else match["label"]
        words += mention(match["mention"], label, match.start(), match.end())
        start = match.end()
    return words + [TaggedWord(word, OUTSIDE) for word in text[start:].split()]


def GNERPrompt_v1(
    instruction: str | None = None, causal: str = CAUSAL, target: str = "bio", context: int | None = None
) -> GNERPrompt:
    """The prompt of published GNER checkpoints, registered as "spacy-openner.GNERPrompt.v1".

    instruction (str | None): The text around "{labels}" and "{sentence}"; "{labels: | }" names what stands between
        labels, a comma and a space otherwise. If None, what the model was trained on, as far as its files say so, and
        the published instruction else.
    causal (str): The text around "{prompt}", for causal models.
    target (str): What answers look like (GNER, section 3): "bio" tags every word, and "bioes" with more tags;
        "entities" names the entities alone, "context" with words around them. Only "bio" can be decoded under
        constraints.
    context (int | None): For "context": how many words on each side; None for the whole text.
    RETURNS (GNERPrompt): Renders questions and answers, and reads answers.
    RAISES (SettingError): When a placeholder is missing, or for an unknown target.
    """
    asked = [match["name"] for match in PLACEHOLDER.finditer(INSTRUCTION if instruction is None else instruction)]
    if not {"labels", "sentence"}.issubset(asked):
        raise error("O001", name="instruction", value=instruction, allowed="a text with {labels} and {sentence}")
    check_causal(causal)
    if target not in TARGETS:
        raise error("O001", name="target", value=target, allowed=", ".join(TARGETS))
    if context is not None and (isinstance(context, bool) or not isinstance(context, int) or context < 1):
        raise error("O001", name="context", value=context, allowed="a whole number from 1, or null for the whole text")
    return GNERPrompt(instruction, causal, cast(Target, target), context)


def check_causal(text: str) -> None:
    """Refuse a frame for causal models that has no place for the prompt."""
    if "{prompt}" not in text:
        raise error("O001", name="causal", value=text, allowed="a text with {prompt}")


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
