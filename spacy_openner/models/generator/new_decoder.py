"""New generators: a decoder put on a pretrained encoder, or a network of any architecture from its config alone."""

from pathlib import Path
from typing import Any

from ...arguments import as_mapping, as_whole
from ...errors import error
from ...files import as_path
from ...nn.backbones import in_float32
from ...nn.sizes import check_numbers
from ..gliner.pretrained import encoder_for_head
from .checkpoint import share_embeddings
from .model import Generator, make_generator

# How the tags of GNER's answers begin (see `prompts.gner`).
TAGS = ("(O)", "(B-", "(I-")


def warm_started(encoder: str | Path, *, layers: int = 2) -> Generator:
    """Put a decoder on a pretrained BERT-like encoder.

    Its layers start as the encoder's last ones, their attention to the encoder as that to themselves, and its word
    vectors are the encoder's own.

    encoder (str | Path): A directory or hub name of a BERT that `transformers` loads, or the directory of a span
        model on one, whose encoder reads types already.
    layers (int): Of the decoder.
    RETURNS (Generator): An `EncoderDecoderModel`.
    RAISES (SettingError): For another kind of encoder, or more layers than it has.
    """
    from transformers import BertConfig, BertLMHeadModel, EncoderDecoderModel

    tokenizer, backbone = encoder_for_head(encoder)
    config = backbone.config
    if config.model_type != "bert":
        raise error("O001", name="encoder", value=str(encoder), allowed="a BERT-like encoder")
    as_whole(layers, "layers", 1, config.num_hidden_layers)
    _add_tags(tokenizer, backbone)
    own = {**config.to_dict(), "num_hidden_layers": layers, "is_decoder": True, "add_cross_attention": True}
    decoder = BertLMHeadModel(BertConfig(**own))
    decoder.bert.embeddings.load_state_dict(backbone.embeddings.state_dict())
    for new, old in zip(decoder.bert.encoder.layer, backbone.encoder.layer[-layers:], strict=True):
        new.load_state_dict(old.state_dict(), strict=False)
        # A random start costs the first updates: 51 F1 against 55 after 125, on CoNLL-2003.
        new.crossattention.load_state_dict(new.attention.state_dict())
    network = EncoderDecoderModel(encoder=backbone, decoder=decoder)
    network.config.shared_embeddings = True
    share_embeddings(network)
    ends = {
        "decoder_start_token_id": tokenizer.cls_token_id,
        "eos_token_id": tokenizer.sep_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    for name, value in ends.items():
        setattr(network.config, name, value)
        setattr(network.generation_config, name, value)
    return make_generator(network, tokenizer)


def from_config(config: dict[str, Any], tokenizer: str | Path) -> Generator:
    """Build a generator with random weights.

    config (dict[str, Any]): As in a `config.json`, `model_type` included.
    tokenizer (str | Path): A directory or hub name; its size outranks `vocab_size`.
    RETURNS (Generator): A sequence-to-sequence or causal model, whichever the type is.
    RAISES (SettingError): For a type that `transformers` does not know.
    """
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

    values = as_mapping(config, "config", "a mapping from the settings of a network to values, as in a config.json")
    name = str(as_path(tokenizer, "tokenizer"))
    try:
        new_tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    # Damaged files, and names that are none, fail in as many ways as there are releases.
    except Exception as problem:
        raise error("O124", name=name, reason=" ".join(str(problem).split())[:200]) from problem
    try:
        check_numbers(values)
        built = AutoConfig.for_model(values.pop("model_type", ""), **{**values, "vocab_size": len(new_tokenizer)})
        kind = AutoModelForSeq2SeqLM if built.is_encoder_decoder else AutoModelForCausalLM
        network = kind.from_config(built, **in_float32(), trust_remote_code=False)
    except Exception as problem:
        allowed = f"what transformers builds a network of ({' '.join(str(problem).split())[:200]})"
        raise error("O001", name="config", value=config, allowed=allowed) from problem
    return make_generator(network, new_tokenizer)


def _add_tags(tokenizer: Any, backbone: Any) -> None:
    """Make one subword each of "(O)", "(B-" and "(I-", with the word vectors of their letters.

    Answers take half the subwords then, and a tag is chosen where its word ends: what the network knows of the word is
    there at once, not two subwords earlier.
    """
    from tokenizers import AddedToken

    letters = tokenizer.convert_tokens_to_ids([tokenizer.tokenize(tag.strip("(-)"))[0] for tag in TAGS])
    tokenizer.add_tokens([AddedToken(tag, normalized=False) for tag in TAGS])
    backbone.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    vectors = backbone.get_input_embeddings().weight.data
    vectors[tokenizer.convert_tokens_to_ids(list(TAGS))] = vectors[letters]
