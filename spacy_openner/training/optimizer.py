"""An optimizer with a rate for each part of a network, and a schedule for it."""

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from thinc.api import Optimizer
from torch.optim.adamw import adamw

from ..errors import error

# The published recipe: 1e-5 for the pretrained encoder, 5e-5 for the new layers (GLiNER, section 3.2).
DEFAULT_SCALES = {"encoder.": 0.2, "label_encoder.": 0.2}


def LayerwiseAdam_v1(
    learn_rate: float | list[float] | Iterator[float] = 5e-5,
    scales: dict[str, float] | None = None,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    L2: float = 0.01,
    L2_is_weight_decay: bool = True,
    grad_clip: float = 10.0,
) -> "LayerwiseAdam":
    """AdamW whose rate depends on a parameter's name. Registered as "spacy-openner.LayerwiseAdam.v1".

    learn_rate (float | list[float] | Iterator[float]): Rate of the parameters that `scales` does not name.
    scales (dict[str, float] | None): Start of a parameter's name -> factor of its rate; the longest start
        counts, 0 leaves the parameter as it is. None for an encoder at a fifth of the rate of the new layers.
    beta1, beta2, eps: Of Adam.
    L2 (float): Weight decay, if `L2_is_weight_decay`; else added to the gradient.
    grad_clip (float): The largest norm of one parameter's gradient.
    RETURNS (Optimizer): For `[training.optimizer]`.
    RAISES (SettingError): For a rate or a factor that is not a number from 0.
    """
    if isinstance(learn_rate, int | float):
        _check_rate("learn_rate", learn_rate)
    return LayerwiseAdam(
        learn_rate,
        scales=DEFAULT_SCALES if scales is None else scales,
        beta1=beta1,
        beta2=beta2,
        eps=eps,
        L2=L2,
        L2_is_weight_decay=L2_is_weight_decay,
        grad_clip=grad_clip,
        use_averages=False,
    )


class LayerwiseAdam(Optimizer):
    """Implement `LayerwiseAdam_v1`. A parameter's key is (id of its layer, its name), as everywhere in thinc."""

    def __init__(self, learn_rate: Any, *, scales: Mapping[str, float], **settings: Any) -> None:
        super().__init__(learn_rate, **settings)
        for start, scale in scales.items():
            if isinstance(scale, bool) or not isinstance(scale, int | float) or not 0 <= scale < math.inf:
                raise error("O001", name=f"scales.{start}", value=scale, allowed="a number from 0")
        self.scales = dict(scales)

    def scale_of(self, name: str) -> float:
        """The factor of a parameter's rate."""
        starts = [start for start in self.scales if name.startswith(start)]
        return self.scales[max(starts, key=len)] if starts else 1.0

    def __call__(self, key: Any, weights: Any, gradient: Any, *, lr_scale: float = 1.0) -> tuple[Any, Any]:
        """Update one parameter."""
        scale = self.scale_of(key[1])
        if scale == 0:
            return weights, gradient * 0
        updated: tuple[Any, Any] = super().__call__(key, weights, gradient, lr_scale=lr_scale * scale)
        return updated

    def _adam(self, ops: Any, weights: Any, gradient: Any, lr_scale: float, key: Any, nr_upd: int) -> tuple[Any, Any]:
        """PyTorch's fused kernel on CPUs, eight times as fast as thinc's loop on 22 M parameters."""
        if not isinstance(weights, np.ndarray) or not weights.flags.c_contiguous or weights.dtype != np.float32:
            plain: tuple[Any, Any] = super()._adam(ops, weights, gradient, lr_scale, key, nr_upd)
            return plain
        for moments in (self.mom1, self.mom2):
            if key not in moments:
                moments[key] = np.zeros(weights.size, dtype=np.float32)
        flat = [weights, np.ascontiguousarray(gradient), self.mom1[key], self.mom2[key]]
        parameter, grad, first, second = (torch.from_numpy(array.reshape(-1)) for array in flat)
        adamw(
            [parameter],
            [grad],
            [first],
            [second],
            [],
            # The kernel counts the step itself.
            [torch.tensor(float(nr_upd - 1))],
            fused=True,
            amsgrad=False,
            beta1=self.b1,
            beta2=self.b2,
            lr=self.learn_rate * lr_scale,
            weight_decay=0.0,
            eps=self.eps,
            maximize=False,
        )
        return weights, gradient


def WarmupCosine_v1(
    initial_rate: float, warmup_steps: int, total_steps: int | str, final_rate: float = 0.0
) -> Iterator[float]:
    """Rise linearly, then fall along half a cosine. Registered as "spacy-openner.WarmupCosine.v1" (schedules).

    initial_rate (float): The highest rate, reached after the warm-up.
    warmup_steps (int): Steps of the rise.
    total_steps (int | str): Steps until `final_rate`, the warm-up included; the rate stays there afterwards. A variable
        of the config, such as "${training.max_steps}", has a value under `spacy train` alone: where a saved pipeline is
        trained on in Python, the rate stays at `initial_rate` instead.
    RETURNS (Iterator[float]): The rate of each step, without end.
    RAISES (SettingError): When the warm-up is not shorter than the whole, or for a rate that is not a number from 0.
    """
    _check_rate("initial_rate", initial_rate)
    _check_rate("final_rate", final_rate)
    if isinstance(total_steps, str):
        if not total_steps.startswith("${") or warmup_steps < 0:
            raise error("O001", name="total_steps", value=total_steps, allowed="a whole number")
        return _warmup_constant(initial_rate, warmup_steps)
    if not 0 <= warmup_steps < total_steps:
        raise error("O001", name="warmup_steps", value=warmup_steps, allowed=f"0 to {total_steps - 1} (total_steps)")
    return _warmup_cosine(initial_rate, warmup_steps, total_steps, final_rate)


def _check_rate(name: str, rate: float) -> None:
    if isinstance(rate, bool) or not 0 <= rate < math.inf:
        raise error("O001", name=name, value=rate, allowed="a number from 0")


def _warmup(high: float, steps: int) -> Iterator[float]:
    for step in range(steps):
        yield high * (step + 1) / (steps + 1)


def _warmup_constant(high: float, warmup: int) -> Iterator[float]:
    yield from _warmup(high, warmup)
    yield from itertools.repeat(high)


def _warmup_cosine(high: float, warmup: int, total: int, low: float) -> Iterator[float]:
    yield from _warmup(high, warmup)
    for step in itertools.count():
        done = min(step / (total - warmup), 1.0)
        yield low + (high - low) * 0.5 * (1 + math.cos(math.pi * done))
