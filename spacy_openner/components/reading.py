"""Read what the components have written to a doc, as plain data."""

from typing import Any

from spacy.tokens import Doc

from ..span_groups import scores_in_step, spans_of

SCORE_DIGITS = 4


def read_entities(doc: Doc, spans_key: str, *, all_spans: bool = True) -> list[dict[str, Any]]:
    """Return the entities of a doc with character offsets, and with scores where the span group has them.

    spans_key (str): The span group that holds scores.
    all_spans (bool): Return the spans of the group that are no entities too, such as nested ones.
    RETURNS (list[dict[str, Any]]): Start, end (exclusive), text, label and score of each, in text order; of equal
        starts the longer first.
    """
    group = spans_of(doc, spans_key)
    scores = (scores_in_step(doc.spans[spans_key]) or []) if group else []
    scored = {(s.start, s.end, s.label_): score for s, score in zip(group, scores, strict=False)}
    spans = {(ent.start, ent.end, ent.label_): ent for ent in doc.ents}
    if all_spans:
        spans.update({(span.start, span.end, span.label_): span for span in group})
    entities = []
    for key, span in sorted(spans.items(), key=lambda item: (item[0][0], -item[0][1], item[0][2])):
        entity = {"start": span.start_char, "end": span.end_char, "text": span.text, "label": span.label_}
        if key in scored:
            entity["score"] = round(scored[key], SCORE_DIGITS)
        entities.append(entity)
    return entities
