"""Reassignment by a generative model: P(target type | source type, span, text), exactly (LAR, section 3.2)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from spacy.tokens import Doc
from thinc.api import Model

from ..errors import error
from ..models.architectures import Generator_v1
from ..models.generator.likelihood import log_likelihoods
from ..models.generator.model import Generator
from ..models.generator.shim import GeneratorShim
from ..models.words import Words, doc_words
from ..prompts.lar import NONE, LARPrompt
from .reassigner import TOO_LONG, EntityCase, LabelSpace, SharedModelReassigner, TypeChoice

GENERATOR = "generator"


class GeneratorReassigner(SharedModelReassigner):
    """Reassignment by a generative model; see `GeneratorReassigner_v1` for the settings."""

    KIND = "a generative model"

    def __init__(self, model: Model | None, component: str | None, prompt: LARPrompt, batch_tokens: int) -> None:
        super().__init__(model, component)
        self.prompt, self.batch_tokens = prompt, batch_tokens

    def fits(self, model: object) -> bool:
        """Tell whether this is a generative model."""
        return isinstance(model, Model) and any(isinstance(shim, GeneratorShim) for shim in model.shims)

    def make_default(self) -> Model:
        """Build the generative model with the default weights."""
        return Generator_v1()

    def __call__(self, cases: Sequence[EntityCase], types: LabelSpace) -> list[TypeChoice]:
        """Score each option's line, exactly; the score is its probability among the case's options."""
        generator: Generator = self.model.shims[0].runtime
        lines = [self._lines(case, types.none) for case in cases]
        # Entities of one text share its prompt, which is then read once.
        cases_of: dict[str, list[int]] = {}
        for i, prompt in enumerate(self._prompts(generator, cases, lines, types)):
            if prompt is not None:
                cases_of.setdefault(prompt, []).append(i)
        answers = [[line for i in numbers for line in lines[i].values()] for numbers in cases_of.values()]
        scored = log_likelihoods(generator, list(cases_of), answers, self.batch_tokens)
        choices = [TypeChoice(None, 0.0, GENERATOR, TOO_LONG)] * len(cases)
        for numbers, values in zip(cases_of.values(), scored, strict=True):
            start = 0
            for i in numbers:
                end = start + len(lines[i])
                choices[i] = _best(list(lines[i]), np.array(values[start:end]))
                start = end
        return choices

    def _lines(self, case: EntityCase, none: bool) -> dict[str, str]:
        """Write the line of each option."""
        options = [*case.options, *([NONE] if none else [])]
        return {option: self.prompt.line(case.source, case.text, option) for option in options}

    def _prompts(
        self, generator: Generator, cases: Sequence[EntityCase], lines: Sequence[dict[str, str]], types: LabelSpace
    ) -> list[str | None]:
        """Write the question about each case's text, or about the most words around it that the model can read.

        RETURNS (list[str | None]): None where not even the entity fits.
        """
        words: Words | None = None
        prompts: list[str | None] = []
        for i, case in enumerate(cases):
            if words is None or case.doc is not cases[i - 1].doc:
                words = doc_words(case.doc, "spacy")
            answer = max(_size(generator, line) for line in lines[i].values()) + 1
            budget = generator.limit - (answer if generator.causal else 0)
            fits = answer <= generator.limit
            prompts.append(self._prompt(generator, case, words, types, budget) if fits else None)
        return prompts

    def _prompt(
        self, generator: Generator, case: EntityCase, words: Words, types: LabelSpace, budget: int
    ) -> str | None:
        """Write the prompt with the most words on both sides that fits, found by halving; None if there is none."""
        targets = [*types.targets, *([NONE] if types.none else [])]
        first, last = words.of_span(case.doc[case.start : case.end])
        template = self.prompt.with_defaults(generator.prompt_defaults)
        # A word takes a subword at least, so that whole texts need no search.
        low, high, best = 0, min(len(words), budget), None
        middle = high
        while low <= high:
            text = _shown(case.doc, words, max(0, first - middle), min(len(words), last + middle))
            prompt = template.render(text, types.sources, targets, causal=generator.causal)
            if _size(generator, prompt) <= budget:
                low, best = middle + 1, prompt
            else:
                high = middle - 1
            middle = (low + high) // 2
        return best

    def load_weights(self, model: Model) -> None:
        """Load the weights that the model names."""
        _ = model.shims[0].generator

    def write_weights(self, model: Model, path: Path) -> None:
        """Write a generative model."""
        model.shims[0].save(model, path)

    def read_weights(self, model: Model, path: Path) -> None:
        """Read a generative model."""
        model.shims[0].load(model, path)


def _best(options: Sequence[str], log_probs: np.ndarray) -> TypeChoice:
    """Return the likeliest option; its score is its probability, given that it is one of the options."""
    best = int(log_probs.argmax())
    return TypeChoice(options[best], float(np.exp(log_probs[best] - np.logaddexp.reduce(log_probs))), GENERATOR)


def _size(generator: Generator, text: str) -> int:
    return len(generator.tokenizer(text)["input_ids"])


def _shown(doc: Doc, words: Words, first: int, last: int) -> str:
    """Return some words of a doc, as they stand there."""
    if first >= last:
        return ""
    return str(doc[int(words.starts[first]) : int(words.ends[last - 1])].text)


def GeneratorReassigner_v1(
    model: Model | None = None,
    component: str | None = None,
    prompt: LARPrompt | None = None,
    batch_tokens: int = 2048,
) -> GeneratorReassigner:
    """Reassignment by a generative model, registered as "spacy-openner.GeneratorReassigner.v1".

    P(target type | source type, span, text): each candidate's line `source type : span -> target type` is scored whole,
    and normalised over the candidates (LAR, section 3.2).

    model (Model | None): A generative model of its own; None to share.
    component (str | None): The component whose model is shared; None for the first that has one.
    prompt (LARPrompt | None): The format that the model was trained on.
    batch_tokens (int): The most subwords of prompts in a batch, padding included.
    RETURNS (GeneratorReassigner): Its weights are loaded at first use.
    RAISES (SettingError): For a value that is not allowed.
    """
    if isinstance(batch_tokens, bool) or not isinstance(batch_tokens, int) or batch_tokens < 1:
        raise error("O001", name="batch_tokens", value=batch_tokens, allowed="a whole number from 1")
    return GeneratorReassigner(model, component, prompt or LARPrompt(), batch_tokens)
