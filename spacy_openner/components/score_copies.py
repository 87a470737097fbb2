"""Scores where other packages look for them."""

from spacy.language import Language
from spacy.pipeline import Pipe
from spacy.tokens import Doc, Span

from ..errors import error
from ..span_groups import SCORE_ATTRIBUTE, all_scores


@Language.factory("copy_openner_scores", default_config={"attribute": "score"}, assigns=["span._.score"])
def make_copy_openner_scores(nlp: Language, name: str, attribute: str) -> "ScoreCopier":
    """Build the component.

    attribute (str): See `ScoreCopier`.
    """
    return ScoreCopier(name, attribute)


class ScoreCopier(Pipe):
    """Copies the scores of entities, and of spans in groups, to a span attribute that other packages read and write,
    such as `span._.score`. Scores of spans that no component of this package found are left as they are.

    name (str): The component's name.
    attribute (str): Is made, with the default 0, where nobody has.
    RAISES (SettingError): For an attribute that cannot be written.
    """

    def __init__(self, name: str = "copy_openner_scores", attribute: str = "score") -> None:
        self.name = name
        if not isinstance(attribute, str) or not attribute.isidentifier() or attribute == SCORE_ATTRIBUTE:
            raise error(
                "O001",
                name="attribute",
                value=attribute,
                allowed="the name of an attribute to write to, of letters, digits and _",
            )
        if not Span.has_extension(attribute):
            Span.set_extension(attribute, default=0.0)
        _, _, getter, setter = Span.get_extension(attribute)
        if getter is not None and setter is None:
            raise error("O025", attribute=attribute)
        self.attribute = attribute

    def __call__(self, doc: Doc) -> Doc:
        """Copy the scores of one doc."""
        best: dict[tuple[int, int], tuple[float, Span]] = {}
        scores = all_scores(doc)
        for span in [*doc.ents, *(span for group in doc.spans.values() for span in group)]:
            score = scores.get((span.start_char, span.end_char, span.label))
            position = (span.start, span.end)
            # Spans of the same place share their attributes, whatever their labels.
            if score is not None and (position not in best or best[position][0] < score):
                best[position] = (score, span)
        for score, span in best.values():
            span._.set(self.attribute, score)
        return doc
