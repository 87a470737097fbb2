"""LAR's lines as what `gner_generator` is taught and answers (LAR, section 3.2): entities with the general types that a
model knows already, and the types that these turn into."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from ..errors import error
from .entity_list import ListingPrompt
from .gner import CAUSAL, TaggedWord, mention, spans_of
from .lar import INSTRUCTION, KIND, LARPrompt, LARPrompt_v1, Line


@dataclass(frozen=True)
class LARAnswerPrompt(ListingPrompt):
    """See `LARAnswerPrompt_v1`."""

    lines: LARPrompt = field(default_factory=LARPrompt)

    def render(
        self,
        words: Sequence[str],
        labels: Sequence[str],
        *,
        causal: bool = False,
        likely: Sequence[str] | None = None,
    ) -> str:
        """Ask for the entities of a text.

        labels (Sequence[str]): "target type, a kind of source type", or source types alone.
        causal (bool): For a model that goes on with the prompt, instead of answering it.
        likely (Sequence[str] | None): Types that the text probably holds; this format has no place for them.
        """
        return self.lines.render(" ".join(words), *_sides(labels), causal=causal)

    def answer(self, words: Sequence[str], tags: Sequence[str], explanations: Sequence[str] = ()) -> str:
        """What a model is trained to say.

        tags (Sequence[str]): The tag of each word, in BIO.
        explanations (Sequence[str]): Of the entities; this format has no place for them.
        """
        return self.lines.answer(_line(label, " ".join(words[a:b])) for a, b, label in spans_of(tags))

    def parse(self, text: str, labels: Sequence[str]) -> list[TaggedWord]:
        """Read an answer, however it went wrong; see `prompts.lar.LARPrompt.parse`.

        A line whose two types do not belong together says nothing.

        RETURNS (list[TaggedWord]): The words of the entities, in the order of the answer, with tags of BIO.
        """
        known = {_line(label, "")[::2]: label for label in labels}
        found = [(known.get(line[::2]), line.span, place) for line, place in self.lines.find(text, *_sides(labels))]
        return [word for label, span, place in found if label for word in mention(span, label, *place)]


def _line(label: str, span: str) -> Line:
    target, _, source = label.rpartition(KIND)
    return Line(source, span, target or None)


def _sides(labels: Sequence[str]) -> tuple[list[str], list[str]]:
    """The source types and the target types of a question, each once.

    RAISES (SettingError): For a type without a source type beside types that have one: no line could say it.
    """
    pairs = [_line(label, "") for label in labels]
    plain = [pair.source for pair in pairs if pair.target is None]
    if plain and len(plain) < len(pairs):
        allowed = "descriptions such as 'politician, a kind of person' for all types, or for none"
        raise error("O001", name="labels", value=plain, allowed=allowed)
    return list(dict.fromkeys(p.source for p in pairs)), list(dict.fromkeys(p.target for p in pairs if p.target))


def LARAnswerPrompt_v1(instruction: str = INSTRUCTION, causal: str = CAUSAL) -> LARAnswerPrompt:
    """LAR's lines as answers, registered as "spacy-openner.LARAnswerPrompt.v1". They are written freely.

    A model is trained on the source domain first, whose lines are `type : span`, then on the target domain, where the
    description of each type names both, `politician, a kind of person`, and lines are `person : span -> politician`.
    Take the descriptions from an alignment table (`AlignmentTable.described`), and set `use_descriptions`, and the
    sampler's `description_ratio` to 1.

    instruction (str): The text around "{sources}", "{targets}" and "{text}".
    causal (str): The text around "{prompt}", for causal models.
    RETURNS (LARAnswerPrompt): Renders questions and answers, and reads answers.
    RAISES (SettingError): When a placeholder is missing.
    """
    return LARAnswerPrompt(LARPrompt_v1(instruction, causal))
