#!/usr/bin/env bash
# An entity_ruler that is restored from bytes lists its phrases, and does not find them.
#
# Seen with spaCy 3.8.18: patterns of token attributes are found after `from_bytes`, patterns that are strings are in
# `ruler.patterns` and in its length, but match nothing, for the component's bytes and for those of a whole pipeline. After
# `to_disk` and `from_disk`, and after pickling, all are found; so are those of a span_ruler from bytes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check "spacy==3.8.18"
cd "$work"
cat > restore.py <<'PYTHON'
import pickle
import sys

import spacy

PATTERNS = [{"label": "city", "pattern": "Paris"}, {"label": "person", "pattern": [{"LOWER": "marie"}]}]


def with_rules(name):
    nlp = spacy.blank("en")
    return nlp, nlp.add_pipe(name)


def found(nlp, name):
    doc = nlp("Marie lives in Paris")
    spans = doc.ents if name == "entity_ruler" else doc.spans["ruler"]
    return sorted(span.text for span in spans)


results = {}
for name in ("entity_ruler", "span_ruler"):
    nlp, ruler = with_rules(name)
    ruler.add_patterns(PATTERNS)
    results[name, "made"] = found(nlp, name)
    other, restored = with_rules(name)
    restored.from_bytes(ruler.to_bytes())
    results[name, "its bytes"] = found(other, name)
    print(f"{name}: {len(restored.patterns)} patterns after from_bytes")
    other, _ = with_rules(name)
    other.from_bytes(nlp.to_bytes())
    results[name, "the pipeline's bytes"] = found(other, name)
    nlp.to_disk(name)
    results[name, "disk"] = found(spacy.load(name), name)
    results[name, "pickle"] = found(pickle.loads(pickle.dumps(nlp)), name)
for (name, way), texts in results.items():
    print(f"{name}, {way}: {texts}")
lost = {key for key, texts in results.items() if texts != ["Marie", "Paris"]}
sys.exit(0 if lost == {("entity_ruler", "its bytes"), ("entity_ruler", "the pipeline's bytes")} else 1)
PYTHON
"$work/venv/bin/python" restore.py
