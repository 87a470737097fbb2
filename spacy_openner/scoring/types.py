"""Scores of the types that a filter keeps, against the types that annotated docs hold."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from spacy.scorer import PRFScore, ROCAUCScore
from spacy.training import Example

from ..config_format import check_config_text
from ..doc_arguments import as_examples
from ..labels import LabelSet, get_label_scores, get_labels
from ..types import DEFAULT_SPANS_KEY
from .gold import COMPONENTS_OWN, GoldSurvey, judge_types


def make_type_scorer(spans_key: str = COMPONENTS_OWN, prefix: str = "types") -> Callable[..., dict[str, Any]]:
    """Make a scorer for a type filter; registered as "spacy-openner.type_scorer.v1".

    spans_key (str): Where gold entities are, or `doc.ents` where a reference has no such span group; "" for the
        component's own `spans_key`.
    prefix (str): What the score names start with. Components with equal prefixes overwrite each other's.
    RETURNS (Callable[..., dict[str, Any]]): `score_types` with these settings; it can be pickled.
    """
    check_config_text("spans_key", spans_key)
    check_config_text("prefix", prefix)
    return partial(_score_component, setting=spans_key, prefix=prefix)


def _score_component(
    examples: Iterable[Example], *, setting: str, prefix: str, spans_key: str = DEFAULT_SPANS_KEY, **kwargs: Any
) -> dict[str, Any]:
    """Score a component, which says what its own `spans_key` is."""
    return score_types(examples, spans_key=spans_key if setting == COMPONENTS_OWN else setting, prefix=prefix)


def score_types(
    examples: Iterable[Example], *, spans_key: str = DEFAULT_SPANS_KEY, prefix: str = "types", **kwargs: Any
) -> dict[str, Any]:
    """Score types: each pair of a doc and a type that there was to choose from is one decision.

    Decisions about which the reference says nothing do not count; see `gold.judge_types`. Docs without scores of
    types, because no filter has chosen there, are skipped.

    examples (Iterable[Example]): Predicted and reference docs.
    spans_key (str): See `make_type_scorer`.
    prefix (str): What the score names start with.
    **kwargs (Any): Ignored; spaCy hands a component's settings to its scorer.
    RETURNS (dict[str, Any]): After the prefix: `_p`, `_r`, `_f` (of the types kept), `_kept` (the share of all types
        that is kept), `_auc` (area under the ROC curve over all decisions: how often a present type scores more than an
        absent one), `_per_type` (type -> p, r, f, kept, docs) and `_skipped`. None where nothing can be scored.
    """
    per_type: defaultdict[str, PRFScore] = defaultdict(PRFScore)
    decisions: defaultdict[str, int] = defaultdict(int)
    ranking, skipped, survey = ROCAUCScore(), 0, GoldSurvey(spans_key)
    for example in as_examples(examples):
        survey.add(example.reference)
        scores = get_label_scores(example.predicted)
        skipped += not scores
        kept = set(get_labels(example.predicted, LabelSet()).names)
        for label, present in judge_types(example.reference, spans_key, scores).items():
            per_type[label].score_set({label} & kept, {label} if present else set())
            decisions[label] += 1
            ranking.score_set(scores[label], int(present))
    survey.warn("The scorer of types")
    total, n = sum(per_type.values(), PRFScore()), sum(decisions.values())
    result = {
        "p": total.precision if n else None,
        "r": total.recall if n else None,
        "f": total.fscore if n else None,
        "kept": (total.tp + total.fp) / n if n else None,
        "auc": ranking.score if ranking.is_binary() else None,
        "per_type": {
            label: {**prf.to_dict(), "kept": (prf.tp + prf.fp) / decisions[label], "docs": decisions[label]}
            for label, prf in sorted(per_type.items())
        }
        if n
        else None,
        "skipped": skipped,
    }
    return {f"{prefix}_{name}": value for name, value in result.items()}
