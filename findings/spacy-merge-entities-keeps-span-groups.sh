#!/usr/bin/env bash
# spaCy's merge_entities moves entities along with the tokens that it merges, but not the spans of span groups.
#
# Seen with spaCy 3.8.18: of a doc of 8 tokens with two entities, which are also in a span group, 6 tokens are left. The
# entities are right; the first span of the group covers a word more than before, and going through the group raises
# an IndexError (E035), since its last span ends past the doc.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check "spacy==3.8.18"
cd "$work"
cat > merge.py <<'PYTHON'
from importlib.metadata import version

import spacy
from spacy.tokens import Doc, Span

nlp = spacy.blank("en")
doc = Doc(nlp.vocab, words="Yesterday Ada Lovelace wrote to Charles Babbage .".split())
spans = [Span(doc, 1, 3, "person"), Span(doc, 5, 7, "person")]
doc.set_ents(spans)
doc.spans["found"] = spans
nlp.add_pipe("merge_entities")(doc)
entities = [(ent.start, ent.end, ent.text) for ent in doc.ents]
first = doc.spans["found"][0].text
try:
    list(doc.spans["found"])
    message = "none"
except IndexError as problem:
    message = str(problem)
print(f"spacy {version('spacy')}: {len(doc)} tokens, entities {entities}, first span of the group {first!r}")
print(f"going through the group: {message}")
assert entities == [(1, 2, "Ada Lovelace"), (4, 5, "Charles Babbage")], entities
assert first == "Ada Lovelace wrote", first
assert "E035" in message, message
PYTHON
"$work/venv/bin/python" merge.py
