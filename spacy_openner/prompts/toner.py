"""ToNER's format: the answer lists the entities, each behind its type (ToNER, sections 3.1 and 3.2), and may explain
them (section 3.5)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from .entity_list import ListingPrompt
from .gner import CAUSAL, TaggedWord, any_of, check_causal, key, mention, spans_of

QUESTION = "List all named entities of type [{labels}]\nText: {sentence}"
EXPLAINED_QUESTION = "List all named entities of type [{labels}] and give explanations.\nText: {sentence}"
ENTITIES, EXPLANATION = "Entity:", "Explanation:"
NOTHING = "The text names nothing of these types."
SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
LIKELY = "\nEntities of type [{labels}] may exist in text."
RECOGNITION = "List all entity types in the text from type [{labels}]\nText: {sentence}"


@dataclass(frozen=True)
class ToNERPrompt(ListingPrompt):
    """See `ToNERPrompt_v1`."""

    causal: str = CAUSAL
    explain: bool = False

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
        likely (Sequence[str] | None): Types that the text probably holds (T' in the paper); None where nobody says.
        """
        question = _filled(EXPLAINED_QUESTION if self.explain else QUESTION, words, labels)
        if likely is not None:
            question += _filled(LIKELY, (), likely)
        return self._framed(question, causal)

    def recognition(self, words: Sequence[str], labels: Sequence[str], *, causal: bool = False) -> str:
        """Ask for the types in a text: the auxiliary task of training (section 3.4)."""
        return self._framed(_filled(RECOGNITION, words, labels), causal)

    def answer(self, words: Sequence[str], tags: Sequence[str], explanations: Sequence[str] = ()) -> str:
        """What a model is trained to say.

        tags (Sequence[str]): The tag of each word, in BIO.
        explanations (Sequence[str]): Of the entities, in order; "" for one without.
        """
        pairs = [f"({label}, {' '.join(words[first:last])})" for first, last, label in spans_of(tags)]
        found = f"[{', '.join(pairs)}]"
        if not self.explain:
            return found
        said = " ".join(text for text in explanations if text) or ("" if pairs else NOTHING)
        return f"{ENTITIES} {found}\n{EXPLANATION} {said}".strip()

    def explanations(self, text: str, entities: Sequence[str]) -> list[str]:
        """What an answer says about why its entities are what they are.

        A sentence that names an entity is about it; one that names none goes on with the one before it.

        entities (Sequence[str]): As the answer has them, in order.
        RETURNS (list[str]): In step with these; "" for one that is not explained. Equal entities share what is said.
        """
        found: dict[str, list[str]] = {key(entity): [] for entity in entities}
        # The longest first: an entity may be a part of another one.
        order, about = sorted(found, key=len, reverse=True), ""
        for sentence in SENTENCE_END.split(text.partition(EXPLANATION)[2].strip()):
            about = next((entity for entity in order if entity and entity in key(sentence)), about)
            if about and sentence:
                found[about].append(sentence)
        return [" ".join(found[key(entity)]) for entity in entities]

    def recognition_answer(self, labels: Sequence[str]) -> str:
        """What a model is trained to say about the types of a text."""
        return f"[{', '.join(labels)}]"

    def parse(self, text: str, labels: Sequence[str]) -> list[TaggedWord]:
        """Read an answer, however it went wrong.

        Labels and entities may hold brackets and commas. A pair in the wrong order, with a type in the second place
        alone, is turned round; what lies outside of pairs, and a pair that nothing closes before the next begins, says
        nothing; one at the end of an answer that was cut off counts.

        text (str): What a model said.
        labels (Sequence[str]): The types that it was asked for.
        RETURNS (list[TaggedWord]): The words of the entities, in the order of the answer, with tags of BIO.
        """
        label = f"{any_of(labels)}|[^(),]*"
        end = r"\)(?=\s*(?:,\s*\(|\]|$))|\]?\s*$"
        pattern = rf"\(\s*(?P<label>{label})\s*,(?P<entity>.+?)(?:{end})"
        keys = {key(label) for label in labels}
        words: list[TaggedWord] = []
        text = text.partition(EXPLANATION)[0] if self.explain else text
        for match in re.finditer(pattern, text, re.DOTALL | re.IGNORECASE):
            kind, entity = match["label"].strip(), match["entity"].strip()
            if key(kind) not in keys and key(entity) in keys:
                kind, entity = entity, kind
            words += mention(entity, kind, match.start(), match.end())
        return words

    def _framed(self, question: str, causal: bool) -> str:
        return self.causal.replace("{prompt}", question, 1) if causal else question


def _filled(template: str, words: Sequence[str], labels: Sequence[str]) -> str:
    values = {"{labels}": ", ".join(labels), "{sentence}": " ".join(words)}
    # One pass: a label or a text that spells a placeholder stays as it is.
    return re.sub(r"\{\w+\}", lambda match: values[match[0]], template)


def ToNERPrompt_v1(causal: str = CAUSAL, explain: bool = False) -> ToNERPrompt:
    """ToNER's prompt, registered as "spacy-openner.ToNERPrompt.v1". Its answers are written freely.

    causal (str): The text around "{prompt}", for causal models.
    explain (bool): Ask for explanations, and teach those that annotated docs have in the attrs of their span group
        ("explanations", in step with the spans): ToNER-EXP, section 3.5.
    RETURNS (ToNERPrompt): Renders questions and answers, and reads answers.
    RAISES (SettingError): When the placeholder is missing.
    """
    check_causal(causal)
    return ToNERPrompt(causal, explain)
