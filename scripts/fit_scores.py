"""Fit how sure the scores of a type-cache model are, and store that with its weights.

    python scripts/fit_scores.py assets/type_cache corpus/default/dev/open_types.spacy \
        --train corpus/default/train/open_types.spacy --rare 30

Spans that the model finds in annotated texts, each asked for the types of its own corpus, are right or wrong; of these the
scale is fitted that makes scores as sure as they are right (`models/type_cache/score_scale.py`). What is found at a
threshold of 0.5 stays the same. Texts should be none that the weights were trained on. With `--train` only those types count
that few training texts hold: scores of rare types are as much too sure as those of types that were never learnt.
What is given back for long lists of types (`crowd`) stays as it is.
"""

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
from spacy_openner.models.span_model import span_model
from spacy_openner.models.type_cache.checkpoint import write_config
from spacy_openner.models.type_cache.score_scale import ScoreScale, fit_scale
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
    pipe: Any, nlp: spacy.Language, gold: Sequence[Example], left_out: Container[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Score the spans of annotated texts, and tell which are right.

    left_out (Container[str]): Types that do not count.
    """
    with changed(pipe, threshold=FLOOR, label_thresholds={}):
        texts = judge_predictions(nlp, pipe, gold, None).texts
    spans = [(span, text) for text in texts for span in text.candidates if span not in text.unknown]
    spans = [(span, text) for span, text in spans if span.label not in left_out]
    return np.array([span.score for span, _ in spans]), np.array([span in text.right for span, text in spans])


def main(
    weights: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Its type_cache.json is rewritten.")],
    corpus: Annotated[Path, typer.Argument(exists=True, help="A .spacy file, or a directory of these.")],
    train: Annotated[Path | None, typer.Option(help="A .spacy file that the weights were trained on.")] = None,
    rare: Annotated[int, typer.Option(help="The most texts of --train that hold a type that counts.")] = 30,
    limit: Annotated[int, typer.Option(help="Texts of the corpus; 0 for all.")] = 0,
    threads: Annotated[int, typer.Option(help="For the arithmetic.")] = 1,
) -> None:
    """Fit, store, and print both errors of calibration."""
    torch.set_num_threads(threads)
    nlp = spacy.blank("en")
    model = {"@architectures": "spacy-openner.TypeCacheSpanMatcher.v1", "name": str(weights), "precision": "float32"}
    pipe: Any = nlp.add_pipe("open_ner_span", config={"model": model})
    checkpoint: Any = span_model(pipe.model).checkpoint  # type: ignore[attr-defined]
    unscaled = ScoreScale(crowd=checkpoint.config.score_scale.crowd)
    checkpoint.config = replace(checkpoint.config, score_scale=unscaled)
    read = OpenNERCorpus_v1({"dev": {"path": corpus, "limit": limit}}, exclude_labels=["miscellaneous"], shuffle=False)
    gold, left_out = list(read(nlp)), common_types(train, rare) if train else ()
    scores, right = judged(pipe, nlp, gold, left_out)
    scale = fit_scale(scores, right)
    fitted = replace(unscaled, above=scale.above, below=scale.below)
    write_config(replace(checkpoint.config, score_scale=fitted), weights)
    before, after = (float(values.mean() - right.mean()) for values in (scores, scale(scores)))
    typer.echo(f"{weights}: {fitted}, of {len(scores)} spans; too sure in the mean by {before:.3f}, now {after:.3f}")


if __name__ == "__main__":
    typer.run(main)
