"""The commands `annotate` and `explain`, which ask a large language model."""

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..arguments import as_name
from ..data.docbin import labels_file
from ..data.files import read_lines
from ..errors import error
from ..files import refuse_overwriting
from ..json_files import NotJSON, parse_json
from ..types import DEFAULT_BOUNDARIES
from .options import (
    Arg,
    AsJson,
    Label,
    Labels,
    LabelsFile,
    Lang,
    Opt,
    blank_pipeline,
    collect_labels,
    given_labels,
    put,
    put_json,
    with_progress,
)

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc

    from ..llm.annotation import AnnotationReport
    from ..llm.client import LLMClient

Target = Annotated[Path, Arg(metavar="TARGET.spacy", help="Is replaced if it exists.")]
ModelName = Annotated[str, Opt(help="The name that the server knows the language model by.")]
BaseUrl = Annotated[str | None, Opt(help='Such as "http://localhost:8000/v1"; else OPENAI_BASE_URL, else OpenAI.')]
MaxRequests = Annotated[int | None, Opt(min=1, help="Stop there; the next run goes on.")]
CacheDir = Annotated[
    Path | None, Opt("--cache", metavar="DIR", help="Where answers are kept; else TARGET.answers, beside it.")
]
ClientSettings = Annotated[
    str, Opt("--client", metavar="JSON", help='More settings of LLMClient.v1, such as {"concurrency": 16}.')
]
SpansKey = Annotated[str, Opt(help="Span group of the entities.")]


def annotate(
    source: Annotated[
        Path,
        Arg(metavar="SOURCE", exists=True, dir_okay=False, help="A .spacy file, or a text a line, UTF-8."),
    ],
    target: Target,
    model: ModelName,
    labels: Labels = None,
    label: Label = None,
    labels_file: LabelsFile = None,
    share: Annotated[float, Opt(min=0, max=1, help="Of the texts, chosen at random: 0.2 for a fifth.")] = 1.0,
    seed: Annotated[int, Opt(help="Of that choice.")] = 0,
    all_mentions: Annotated[
        bool, Opt("--all-mentions", help="Annotate every place of a name, not only as many as the model lists.")
    ] = False,
    boundaries: Annotated[
        str, Opt(metavar="A,B", help='No entity crosses them: some of paragraphs, lists, cells, lines; "" for none.')
    ] = ",".join(DEFAULT_BOUNDARIES),
    lang: Lang = "en",
    base_url: BaseUrl = None,
    max_requests: MaxRequests = None,
    cache: CacheDir = None,
    client: ClientSettings = "{}",
    as_json: AsJson = False,
) -> None:
    """Let a large language model annotate texts, for training and alignment without gold.

    TARGET.spacy has the texts that were answered for, and TARGET.labels.json beside it their types. The exit code is 1
    where texts are left without an answer; the next run asks for these alone.
    """
    from ..data.docbin import write_annotated
    from ..llm.annotation import AnnotationReport, annotate_docs, sample

    names = given_labels(labels, label, labels_file)
    _check_target(target, [source, labels_file])
    asking = make_client(target, model, base_url, max_requests, cache, client)
    nlp, report = blank_pipeline(lang), AnnotationReport()
    docs = sample(read_docs(nlp, source), share, seed)
    docs_in = with_progress(docs)
    kinds = list(collect_labels([boundaries]))
    answered = annotate_docs(nlp, docs_in, names, asking, all_mentions=all_mentions, boundaries=kinds, report=report)
    annotated = list(answered)
    if annotated:
        write_annotated(annotated, target, names)
    deliver(report, asking, "annotated", as_json)


def explain(
    source: Annotated[Path, Arg(metavar="SOURCE.spacy", exists=True, dir_okay=False, help="Annotated docs.")],
    target: Target,
    model: ModelName,
    spans_key: SpansKey = "openner",
    base_url: BaseUrl = None,
    max_requests: MaxRequests = None,
    cache: CacheDir = None,
    client: ClientSettings = "{}",
    as_json: AsJson = False,
) -> None:
    """Let a large language model explain the entities of SOURCE.spacy, for a generator that learns to explain.

    TARGET.spacy has all docs; explanations that SOURCE.spacy has are kept and not asked for again. The exit code is 1
    where entities are left without an answer; the next run asks for these alone.
    """
    from ..data.docbin import read_annotated, write_annotated
    from ..llm.annotation import AnnotationReport, explain_docs

    as_name(spans_key, "--spans-key")
    _check_target(target, [source, labels_file(source)])
    asking = make_client(target, model, base_url, max_requests, cache, client)
    nlp, report = blank_pipeline("xx"), AnnotationReport()
    docs, types = read_annotated(source, nlp.vocab)
    explained = list(explain_docs(with_progress(docs), asking, spans_key=spans_key, report=report))
    write_annotated(explained, target, types)
    deliver(report, asking, "explained", as_json)


def make_client(
    target: Path, model: str, base_url: str | None, max_requests: int | None, cache: Path | None, settings: str
) -> "LLMClient":
    """Build a client that keeps its answers, so that an interrupted run can go on.

    target (Path): What is going to be written.
    settings (str): Those of `LLMClient_v1` that have no option of their own, as a JSON object.
    RAISES (SettingError): For other settings.
    """
    from ..llm.factory import LLMClient_v1

    own: dict[str, Any] = {
        "model": model,
        "base_url": base_url,
        "max_requests": max_requests,
        "cache_dir": str(cache or target.with_name(f"{target.stem}.answers")),
    }
    free = sorted(set(inspect.signature(LLMClient_v1).parameters) - set(own))
    allowed = f"a JSON object with {', '.join(free)}"
    try:
        values = parse_json(settings)
    except NotJSON as problem:
        # Not repeated: what is no JSON may hold a key.
        raise error("O001", name="--client", value="...", allowed=f"{allowed} ({problem})") from None
    if not isinstance(values, dict) or not set(values) <= set(free):
        value = sorted(values) if isinstance(values, dict) else type(values).__name__
        raise error("O001", name="--client", value=value, allowed=allowed)
    return LLMClient_v1(**own, **values)


def read_docs(nlp: "Language", source: Path) -> list["Doc"]:
    """Read the docs of a .spacy file without their annotation, or the lines of a text file that are not blank."""
    from ..data.docbin import read_annotated
    from ..scoring.gold import unannotated_copy

    if source.suffix == ".spacy":
        return [unannotated_copy(nlp, doc, own_types=False) for doc in read_annotated(source, nlp.vocab)[0]]
    with source.open("rb") as stream:
        return [nlp.make_doc(line) for line in read_lines(stream) if line.strip()]


def render_report(report: "AnnotationReport", client: "LLMClient", done: str) -> str:
    """Say what came of it, and what it took."""
    usage = client.report
    lines = [
        f"{report.done} of {report.texts} texts {done}, {report.entities} entities.",
        f"{usage.requests} requests, {usage.tokens} tokens; {usage.cache_hits} answers were known.",
    ]
    for heading, counts in (("Entities left out", report.dropped), ("Questions without an answer", report.failures)):
        reasons = ", ".join(f"{reason} ({n})" for reason, n in sorted(counts.items()) if n)
        lines += [f"{heading}: {reasons}."] if reasons else []
    return "\n".join(lines)


def deliver(report: "AnnotationReport", client: "LLMClient", done: str, as_json: bool) -> None:
    """Print what came of it.

    RAISES (DataError): When nothing was answered.
    RAISES (typer.Exit): With code 1, when something was not.
    """
    client.close()
    if as_json:
        put_json({**report.as_dict(), "requests": client.report.as_dict()})
    else:
        put(render_report(report, client, done))
    if report.texts and not report.done:
        raise error("O511", model=client.model, reasons=dict(report.failures) or dict(report.dropped))
    # A budget was asked for; all else is not as meant.
    if set(report.failures) - {"budget"}:
        raise typer.Exit(1)


def _check_target(target: Path, inputs: list[Path | None]) -> None:
    if target.suffix != ".spacy":
        raise error("O001", name="target", value=str(target), allowed="NAME.spacy")
    refuse_overwriting(inputs, [target, labels_file(target)])
