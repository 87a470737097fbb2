"""Presidio: an NLP engine that hands on true scores, and leaves the pipeline as it is."""

import re
from collections.abc import Mapping

from spacy.language import Language
from spacy.tokens import Doc, Span

from ..components.entity_pipe import OpenNERPipe
from ..errors import error, warn
from ..span_groups import get_score

try:
    from presidio_analyzer.nlp_engine import NerModelConfiguration, NlpArtifacts, SpacyNlpEngine
except ImportError as problem:
    raise error("O301", what="An NLP engine for Presidio", package="presidio-analyzer", extra="presidio") from problem


class OpenNERNlpEngine(SpacyNlpEngine):
    """Presidio's spaCy engine, for pipelines with components of this package.

    Entities that these found have their own scores; those of other components get the configuration's `default_score`.
    All components of a pipeline run. Each type gets a name in Presidio's style: the one that the configuration says, or
    "chemical element" -> "CHEMICAL_ELEMENT". Of a token without a lemma, Presidio's context words are compared with its
    text in lower case.

    models (list[dict[str, str]] | None): As Presidio's configuration files have them: {"lang_code": "en", "model_name":
        "directory or installed package"}.
    ner_model_configuration (NerModelConfiguration | None): Names of types, types to ignore, the default score.
    pipelines (Mapping[str, Language] | None): Pipelines that are in memory, by language; instead of models.
    """

    engine_name = "openner"

    def __init__(
        self,
        models: list[dict[str, str]] | None = None,
        ner_model_configuration: NerModelConfiguration | None = None,
        *,
        pipelines: Mapping[str, Language] | None = None,
    ) -> None:
        if (models is None) == (pipelines is None):
            allowed = "either `models` or `pipelines`, not both"
            raise error("O001", name="models", value=models, allowed=allowed)
        described = [{"lang_code": lang, "model_name": lang} for lang in pipelines or ()]
        super().__init__(models or described, ner_model_configuration or NerModelConfiguration())
        self._pipelines = None if pipelines is None else dict(pipelines)
        if self._pipelines is not None:
            self.load()

    def load(self) -> None:
        """Load the pipelines, and give their types Presidio's names."""
        if self._pipelines is None:
            super().load()
        else:
            self.nlp = self._pipelines
        for nlp in self.nlp.values():
            for _, pipe in nlp.pipeline:
                for label in pipe.labels if isinstance(pipe, OpenNERPipe) else ():
                    self._name(label)

    def _name(self, label: str) -> None:
        mapping = self.ner_model_configuration.model_to_presidio_entity_mapping
        name = re.sub(r"\W+", "_", label).strip("_").upper()
        mapping.setdefault(label, mapping.get(name, name))

    def _get_scores_for_entities(self, doc: Doc) -> list[float]:
        default = self.ner_model_configuration.default_score
        scores = [get_score(ent) for ent in doc.ents]
        return [default if score is None else score for score in scores]

    def _get_updated_entities(self, entities: list[Span], scores: list[float]) -> tuple[list[Span], list[float]]:
        mapping = self.ner_model_configuration.model_to_presidio_entity_mapping
        for ent in entities:
            if ent.label_ not in mapping and get_score(ent) is not None:
                self._name(ent.label_)
                warn("W022", label=ent.label_, name=mapping[ent.label_])
        updated: tuple[list[Span], list[float]] = super()._get_updated_entities(entities, scores)
        return updated

    def _doc_to_nlp_artifact(self, doc: Doc, language: str) -> NlpArtifacts:
        for token in doc:
            if not token.lemma:
                token.lemma_ = token.lower_
        return super()._doc_to_nlp_artifact(doc, language)
