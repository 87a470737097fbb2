#!/usr/bin/env bash
# PyTorch's bfloat16 layers on a CPU keep compiled kernels for each number of rows: memory grows with each new length.
#
# Seen with PyTorch 2.13.0 on a processor with AVX-512 and bfloat16 instructions, one thread: six layers of the size of a
# small encoder (384 to 1,536 and back), given inputs of 1 to 256 rows, one after the other: 5 MB more in float32, 362 MB
# more in bfloat16.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if ! grep -q avx512_bf16 /proc/cpuinfo; then
  echo "skipped: this processor has no bfloat16 instructions"
  exit 0
fi
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check "torch==2.13.0" numpy
cd "$work"
cat > grow.py <<'PYTHON'
import re
import sys
from pathlib import Path

import torch

torch.set_num_threads(1)
kind = getattr(torch, sys.argv[1])
layers = torch.nn.Sequential(
    *(torch.nn.Sequential(torch.nn.Linear(384, 1536), torch.nn.GELU(), torch.nn.Linear(1536, 384)) for _ in range(6))
).to(kind)


def megabytes():
    return int(re.search(r"VmRSS:\s+(\d+)", Path("/proc/self/status").read_text())[1]) // 1024


with torch.inference_mode():
    for _ in range(20):
        layers(torch.zeros(256, 384, dtype=kind))
    before = megabytes()
    for rows in range(1, 257):
        layers(torch.zeros(rows, 384, dtype=kind))
grown = megabytes() - before
print(f"{sys.argv[1]}: {grown} MB more after 256 lengths")
sys.exit(0 if (grown > 50) == (sys.argv[2] == "grows") else 1)
PYTHON
"$work/venv/bin/python" grow.py float32 stays
"$work/venv/bin/python" grow.py bfloat16 grows
