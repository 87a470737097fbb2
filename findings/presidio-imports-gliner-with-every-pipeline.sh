#!/usr/bin/env bash
# Where presidio-analyzer and gliner are installed, every spaCy pipeline imports gliner and transformers.
#
# Seen with presidio-analyzer 2.2.366, gliner 0.2.29, spaCy 3.8.18: presidio-analyzer registers a component by an entry
# point of spaCy's, spaCy imports the modules of all entry points when the first component is added, that module imports
# the whole analyzer, and its GLiNER recogniser imports gliner where it can. A pipeline of a sentencizer alone took 1.7
# seconds of processor time and 278 MB to make, and 4.1 seconds and 394 MB once presidio-analyzer was installed. Each call
# of a command and each worker process pays for it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check "torch==2.13.0" "spacy==3.8.18" "gliner==0.2.29"
cd "$work"
cat > start.py <<'PYTHON'
import re
import sys
import time
from pathlib import Path

begun = time.process_time()
import spacy

spacy.blank("en").add_pipe("sentencizer")
megabytes = int(re.search(r"VmRSS:\s+(\d+)", Path("/proc/self/status").read_text())[1]) // 1024
heavy = sorted({"gliner", "transformers", "presidio_analyzer"} & sys.modules.keys())
print(f"{time.process_time() - begun:.1f} s, {megabytes} MB, imported: {heavy}")
sys.exit(0 if heavy == sorted(sys.argv[1:]) else 1)
PYTHON
echo "gliner beside spaCy:"
"$work/venv/bin/python" -W ignore start.py
"$work/venv/bin/pip" install --quiet --disable-pip-version-check "presidio-analyzer==2.2.366"
echo "and presidio-analyzer:"
"$work/venv/bin/python" -W ignore start.py gliner transformers presidio_analyzer
