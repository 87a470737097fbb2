"""UniversalNER's format: a conversation about a text, one type per prompt, answered by a JSON list (Zhou et al. 2023,
"UniversalNER: Targeted Distillation from Large Language Models for Open Named Entity Recognition", section 3.2)."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from ..config_format import check_config_text
from ..errors import error
from .base import EntityListPrompt, TaggedWord, spans_from_tags, tag_mention

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
class UniNERPrompt(EntityListPrompt):
    """UniversalNER's format; see `UniNERPrompt_v1`."""

    conversation: str = CONVERSATION

    max_types = 1

    def render(
        self, words: Sequence[str], labels: Sequence[str], *, causal: bool = False, hints: Sequence[str] | None = None
    ) -> str:
        """Render the prompt about a text and one type; see `Prompt.render`.

        The conversation goes on either way, so that `causal` changes nothing, and has no place for hints.
        """
        values = {"{label}": ", ".join(labels), "{sentence}": " ".join(words)}
        return re.sub(r"\{(?:label|sentence)\}", lambda match: values[match[0]], self.conversation)

    def answer(self, words: Sequence[str], tags: Sequence[str], explanations: Sequence[str] = ()) -> str:
        """Render the answer that a model is trained to give; explanations have no place in it."""
        return json.dumps([" ".join(words[first:last]) for first, last, _ in spans_from_tags(tags)], ensure_ascii=False)

    def parse(self, text: str, labels: Sequence[str]) -> list[TaggedWord]:
        """Parse an answer, however malformed: each quoted text is an entity.

        text (str): The answer.
        labels (Sequence[str]): The type of its prompt.
        RETURNS (list[TaggedWord]): The words of the entities, in the order of the answer, with BIO tags.
        """
        words: list[TaggedWord] = []
        for match in QUOTED.finditer(text):
            words += tag_mention(_unescape(match["entity"]), labels[0], match.start(), match.end())
        return words


def _unescape(text: str) -> str:
    """Resolve the escapes of a JSON string; in one that is not valid, a backslash stands for the letter after it."""
    try:
        return str(json.loads(f'"{text}"'))
    except ValueError:
        return ESCAPED.sub(r"\1", text)


def UniNERPrompt_v1(conversation: str = CONVERSATION) -> UniNERPrompt:
    """Build the prompt of published UniversalNER checkpoints, registered as "spacy-openner.UniNERPrompt.v1".

    Each type has a prompt of its own, and answers are generated freely. A word may be in entities of several types,
    whose scores then decide.

    conversation (str): The text around "{sentence}" and "{label}".
    RETURNS (UniNERPrompt): Renders prompts and answers, and parses answers.
    RAISES (SettingError): O001, when a placeholder is missing.
    """
    if "{sentence}" not in conversation or "{label}" not in conversation:
        allowed = "a text with {sentence} and {label}"
        raise error("O001", name="conversation", value=conversation, allowed=allowed)
    check_config_text("conversation", conversation)
    return UniNERPrompt(conversation)
