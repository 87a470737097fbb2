"""Score a pipeline on corpora, each text asked for the types of its own corpus.

    python scripts/evaluate.py training/model-best corpus/dev --output metrics.json

`spacy evaluate` does the same for a single file, and asks for the pipeline's own labels.
"""

import json
from pathlib import Path
from typing import Annotated

import spacy
import typer
from wasabi import msg

from spacy_openner.training.corpus import OpenNERCorpus_v1


def main(
    pipeline: Annotated[str, typer.Argument(help="A directory or a package.")],
    corpus: Annotated[Path, typer.Argument(exists=True, help="A .spacy file or a directory of them.")],
    output: Annotated[Path | None, typer.Option(help="Write the scores here, as JSON.")] = None,
    prefix: Annotated[str, typer.Option(help="Of the scores that are shown.")] = "openner",
    limit: Annotated[int, typer.Option(help="The most texts of a corpus; 0 for all.")] = 0,
    exclude: Annotated[str, typer.Option(help="Types to leave out, separated by commas.")] = "",
) -> None:
    """Score a pipeline."""
    nlp = spacy.load(pipeline)
    excluded = [label for label in exclude.split(",") if label]
    files = sorted(corpus.rglob("*.spacy")) if corpus.is_dir() else [corpus]
    scores = {}
    for file in files:
        source = {"path": file, "limit": limit}
        reader = OpenNERCorpus_v1({file.stem: source}, shuffle=False, exclude_labels=excluded)
        scores[file.stem] = nlp.evaluate(list(reader(nlp)))
    rows = [
        (name, *(f"{100 * (score[f'{prefix}_{key}'] or 0):.2f}" for key in "prf")) for name, score in scores.items()
    ]
    mean = sum(score[f"{prefix}_f"] or 0 for score in scores.values()) / len(scores)
    msg.table([*rows, ("mean", "", "", f"{100 * mean:.2f}")], header=("corpus", "P", "R", "F"), divider=True)
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(json.dumps(scores, indent=2) + "\n", encoding="utf8")


if __name__ == "__main__":
    typer.run(main)
