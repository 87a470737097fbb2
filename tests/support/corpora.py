"""Corpora for bulk annotation, a pipeline of rules that finds what is known, and a component that fails on request."""

import json
from pathlib import Path

import spacy
from spacy.language import Language

NAMES = ["Marie Curie", "Niels Bohr", "Lise Meitner", "Ada Lovelace"]

# In a process of its own the component is found as a plug-in of spaCy's.
FAULTY = """
import os, signal, time
from pathlib import Path
from spacy.language import Language


@Language.component("faulty")
def faulty(doc):
    if os.getpid() == int(os.environ.get("FAULTY_PARENT", 0)):
        return doc
    if "sleep" in doc.text:
        (Path(os.environ["FAULTY_PIDS"]) / str(os.getpid())).touch()
        time.sleep(0.02)
    if "die" in doc.text:
        os.kill(os.getpid(), signal.SIGKILL)
    return doc
"""


def make_records(n, more=""):
    return [
        {"id": i, "text": f"{NAMES[i % 4]} wrote letter {i}{more}.", "n": 1.10, "tags": ["a", None]} for i in range(n)
    ]


def write_jsonl(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf8")
    return path


def read_output(dest):
    return [json.loads(line) for path in sorted(dest.glob("part-*.jsonl")) for line in path.open(encoding="utf8")]


def all_bytes(dest):
    files = [p for p in sorted(dest.rglob("*")) if p.is_file() and "_run" not in p.parts]
    return {p.relative_to(dest).as_posix(): p.read_bytes() for p in files}


def rules() -> Language:
    """Return a pipeline that finds the names."""
    nlp = spacy.blank("en")
    nlp.add_pipe("entity_ruler").add_patterns([{"label": "person", "pattern": name} for name in NAMES])
    return nlp


def save_faulty(folder: Path) -> Path:
    """Save the pipeline with the component, and the component as a package; return the pipeline's directory."""
    if "faulty" not in Language.factories:
        exec(FAULTY, {"__name__": "faulty"})
    nlp = rules()
    nlp.add_pipe("faulty")
    (folder / "plugin" / "faulty-1.0.dist-info").mkdir(parents=True)
    nlp.to_disk(folder / "pipeline")
    (folder / "plugin" / "faulty.py").write_text(FAULTY)
    info = folder / "plugin" / "faulty-1.0.dist-info"
    info.joinpath("METADATA").write_text("Metadata-Version: 2.1\nName: faulty\nVersion: 1.0\n")
    info.joinpath("entry_points.txt").write_text("[spacy_factories]\nfaulty = faulty:faulty\n")
    (folder / "pids").mkdir()
    return folder / "pipeline"
