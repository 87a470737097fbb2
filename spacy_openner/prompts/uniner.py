"""UniversalNER's format: a conversation about a text, one type a question, answered by a JSON list (Zhou et al. 2023,
"UniversalNER: Targeted Distillation from Large Language Models for Open Named Entity Recognition", section 3.2)."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import error
from .entity_list import ListingPrompt
from .gner import TaggedWord, mention, spans_of

# As the published checkpoints were trained: a curly apostrophe, and the mark that ends a turn of the assistant.
CONVERSATION = (
    "A virtual assistant answers questions from a user based on the provided text. "
    "USER: Text: {sentence} ASSISTANT: I’ve read this text.</s>"
    "USER: What describes {label} in the text? ASSISTANT:"
)
# A quoted string; one that a cut-off answer left open counts, and a quote inside of it does not end it.
QUOTED = re.compile(r"""(?P<quote>["'])(?P<entity>(?:\\.|.)*?)(?:(?P=quote)(?=\s*(?:,|\]|$))|$)""", re.DOTALL)
ESCAPED = re.compile(r"\\(.)")


@dataclass(frozen=True)
class UniNERPrompt(ListingPrompt):
    """See `UniNERPrompt_v1`."""

    conversation: str = CONVERSATION
    most_types = 1

    def render(
        self,
        words: Sequence[str],
        labels: Sequence[str],
        *,
        causal: bool = False,
        likely: Sequence[str] | None = None,
    ) -> str:
        """Ask for the entities of one type.

        labels (Sequence[str]): The type.
        causal (bool): For a model that goes on with the prompt; it is a conversation that goes on either way.
        likely (Sequence[str] | None): Types that the text probably holds; this format has no place for them.
        """
        values = {"{label}": ", ".join(labels), "{sentence}": " ".join(words)}
        return re.sub(r"\{(?:label|sentence)\}", lambda match: values[match[0]], self.conversation)

    def answer(self, words: Sequence[str], tags: Sequence[str], explanations: Sequence[str] = ()) -> str:
        """What a model is trained to say.

        tags (Sequence[str]): The tag of each word, in BIO.
        explanations (Sequence[str]): Of the entities; this format has no place for them.
        """
        return json.dumps([" ".join(words[first:last]) for first, last, _ in spans_of(tags)], ensure_ascii=False)

    def parse(self, text: str, labels: Sequence[str]) -> list[TaggedWord]:
        """Read an answer, however it went wrong: what stands in quotes is an entity.

        text (str): What a model said.
        labels (Sequence[str]): The type that it was asked for.
        RETURNS (list[TaggedWord]): The words of the entities, in the order of the answer, with tags of BIO.
        """
        words: list[TaggedWord] = []
        for match in QUOTED.finditer(text):
            words += mention(ESCAPED.sub(r"\1", match["entity"]), labels[0], match.start(), match.end())
        return words


def UniNERPrompt_v1(conversation: str = CONVERSATION) -> UniNERPrompt:
    """The prompt of published UniversalNER checkpoints, registered as "spacy-openner.UniNERPrompt.v1".

    Each type has a prompt of its own, and answers are written freely. A word may be in entities of several types, whose
    scores then decide.

    conversation (str): The text around "{sentence}" and "{label}".
    RETURNS (UniNERPrompt): Renders questions and answers, and reads answers.
    RAISES (SettingError): When a placeholder is missing.
    """
    if "{sentence}" not in conversation or "{label}" not in conversation:
        allowed = "a text with {sentence} and {label}"
        raise error("O001", name="conversation", value=conversation, allowed=allowed)
    return UniNERPrompt(conversation)
