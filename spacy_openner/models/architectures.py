"""Registered builders of models."""

from typing import Any, cast

from thinc.api import Model

from ..errors import error
from .hf_shim import CheckpointShim, Request
from .matching import WORD_MODES, Limits
from .runtime import Backend, Precision, check


def SpanMatcher_v1(
    name: str = "",
    revision: str | None = None,
    words: str = "spacy",
    precision: str = "auto",
    backend: str = "torch",
    window: int | None = None,
    overlap: int = 32,
    max_types: int | None = None,
    mixed_precision: bool = False,
) -> Model[Request, Any]:
    """Score spans against types named at run time (GLiNER). Registered as "spacy-openner.SpanMatcher.v1".

    name (str): Directory or hub name of a checkpoint of the GLiNER family; "" for the default weights.
    revision (str | None): Commit or tag of a hub name.
    words (str): "spacy" for the doc's tokens, "gliner" for the splitter that published checkpoints know.
    precision (str): "auto", "float32", "bfloat16", "float16" (GPU) or "int8" (ONNX Runtime).
    backend (str): "torch", or "onnx" for ONNX Runtime (extra `onnx`).
    window (int | None): The most pieces, prompt included, that the model reads at once; its own limit if None.
    overlap (int): Words that two windows share where no sentence start separates them.
    max_types (int | None): The most types in one prompt; as many as fit in half of the window if None.
    mixed_precision (bool): Train with bfloat16 products.
    RETURNS (Model): Its weights are loaded at first use.
    RAISES (SettingError): For a value that is not allowed.
    """
    check(precision, backend)
    if words not in WORD_MODES:
        raise error("O001", name="words", value=words, allowed=", ".join(WORD_MODES))
    for setting, value, least in (
        ("window", window, 32),
        ("overlap", overlap, 0),
        ("max_types", max_types, 1),
    ):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
            raise error("O001", name=setting, value=value, allowed=f"a whole number from {least}")
    return Model(
        "span_matcher",
        _forward,
        # `dropout_rate` is what thinc.api.set_dropout_rate looks for.
        attrs={"words": words, "limits": Limits(window, overlap, max_types), "dropout_rate": 0.0},
        shims=[CheckpointShim(name, revision, cast(Precision, precision), cast(Backend, backend), mixed_precision)],
    )


def _forward(model: Model, inputs: Request, is_train: bool) -> tuple[Any, Any]:
    if is_train:
        model.shims[0].set_dropout(model.attrs["dropout_rate"])
    return model.shims[0](inputs, is_train)
