"""Low-rank adapters of a checkpoint: trained beside its encoder, kept apart from it, and exchanged at run time.

What lies behind the encoder (the head, the projection, the LSTM) is small and is trained whole, so that each set of
adapters has its own.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from ...errors import error
from ...nn import lora
from ...nn.weights import unusable
from .network import Network

HEAD_FILE = "head.safetensors"
FILES = (*lora.FILES, HEAD_FILE)
"""The files that `Adapters.save` writes."""
_ENCODERS = ("encoder.", "label_encoder.", "_short.")
# Notes in the head's file: names of the weights that the adapters stand beside, and of the adapters' own.
_BASE, _OWN = "base", "adapters"


def learns(name: str) -> bool:
    """Tell whether a parameter of a network with adapters is trained."""
    return lora.learns(name) or not name.startswith(_ENCODERS)


class Adapters:
    """The adapters of a network, by name, and which of them is in use.

    network (Network): As it was loaded; None stands for it in `use`.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        self.active: str | None = None
        self._heads: dict[str | None, dict[str, Tensor]] = {None: _head_of(network)}

    @property
    def names(self) -> list[str]:
        """Names that `use` takes."""
        return [name for name in self._heads if name is not None]

    def add(self, name: str, options: Mapping[str, Any]) -> None:
        """Add adapters that change nothing yet, and use them; see `nn.lora.adapt`."""
        if name not in self._heads:
            lora.adapt(self.network.encoder, options, name)
            self._heads[name] = _head_of(self.network)
        self.use(name)

    def load(self, name: str, path: Path) -> None:
        """Add adapters that `save` wrote, and use them.

        RAISES (CheckpointError): When they cannot be read or are of another network.
        """
        if name in self._heads:
            raise error("O001", name="name", value=name, allowed="a name that no adapters have yet")
        try:
            with safe_open(path / HEAD_FILE, framework="pt") as source:
                head = {key: source.get_tensor(key) for key in source.keys()}  # noqa: SIM118
                notes = source.metadata() or {}
            self._check(head, notes, path)
        except Exception as problem:
            raise error("O125", path=str(path), reason=f"{type(problem).__name__}: {problem}") from problem
        own = self._heads[None]
        if {key: value.shape for key, value in head.items()} != {key: value.shape for key, value in own.items()}:
            raise error("O125", path=str(path), reason=f"{HEAD_FILE} has other tensors than this model's head")
        lora.load(self.network.encoder, name, path)
        self._heads[name] = head
        self.use(name)

    def _check(self, head: Mapping[str, Tensor], notes: Mapping[str, str], path: Path) -> None:
        """Check that a head is one, and was saved with the adapters beside it, for the weights that are here.

        RAISES (ValueError): Else it, or they, would find anything, without a word.
        """
        if bad := unusable(head):
            raise ValueError(f"its weights are no finite numbers in {bad[:3]}")
        if _BASE in notes and notes[_BASE] != _base_of(self.network):
            raise ValueError("they were trained beside other weights than these")
        if _OWN in notes and notes[_OWN] != _hash_of(path / lora.WEIGHTS_FILE):
            raise ValueError(f"{lora.WEIGHTS_FILE} is not the one that {HEAD_FILE} was saved with")

    def use(self, name: str | None) -> None:
        """Predict and train with the adapters of a name, or with the weights alone.

        RAISES (SettingError): For a name that is not there.
        """
        if name is not None and name not in self._heads:
            raise error("O001", name="name", value=name, allowed=", ".join(map(repr, self.names)) or "None")
        self._heads[self.active] = _head_of(self.network)
        lora.use(self.network.encoder, name)
        self.network.load_state_dict(self._heads[name], strict=False)
        self.active = name

    def save(self, path: Path) -> None:
        """Write the adapters in use, and what they have of the network, into a directory that is there.

        RAISES (SettingError): When none are.
        """
        if self.active is None:
            raise error("O001", name="name", value=None, allowed="adapters in use: train with `lora`, or load some")
        lora.save(self.network.encoder, self.active, path)
        notes = {_BASE: _base_of(self.network), _OWN: _hash_of(path / lora.WEIGHTS_FILE)}
        save_file(_head_of(self.network), path / HEAD_FILE, metadata=notes)


def _base_of(network: Network) -> str:
    """Return a name of the weights that are not trained beside adapters."""
    state = network.state_dict()
    return lora.base_fingerprint({key: value for key, value in state.items() if key.startswith(_ENCODERS[:2])})


def _hash_of(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16]


def _head_of(network: Network) -> dict[str, Tensor]:
    state = network.state_dict()
    return {key: value.detach().clone() for key, value in state.items() if not key.startswith(_ENCODERS)}
