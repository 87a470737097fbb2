"""The command `serve`, which answers over HTTP."""

import gc
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

from .. import environment
from ..arguments import MOST_THREADS
from ..errors import error
from .options import Label, Labels, LabelsFile, Opt, given_labels

if TYPE_CHECKING:
    from fastapi import FastAPI
    from spacy.language import Language

    from ..labels import LabelsLike

# Seconds in which requests that were accepted are answered after the signal to stop.
GRACE = 30


def serve(
    pipeline: Annotated[str | None, Opt(metavar="P", help="A saved pipeline; else the default weights.")] = None,
    labels: Labels = None,
    label: Label = None,
    labels_file: LabelsFile = None,
    host: Annotated[str, Opt(help="Address to listen on; 0.0.0.0 for all.")] = "127.0.0.1",
    port: Annotated[int, Opt(min=0, max=65535, help="0 for any free one.")] = 8000,
    workers: Annotated[int, Opt(min=1, help="Copies of the pipeline that work at once, each in a thread.")] = 1,
    threads: Annotated[
        int | None, Opt(min=1, max=MOST_THREADS, help="Of each; by default PyTorch's own choice.")
    ] = None,
    max_texts: Annotated[int, Opt(min=1, help="Of a request.")] = 256,
    max_text_chars: Annotated[int, Opt(min=1, help="Of a text.")] = 100_000,
    max_waiting_texts: Annotated[int, Opt(min=1, help="When more texts wait, requests get the status 429.")] = 2048,
    batch_texts: Annotated[int, Opt(min=1, help="Most texts that the pipeline gets at once.")] = 64,
    timeout: Annotated[float, Opt(min=0.01, help="Seconds that a request waits for the model.")] = 30.0,
) -> None:
    """Serve a pipeline over HTTP: POST /entities, and a page to try it on at /.

    Clients must send the key in the environment variable SPACY_OPENNER_API_KEY, where there is one.
    """
    try:
        import uvicorn
    except ImportError as problem:
        raise error("O604", package=problem.name, extra="serve") from problem
    limits = {
        "max_texts": max_texts,
        "max_text_chars": max_text_chars,
        "max_waiting_texts": max_waiting_texts,
        "batch_texts": batch_texts,
        "timeout": timeout,
    }
    label_set = given_labels(labels, label, labels_file) if labels or label or labels_file else None
    with _without_collection():
        app = _make_app(pipeline, label_set, workers, threads, limits)
    # One line of JSON a request, on standard error, beside what the server itself has to say.
    logging.basicConfig(format="%(message)s")
    logging.getLogger("spacy_openner.serve").setLevel(logging.INFO)
    uvicorn.run(
        app,
        host=host,
        port=port,
        log_level="info",
        access_log=False,
        timeout_graceful_shutdown=GRACE,
        timeout_keep_alive=10,
    )


def _make_app(
    pipeline: str | None, labels: "LabelsLike | None", workers: int, threads: int | None, limits: dict[str, Any]
) -> "FastAPI":
    """Load all that answering takes."""
    try:
        from ..serve.app import create_app
        from ..serve.settings import ServeSettings, api_key
    except ImportError as problem:
        raise error("O604", package=problem.name, extra="serve") from problem
    import torch

    settings, key = ServeSettings(**limits), api_key()
    if threads is not None:
        torch.set_num_threads(threads)
    app = create_app([_load(pipeline, labels) for _ in range(workers)], settings, key)
    app.state.service.prepare()
    return app


@contextmanager
def _without_collection() -> Iterator[None]:
    """Look for no garbage: what is imported and loaded at the start is none, and looking takes an eighth of it."""
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()


def _load(pipeline: str | None, labels: "LabelsLike | None") -> "Language":
    """Load a pipeline, or make the default one."""
    if pipeline is None:
        nlp = environment.blank_pipeline("en")
        nlp.add_pipe("open_ner_span", config={"labels": labels or ["person", "organization", "location"]})
        return nlp
    try:
        nlp = environment.load_pipeline(pipeline)
    except OSError as problem:
        raise error("O609", pipeline=pipeline) from problem
    if labels is not None:
        from ..serve.finder import EntityFinder

        EntityFinder(nlp).component.labels = labels
    return nlp
