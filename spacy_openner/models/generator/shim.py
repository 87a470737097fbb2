"""A generator as part of a thinc model: loaded at first use, run in a chosen precision, trained and saved."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from thinc.api import Optimizer
from thinc.util import get_torch_default_device
from torch import nn

from ...errors import error, warn
from ...nn import hub, lora
from ...nn.dropout import set_dropout
from ...nn.mixed_precision import mixed_precision
from ...nn.precision import Precision, prepared, resolve
from ...nn.shim import ModelShim
from ...nn.weights import unusable
from .checkpoint import load, save
from .model import Generator
from .training import BatchOutputs, GeneratorBatch

# Not called "model...": what is called so are the network's own weights.
CLASSIFIER_FILE = "type_classifier.safetensors"


class GeneratorShim(ModelShim):
    """A generative model as part of a thinc model.

    name (str): Directory or hub name; "" for the default weights of the package.
    revision (str | None): Commit or tag of a hub name.
    precision (str): See `nn.precision`.
    mixed_precision (bool): Train with bfloat16 products (`nn.mixed_precision`); weights stay float32.
    """

    TRANSIENT: ClassVar[tuple[str, ...]] = ("_runtime",)

    def __init__(self, name: str, revision: str | None, precision: Precision, mixed_precision: bool = False) -> None:
        super().__init__(name, revision, mixed_precision)
        self.precision = precision
        self._generator: Generator | None = None
        # An aid of training alone; see `add_type_classifier`.
        self.classifier: nn.Linear | None = None

    def _renew(self) -> None:
        super()._renew()
        self._runtime: Generator | None = None

    @property
    def generator(self) -> Generator:
        """The model in float32, loaded now if it was not."""
        with self.lock:
            if self._generator is None:
                self.use(load(hub.find(self.name, self.revision, hub.GENERATOR)))
            assert self._generator is not None
            return self._generator

    def use(self, generator: Generator) -> None:
        """Take a model, replacing what was there."""
        with self.lock:
            if not generator.chunks.independent:
                warn("W010", kind=type(generator.tokenizer).__name__)
            self._generator, self._model, self._runtime = generator, generator.network, None

    @property
    def runtime(self) -> Generator:
        """The model that predicts, in the wanted precision; made now if it was not, and anew in a forked process."""
        self._enter_process()
        with self.lock:
            if self._runtime is None:
                generator, device = self.generator, get_torch_default_device()
                network = prepared(generator.network.eval(), resolve(self.precision, device), device)
                self._runtime = Generator(network, generator.tokenizer, generator.chunks)
            return self._runtime

    def begin_update(self, inputs: GeneratorBatch) -> tuple[BatchOutputs, Callable[[BatchOutputs], None]]:
        """Score the targets of a batch for training.

        RETURNS (tuple[BatchOutputs, Callable[[BatchOutputs], None]]): The network's outputs, and a callback that takes
            the gradients of the loss by them.
        """
        generator = self.generator
        generator.network.train()
        self._runtime = None
        with mixed_precision(self.device, self.mixed_precision):
            outputs = inputs.forward(generator, self.classifier)
        return outputs, lambda gradients: torch.autograd.backward(outputs.tensors(), gradients.tensors())

    def add_type_classifier(self, n_types: int) -> None:
        """Train from now on, beside the answers, a classifier of the types that a prompt's text holds.

        It reads the mean of the encoder's states (ToNER, section 3.3). A classifier that is there already, of as many
        types, goes on being trained.

        RAISES (SettingError): O001, for a causal model, which has no encoder.
        """
        generator = self.generator
        if generator.causal:
            allowed = "0 for a causal model, which has no encoder"
            raise error("O001", name="type_classification_weight", value="on", allowed=allowed)
        if self.classifier is None or self.classifier.out_features != n_types:
            with torch.inference_mode():
                pooled = generator.start_decoder(*generator.encode_prompts(["a"])).pooled
            self.classifier = nn.Linear(pooled.shape[1], n_types, device=generator.network.device)

    def adapt(self, options: Mapping[str, Any]) -> None:
        """Train adapters instead of the weights from now on; see `nn.lora.adapt`."""
        lora.adapt(self.generator.network, options)

    def set_dropout(self, rate: float) -> None:
        """Set the rate of all dropout layers."""
        set_dropout(self.generator.network, rate)

    def finish_update(self, optimizer: Optimizer) -> None:
        """Apply the gradients; the runtime is stale then."""
        network = self.generator.network
        if lora.is_adapted(network):
            self.apply_gradients(network, optimizer, lora.learns)
        else:
            self.apply_gradients(network, optimizer)
        if self.classifier is not None:
            self.apply_gradients(self.classifier, optimizer)
        self._runtime = None

    def write(self, path: Path) -> None:
        """Write the model, and the classifier that helps to train it."""
        save(self.generator, path)
        if self.classifier is not None:
            state = {name: value.contiguous() for name, value in self.classifier.state_dict().items()}
            save_file(state, path / CLASSIFIER_FILE)

    def read(self, path: Path) -> None:
        """Read what `write` wrote."""
        self.use(load(path))
        file = path / CLASSIFIER_FILE
        self.classifier = _read_classifier(file) if file.is_file() else None


def _read_classifier(file: Path) -> nn.Linear:
    """Read the classifier that helps to train a generator.

    RAISES (CheckpointError): When it is damaged, or something else.
    """
    try:
        state = load_file(file)
        if bad := unusable(state):
            raise ValueError(f"its weights are no finite numbers in {bad}")
        classifier = nn.Linear(state["weight"].shape[1], state["weight"].shape[0])
        classifier.load_state_dict(state)
    except (SafetensorError, OSError, KeyError, IndexError, ValueError, RuntimeError) as problem:
        raise error("O105", path=str(file), reason=" ".join(str(problem).split())) from problem
    return classifier
