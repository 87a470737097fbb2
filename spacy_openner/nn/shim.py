"""The base of all models' shims: the one place where PyTorch networks become part of thinc models.

A network is loaded at first use. What is trained and saved is in float32; what predicts may be derived from it. All of
it survives forks, pickling and copies.
"""

import os
import threading
from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from thinc.api import Model, Optimizer
from thinc.shims import PyTorchShim
from thinc.util import torch2xp, xp2torch
from typing_extensions import Self

from ..errors import error
from . import memory
from .packing import pack, unpack
from .tok2vec import TOK2VEC


@runtime_checkable
class LayerwiseOptimizer(Protocol):
    """An optimizer whose rates depend on parameters' names."""

    def scale_of(self, name: str) -> float:
        """Return the factor of a parameter's rate; 0 for one that is not trained."""
        ...


class ModelShim(PyTorchShim):
    """Base of the shims. A subclass reads and writes its files (`read`, `write`), scores (`predict`, `begin_update`)
    and says what is made anew in another process (`_renew`).

    name (str): Directory or hub name of the weights, loaded at first use.
    revision (str | None): Commit or tag of a hub name.
    mixed_precision (bool): Train with bfloat16 products (`nn.mixed_precision`); weights stay float32.
    """

    TRANSIENT: ClassVar[tuple[str, ...]] = ()
    """Attributes that no copy and no other process can share, beside the lock; `_renew` makes them."""

    def __init__(self, name: str, revision: str | None, mixed_precision: bool = False) -> None:
        super().__init__(None)
        self.name, self.revision = name, revision
        self.mixed_precision = mixed_precision
        self._renew()

    def _renew(self) -> None:
        """Make what belongs to one process alone."""
        self.lock = threading.RLock()
        self._process = os.getpid()

    def _enter_process(self) -> None:
        """Renew the shim in a forked process. To be called before anything predicts."""
        if self._process != os.getpid():
            # Thread pools of OpenMP and ONNX Runtime do not survive a fork: a parallel region would wait for ever. A
            # lock may have been held by a thread that did not survive either.
            torch.set_num_threads(1)
            self._renew()

    @property
    def is_loaded(self) -> bool:
        """Tell whether the weights are there."""
        return self._model is not None

    @abstractmethod
    def write(self, path: Path) -> None:
        """Write the weights, and what belongs to them, into a directory that is there."""

    @abstractmethod
    def read(self, path: Path) -> None:
        """Read what `write` wrote."""

    def to_device(self, device_type: str, device_id: int) -> None:
        """Move the weights, if they are there."""
        if self.is_loaded:
            super().to_device(device_type, device_id)

    def save(self, model: Model, path: Path) -> None:
        """Write all that predicting needs.

        model (Model): The model that the shim is part of. A layer of token vectors of its own is written, too.
        path (Path): A directory; made if it is missing.
        """
        path.mkdir(parents=True, exist_ok=True)
        self._write_all(model, path)

    def load(self, model: Model, path: Path) -> None:
        """Read what `save` wrote.

        RAISES (CheckpointError): When a file is missing or damaged.
        """
        if model.has_ref(TOK2VEC):
            try:
                model.get_ref(TOK2VEC).from_bytes((path / TOK2VEC).read_bytes())
            # thinc's layers fail in as many ways as there are of them.
            except Exception as problem:
                reason = f"{type(problem).__name__}: {problem}"
                raise error("O105", path=str(path / TOK2VEC), reason=reason) from problem
        self.read(path)

    def pack(self, model: Model) -> bytes:
        """Put what `save` writes into one object.

        RAISES (CheckpointError): When a file passes the limit of msgpack: use `to_disk` then.
        """
        return pack(lambda path: self._write_all(model, path))

    def unpack(self, model: Model, data: bytes) -> None:
        """Read what `pack` returned.

        RAISES (CheckpointError): For other bytes.
        """
        unpack(data, lambda path: self.load(model, path))

    def _write_all(self, model: Model, path: Path) -> None:
        self.write(path)
        if model.has_ref(TOK2VEC):
            (path / TOK2VEC).write_bytes(model.get_ref(TOK2VEC).to_bytes())

    def to_bytes(self) -> bytes:
        """Pack the shim alone, as thinc's models do."""
        return pack(self.write)

    def from_bytes(self, bytes_data: bytes) -> Self:
        """Read what `to_bytes` packed."""
        unpack(bytes_data, self.read)
        return self

    def apply_gradients(
        self, network: torch.nn.Module, optimizer: Optimizer, learns: Callable[[str], bool] = lambda name: True
    ) -> None:
        """Update a network's parameters. What is left alone needs no gradient any more.

        learns (Callable[[str], bool]): Tells whether a parameter of a name is trained, if the optimizer agrees.
        """
        for name, parameter in network.named_parameters():
            scale = optimizer.scale_of(name) if isinstance(optimizer, LayerwiseOptimizer) else 1.0
            parameter.requires_grad_(learns(name) and scale > 0)
            if parameter.grad is not None and parameter.requires_grad:
                values, gradient = torch2xp(parameter.data), torch2xp(parameter.grad)
                updated, _ = optimizer((self.id, name), values, gradient)
                # An array that was updated in place is still the parameter's: wrapping it anew at every update would
                # build an endless chain of wrappers.
                if updated is not values:
                    parameter.data = xp2torch(updated, device=parameter.device)
            parameter.grad = None
        memory.after_update()

    def __getstate__(self) -> dict[str, Any]:
        left = ("lock", *self.TRANSIENT)
        return {key: value for key, value in self.__dict__.items() if key not in left}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._renew()
