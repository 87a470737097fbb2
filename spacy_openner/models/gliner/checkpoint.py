"""Read and write checkpoints of the GLiNER family: `gliner_config.json`, weights, tokenizer files.

What is saved here, the `gliner` package loads, and the other way round. The kind of a checkpoint is decided
from its own keys and shapes; its config is only asked for what the weights cannot tell.
"""

import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch

from ...errors import error, warn
from ...nn.backbones import build_encoder, check_ids, hidden_size, load_tokenizer
from ...nn.weights import KeyTable, load_strictly, part_of, read_weights, rename, write_weights
from .. import splitters
from ..words import WordMode
from .config import CONFIG_FILE, MAX_TYPES, read_config
from .fixed_types import check_fixed_types, fixed_types
from .network import POOLINGS, Head, Network
from .span_head import MarkerHead, MarkerV0Head, MarkerV1Head
from .token_head import TokenHead
from .tokenization import PromptTokenizer
from .windows import WindowPlanner

LABELS_TOKENIZER = "labels_tokenizer"
PLAIN_SPLITTER = "whitespace"

# Published name <-> name in `Network`, by prefix; read in either direction.
SPAN_KEYS = (
    ("span_rep_layer.span_rep_layer.project_start.", "head.start."),
    ("span_rep_layer.span_rep_layer.project_end.", "head.end."),
    ("span_rep_layer.span_rep_layer.project_first.", "head.first."),
    ("span_rep_layer.span_rep_layer.out_project.", "head.out."),
    ("prompt_rep_layer.", "head.prompt."),
)
TOKEN_KEYS = (
    ("scorer.proj_token.", "head.token."),
    ("scorer.proj_label.", "head.label."),
    ("scorer.out_mlp.", "head.out."),
    ("prompt_rep_layer.", "head.prompt."),
)
SHARED_KEYS = (
    ("token_rep_layer.bert_layer.model.", "encoder."),
    ("token_rep_layer.projection.", "projection."),
    ("token_rep_layer.labels_encoder.model.", "label_encoder."),
    ("token_rep_layer.labels_projection.", "label_projection."),
    ("rnn.lstm.", "lstm."),
    ("precomputed_prompts", "fixed_types"),
)
UNSUPPORTED_KEYS = (
    ("cross_fuser.", "it fuses texts and labels by cross attention (post_fusion_schema)"),
    (
        "token_rep_layer.bert_layer.layers_fuser.",
        "it fuses layers (fuse_layers), so padding would change scores",
    ),
    ("token_rep_layer.decoder_layer.", "it streams through a causal decoder"),
    ("span_rep_layer.span_rep_layer.project_context.", "its span mode is markerV2"),
    ("span_rep_layer.context_encoder.", "it has a second encoder over words (span_encoder_config)"),
)
OTHER_TASKS = (
    ("decoder.", "a decoder that generates names of types"),
    ("_enc2dec_proj.", "a decoder that generates names of types"),
    ("relations_rep_layer.", "relations"),
    ("triples_score_layer.", "relations"),
    ("pair_rep_layer.", "relations"),
    ("precomputed_rel_prompts", "relations"),
)
"""Parts that entities do not need, and what they do. They are kept, and saved again."""


@dataclass
class Checkpoint:
    """A loaded checkpoint: everything that prediction needs, and everything that saving writes.

    config: The content of `gliner_config.json`, as found.
    network: The network, float32, on the CPU, in evaluation mode.
    tokenizer: The fast tokenizer of the text encoder, markers included.
    entity_id, separator_id: Ids of the markers in the prompt; -1 in a bi-encoder, whose input has none.
    labels_tokenizer: The tokenizer of a bi-encoder's second encoder.
    other_tasks: Weights of other tasks than entities, by published name.
    """

    config: dict[str, Any]
    network: Network
    tokenizer: Any
    entity_id: int = -1
    separator_id: int = -1
    labels_tokenizer: Any = None
    other_tasks: dict[str, torch.Tensor] = field(default_factory=dict)

    @property
    def max_types(self) -> int | None:
        """The types in one prompt that it is trained with, where its files say so; others are split."""
        most: int | None = self.config.get(MAX_TYPES)
        return most

    @property
    def max_words(self) -> int:
        """The most words that a window shows."""
        return int(self.config.get("max_len") or 384)

    @property
    def embed_marker(self) -> bool:
        """True if a type's vector stands at its marker, or else at the subword after it."""
        return self.config.get("embed_ent_token") is not False

    @property
    def is_bi_encoder(self) -> bool:
        """True if types are encoded apart from texts."""
        return self.network.label_encoder is not None

    @property
    def fixed_types(self) -> tuple[str, ...]:
        """The types that it knows vectors of, instead of reading them in prompts; empty where it reads them."""
        return fixed_types(self.config)

    @property
    def word_mode(self) -> WordMode:
        """The words that it is trained with, or those of the plain splitter where that of its own is not there."""
        name = splitters.named(self.splitter)
        return cast(WordMode, name) if name is not None and splitters.is_available(name) else "gliner"

    @property
    def splitter(self) -> str:
        """The published name of the splitter that it is trained with."""
        return str(self.config.get("words_splitter_type") or PLAIN_SPLITTER)

    def planner(self, limit: int, overlap: int, max_types: int | None) -> WindowPlanner:
        """Make what lays windows over texts; see `WindowPlanner`.

        limit (int): The most subwords in a window.
        max_types (int | None): The most types in a prompt; the checkpoint's own number if None.
        """
        tokenizer = PromptTokenizer(
            self.tokenizer,
            limit,
            entity_id=self.entity_id,
            separator_id=self.separator_id,
            embed_marker=self.embed_marker,
            max_types=max_types or self.max_types,
            separators=2 if finds_relations(self.config) and not self.fixed_types else 1,
            asks_types=not self.fixed_types,
        )
        return WindowPlanner(tokenizer, self.max_words, overlap, self.network.pooling)

    def save(self, path: Path) -> None:
        """Write the checkpoint; see `save`."""
        save(self, path)


def load(path: Path) -> Checkpoint:
    """Load a checkpoint from a directory.

    path (Path): Holds `gliner_config.json` and weights; tokenizer files and the backbone's config may be
        missing, and are then loaded by the name that the config gives.
    RETURNS (Checkpoint): In float32, whatever the files hold.
    RAISES (CheckpointError): When files are missing, damaged, of an unsupported kind, or do not fit.
    """
    config = read_config(path)
    weights = read_weights(path)
    refuse_unsupported(path, config, weights)
    other_tasks = split_other_tasks(path, config, weights)
    known = check_fixed_types(path, config, weights)
    weights = rename(weights, key_table(weights), to_network=True)
    encoder = build_encoder(path, config, "encoder_config", "model_name", part_of(weights, "encoder."))
    label_encoder = None
    if of_labels := part_of(weights, "label_encoder."):
        label_encoder = build_encoder(path, config, "labels_encoder_config", "labels_encoder", of_labels)
    network = Network(
        encoder,
        build_head(path, config, weights),
        hidden_size(encoder),
        lstm_layers=sum("weight_ih" in key and "reverse" not in key for key in weights if key.startswith("lstm.")),
        label_encoder=label_encoder,
        label_width=hidden_size(label_encoder) if label_encoder is not None else 0,
        pooling=config.get("subtoken_pooling") or "first",
        fixed_types=known,
    )
    load_strictly(path, network, weights)
    tokenizer = load_tokenizer(path, path, config.get("model_name"))
    checkpoint = Checkpoint(config, network.eval(), tokenizer, other_tasks=other_tasks)
    if checkpoint.splitter != PLAIN_SPLITTER and checkpoint.word_mode == "gliner":
        name = splitters.named(checkpoint.splitter)
        install = "" if name is None else f"install {splitters.package_of(name)} and set words = 'gliner', or "
        warn("W122", path=str(path), splitter=checkpoint.splitter, install=install)
    if label_encoder is not None:
        checkpoint.labels_tokenizer = load_tokenizer(path, path / LABELS_TOKENIZER, config.get("labels_encoder"))
        check_ids(path / LABELS_TOKENIZER, checkpoint.labels_tokenizer, label_encoder)
    else:
        set_markers(path, checkpoint, network.encoder.get_input_embeddings().num_embeddings)
    check_ids(path, checkpoint.tokenizer, encoder)
    return checkpoint


def save(checkpoint: Checkpoint, path: Path, *, dtype: torch.dtype | None = None) -> None:
    """Write a checkpoint so that this package and `gliner` can load it with no network.

    checkpoint (Checkpoint): What to write.
    path (Path): The directory; made if missing.
    dtype (torch.dtype | None): Floating-point type on disk; float32 if None.
    """
    path.mkdir(parents=True, exist_ok=True)
    weights = checkpoint.network.state_dict()
    own = rename(weights, key_table(weights), to_network=False)
    write_weights(path, {**own, **checkpoint.other_tasks}, dtype)
    (path / CONFIG_FILE).write_text(json.dumps(complete_config(checkpoint), indent=2) + "\n", encoding="utf8")
    checkpoint.tokenizer.save_pretrained(path)
    if checkpoint.labels_tokenizer is not None:
        checkpoint.labels_tokenizer.save_pretrained(path / LABELS_TOKENIZER)


def complete_config(checkpoint: Checkpoint) -> dict[str, Any]:
    """Fill in what a loader would otherwise have to fetch or guess: backbones, marker ids, sizes.

    RETURNS (dict): JSON content of `gliner_config.json`.
    """
    network = checkpoint.network
    config = {
        **checkpoint.config,
        "hidden_size": network.head.width,
        "num_rnn_layers": network.lstm.num_layers if network.lstm is not None else 0,
        "encoder_config": _portable(network.encoder.config),
    }
    for key in ("model_name", "labels_encoder"):
        if config.get(key):
            config[key] = _public_name(config[key])
    if network.label_encoder is not None:
        config["labels_encoder_config"] = _portable(network.label_encoder.config)
    else:
        config["class_token_index"] = checkpoint.entity_id
        config["vocab_size"] = network.encoder.get_input_embeddings().num_embeddings
    return config


def _public_name(name: str) -> str:
    """Keep a hub's name, and of a local path its last part: the rest says where somebody keeps what."""
    # Of a file, so that it may be no path at all.
    path = os.path.expanduser(name)
    is_there = os.path.isabs(path) or os.path.exists(path)
    is_local = is_there or name.count("/") > 1 or name.startswith((".", "~")) or "\\" in name
    return re.split(r"[/\\]", name.rstrip("/\\"))[-1] if is_local else name


def _portable(config: Any) -> dict[str, Any]:
    """Return a backbone's config without the path that it came from, which means nothing elsewhere."""
    return {key: value for key, value in config.to_dict().items() if key != "_name_or_path"}


def refuse_unsupported(path: Path, config: dict[str, Any], weights: Iterable[str]) -> None:
    """Refuse by name what other members of the family can do and this network cannot.

    RAISES (CheckpointError): With the reason.
    """
    for prefix, reason in UNSUPPORTED_KEYS:
        if any(key.startswith(prefix) for key in weights):
            raise error("O103", path=str(path), reason=reason)
    pooling = config.get("subtoken_pooling") or "first"
    if pooling not in POOLINGS:
        raise error("O103", path=str(path), reason=f"its subtoken_pooling is {pooling!r}")
    if config.get("decoder_mode") == "prompt":
        raise error("O103", path=str(path), reason="it generates its types (decoder_mode 'prompt'), and takes none")
    if config.get("represent_spans"):
        raise error("O103", path=str(path), reason="it scores spans on top of tokens (represent_spans)")


def finds_relations(config: dict[str, Any]) -> bool:
    """Tell whether a checkpoint finds relations too; its prompts have a part for them, which is empty here."""
    return config.get("relations_layer") is not None


def split_other_tasks(path: Path, config: dict[str, Any], weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Take the weights of other tasks out of those of a checkpoint, and say what is left out.

    weights (dict[str, torch.Tensor]): By published name; those of other tasks are removed.
    RETURNS (dict[str, torch.Tensor]): Those of other tasks.
    """
    tasks = {task for prefix, task in OTHER_TASKS if any(key.startswith(prefix) for key in weights)}
    prefixes = [prefix for prefix, _ in OTHER_TASKS]
    if not config.get("precomputed_prompts_mode"):
        # Prompts are read then, and the vectors wait for the mode to be turned on again.
        prefixes.append("precomputed_prompts")
    if finds_relations(config):
        tasks.add("relations")
        # A token-level head scores entities; the vectors of spans are for relations alone.
        prefixes += ["span_rep_layer."] if any(key.startswith("scorer.") for key in weights) else []
    if tasks:
        warn("W121", path=str(path), tasks=" and ".join(sorted(tasks)))
    return {key: weights.pop(key) for key in list(weights) if key.startswith(tuple(prefixes))}


def key_table(weights: Iterable[str]) -> KeyTable:
    """Choose the table for some weights, by either's names."""
    is_token_level = any(key.startswith(("scorer.", "head.token.")) for key in weights)
    return SHARED_KEYS + (TOKEN_KEYS if is_token_level else SPAN_KEYS)


def build_head(path: Path, config: dict[str, Any], weights: dict[str, torch.Tensor]) -> Head:
    """Build the head that the weights were made for, with random values.

    RAISES (CheckpointError): When the shapes are those of no known head.
    """
    dropout = _given(config.get("dropout"), 0.4)
    names = ("head.token.weight", "head.out.weight", "head.out.3.weight")
    if any(weights[name].ndim != 2 for name in names if name in weights):
        raise error("O104", path=str(path), missing="nothing", unknown="a head of other than two dimensions")
    if "head.token.weight" in weights:
        has_type_network = "head.prompt.0.weight" in weights
        return TokenHead(weights["head.token.weight"].shape[1], dropout, has_type_network=has_type_network)
    max_width = _given(config.get("max_width"), 12)
    if "head.out.weight" in weights:
        return MarkerHead(weights["head.out.weight"].shape[0], max_width, dropout)
    if "head.out.3.weight" in weights:
        kind = MarkerV1Head if "head.first.0.weight" in weights else MarkerV0Head
        return kind(weights["head.out.3.weight"].shape[0], max_width, dropout)
    raise error("O103", path=str(path), reason=f"span_mode {config.get('span_mode')!r} has another head")


def _given(value: Any, default: Any) -> Any:
    return default if value is None else value


def set_markers(path: Path, checkpoint: Checkpoint, rows: int) -> None:
    """Find the marker ids, adding the markers to a tokenizer without them.

    Two conventions exist: older releases added [FLERT], <<ENT>> and <<SEP>>, newer models have no [FLERT].
    The number of rows in the embedding tells which one a bare tokenizer needs.

    RAISES (CheckpointError): When the sizes allow neither.
    """
    config, tokenizer = checkpoint.config, checkpoint.tokenizer
    entity, separator = config.get("ent_token") or "<<ENT>>", config.get("sep_token") or "<<SEP>>"
    if entity not in tokenizer.get_vocab():
        markers = {3: ["[FLERT]", entity, separator], 2: [entity, separator]}.get(rows - len(tokenizer))
        if markers is None:
            raise error("O106", path=str(path), known=len(tokenizer), marker=entity, rows=rows)
        tokenizer.add_tokens(markers, special_tokens=True)
    checkpoint.entity_id = tokenizer.convert_tokens_to_ids(entity)
    checkpoint.separator_id = tokenizer.convert_tokens_to_ids(separator)
