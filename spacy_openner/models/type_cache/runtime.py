"""Type-cache networks ready to predict: on a device, in a precision, by a backend."""

from dataclasses import dataclass

import torch
from thinc.util import get_torch_default_device
from torch import Tensor

from ...nn.backbones import subword_limit
from ...nn.onnx import ExportedFiles
from ...nn.precision import Precision, prepared, resolve
from ..gliner.runtime import Backend
from .encoders.base import TEXT_START
from .network import Encode, TypeCacheNetwork
from .onnx_encoder import OnnxTextEncoder
from .states import AskedTypes, TextBatch

# In bfloat16, oneDNN compiles kernels of its own for each length of text, and keeps them: 690 MB after 650 texts by
# themselves and in batches, 220 MB with lengths in steps of 8, at the same speed; steps of 16 take a tenth longer.
STEP = 8


@dataclass(frozen=True)
class TypeCacheRuntime:
    """A network ready to predict.

    encode: Stands in for the network's own `encode_texts` where it is not None.
    step: Lengths of batches are padded to a multiple of this.
    """

    network: TypeCacheNetwork
    encode: Encode | None
    step: int = 1

    @classmethod
    def build(
        cls, network: TypeCacheNetwork, precision: Precision, backend: Backend, exported: ExportedFiles
    ) -> "TypeCacheRuntime":
        """Prepare a network. With "onnx", types and all behind the encoder stay in PyTorch, in float32.

        network (TypeCacheNetwork): In float32, in evaluation mode; it stays so.
        exported (ExportedFiles): Where exported encoders are kept, and looked for first.
        """
        if backend == "onnx":
            int8 = precision == "int8"
            files = exported.directory(network.encoder, int8=int8)
            return cls(network, OnnxTextEncoder(network, files, int8=int8))
        device = get_torch_default_device()
        resolved = resolve(precision, device)
        step = STEP if resolved == "bfloat16" and device.type == "cpu" else 1
        return cls(prepared(network, resolved, device), None, step)

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.network.parameters()).device

    def represent(self, batch: TextBatch, types: AskedTypes) -> tuple[Tensor, Tensor]:
        """Compute the vectors of words and types; see `TypeCacheNetwork.represent`. Padding may join the words."""
        if self.step > 1:
            longest = subword_limit(self.network.encoder.config) - (TEXT_START - 1)
            batch = batch.padded(self.step, longest)
        return self.network.represent(batch.to(self.device), types, self.encode)
