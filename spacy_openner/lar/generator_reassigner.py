"""Reassignment by a generative model: P(target type | source type, span, text), exactly (LAR, section 3.2)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from spacy.tokens import Doc
from thinc.api import Model

from ..errors import error
from ..models.generator.likelihood import log_likelihoods
from ..models.generator.model import Generator, GeneratorShim
from ..models.words import Words, doc_words
from ..prompts.lar import NONE, LARPrompt
from .span_reassigner import TOO_LONG, Case, Choice, Sharing, Types, by_doc

GENERATOR = "generator"


class GeneratorReassigner(Sharing):
    """See `GeneratorReassigner_v1`."""

    what = "a generative model"

    def __init__(self, model: Model | None, component: str | None, prompt: LARPrompt, batch_tokens: int) -> None:
        super().__init__(model, component)
        self.prompt, self.batch_tokens = prompt, batch_tokens

    def fits(self, model: Any) -> bool:
        """Whether this is a generative model."""
        return isinstance(model, Model) and any(isinstance(shim, GeneratorShim) for shim in model.shims)

    def default(self) -> Model:
        """The generative model with the default weights."""
        from ..models.architectures import Generator_v1

        return Generator_v1()

    def __call__(self, cases: Sequence[Case], types: Types) -> list[Choice]:
        """Score each option's line, exactly; the score is its probability among the case's options."""
        generator: Generator = self.own.shims[0].runtime
        lines = [self._lines(case, types.none) for case in cases]
        # Entities of one text share its prompt, which is then read once.
        places: dict[str, list[int]] = {}
        for i, prompt in enumerate(self._prompts(generator, cases, lines, types)):
            if prompt is not None:
                places.setdefault(prompt, []).append(i)
        answers = [[line for i in rows for line in lines[i].values()] for rows in places.values()]
        scored = log_likelihoods(generator, list(places), answers, self.batch_tokens)
        found = [Choice(None, 0.0, GENERATOR, TOO_LONG)] * len(cases)
        for rows, values in zip(places.values(), scored, strict=True):
            rest = iter(values)
            for i in rows:
                found[i] = _best(list(lines[i]), np.array([next(rest) for _ in lines[i]]))
        return found

    def _lines(self, case: Case, none: bool) -> dict[str, str]:
        """The line of each option."""
        options = [*case.options, *([NONE] if none else [])]
        return {option: self.prompt.line(case.source, case.text, option) for option in options}

    def _prompts(
        self, generator: Generator, cases: Sequence[Case], lines: Sequence[dict[str, str]], types: Types
    ) -> list[str | None]:
        """The question about each case's text, or about the most words around it that the model can read.

        RETURNS (list[str | None]): None where not even the entity fits.
        """
        rest = iter(lines)
        found = []
        for some in by_doc(cases):
            words = doc_words(some[0].doc, "spacy")
            for case in some:
                answer = max(_size(generator, line) for line in next(rest).values()) + 1
                room = generator.limit - (answer if generator.causal else 0)
                found.append(None if answer > generator.limit else self._prompt(generator, case, words, types, room))
        return found

    def _prompt(self, generator: Generator, case: Case, words: Words, types: Types, room: int) -> str | None:
        """The prompt with the most words on both sides that fits, found by halving; None if there is none."""
        targets = [*types.targets, *([NONE] if types.none else [])]
        first, last = words.of_span(case.doc[case.start : case.end])
        # A word takes a piece at least, so that whole texts need no search.
        low, high, best = 0, min(len(words), room), None
        middle = high
        while low <= high:
            text = _shown(case.doc, words, max(0, first - middle), min(len(words), last + middle))
            prompt = self.prompt.render(text, types.sources, targets, causal=generator.causal)
            if _size(generator, prompt) <= room:
                low, best = middle + 1, prompt
            else:
                high = middle - 1
            middle = (low + high) // 2
        return best

    def start(self) -> None:
        """Load the weights, unless their component does."""
        if not self.shares:
            _ = self.own.shims[0].generator

    def save(self, path: Path) -> None:
        """Write the weights, unless their component does."""
        if not self.shares:
            self.own.shims[0].save(path)

    def load(self, path: Path) -> None:
        """Read the weights, unless their component does."""
        if not self.shares and path.is_dir():
            self.own.shims[0].load(path)


def _best(options: Sequence[str], log_probs: np.ndarray) -> Choice:
    """The likeliest option; its score is its probability, given that it is one of the options."""
    best = int(log_probs.argmax())
    return Choice(options[best], float(np.exp(log_probs[best] - np.logaddexp.reduce(log_probs))), GENERATOR)


def _size(generator: Any, text: str) -> int:
    return len(generator.tokenizer(text)["input_ids"])


def _shown(doc: Doc, words: Words, first: int, last: int) -> str:
    """Some words of a doc, as they stand there."""
    if first >= last:
        return ""
    return str(doc[int(words.starts[first]) : int(words.ends[last - 1])].text)


def GeneratorReassigner_v1(
    model: Model | None = None,
    component: str | None = None,
    prompt: Any = None,
    batch_tokens: int = 2048,
) -> GeneratorReassigner:
    """Reassignment by a generative model, registered as "spacy-openner.GeneratorReassigner.v1".

    P(target type | source type, span, text): each candidate's line `source type : span -> target type` is scored whole,
    and normalised over the candidates (LAR, section 3.2).

    model (Model | None): A generative model of its own; None to share.
    component (str | None): The component whose model is shared; None for the first that has one.
    prompt (LARPrompt | None): The format that the model was trained on.
    batch_tokens (int): The most pieces of prompts in a batch, padding included.
    RETURNS (GeneratorReassigner): Its weights are loaded at first use.
    RAISES (SettingError): For a value that is not allowed.
    """
    if isinstance(batch_tokens, bool) or not isinstance(batch_tokens, int) or batch_tokens < 1:
        raise error("O001", name="batch_tokens", value=batch_tokens, allowed="a whole number from 1")
    return GeneratorReassigner(model, component, prompt or LARPrompt(), batch_tokens)
