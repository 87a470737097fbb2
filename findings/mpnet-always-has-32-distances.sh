#!/usr/bin/env bash
# transformers' MPNet tells 32 kinds of distances apart, whatever `relative_attention_num_buckets` says.
#
# Seen with transformers 5.24.0, PyTorch 2.13.0, random models: with 64 in the config the table of position biases has 64
# rows, and the second half is never read: changing it changes nothing. With 16, a text of 50 subwords ends in an
# IndexError. `MPNetEncoder.compute_position_bias` takes its own default of 32. Who trains an MPNet with other numbers
# stores rows that no text reaches, and who builds one anew by the config gets other numbers than transformers.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check "torch==2.13.0" "transformers==5.24.0"
cd "$work"
cat > buckets.py <<'PYTHON'
import torch
import transformers
from transformers import MPNetConfig, MPNetModel

size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
subwords = torch.arange(4, 44).repeat(5)[None]


def model_of(buckets):
    torch.manual_seed(0)
    config = MPNetConfig(vocab_size=50, max_position_embeddings=300, relative_attention_num_buckets=buckets, **size)
    return MPNetModel(config).eval()


def change(rows, by):
    model = model_of(64)
    with torch.no_grad():
        before = model(subwords).last_hidden_state
        model.encoder.relative_attention_bias.weight[rows] += by
        return float((model(subwords).last_hidden_state - before).abs().max())


table = model_of(64).encoder.relative_attention_bias.weight
moved = {"first half": change(slice(0, 32), torch.randn(32, 2)), "second half": change(slice(32, 64), torch.randn(32, 2))}
try:
    with torch.no_grad():
        model_of(16)(subwords[:, :50])
    few = "no error"
except IndexError as problem:
    few = f"IndexError: {problem}"
print(f"transformers {transformers.__version__}: table {tuple(table.shape)}, largest change by rows: {moved}; 16: {few}")
assert table.shape[0] == 64
assert moved["first half"] > 1e-4, moved
assert moved["second half"] == 0, moved
assert few.startswith("IndexError"), few
PYTHON
"$work/venv/bin/python" -W ignore buckets.py
