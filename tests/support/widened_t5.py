"""T5s of published sizes that compute what a small one does."""

import math

import torch
from transformers import T5Config, T5ForConditionalGeneration

UNKNOWN = 2


def widened(network: T5ForConditionalGeneration, sizes: dict[str, int]) -> T5ForConditionalGeneration:
    """Build a larger T5 that computes the same: all that is new is 0, and added layers add nothing.

    network (T5ForConditionalGeneration): With tied word vectors, heads as wide as those of `sizes`.
    sizes (dict[str, int]): Settings of the larger one's config.
    RETURNS (T5ForConditionalGeneration): The larger one.
    """
    layers = {"num_decoder_layers": sizes["num_layers"]}
    wide = T5ForConditionalGeneration(T5Config(**{**network.config.to_dict(), **sizes, **layers})).eval()
    growth = math.sqrt(wide.config.d_model / network.config.d_model)
    new = wide.state_dict()
    with torch.no_grad():
        for tensor in new.values():
            tensor.zero_()
        for name, old in network.state_dict().items():
            new[name][tuple(map(slice, old.shape))] = old
            # A norm divides by the root of the mean square, which zeros make smaller; so is the factor of tied vectors.
            if name.endswith("layer_norm.weight") and name != "decoder.final_layer_norm.weight":
                new[name] /= growth
        # Subwords that no tokenizer has are as likely as what is unknown.
        new["shared.weight"][network.config.vocab_size :] = new["shared.weight"][UNKNOWN]
    return wide
