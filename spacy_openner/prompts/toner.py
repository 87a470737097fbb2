"""ToNER's format: the answer lists the entities, each behind its type (ToNER, sections 3.1 and 3.2), and may explain
them (section 3.5)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from .base import (
    EntityListPrompt,
    PromptDefaults,
    TaggedWord,
    check_causal,
    names_pattern,
    normalize_name,
    spans_from_tags,
    tag_mention,
    wrap_causal,
)

QUESTION = "List all named entities of type [{labels}]\nText: {sentence}"
EXPLAINED_QUESTION = "List all named entities of type [{labels}] and give explanations.\nText: {sentence}"
ENTITIES, EXPLANATION = "Entity:", "Explanation:"
NO_ENTITIES = "The text names nothing of these types."
SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
HINTS = "\nEntities of type [{labels}] may exist in text."
RECOGNITION = "List all entity types in the text from type [{labels}]\nText: {sentence}"


@dataclass(frozen=True)
class ToNERPrompt(EntityListPrompt):
    """ToNER's format; see `ToNERPrompt_v1`."""

    causal: str | None = None
    explain: bool = False

    def with_defaults(self, defaults: PromptDefaults) -> "ToNERPrompt":
        """Return the format for a model; see `Prompt.with_defaults`."""
        return replace(self, causal=self.causal or defaults.find_causal())

    def render(
        self, words: Sequence[str], labels: Sequence[str], *, causal: bool = False, hints: Sequence[str] | None = None
    ) -> str:
        """Render the prompt about a text; see `Prompt.render`. Hints are T' in the paper."""
        question = _fill(EXPLAINED_QUESTION if self.explain else QUESTION, words, labels)
        if hints is not None:
            question += _fill(HINTS, (), hints)
        return wrap_causal(self.causal, question, causal)

    def render_recognition(self, words: Sequence[str], labels: Sequence[str], *, causal: bool = False) -> str:
        """Render the prompt that asks for the types of a text: the auxiliary task of training (section 3.4)."""
        return wrap_causal(self.causal, _fill(RECOGNITION, words, labels), causal)

    def recognition_answer(self, labels: Sequence[str]) -> str:
        """Render the answer that names the types of a text."""
        return f"[{', '.join(labels)}]"

    def answer(self, words: Sequence[str], tags: Sequence[str], explanations: Sequence[str] = ()) -> str:
        """Render the answer that a model is trained to give; see `Prompt.answer`."""
        pairs = [f"({label}, {' '.join(words[first:last])})" for first, last, label in spans_from_tags(tags)]
        listed = f"[{', '.join(pairs)}]"
        if not self.explain:
            return listed
        explained = " ".join(text for text in explanations if text) or ("" if pairs else NO_ENTITIES)
        return f"{ENTITIES} {listed}\n{EXPLANATION} {explained}".strip()

    def parse_explanations(self, text: str, entities: Sequence[str]) -> list[str]:
        """Return what an answer says about each of its entities.

        A sentence that names an entity is about it; one that names none continues the one before it.

        entities (Sequence[str]): As the answer spells them, in order.
        RETURNS (list[str]): One for each; "" for one that is not explained. Equal entities share their explanation.
        """
        sentences: dict[str, list[str]] = {normalize_name(entity): [] for entity in entities}
        # The longest first: an entity may be a part of another one.
        names, subject = sorted(sentences, key=len, reverse=True), ""
        for sentence in SENTENCE_END.split(_split_explanation(text)[1].strip()):
            subject = next((name for name in names if name and name in normalize_name(sentence)), subject)
            if subject and sentence:
                sentences[subject].append(sentence)
        return [" ".join(sentences[normalize_name(entity)]) for entity in entities]

    def parse(self, text: str, labels: Sequence[str]) -> list[TaggedWord]:
        """Parse an answer, however malformed.

        Labels and entities may hold brackets and commas. A pair in the wrong order, with a type in the second position
        alone, is turned round; what lies outside of pairs, and a pair that nothing closes before the next begins, is
        left out; one at the end of an answer that was cut off counts.

        text (str): The answer.
        labels (Sequence[str]): The types of its prompt.
        RETURNS (list[TaggedWord]): The words of the entities, in the order of the answer, with BIO tags.
        """
        label = f"{names_pattern(labels)}|[^(),]*"
        end = r"\)(?=\s*(?:,\s*\(|\]|$))|\]?\s*$"
        pattern = rf"\(\s*(?P<label>{label})\s*,(?P<entity>.+?)(?:{end})"
        known = {normalize_name(label) for label in labels}
        words: list[TaggedWord] = []
        text = _split_explanation(text)[0] if self.explain else text
        for match in re.finditer(pattern, text, re.DOTALL | re.IGNORECASE):
            kind, entity = match["label"].strip(), match["entity"].strip()
            if normalize_name(kind) not in known and normalize_name(entity) in known:
                kind, entity = entity, kind
            words += tag_mention(entity, kind, match.start(), match.end())
        return words


def _split_explanation(text: str) -> tuple[str, str]:
    """Split an answer into its list and its explanation."""
    listed, _, explanation = text.partition(EXPLANATION)
    return listed, explanation


def _fill(template: str, words: Sequence[str], labels: Sequence[str]) -> str:
    values = {"{labels}": ", ".join(labels), "{sentence}": " ".join(words)}
    # One pass: a label or a text that spells a placeholder stays as it is.
    return re.sub(r"\{\w+\}", lambda match: values[match[0]], template)


def ToNERPrompt_v1(causal: str | None = None, explain: bool = False) -> ToNERPrompt:
    """Build ToNER's prompt, registered as "spacy-openner.ToNERPrompt.v1". Its answers are generated freely.

    causal (str | None): The text around "{prompt}", for causal models. If None, the chat template that the model's
        tokenizer has, and "[INST] {prompt} [/INST]" without one.
    explain (bool): Ask for explanations, and train on those that annotated docs have in the attrs of their span group
        ("explanations", one per span): ToNER-EXP, section 3.5.
    RETURNS (ToNERPrompt): Renders prompts and answers, and parses answers.
    RAISES (SettingError): O001, when the placeholder is missing.
    """
    check_causal(causal)
    return ToNERPrompt(causal, explain)
