#!/usr/bin/env bash
# A "$" in a string setting of a component doubles each time its pipeline is saved and loaded.
#
# Seen with spaCy 3.8.18 and confection 1.3.4: "price (US$)" is "price (US$$)" after one round trip and
# "price (US$$$$)" after two. Writing a config escapes "$" as "$$", and reading does not undo it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check "spacy==3.8.18" "confection==1.3.4"
cd "$work"
cat > round_trips.py <<'PYTHON'
from importlib.metadata import version

import spacy
from spacy.language import Language


@Language.factory("holder", default_config={"label": ""})
def make_holder(nlp, name, label):
    return lambda doc: doc


nlp = spacy.blank("en")
nlp.add_pipe("holder", config={"label": "price (US$)"})
seen = [nlp.config["components"]["holder"]["label"]]
for trip in range(2):
    nlp.to_disk("pipeline")
    nlp = spacy.load("pipeline")
    seen.append(nlp.config["components"]["holder"]["label"])
print(f"spacy {version('spacy')}, confection {version('confection')}: {seen}")
assert seen == ["price (US$)", "price (US$$)", "price (US$$$$)"], seen
PYTHON
"$work/venv/bin/python" round_trips.py
