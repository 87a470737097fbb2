"""The commands `annotate` and `explain`, which ask a large language model; `spacy_openner.cli.app` adds them."""

import inspect
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..data.files import read_lines
from ..errors import error
from ..files import write_json
from .calibrate import Arg, AsJson, Opt, shown

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc

    from ..llm.annotation import Outcome
    from ..llm.client import LLMClient

Target = Annotated[Path, Arg(metavar="TARGET.spacy", help="Is replaced if it exists.")]
ModelName = Annotated[str, Opt(help="The name that the server knows the language model by.")]
BaseUrl = Annotated[str | None, Opt(help='Such as "http://localhost:8000/v1"; else OPENAI_BASE_URL, else OpenAI.')]
MaxRequests = Annotated[int | None, Opt(min=1, help="Stop there; the next run goes on.")]
CacheDir = Annotated[
    Path | None, Opt("--cache", metavar="DIR", help="Where answers are kept; else TARGET.answers, beside it.")
]
Settings = Annotated[
    str, Opt("--client", metavar="JSON", help='More settings of LLMClient.v1, such as {"concurrency": 16}.')
]
SpansKey = Annotated[str, Opt(help="Span group of the entities.")]


def make_client(
    target: Path, model: str, base_url: str | None, max_requests: int | None, cache: Path | None, settings: str
) -> "LLMClient":
    """Build a client that keeps its answers, so that an interrupted run can go on.

    target (Path): What is going to be written.
    settings (str): Those of `LLMClient_v1` that have no option of their own, as a JSON object.
    RAISES (SettingError): For other settings, or another kind of file.
    """
    from ..llm.factory import LLMClient_v1

    if target.suffix != ".spacy":
        raise error("O001", name="target", value=str(target), allowed="NAME.spacy")
    own: dict[str, Any] = {
        "model": model,
        "base_url": base_url,
        "max_requests": max_requests,
        "cache_dir": str(cache or target.with_name(f"{target.stem}.answers")),
    }
    free = sorted(set(inspect.signature(LLMClient_v1).parameters) - set(own))
    try:
        values = json.loads(settings)
    except json.JSONDecodeError:
        values = None
    if not isinstance(values, dict) or not set(values) <= set(free):
        raise error("O001", name="client", value=settings, allowed=f"a JSON object with {', '.join(free)}")
    return LLMClient_v1(**own, **values)


def read_docs(nlp: "Language", source: Path) -> list["Doc"]:
    """Read the docs of a .spacy file without their annotation, or the lines of a text file that are not blank."""
    from ..calibration.predictions import read_gold
    from ..scoring.gold import unannotated_copy

    if source.suffix == ".spacy":
        return [unannotated_copy(nlp, doc, own_types=False) for doc in read_gold(source, nlp)[0]]
    with source.open("rb") as stream:
        return [nlp.make_doc(line) for line in read_lines(stream) if line.strip()]


def write_docs(docs: Iterable["Doc"], types: Any, target: Path) -> None:
    """Write docs, and the list of their types beside them.

    RAISES (DataError): For a target that cannot be written.
    """
    from spacy.tokens import DocBin

    from ..training.corpus import LABELS_SUFFIX

    packed = DocBin(docs=docs, store_user_data=True)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        packed.to_disk(target)
    except OSError as problem:
        raise error("O407", path=str(target), reason=problem) from problem
    if types is not None:
        write_json(target.with_name(target.stem + LABELS_SUFFIX), types)


def render_outcome(outcome: "Outcome", client: "LLMClient", done: str) -> str:
    """Say what came of it, and what it took."""
    report = client.report
    lines = [
        f"{outcome.done} of {outcome.texts} texts {done}, {outcome.entities} entities.",
        f"{report.requests} requests, {report.tokens} tokens; {report.cache_hits} answers were known.",
    ]
    for what, counts in (("Entities left out", outcome.dropped), ("Questions without an answer", outcome.failures)):
        said = ", ".join(f"{reason} ({n})" for reason, n in sorted(counts.items()) if n)
        lines += [f"{what}: {said}."] if said else []
    return "\n".join(lines)


def deliver(outcome: "Outcome", client: "LLMClient", done: str, as_json: bool) -> None:
    """Print the outcome; nothing answered is an error."""
    client.close()
    if as_json:
        typer.echo(json.dumps({**outcome.as_dict(), "requests": client.report.as_dict()}, ensure_ascii=False).encode())
    else:
        typer.echo(render_outcome(outcome, client, done).encode())
    if outcome.texts and not outcome.done:
        raise error("O511", model=client.model, reasons=dict(outcome.failures) or dict(outcome.dropped))


def annotate_texts(
    source: Annotated[
        Path,
        Arg(metavar="SOURCE", exists=True, dir_okay=False, help="A .spacy file, or a text a line, UTF-8."),
    ],
    target: Target,
    model: ModelName,
    labels: Annotated[list[str] | None, Opt(metavar="A,B", help="Labels between commas; repeatable.")] = None,
    label: Annotated[list[str] | None, Opt(metavar="A", help="One label, commas and all; repeatable.")] = None,
    labels_file: Annotated[
        typer.FileBinaryRead | None, Opt(metavar="FILE", help="One a line: LABEL, or LABEL<TAB>DESCRIPTION.")
    ] = None,
    share: Annotated[float, Opt(min=0, max=1, help="Of the texts, chosen at random: 0.2 for a fifth.")] = 1.0,
    seed: Annotated[int, Opt(help="Of that choice.")] = 0,
    lang: Annotated[str, Opt(help="Language of the texts, for the tokenizer.")] = "en",
    base_url: BaseUrl = None,
    max_requests: MaxRequests = None,
    cache: CacheDir = None,
    client: Settings = "{}",
    as_json: AsJson = False,
) -> None:
    """Let a large language model annotate texts, for training and alignment without gold.

    TARGET.spacy has the texts that were answered for, and TARGET.labels.json beside it their types.
    """
    import spacy

    from ..labels import LabelSet
    from ..llm.annotation import Outcome, annotate_docs, sample
    from .app import collect_labels

    names = collect_labels(labels or (), label or (), read_lines(labels_file) if labels_file else ())
    if not names:
        raise typer.BadParameter('no labels; give for example --labels "person, award"', param_hint="--labels")
    asked = make_client(target, model, base_url, max_requests, cache, client)
    nlp, outcome = spacy.blank(lang), Outcome()
    docs = sample(read_docs(nlp, source), share, seed)
    found = list(annotate_docs(nlp, shown(docs), LabelSet(names), asked, outcome))
    if found:
        write_docs(found, names, target)
    deliver(outcome, asked, "annotated", as_json)


def explain_texts(
    source: Annotated[Path, Arg(metavar="SOURCE.spacy", exists=True, dir_okay=False, help="Annotated docs.")],
    target: Target,
    model: ModelName,
    spans_key: SpansKey = "openner",
    base_url: BaseUrl = None,
    max_requests: MaxRequests = None,
    cache: CacheDir = None,
    client: Settings = "{}",
    as_json: AsJson = False,
) -> None:
    """Let a large language model explain the entities of SOURCE.spacy, for a generator that learns to explain.

    TARGET.spacy has all docs; explanations that SOURCE.spacy has are kept and not asked for again.
    """
    import spacy

    from ..calibration.predictions import read_gold
    from ..llm.annotation import Outcome, explain_docs

    asked = make_client(target, model, base_url, max_requests, cache, client)
    nlp, outcome = spacy.blank("xx"), Outcome()
    docs, types = read_gold(source, nlp)
    found = explain_docs(shown(docs), asked, outcome, spans_key)
    write_docs(found, types, target)
    deliver(outcome, asked, "explained", as_json)
