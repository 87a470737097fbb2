"""The base of all shims: forks, copies, pickles, bytes, gradients."""

import json
import multiprocessing
import os
import pickle
from pathlib import Path

import pytest
import torch
from thinc.api import Model, Optimizer

from spacy_openner.errors import CheckpointError
from spacy_openner.nn.shim import ModelShim
from spacy_openner.nn.tok2vec import TOK2VEC


class Line(ModelShim):
    """The smallest model: a line through the origin, in a file."""

    TRANSIENT = ("renewed_in",)

    def _renew(self):
        super()._renew()
        self.renewed_in = os.getpid()

    def use(self, slope: float) -> None:
        self._model = torch.nn.Linear(1, 1, bias=False)
        torch.nn.init.constant_(self._model.weight, slope)

    def write(self, path: Path) -> None:
        (path / "line.json").write_text(json.dumps(self._model.weight.tolist()))

    def read(self, path: Path) -> None:
        self.use(json.loads((path / "line.json").read_text())[0][0])

    def predict(self, inputs):
        self._enter_process()
        return self._model(inputs), self.renewed_in


def line(slope: float = 2.0, tok2vec: Model | None = None) -> Model:
    shim = Line("", None)
    shim.use(slope)
    layers, refs = ([tok2vec], {TOK2VEC: tok2vec}) if tok2vec is not None else ([], {})
    return Model(
        "line", lambda model, inputs, is_train: model.shims[0](inputs, is_train), shims=[shim], layers=layers, refs=refs
    )


def slope_of(model: Model) -> float:
    return float(model.shims[0]._model.weight.detach())


def test_files_and_bytes(tmp_path):
    model, disk, packed = line(2.5), line(), line()
    model.shims[0].save(model, tmp_path / "new")
    disk.shims[0].load(disk, tmp_path / "new")
    packed.shims[0].unpack(packed, model.shims[0].pack(model))
    assert slope_of(disk) == slope_of(packed) == 2.5
    assert slope_of(line().from_bytes(model.to_bytes())) == 2.5
    with pytest.raises(CheckpointError, match="O117"):
        packed.shims[0].unpack(packed, b"rubbish")


def test_a_layer_of_token_vectors_is_saved_with_it(tmp_path):
    layer, other = (Model("layer", lambda model, X, is_train: (X, None), params={"W": None}) for _ in range(2))
    layer.set_param("W", layer.ops.alloc1f(3) + 7)
    model, loaded = line(2.5, layer), line(1.0, other)
    model.shims[0].save(model, tmp_path)
    loaded.shims[0].load(loaded, tmp_path)
    assert (slope_of(loaded), other.get_param("W").tolist()) == (2.5, [7.0, 7.0, 7.0])


def test_copies_and_pickles_share_nothing():
    shim = line().shims[0]
    for other in (shim.copy(), pickle.loads(pickle.dumps(shim))):
        assert other.lock is not shim.lock
        assert float(other._model.weight.detach()) == 2.0
        assert other.is_loaded
        other.use(5.0)
        assert float(shim._model.weight.detach()) == 2.0
    assert not Line("", None).is_loaded


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork here")
def test_a_fork_renews_what_belongs_to_one_process():
    """A lock that another thread held at the time of the fork stays locked for ever in the child."""
    shim = line().shims[0]
    context = multiprocessing.get_context("fork")
    queue = context.Queue()

    def child():
        value, renewed_in = shim.predict(torch.ones(1, 1))
        with shim.lock:
            queue.put((float(value.detach()), renewed_in == os.getpid()))

    with shim.lock:
        process = context.Process(target=child)
        process.start()
        assert queue.get(timeout=60) == (2.0, True)
        process.join(60)
    assert shim.predict(torch.ones(1, 1))[1] == os.getpid()


class Halved(Optimizer):
    """Trains parameters of one name only."""

    def scale_of(self, name: str) -> float:
        return 1.0 if name == "weight" else 0.0


@pytest.mark.parametrize("kind", [Optimizer, Halved])
def test_gradients(kind):
    shim, network = Line("", None), torch.nn.Linear(2, 1)
    before = {name: value.detach().clone() for name, value in network.named_parameters()}
    network(torch.ones(1, 2)).sum().backward()
    shim.apply_gradients(network, kind(0.1))
    changed = {name for name, value in network.named_parameters() if not torch.equal(value, before[name])}
    assert changed == ({"weight"} if kind is Halved else {"weight", "bias"})
    assert all(value.grad is None for value in network.parameters())
    assert {name for name, value in network.named_parameters() if value.requires_grad} == changed
    network(torch.ones(1, 2)).sum().backward()
    shim.apply_gradients(network, kind(0.1), learns=lambda name: False)
    assert not any(value.requires_grad for value in network.parameters())
