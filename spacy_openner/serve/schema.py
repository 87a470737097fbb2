"""Requests and responses of the service, as its OpenAPI description names them."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

# A number of JSON's; neither true nor "0.5".
Score = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False, strict=True)]


class EntitiesRequest(BaseModel):
    """Texts, and how to annotate them."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=False)

    texts: list[str] = Field(min_length=1, description="The texts.")
    labels: list[str] | dict[str, str] | None = Field(
        None, description="Entity types, or types with descriptions; the pipeline's own if left out."
    )
    threshold: Score | None = Field(None, description="A score must be greater.")
    label_thresholds: dict[str, Score] | None = Field(None, description="Thresholds of single types.")
    overlap: Literal["flat", "nested", "all", "longest"] | None = Field(
        None, description="Which entities may share words."
    )
    boundaries: list[Literal["paragraphs", "lists", "cells", "lines", "sentences"]] | None = Field(
        None, description="Places that no entity crosses."
    )


class Entity(BaseModel):
    """An entity. Offsets count Unicode code points, `end` exclusive."""

    start: int
    end: int
    text: str
    label: str
    score: float | None = None


class EntitiesResponse(BaseModel):
    """The entities of each text, in step with the request's texts."""

    entities: list[list[Entity]]


class AnalyzeRequest(BaseModel):
    """A text or several, as Presidio's analyzer service takes them. Its other fields are passed over."""

    text: str | Annotated[list[str], Field(min_length=1)]
    language: str = "en"
    entities: list[str] | None = None
    score_threshold: Score | None = None


class RecognizerResult(BaseModel):
    """An entity, as Presidio's analyzer service gives it."""

    entity_type: str
    start: int
    end: int
    score: float
    analysis_explanation: None = None


class Task(BaseModel):
    """A task of Label Studio's."""

    id: int | str | None = None
    data: dict[str, Any]


class PredictRequest(BaseModel):
    """Tasks, as Label Studio sends them. The rest of what it sends, such as keys of its own, is passed over."""

    tasks: list[Task]
    label_config: str


class SetupRequest(BaseModel):
    """A labeling interface, as Label Studio sends it."""

    label_schema: str | None = Field(None, alias="schema")


class ModelVersion(BaseModel):
    """Name of the model, as Label Studio shows it."""

    model_config = ConfigDict(protected_namespaces=())

    model_version: str


class BackendHealth(BaseModel):
    """State of the backend, as Label Studio asks for it."""

    model_config = ConfigDict(protected_namespaces=())

    status: str
    model_class: str


class RegionValue(BaseModel):
    """Where an entity is, and of what type. Offsets count Unicode code points, `end` exclusive."""

    start: int
    end: int
    text: str
    labels: list[str]


class Region(BaseModel):
    """An entity, as Label Studio draws it."""

    id: str
    from_name: str
    to_name: str
    type: Literal["labels"] = "labels"
    value: RegionValue
    score: float | None = None


class Prediction(ModelVersion):
    """Entities of a task."""

    result: list[Region]
    score: float | None = None


class Predictions(ModelVersion):
    """Entities of each task, in step with the request's tasks."""

    results: list[Prediction]


class PipelineSettings(BaseModel):
    """Settings that hold where a request says nothing."""

    labels: list[str]
    threshold: float
    overlap: str
    boundaries: list[str]
    needs_key: bool


class Problem(BaseModel):
    """Why a request was refused."""

    detail: Any


REFUSALS: dict[int | str, dict[str, Any]] = {
    code: {"model": Problem} for code in (400, 401, 408, 413, 422, 429, 500, 503)
}
