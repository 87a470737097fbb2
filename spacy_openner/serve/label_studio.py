"""Routes of a machine-learning backend of Label Studio.

Label Studio counts code points, as Python does: its editor splits texts into those before it counts (`DomData` in
its `domManager.ts`), and so do offsets here.
"""

import xml.etree.ElementTree as ElementTree
from typing import Any, NamedTuple

from fastapi import APIRouter, Depends, HTTPException

from .. import __version__
from ..labels import LabelSet
from .finder import RequestSettings
from .schema import (
    REFUSALS,
    BackendHealth,
    ModelVersion,
    Prediction,
    Predictions,
    PredictRequest,
    Region,
    RegionValue,
    SetupRequest,
    Task,
)
from .service import Service, label_set
from .strict_json import StrictRoute

MODEL_VERSION = f"spacy-openner {__version__}"


class LabelConfig(NamedTuple):
    """The types that a labeling interface asks for, and the names of its tags.

    from_name, to_name: Names of the tags that hold the types and the text.
    field: Where tasks have the text.
    labels: The types, with their hints as descriptions.
    """

    from_name: str
    to_name: str
    field: str
    labels: LabelSet


def label_studio_routes(service: Service) -> APIRouter:
    """Build the routes."""
    dependencies = [Depends(service.check_key)]
    router = APIRouter(dependencies=dependencies, responses=REFUSALS, route_class=StrictRoute, tags=["label studio"])

    @router.get("/health")
    async def health() -> BackendHealth:
        """Tell that the backend is there."""
        return BackendHealth(status="UP", model_class=type(service.component).__name__)

    @router.post("/setup")
    async def setup(request: SetupRequest) -> ModelVersion:
        """Check a labeling interface."""
        if request.label_schema:
            read_label_config(request.label_schema)
        return ModelVersion(model_version=MODEL_VERSION)

    @router.post("/predict")
    async def predict(request: PredictRequest) -> Predictions:
        """Find the entities of tasks, of the types of the labeling interface."""
        config = read_label_config(request.label_config)
        texts = [_text_of(task, config.field) for task in request.tasks]
        answers = await service.find(texts, RequestSettings(config.labels)) if texts else []
        results = [_prediction(entities, config) for entities in answers]
        return Predictions(results=results, model_version=MODEL_VERSION)

    return router


def read_label_config(config: str) -> LabelConfig:
    """Read a labeling interface: its first `Labels` tag that belongs to a `Text` tag.

    RAISES (HTTPException): 422, where it has none, or is no such interface.
    """
    # No interface needs a document type, and those can make small files large.
    if "<!" in config.replace("<!--", ""):
        raise HTTPException(422, "label_config: declarations are not allowed")
    try:
        root = ElementTree.fromstring(config)
    except (ElementTree.ParseError, ValueError) as problem:
        raise HTTPException(422, f"label_config: no XML ({problem})") from None
    texts = {tag.get("name", ""): tag for tag in root.iter("Text") if tag.get("valueType", "text") == "text"}
    for tag in root.iter("Labels"):
        text = texts.get(tag.get("toName", ""))
        labels = {value: label.get("hint") or value for label in tag.iter("Label") if (value := label.get("value"))}
        if text is not None and labels and (field := text.get("value", "").removeprefix("$")):
            return LabelConfig(tag.get("name", ""), text.get("name", ""), field, _label_set(labels))
    raise HTTPException(422, "label_config: needs <Labels> with <Label>s, of a <Text> that tasks hold")


def _label_set(labels: dict[str, str]) -> LabelSet:
    described = any(name != about for name, about in labels.items())
    return label_set(labels if described else list(labels)) or LabelSet()


def _text_of(task: Task, field: str) -> str:
    text = task.data.get(field)
    if not isinstance(text, str):
        raise HTTPException(422, f"task {task.id}: no text in its field {field!r}")
    return text


def _prediction(entities: list[dict[str, Any]], config: LabelConfig) -> Prediction:
    """Render the entities of a text. The score of all is that of the least certain: it orders what to look at."""
    regions = [
        Region(
            id=f"e{i}",
            from_name=config.from_name,
            to_name=config.to_name,
            value=RegionValue(start=e["start"], end=e["end"], text=e["text"], labels=[e["label"]]),
            score=e.get("score"),
        )
        for i, e in enumerate(entities)
    ]
    scores = [region.score for region in regions if region.score is not None]
    return Prediction(result=regions, score=min(scores, default=None), model_version=MODEL_VERSION)
