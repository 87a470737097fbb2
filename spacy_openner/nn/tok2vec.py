"""Token vectors of spaCy's layers, as PyTorch networks read them."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from spacy.tokens import Doc
from spacy.vocab import Vocab
from thinc.api import Model
from thinc.util import torch2xp, xp2torch

from ..errors import error, warn

TOK2VEC = "tok2vec"


class TokenVectors:
    """The token vectors of some docs, laid end to end.

    model (Model): The model that they are for.
    tokvecs (Sequence[Any]): An array for each doc. *Shape of each:* (tokens, width).
    """

    def __init__(self, model: Model, tokvecs: Sequence[Any]) -> None:
        self.lengths = [len(vectors) for vectors in tokvecs]
        self.starts = [0]
        for length in self.lengths:
            self.starts.append(self.starts[-1] + length)
        # Layers may give empty docs vectors of no width at all.
        full = [vectors for vectors in tokvecs if len(vectors)]
        # A copy: gradients are gathered in it.
        self.flat = xp2torch(model.ops.xp.concatenate(full)).float()

    @classmethod
    def predict(cls, model: Model, docs: Sequence[Doc]) -> "TokenVectors":
        """Compute the vectors of docs, at least one of which has tokens. Warn when they say nothing."""
        vectors = cls(model, model.get_ref(TOK2VEC).predict(list(docs)))
        if not bool(vectors.flat.any()):
            warn("W009")
        return vectors

    @classmethod
    def begin_update(cls, model: Model, docs: Sequence[Doc]) -> tuple["TokenVectors", Callable[[], None]]:
        """Compute the vectors of all docs of an update, at least one of which has tokens.

        RETURNS (tuple): The vectors, and a callback that hands the layer the gradients that they have gathered.
        """
        tokvecs, backprop = model.get_ref(TOK2VEC).begin_update(list(docs))
        vectors = cls(model, tokvecs)
        vectors.flat.requires_grad_()

        def finish() -> None:
            backprop(vectors.gradients())

        return vectors, finish

    def gradients(self) -> list[Any]:
        """Return what backpropagation has gathered, doc by doc. *Shape of each:* (tokens, width)."""
        gradient = self.flat.grad if self.flat.grad is not None else torch.zeros_like(self.flat)
        return [torch2xp(part) for part in gradient.split(self.lengths)]


def initialize_layer(tok2vec: Model, sample: Callable[[], list[Doc]]) -> list[Doc]:
    """Initialise a layer of token vectors, if it has no weights.

    sample (Callable[[], list[Doc]]): Gives a few docs.
    RETURNS (list[Doc]): Docs that the layer can be tried on.
    """
    docs = [doc for doc in sample() if len(doc)] or [Doc(Vocab(), words=["a"])]
    if not _has_weights(tok2vec):
        _call(lambda: tok2vec.initialize(X=docs))
    return docs


def layer_width(tok2vec: Model, docs: list[Doc]) -> int:
    """Find the width of a layer's output by trying it."""
    return int(_call(lambda: tok2vec.predict(docs[:1]))[0].shape[1])


def _has_weights(layer: Model) -> bool:
    """Tell whether a layer has parameters, and all of them have values. (Layers without any know themselves what there
    is to initialise.)"""
    known = [node.has_param(name) for node in layer.walk() for name in node.param_names]
    return bool(known) and all(known)


def _call(action: Callable[[], Any]) -> Any:
    try:
        return action()
    # thinc's listeners do not know their width before they are linked to a component that does.
    except ValueError as problem:
        raise error("O112", reason=str(problem)) from problem
