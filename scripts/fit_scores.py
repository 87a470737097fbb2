"""Fit how sure the scores of a type-cache model are, and store that with its weights.

    python scripts/fit_scores.py assets/type_cache corpus/default/dev/open_types.spacy \
        --train corpus/default/train/open_types.spacy --rare 30

Spans that the model finds in annotated texts, each asked for the types of its own corpus, are right or wrong; of these the
scale is fitted that makes scores as sure as they are right (`models/type_cache/score_scale.py`). What is found at a
threshold of 0.5 stays the same. Texts should be none that the weights were trained on. With `--train` only those types count
that few training texts hold: scores of rare types are as much too sure as those of types that were never learnt.

With `--beside 100 --beside 1000` the texts are asked for so many types at once, too, and what long lists take from the
scores of a text's own types is fitted to that.
"""

import random
from collections import Counter
from collections.abc import Container, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import spacy
import torch
import typer
from spacy.tokens import DocBin
from spacy.training import Example

from spacy_openner.calibration.predictions import changed, judge_predictions
from spacy_openner.labels import get_labels, set_labels
from spacy_openner.models.span_model import span_model
from spacy_openner.models.type_cache.checkpoint import write_config
from spacy_openner.models.type_cache.score_scale import ScoreScale, crowding, fit_scale, fit_shift
from spacy_openner.training.corpus import OpenNERCorpus_v1
from spacy_openner.types import DEFAULT_SPANS_KEY

# Scores under it are not looked at: there are endless many, and all are right to be low.
FLOOR = 0.02


def common_types(corpus: Path, rare: int) -> set[str]:
    """Find the types that more than so many texts of a .spacy file hold."""
    docs = DocBin().from_disk(corpus).get_docs(spacy.blank("xx").vocab)
    counts = Counter(label for doc in docs for label in {span.label_ for span in doc.spans[DEFAULT_SPANS_KEY]})
    return {label for label, count in counts.items() if count > rare}


def judged(
    pipe: Any, nlp: spacy.Language, gold: Sequence[Example], left_out: Container[str], overlap: str = "flat"
) -> tuple[np.ndarray, np.ndarray]:
    """Score the spans of annotated texts, and tell which are right.

    left_out (Container[str]): Types that do not count.
    """
    with changed(pipe, threshold=FLOOR, label_thresholds={}, overlap=overlap):
        texts = judge_predictions(nlp, pipe, gold, None).texts
    spans = [(each, text) for text in texts for each in text.candidates if each not in text.unknown]
    spans = [(each, text) for each, text in spans if each.label not in left_out]
    return np.array([each.score for each, _ in spans]), np.array([each in text.right for each, text in spans])


def beside(gold: Sequence[Example], types: Sequence[str], count: int, draw: random.Random) -> list[Example]:
    """Let annotated texts be asked for so many types: their own, and others that are not judged."""
    asked = []
    for example in gold:
        own = get_labels(example.predicted)
        assert own is not None
        others = draw.sample(types, min(count, len(types)))
        doc = example.predicted.copy()
        set_labels(doc, list(dict.fromkeys([*own, *others]))[: max(count, len(own))])
        asked.append(Example(doc, example.reference))
    return asked


def main(
    weights: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Its type_cache.json is rewritten.")],
    corpus: Annotated[Path, typer.Argument(exists=True, help="A .spacy file, or a directory of these.")],
    train: Annotated[Path | None, typer.Option(help="A .spacy file that the weights were trained on.")] = None,
    rare: Annotated[int, typer.Option(help="The most texts of --train that hold a type that counts.")] = 30,
    lists: Annotated[list[int] | None, typer.Option("--beside", help="Lengths of lists to fit to, too.")] = None,
    limit: Annotated[int, typer.Option(help="Texts of the corpus; 0 for all.")] = 0,
    threads: Annotated[int, typer.Option(help="For the arithmetic.")] = 1,
) -> None:
    """Fit, store, and print both errors of calibration."""
    torch.set_num_threads(threads)
    nlp = spacy.blank("en")
    model = {"@architectures": "spacy-openner.TypeCacheSpanMatcher.v1", "name": str(weights), "precision": "float32"}
    pipe: Any = nlp.add_pipe("open_ner_span", config={"model": model})
    checkpoint: Any = span_model(pipe.model).checkpoint  # type: ignore[attr-defined]
    checkpoint.config = replace(checkpoint.config, score_scale=ScoreScale())
    read = OpenNERCorpus_v1({"dev": {"path": corpus, "limit": limit}}, exclude_labels=["miscellaneous"], shuffle=False)
    gold, left_out = list(read(nlp)), common_types(train, rare) if train else ()
    scores, right = judged(pipe, nlp, gold, left_out)
    scale = fit_scale(scores, right)
    types = sorted({label for example in gold for label in get_labels(example.predicted) or ()})
    shifts = {}
    for count in [0, *(lists or ())]:
        # Each type by itself: what other types would win does not matter here.
        asked = beside(gold, types, count, random.Random(0)) if count else gold
        found = judged(pipe, nlp, asked, left_out, "all")
        shifts[count] = fit_shift(*found, scale)
        typer.echo(f"{count or 'own'} types: shift {shifts[count]:.3f}, of {len(found[0])} spans")
    # Least squares.
    line = [(crowding(count), shifts[count] - shifts[0]) for count in lists or ()]
    crowd = sum(x * y for x, y in line) / sum(x * x for x, _ in line) if line else 0.0
    fitted = ScoreScale(scale.above, scale.below, round(crowd, 3))
    write_config(replace(checkpoint.config, score_scale=fitted), weights)
    before, after = (float(values.mean() - right.mean()) for values in (scores, scale(scores)))
    typer.echo(f"{weights}: {fitted}, of {len(scores)} spans; too sure in the mean by {before:.3f}, now {after:.3f}")


if __name__ == "__main__":
    typer.run(main)
