"""Weights in a byte a number: what is written is read, and files that hold something else are refused."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from spacy_openner.nn import int8


@pytest.fixture
def path(tmp_path):
    torch.manual_seed(0)
    int8.save({"rows": torch.randn(5, 40), "vector": torch.randn(7), "half": torch.randn(3).half()}, tmp_path)
    return tmp_path


def test_rows_are_expanded_to_float32(path):
    stored, loaded = load_file(path / int8.FILE), int8.load(path)
    assert torch.equal(loaded["rows"], stored["rows"].float() * stored["rows.row_scale"])
    assert {name: value.dtype for name, value in loaded.items()} == dict.fromkeys(
        ("rows", "vector", "half"), torch.float32
    )


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"rows.row_scale": torch.full((5, 1), float("nan"))}, r"no finite numbers in \['rows \(not finite"),
        ({"rows.row_scale": torch.full((5, 1), 1e38)}, "no finite numbers"),
        ({"rows.row_scale": torch.ones(4, 1)}, r"rows\.row_scale is no scale"),
        ({"rows": torch.ones(5, 40)}, r"rows\.row_scale is no scale"),
        ({"rows": torch.ones(5, 0, dtype=torch.int8)}, r"no finite numbers in \['rows"),
        ({"other.row_scale": torch.ones(5, 1)}, r"other\.row_scale is no scale"),
        ({"vector": torch.full((7,), float("inf"))}, r"no finite numbers in \['vector"),
    ],
)
def test_damages_are_refused(path, changes, problem):
    save_file({**load_file(path / int8.FILE), **changes}, path / int8.FILE)
    with pytest.raises(ValueError, match=problem):
        int8.load(path)
