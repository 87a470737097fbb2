"""Convert between plain tensors and the cache objects of `transformers`, whose form changes with its releases.

Only what all supported releases have is used: a `DynamicCache` is filled by `update`, and read by its layers, or by its
two lists before there were layers.
"""

from inspect import signature
from typing import Any

from torch import Tensor, nn

from .decoder_cache import LayerStates


def to_dynamic_cache(layers: LayerStates | None, part: int = 0) -> Any:
    """Return a cache of the keys and values of each layer, without any where there are none.

    part (int): Index of the keys among a layer's states.
    """
    from transformers import DynamicCache

    cache = DynamicCache()
    for i, states in enumerate(layers or ()):
        cache.update(states[part], states[part + 1], i)
    return cache


def to_encoder_decoder_cache(layers: LayerStates | None) -> Any:
    """Return a cache for a decoder with an encoder; see `to_dynamic_cache`."""
    from transformers import EncoderDecoderCache

    return EncoderDecoderCache(to_dynamic_cache(layers), to_dynamic_cache(layers, 2))


def cache_argument(network: nn.Module, cache: Any) -> dict[str, Any]:
    """Return a cache as the argument that a network takes it by."""
    name = "cache" if "cache" in signature(network.forward).parameters else "past_key_values"
    return {name: cache}


def returned_states(out: Any) -> LayerStates:
    """Return the states of the cache that a network's output holds, by its new or its old name."""
    cache = getattr(out, "cache", None)
    return to_layer_states(out.past_key_values if cache is None else cache)


def to_layer_states(cache: Any) -> LayerStates:
    """Return the states of a cache that a network returned.

    cache (Any): A `DynamicCache`, an `EncoderDecoderCache`, or the tuples of older decoders.
    """
    if isinstance(cache, tuple):
        return cache
    if hasattr(cache, "cross_attention_cache"):
        own, crossed = to_layer_states(cache.self_attention_cache), to_layer_states(cache.cross_attention_cache)
        return tuple((*a, *b) for a, b in zip(own, crossed, strict=True))
    if hasattr(cache, "layers"):
        return tuple((_states(layer.keys), _states(layer.values)) for layer in cache.layers)
    return tuple(zip(cache.key_cache, cache.value_cache, strict=True))


def _states(value: Tensor | None) -> Tensor:
    assert value is not None
    return value


def bert_cache(layers: LayerStates | None) -> Any:
    """Return a cache for BERT's decoder, which took tuples for as long as caches could be made of them."""
    from transformers import EncoderDecoderCache

    return layers if hasattr(EncoderDecoderCache, "from_legacy_cache") else to_encoder_decoder_cache(layers)
