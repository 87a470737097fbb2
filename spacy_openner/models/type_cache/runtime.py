"""Type-cache networks ready to predict: on a device, in a precision, by a backend."""

from dataclasses import dataclass

import torch
from thinc.util import get_torch_default_device
from torch import Tensor

from ...nn.onnx import ExportedFiles
from ...nn.precision import Precision, prepared, resolve
from ..gliner.runtime import Backend
from .network import AskedTypes, Encode, TextBatch, TypeCacheNetwork
from .onnx_encoder import OnnxTextEncoder


@dataclass(frozen=True)
class TypeCacheRuntime:
    """A network ready to predict; `encode` stands in for its own `encode_texts` where that is not None."""

    network: TypeCacheNetwork
    encode: Encode | None

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
        return cls(prepared(network, resolve(precision, device), device), None)

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.network.parameters()).device

    def represent(self, batch: TextBatch, types: AskedTypes) -> tuple[Tensor, Tensor]:
        """Compute the vectors of words and types; see `TypeCacheNetwork.represent`."""
        return self.network.represent(batch.to(self.device), types, self.encode)
