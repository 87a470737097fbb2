"""GNER's format: the answer repeats every word with its tag in brackets (GNER, section 4.1)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, cast

from ..config_format import check_config_text
from ..errors import error
from .base import (
    BEGIN,
    INSIDE,
    OUTSIDE,
    PromptDefaults,
    TaggedWord,
    bio_tags,
    check_causal,
    names_pattern,
    spans_from_tags,
    tag_mention,
    wrap_causal,
)

INSTRUCTION = """\
Please analyze the sentence provided, identifying the type of entity for each word on a token-by-token basis.
Output format is: word_1(label_1), word_2(label_2), ...
We'll use the BIO-format to label the entities, where:
1. B- (Begin) indicates the start of a named entity.
2. I- (Inside) is used for words within a named entity but are not the first word.
3. O (Outside) denotes words that are not part of a named entity.

Use the specific entity tags: {labels} and O.
Sentence: {sentence}"""
# "{labels}", "{labels: | }" with what stands between the labels, "{sentence}".
PLACEHOLDER = re.compile(r"\{(?P<name>labels|sentence)(?::(?P<separator>[^{}]*))?\}")
Target = Literal["bio", "bioes", "entities", "context"]
TARGETS: tuple[str, ...] = ("bio", "bioes", "entities", "context")
BIOES_AS_BIO = {"B": "B", "S": "B", "I": "I", "E": "I"}


@dataclass(frozen=True)
class GNERPrompt:
    """GNER's format; see `GNERPrompt_v1`."""

    instruction: str | None = None
    causal: str | None = None
    target: Target = "bio"
    context: int | None = None

    explain = False
    max_types: int | None = None

    @property
    def repeats_text(self) -> bool:
        """Tell whether answers repeat more of the text than its entities, in its order."""
        return self.target != "entities"

    def with_defaults(self, defaults: PromptDefaults) -> "GNERPrompt":
        """Return the format for a model; see `Prompt.with_defaults`."""
        instruction, causal = self.instruction or defaults.instruction, self.causal or defaults.find_causal()
        return replace(self, instruction=instruction, causal=causal)

    def render(
        self, words: Sequence[str], labels: Sequence[str], *, causal: bool = False, hints: Sequence[str] | None = None
    ) -> str:
        """Render the prompt about a text; see `Prompt.render`. This format has no place for hints."""
        values = {"labels": (labels, ", "), "sentence": (words, " ")}

        def value(match: re.Match[str]) -> str:
            parts, separator = values[match["name"]]
            return (separator if match["separator"] is None else match["separator"]).join(parts)

        # One pass: a label or a text that spells a placeholder stays as it is.
        return wrap_causal(self.causal, PLACEHOLDER.sub(value, self.instruction or INSTRUCTION), causal)

    def chunk(self, word: str, tag: str) -> str:
        """Render one word of an answer that tags every word: "Oslo(B-city)"."""
        return f"{word}({tag})"

    def tags(self, labels: Sequence[str]) -> list[str]:
        """Return all BIO tags: "O" first, then two per label."""
        return bio_tags(labels)

    def answer(self, words: Sequence[str], tags: Sequence[str], explanations: Sequence[str] = ()) -> str:
        """Render the answer that a model is trained to give (GNER, figure 3); explanations have no place in it."""
        if self.target in ("bio", "bioes"):
            written = tags if self.target == "bio" else _bioes(tags)
            return " ".join(self.chunk(word, tag) for word, tag in zip(words, written, strict=True))
        return _bracketed(words, tags, self.context if self.target == "context" else 0)

    def parse_explanations(self, text: str, entities: Sequence[str]) -> list[str]:
        """Return "" for each entity: this format explains nothing."""
        return [""] * len(entities)

    def parse(self, text: str, labels: Sequence[str]) -> list[TaggedWord]:
        """Parse an answer, however malformed.

        Labels may hold brackets, spaces between words may be missing, and words may look like tags: of two tags in a
        row the first belongs to the word. A tag of no known label is read as long as it has no bracket inside.

        text (str): The answer.
        labels (Sequence[str]): The types of its prompt.
        RETURNS (list[TaggedWord]): In order, with BIO tags. Text after the last tag is no word of any tag, and left
            out where every word has one.
        """
        return (
            _parse_bracketed(text, labels) if self.target in ("entities", "context") else self._parse_tags(text, labels)
        )

    def _parse_tags(self, text: str, labels: Sequence[str]) -> list[TaggedWord]:
        marks = "BIES" if self.target == "bioes" else "BI"
        # Tokenizers move spaces, and lose case: BERT's writes "ann ( b - person )".
        tag = rf"(?P<mark>[{marks}])\s*-\s*(?P<label>{names_pattern(labels)}|[^()]*)|{OUTSIDE}"
        matches = list(re.finditer(rf"\(\s*(?:{tag})\s*\)", text, re.IGNORECASE))
        words, start = [], 0
        for i, match in enumerate(matches):
            # "(O)(O)" is the word "(O)" with its tag, and so is the end of "f(O)(O)".
            if i + 1 < len(matches) and matches[i + 1].start() == match.end():
                continue
            mark = match["mark"]
            tag = f"{BIOES_AS_BIO[mark.upper()]}-{match['label'].strip()}" if mark else OUTSIDE
            words.append(TaggedWord(text[start : match.start()].strip(), tag, start, match.end()))
            start = match.end()
        return [word for word in words if word.word]


def _bioes(tags: Sequence[str]) -> list[str]:
    """Mark the ends of entities and single words."""
    marked = []
    for tag, after in zip(tags, [*tags[1:], OUTSIDE], strict=True):
        last = not after.startswith(INSIDE)
        mark = {BEGIN: "S-" if last else BEGIN, INSIDE: "E-" if last else INSIDE}.get(tag[:2])
        marked.append(mark + tag[2:] if mark else tag)
    return marked


def _bracketed(words: Sequence[str], tags: Sequence[str], context: int | None) -> str:
    """Render entities as [mention](label), with so many words around each; None for all words."""
    spans = spans_from_tags(tags)
    near = [context is None or any(s - context <= i < e + context for s, e, _ in spans) for i in range(len(words))]
    parts = [word if kept else "" for word, kept in zip(words, near, strict=True)]
    for start, end, label in spans:
        parts[start:end] = [f"[{' '.join(words[start:end])}]({label})"] + [""] * (end - start - 1)
    return " ".join(part for part in parts if part)


def _parse_bracketed(text: str, labels: Sequence[str]) -> list[TaggedWord]:
    # Tokenizers move spaces: BERT's writes "[ Paris ] ( city )".
    pattern = rf"\[(?P<mention>.+?)\](?:\s*\(\s*(?P<label>(?i:{names_pattern(labels)}))\s*\)|\((?P<unknown>[^()]*)\))"
    words, start = [], 0
    for match in re.finditer(pattern, text):
        words += [TaggedWord(word, OUTSIDE) for word in text[start : match.start()].split()]
        label = match["unknown"] if match["label"] is None else match["label"]
        words += tag_mention(match["mention"], label, match.start(), match.end())
        start = match.end()
    return words + [TaggedWord(word, OUTSIDE) for word in text[start:].split()]


def check_instruction(name: str, instruction: str | None) -> None:
    """Refuse an instruction that has no place for types or text.

    name (str): What it is called where it comes from.
    RAISES (SettingError): O001.
    """
    text = INSTRUCTION if instruction is None else instruction
    named = [match["name"] for match in PLACEHOLDER.finditer(text)] if isinstance(text, str) else []
    if not {"labels", "sentence"}.issubset(named):
        raise error("O001", name=name, value=instruction, allowed="a text with {labels} and {sentence}")


def GNERPrompt_v1(
    instruction: str | None = None, causal: str | None = None, target: str = "bio", context: int | None = None
) -> GNERPrompt:
    """Build the prompt of published GNER checkpoints, registered as "spacy-openner.GNERPrompt.v1".

    instruction (str | None): The text around "{labels}" and "{sentence}"; "{labels: | }" names what stands between
        labels, a comma and a space otherwise. If None, the instruction that the model's files name, or else the
        published one.
    causal (str | None): The text around "{prompt}", for causal models. If None, the chat template that the model's
        tokenizer has, and "[INST] {prompt} [/INST]" without one.
    target (str): The form of answers (GNER, section 3): "bio" tags every word, "bioes" does so with more tags;
        "entities" lists the entities alone, "context" with words around them. Only "bio" can be decoded under
        constraints.
    context (int | None): For "context": how many words on each side; None for the whole text.
    RETURNS (GNERPrompt): Renders prompts and answers, and parses answers.
    RAISES (SettingError): O001, when a placeholder is missing, or for an unknown target.
    """
    check_instruction("instruction", instruction)
    check_config_text("instruction", instruction)
    check_causal(causal)
    if target not in TARGETS:
        raise error("O001", name="target", value=target, allowed=", ".join(TARGETS))
    if context is not None and (isinstance(context, bool) or not isinstance(context, int) or context < 1):
        raise error("O001", name="context", value=context, allowed="a whole number from 1, or null for the whole text")
    return GNERPrompt(instruction, causal, cast(Target, target), context)
