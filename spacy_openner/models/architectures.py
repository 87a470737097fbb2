"""Registered builders of models."""

from pathlib import Path
from typing import Any, cast

from spacy.tokens import Doc
from thinc.api import Model
from thinc.types import Floats2d

from ..config_format import check_config_text
from ..errors import error
from ..files import as_local_path
from ..nn import hub
from ..nn.precision import Precision
from ..nn.shim import ModelShim
from ..nn.tok2vec import TOK2VEC
from .generator.shim import GeneratorShim
from .gliner.bi_encoder import WordRequest
from .gliner.bi_encoder_model import BiEncoderSpanModel
from .gliner.prompt_model import PromptSpanModel
from .gliner.runtime import Backend, check
from .gliner.shim import PromptSettings, WindowRequest
from .span_checkpoints import load_span_checkpoint
from .span_model import WORD_MODES
from .type_cache.interface import TypeCacheSettings, TypeCacheSpanModel
from .type_cache.requests import TypeCacheRequest
from .type_matcher.model import TypeModel
from .type_matcher.shim import TypeRequest
from .type_matcher.text_encoders import POOLINGS
from .words import WordMode

SPAN_MATCHER = "spacy-openner.SpanMatcher.v1"
TYPE_CACHE = "spacy-openner.TypeCacheSpanMatcher.v1"


def span_architecture(name: str | Path) -> str:
    """Name the architecture that reads a span model, by the files in its directory.

    name (str | Path): A directory; or a hub name, which stands for a checkpoint of the GLiNER family.
    """
    return TYPE_CACHE if (as_local_path(name, "name") / hub.TYPE_CACHE.config).is_file() else SPAN_MATCHER


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
) -> Model[WindowRequest, Any]:
    """Score spans against types that stand in a prompt (GLiNER). Registered as "spacy-openner.SpanMatcher.v1".

    name (str): Directory or hub name of a checkpoint of the GLiNER family; "" for the one in the package.
    revision (str | None): Commit or tag of a hub name.
    words (str): "spacy" for the doc's tokens, "gliner" for the splitter that published checkpoints know.
    precision (str): "auto", "float32", "bfloat16", "float16" (GPU) or "int8" (ONNX Runtime).
    backend (str): "torch", or "onnx" for ONNX Runtime (extra `onnx`).
    window (int | None): The most subwords, prompt included, that the model reads at once; its own limit if None.
    overlap (int): Words that two windows share where no sentence start separates them.
    max_types (int | None): The most types in one prompt, at most as many as fit in half of the window. If None, as many
        as the checkpoint's files say (`openner_max_types`), or else all that fit.
    mixed_precision (bool): Train with bfloat16 products.
    RETURNS (Model): Its weights are loaded at first use.
    RAISES (SettingError): For a value that is not allowed.
    """
    _check_reader(precision, backend, words, window, overlap, max_types, min_window=32)
    settings = PromptSettings(
        words=cast(WordMode, words),
        precision=cast(Precision, precision),
        backend=cast(Backend, backend),
        window=window,
        overlap=overlap,
        max_types=max_types,
        mixed_precision=mixed_precision,
    )
    return _model("span_matcher", PromptSpanModel(name, revision, settings, load_span_checkpoint))


def TypeCacheSpanMatcher_v1(
    name: str = "",
    revision: str | None = None,
    words: str = "spacy",
    precision: str = "auto",
    backend: str = "torch",
    window: int | None = None,
    overlap: int = 32,
    max_types: int | None = None,
    cache_mb: int = 256,
    company: float = 0.25,
    company_types: int = 0,
    mixed_precision: bool = False,
) -> Model[TypeCacheRequest, Any]:
    """Score spans against types that are encoded once and kept. Registered as "spacy-openner.TypeCacheSpanMatcher.v1".

    The default of `open_ner_span`. Types see themselves alone, texts see types and themselves: what a text costs hardly
    depends on the number of types, and the order of types, or a type that is named twice, changes nothing.

    name (str): Directory or hub name of a type-cache model; "" for the default weights, unless `[initialize]` makes a
        new one of an encoder.
    revision (str | None): Commit or tag of a hub name.
    words (str): "spacy" for the doc's tokens, "gliner" for the splitter that GLiNER's checkpoints know.
    precision (str): "auto", "float32", "bfloat16" or "float16" (GPU); with backend "onnx": "auto", "float32" or "int8".
    backend (str): What runs the encoder of texts: "torch", or "onnx" for ONNX Runtime (extra `onnx`).
    window (int | None): The most subwords of a text that the model reads at once; its own limit if None.
    overlap (int): Words that two windows share where no sentence start separates them.
    max_types (int | None): The most types that a text sees at once; longer lists are split, each part with a pass of
        its own. All at once if None, whatever their number: there is no prompt that they must fit into.
    cache_mb (int): The most memory, in MiB, for encoded types; 0 to encode types for each batch anew.
    company (float): In training, the share of updates in which each text sees the types of all texts of the update,
        as texts later see long lists. What a text is taught does not change by it.
    company_types (int): The most types of earlier updates that they see besides in such updates; how many is drawn anew
        each time. These are encoded without gradients.
    mixed_precision (bool): Train with bfloat16 products.
    RETURNS (Model): Its weights are loaded at first use.
    RAISES (SettingError): For a value that is not allowed.
    """
    _check_reader(precision, backend, words, window, overlap, max_types, min_window=16)
    _check_number("cache_mb", cache_mb, 0)
    _check_number("company_types", company_types, 0)
    if isinstance(company, bool) or not isinstance(company, int | float) or not 0 <= company <= 1:
        raise error("O001", name="company", value=company, allowed="a number from 0 to 1")
    settings = TypeCacheSettings(
        words=cast(WordMode, words),
        precision=cast(Precision, precision),
        backend=cast(Backend, backend),
        window=window,
        overlap=overlap,
        max_types=max_types,
        cache_mb=cache_mb,
        company=company,
        company_types=company_types,
        mixed_precision=mixed_precision,
    )
    return _model("type_cache_span_matcher", TypeCacheSpanModel(name, revision, settings))


def BiEncoderSpanMatcher_v1(
    tok2vec: Model[list[Doc], list[Floats2d]],
    label_encoder: str = "",
    label_revision: str | None = None,
    width: int = 128,
    max_width: int = 12,
) -> Model[WordRequest, Any]:
    """Score spans by the token vectors of any spaCy layer, a shared one too, against types that are encoded apart.

    Registered as "spacy-openner.BiEncoderSpanMatcher.v1". Words are the doc's tokens.

    tok2vec (Model): Makes the token vectors: an embedding layer, or a listener to a `tok2vec` or `transformer`
        component, whose vectors are then computed once for all components.
    label_encoder (str): Directory or hub name of a Hugging Face encoder that reads the types; "" for that of the
        package's SpanMatcher. It is not trained, and it is saved with the component.
    label_revision (str | None): Commit or tag of a hub name.
    width (int): Width of the head.
    max_width (int): Most words in a span.
    RETURNS (Model): Without weights until it is initialised or loaded.
    RAISES (SettingError): For a value that is not allowed.
    """
    _check_number("width", width, 1)
    _check_number("max_width", max_width, 1, 128)
    return _model(
        "bi_encoder_span_matcher", BiEncoderSpanModel(label_encoder, label_revision, width, max_width), tok2vec
    )


def Generator_v1(
    name: str = "",
    revision: str | None = None,
    precision: str = "auto",
    mixed_precision: bool = False,
) -> Model:
    """Any sequence-to-sequence or causal model that `transformers` loads.

    Registered as "spacy-openner.Generator.v1".

    name (str): Directory or hub name; "" for the default weights of the package.
    revision (str | None): Commit or tag of a hub name.
    precision (str): "auto", "float32", "bfloat16", or "float16" on a GPU.
    mixed_precision (bool): Train with bfloat16 products.
    RETURNS (Model): Its weights are loaded at first use.
    RAISES (SettingError): For a value that is not allowed.
    """
    check(precision, "torch")
    return _model("generator", GeneratorShim(name, revision, cast(Precision, precision), mixed_precision))


def TypeMatcher_v1(
    name: str = "",
    revision: str | None = None,
    tok2vec: Model[list[Doc], list[Floats2d]] | None = None,
    pooling: str | None = None,
    mixed_precision: bool = False,
) -> Model[TypeRequest, Any]:
    """Score types against texts by the cosine of two vectors (ToNER, section 3.2).

    Registered as "spacy-openner.TypeMatcher.v1".

    name (str): What reads the types: a directory of a type matcher, a directory or hub name of a Hugging Face encoder,
        or "" for the package's default.
    revision (str | None): Commit or tag of a hub name.
    tok2vec (Model | None): What reads the texts: an embedding layer, or a listener to a `tok2vec` or `transformer`
        component, whose vectors are then computed once for all components; a projection of them has to be trained. None
        for what reads the types.
    pooling (str | None): What stands for a text: the "mean" of its subwords' vectors, as in the paper; or each of them,
        of which a type finds the best ("max"), since a type may be in one word of many. None for what the weights were
        trained with.
    mixed_precision (bool): Train with bfloat16 products.
    RETURNS (Model): Its weights are loaded at first use; with `tok2vec`, when it is initialised or loaded.
    RAISES (SettingError): For another pooling.
    """
    if pooling is not None and pooling not in POOLINGS:
        raise error("O001", name="pooling", value=pooling, allowed=", ".join(POOLINGS))
    return _model("type_matcher", TypeModel(name, revision, tok2vec is None, pooling, mixed_precision), tok2vec)


def _check_reader(
    precision: str, backend: str, words: str, window: int | None, overlap: int, max_types: int | None, min_window: int
) -> None:
    """Check the settings that models which read texts share. None stands for the model's own limit."""
    check(precision, backend)
    if words not in WORD_MODES:
        raise error("O001", name="words", value=words, allowed=", ".join(WORD_MODES))
    _check_number("overlap", overlap, 0)
    for name, value, least in (("window", window, min_window), ("max_types", max_types, 1)):
        if value is not None:
            _check_number(name, value, least)


def _check_number(name: str, value: Any, least: int, most: int | None = None) -> None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not whole or value < least or (most is not None and value > most):
        allowed = f"a whole number from {least}" + (f" to {most}" if most is not None else "")
        raise error("O001", name=name, value=value, allowed=allowed)


def _model(name: str, shim: ModelShim, tok2vec: Model | None = None) -> Model:
    check_config_text("name", shim.name)
    """Put a shim, and the layer of token vectors that it reads, into a thinc model."""
    layers, refs = ([tok2vec], {TOK2VEC: tok2vec}) if tok2vec is not None else ([], {})
    # `dropout_rate` is what thinc.api.set_dropout_rate looks for.
    return Model(name, _forward, layers=layers, refs=refs, attrs={"dropout_rate": 0.0}, shims=[shim])


def _forward(model: Model, inputs: Any, is_train: bool) -> tuple[Any, Any]:
    if is_train:
        model.shims[0].set_dropout(model.attrs["dropout_rate"])
    return model.shims[0](inputs, is_train)
