"""Requests and responses of the service, as its OpenAPI description names them."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Score = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class EntitiesRequest(BaseModel):
    """Texts, and how to annotate them."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=False)

    texts: list[str] = Field(min_length=1, description="The texts.")
    labels: list[str] | dict[str, str] | None = Field(
        None, description="Entity types, or types with descriptions; the pipeline's own if left out."
    )
    threshold: Score | None = Field(None, description="A score must be greater.")
    label_thresholds: dict[str, Score] | None = Field(None, description="Thresholds of single types.")
    overlap: Literal["flat", "nested", "all"] | None = Field(None, description="Which entities may share words.")


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
    """A text, as Presidio's analyzer service takes it."""

    text: str
    language: str = "en"
    entities: list[str] | None = None
    score_threshold: Score | None = None


class RecognizerResult(BaseModel):
    """An entity, as Presidio's analyzer service gives it."""

    entity_type: str
    start: int
    end: int
    score: float


class PipelineSettings(BaseModel):
    """Settings that hold where a request says nothing."""

    labels: list[str]
    threshold: float
    overlap: str
    needs_key: bool


class Problem(BaseModel):
    """Why a request was refused."""

    detail: Any
