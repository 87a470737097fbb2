"""Convert a directory of annotated sets to corpora: DATA/SET/{train*,dev*,...}.jsonl -> CORPUS/{train,dev,...}/SET.spacy.

    python scripts/convert_sets.py assets/sample corpus
    python scripts/convert_sets.py DATA corpus --sets wikigold,litbank --splits train,all

A set lists its types in SET/labels.json; without one, the types of all its splits together are its list.
"""

import json
from pathlib import Path
from typing import Annotated

import typer

from spacy_openner.data.convert import convert
from spacy_openner.data.formats import read_jsonl

SPLITS = "train,dev,test,all"


def files_of(folder: Path, split: str) -> list[Path]:
    """The files of a split: train.jsonl, or train_a.jsonl.gz and train_b.jsonl.gz."""
    return sorted(file for file in folder.glob("*.jsonl*") if file.name.split(".")[0].split("_")[0] == split)


def types_of(folder: Path) -> dict[str, str]:
    """The types of a set, with descriptions where it has some."""
    listed = folder / "labels.json"
    if listed.is_file():
        return json.loads(listed.read_text(encoding="utf8"))
    texts = (text for file in sorted(folder.glob("*.jsonl*")) for text in read_jsonl(file))
    labels = {label for text in texts for _, _, label in text.spans}
    return {label: label for label in sorted(labels)}


def main(
    data: Annotated[Path, typer.Argument(exists=True, file_okay=False)],
    corpus: Annotated[Path, typer.Argument()],
    sets: Annotated[str, typer.Option(help="Names, separated by commas; all by default.")] = "",
    splits: Annotated[str, typer.Option(help="Beginnings of file names.")] = SPLITS,
    sentences: Annotated[
        int, typer.Option(min=1, help="Texts of a file that make a doc; documents are kept apart.")
    ] = 1,
) -> None:
    """Convert sets."""
    wanted = sets.split(",") if sets else sorted(f.name for f in data.iterdir() if any(f.glob("*.jsonl*")))
    for name in wanted:
        types = types_of(data / name)
        for split in splits.split(","):
            files = files_of(data / name, split)
            for number, file in enumerate(files, 1):
                # Several files of a split share a list of types, as the shards of one corpus do.
                stem = name if len(files) == 1 else f"{name}-{number:05d}"
                target = corpus / split / f"{stem}.spacy"
                report = convert(file, target, format="jsonl", types=types, natural=False, n_sents=sentences)
                lost = f"; left out: {dict(report.dropped)}" if report.dropped else ""
                typer.echo(f"{target}: {report.texts} texts, {report.spans} spans, {len(types)} types{lost}")


if __name__ == "__main__":
    typer.run(main)
