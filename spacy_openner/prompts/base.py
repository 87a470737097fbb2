"""Define the interface of prompt formats, and the parts that all formats share."""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

from ..config_format import check_config_text
from ..errors import error

if TYPE_CHECKING:
    from typing_extensions import Self

OUTSIDE = "O"
BEGIN, INSIDE = "B-", "I-"
CAUSAL = "[INST] {prompt} [/INST]"


class PromptDefaults(NamedTuple):
    """Facts about its prompts that a model's files hold.

    instruction (str | None): The instruction that it was trained on.
    find_causal (Callable[[], str | None]): Returns the text around "{prompt}", as its tokenizer's chat template has it;
        called only where the prompt does not say it.
    """

    instruction: str | None = None
    find_causal: Callable[[], str | None] = lambda: None


class TaggedWord(NamedTuple):
    """A word of an answer with its BIO tag, and the characters of the answer that gave both."""

    word: str
    tag: str
    start: int = 0
    end: int = 0


class Prompt(Protocol):
    """A format of prompts and answers for `gner_generator`."""

    @property
    def instruction(self) -> str | None:
        """The text around types and sentence; None where the format has only one, or the model's files say it."""

    @property
    def target(self) -> str:
        """The form of answers. "bio" repeats every word with its tag, and alone can be decoded under constraints."""

    @property
    def repeats_text(self) -> bool:
        """Tell whether answers repeat more of the text than its entities, in its order."""

    @property
    def explain(self) -> bool:
        """Tell whether answers explain their entities."""

    @property
    def max_types(self) -> int | None:
        """The most types in one prompt; None for any number."""

    def with_defaults(self, defaults: PromptDefaults) -> "Prompt":
        """Return the format for a model whose files say something about its prompts; what is set here comes first."""

    def render(
        self, words: Sequence[str], labels: Sequence[str], *, causal: bool = False, hints: Sequence[str] | None = None
    ) -> str:
        """Render the prompt about a text.

        words (Sequence[str]): The words of the text.
        labels (Sequence[str]): The types to look for.
        causal (bool): Whether the model continues the prompt, instead of answering it from a decoder of its own.
        hints (Sequence[str] | None): Types that the text probably holds; None where nobody says.
        """

    def chunk(self, word: str, tag: str) -> str:
        """Render one word of an answer with its tag. A format without such chunks returns one of similar size."""

    def tags(self, labels: Sequence[str]) -> list[str]:
        """Return all BIO tags: "O" first, then two per label."""

    def answer(self, words: Sequence[str], tags: Sequence[str], explanations: Sequence[str] = ()) -> str:
        """Render the answer that a model is trained to give.

        tags (Sequence[str]): The BIO tag of each word, whatever the target.
        explanations (Sequence[str]): One for each entity, in order; "" for an entity without.
        """

    def parse(self, text: str, labels: Sequence[str]) -> list[TaggedWord]:
        """Parse an answer, however malformed, into its words and their BIO tags, in the answer's order."""

    def parse_explanations(self, text: str, entities: Sequence[str]) -> list[str]:
        """Return what an answer says about each of its entities; "" where it says nothing."""


@runtime_checkable
class RecognitionPrompt(Prompt, Protocol):
    """A format that can also ask which types a text holds (ToNER, section 3.4)."""

    def render_recognition(self, words: Sequence[str], labels: Sequence[str], *, causal: bool = False) -> str:
        """Render the prompt that asks for the types of a text."""

    def recognition_answer(self, labels: Sequence[str]) -> str:
        """Render the answer that names these types."""


class EntityListPrompt:
    """Base of formats whose answers list the entities of a text and are generated freely."""

    instruction: str | None = None
    target = "list"
    repeats_text = False
    explain = False
    max_types: int | None = None

    def with_defaults(self, defaults: PromptDefaults) -> "Self":
        """Return the format itself: it takes nothing from a model's files."""
        return self

    def chunk(self, word: str, tag: str) -> str:
        """Render a word with a tag; see `Prompt.chunk`."""
        return f"{word}({tag})"

    def tags(self, labels: Sequence[str]) -> list[str]:
        """Return all BIO tags: "O" first, then two per label."""
        return bio_tags(labels)

    def parse_explanations(self, text: str, entities: Sequence[str]) -> list[str]:
        """Return "" for each entity: most of these formats explain nothing."""
        return [""] * len(entities)


def bio_tags(labels: Sequence[str]) -> list[str]:
    """Return all BIO tags: "O" first, then two per label."""
    return [OUTSIDE, *(mark + label for label in labels for mark in (BEGIN, INSIDE))]


def spans_from_tags(tags: Iterable[str]) -> list[tuple[int, int, str]]:
    """Return the entities of BIO tags: first word, end, label. An I- that continues nothing starts an entity."""
    spans: list[tuple[int, int, str]] = []
    for i, tag in enumerate(tags):
        label = tag[len(BEGIN) :]
        if tag.startswith(INSIDE) and spans and spans[-1][1] == i and spans[-1][2] == label:
            spans[-1] = (spans[-1][0], i + 1, label)
        elif tag != OUTSIDE:
            spans.append((i, i + 1, label))
    return spans


def tag_mention(text: str, label: str, start: int, end: int) -> list[TaggedWord]:
    """Return the tagged words of one entity, all with the same characters of the answer."""
    return [TaggedWord(word, (INSIDE if i else BEGIN) + label, start, end) for i, word in enumerate(text.split())]


def normalize_name(text: str) -> str:
    """Return a tag or type in the form in which it is compared: uncased tokenizers lose case, some move spaces."""
    return "".join(text.split()).casefold()


def find_name(text: str, names: Sequence[str]) -> str | None:
    """Return the name that a text spells, whatever its case and spaces; None if there is none."""
    return text if text in names else next((n for n in names if normalize_name(n) == normalize_name(text)), None)


def names_pattern(names: Sequence[str]) -> str:
    """Return a regular expression that matches any of some names, however they are spaced.

    The longest comes first, since a name may begin with another.
    """
    letters = ["".join(name.split()) for name in sorted(names, key=len, reverse=True)]
    return "|".join(r"\s*".join(map(re.escape, spelling)) for spelling in letters)


def wrap_causal(template: str | None, prompt: str, causal: bool) -> str:
    """Put a prompt into the template for causal models, `CAUSAL` if it is None; for others return it unchanged."""
    return (template or CAUSAL).replace("{prompt}", prompt, 1) if causal else prompt


def check_causal(template: str | None) -> None:
    """Refuse a template for causal models that has no place for the prompt.

    RAISES (SettingError): O001.
    """
    if template is not None and "{prompt}" not in template:
        raise error("O001", name="causal", value=template, allowed="a text with {prompt}")
    check_config_text("causal", template)
