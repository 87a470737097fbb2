#!/usr/bin/env bash
# Joining docs keeps the spans of their groups, and drops what the groups say about them.
#
# Seen with spaCy 3.8.18: `SpanGroup.attrs` survives `Doc.copy`, deepcopy, bytes, a DocBin and the group's own copy and
# concatenation. `Doc.from_docs` keeps spans and labels, with places moved, and leaves `attrs` empty; `Span.as_doc` keeps
# no groups at all. Scores that stand in `attrs`, in step with the spans, are gone without a warning.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check "spacy==3.8.18"
cd "$work"
cat > join.py <<'PYTHON'
import copy
import sys

import spacy
from spacy.tokens import Doc, DocBin, Span, SpanGroup

nlp = spacy.blank("en")


def annotated(text, score):
    doc = nlp(text)
    spans = [Span(doc, 0, 1, label="singer")]
    doc.spans["found"] = SpanGroup(doc, name="found", spans=spans, attrs={"scores": [score]})
    return doc


docs = [annotated("Ada sang.", 0.9), annotated("Bo sang, too.", 0.7)]
first = docs[0]
stored = DocBin().from_bytes(DocBin(docs=[first]).to_bytes())
ways = {
    "copy": first.copy(),
    "deepcopy": copy.deepcopy(first),
    "bytes": Doc(nlp.vocab).from_bytes(first.to_bytes()),
    "DocBin": next(iter(stored.get_docs(nlp.vocab))),
    "from_docs": Doc.from_docs(docs),
    "from_docs of one": Doc.from_docs([first]),
}
for way, doc in ways.items():
    group = doc.spans["found"]
    print(f"{way}: {[(span.text, span.label_) for span in group]}, attrs {dict(group.attrs)}")
groups_of_part = dict(first[0:2].as_doc().spans)
print(f"as_doc: groups {groups_of_part}")
lost = {way for way, doc in ways.items() if not doc.spans["found"].attrs}
kept = all(len(doc.spans["found"]) for doc in ways.values())
sys.exit(0 if kept and lost == {"from_docs", "from_docs of one"} and not groups_of_part else 1)
PYTHON
"$work/venv/bin/python" join.py
