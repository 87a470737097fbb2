"""Annotate a corpus with a pipeline, on one machine or on many, and go on after an interruption."""

import hashlib
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from pathlib import Path
from typing import Any

from spacy.vocab import Vocab
from tqdm import tqdm

from .. import __version__
from ..arguments import MOST, MOST_THREADS, as_name, as_whole, is_text
from ..errors import error
from ..files import as_path
from ..labels import LabelSet
from ..types import DEFAULT_SPANS_KEY
from .annotator import RunSettings, UnitResult
from .journal import Counts, Journal
from .local_engine import run_locally
from .plan import SourceFile, find_sources, plan_units
from .ray_engine import Results, run_on_ray
from .reading import read_records
from .records import WRITABLE, RecordFields, Unit
from .sources import settle_sources

ENGINES = ("local", "ray")
OPTIONAL = ("batch_size", "limit")
# A `Path` has one slash of a URL's two.
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")


@dataclass(frozen=True)
class RunReport:
    """Result of a run.

    counts: Of all parts that are written, earlier runs' included.
    units: How many units the corpus has.
    finished: How many of them are finished.
    problems: Of each unit that is not, its file and why.
    remade: Files of the output that had changed since an earlier call, or were gone: they are made anew.
    """

    counts: Counts
    units: int
    finished: int
    problems: Sequence[tuple[str, str]]
    remade: Sequence[str] = ()

    @property
    def is_complete(self) -> bool:
        """Tell whether nothing is left to do."""
        return self.finished == self.units


def run_corpus(
    source: str | Path,
    dest: str | Path,
    pipeline: str | Path,
    *,
    labels: Sequence[str] | Mapping[str, str] | None = None,
    engine: str = "local",
    workers: int = 1,
    threads: int = 1,
    gpus: float = 0.0,
    format: str = "jsonl",
    text_field: str = "text",
    id_field: str | None = None,
    entities_field: str = "entities",
    spans_key: str = DEFAULT_SPANS_KEY,
    shard_size: int = 1000,
    batch_size: int | None = None,
    limit: int | None = None,
    progress: bool = False,
) -> RunReport:
    """Annotate a corpus.

    A run that was interrupted goes on when it is started again with the same arguments, and its output is that of a run
    left alone, to the byte. What is finished is kept; parts that were cut, changed or removed since are made anew.
    Records that fail go to `DEST/dead_letters`.

    source (str | Path): A file, directory, glob or URL: JSON lines, CSV, lines of text (also `.gz`), Parquet, `.spacy`.
    dest (str | Path): A directory that is empty, or that such a run has written.
    pipeline (str | Path): Name or directory of a pipeline.
    labels (Sequence[str] | Mapping[str, str] | None): Types to look for, instead of those of the pipeline.
    engine (str): "local" for processes on this machine, "ray" for a Ray cluster.
    workers, threads (int): Processes or actors, each with a pipeline of its own, and threads of each for arithmetic.
    gpus (float): What part of a GPU each worker takes; 0 for CPUs. Without Ray, all workers share this machine's first.
    format (str): Of the output: "jsonl", "parquet" or "spacy".
    text_field, id_field, entities_field (str): Names of the fields of records.
    spans_key (str): The span group that entities are read from, beside `doc.ents`.
    shard_size (int): The most records in an output file.
    batch_size (int | None): Records that the pipeline takes together; what its config says (`nlp.batch_size`) if None.
    limit (int | None): The most records to annotate, from the first one on.
    progress (bool): Show a bar with rate and time left, on standard error.
    RETURNS (RunReport): With the problems of units that could not be finished; the same call tries these again.
    RAISES (SettingError, DataError): For arguments that are not allowed, and a `dest` of other files or another run.
    RAISES (DataError): O610, when the output cannot be written, or the pipeline not be loaded; the same call goes on.
    """
    _check_engine(engine, gpus, format)
    _check_counts(workers=workers, threads=threads, shard_size=shard_size, batch_size=batch_size, limit=limit)
    settings = RunSettings(
        pipeline=_pipeline_name(pipeline),
        dest=str(_target(dest)),
        labels=None if labels is None else LabelSet(labels).plain(),
        fields=RecordFields(text_field, id_field, entities_field),
        format=format,
        shard_size=shard_size,
        spans_key=as_name(spans_key, "spans_key"),
        batch_size=batch_size,
        threads=threads,
        gpu=gpus > 0,
    )
    run = partial(run_on_ray, workers=workers, gpus=gpus) if engine == "ray" else partial(run_locally, workers=workers)
    return _run_what_is_left(find_sources(_source_text(source), Path(settings.dest)), settings, limit, run, progress)


def _run_what_is_left(
    files: Sequence[SourceFile],
    settings: RunSettings,
    limit: int | None,
    run: Callable[[Sequence[Unit], RunSettings], Results],
    progress: bool,
) -> RunReport:
    """Plan the units of a corpus, and annotate those that the journal does not say to be finished.

    run (Callable): An engine.
    """
    journal = Journal(Path(settings.dest))
    with journal.opened(_identity(settings, limit)):
        unit_bytes = settle_sources(journal, files, is_limited=limit is not None)
        units = _limited(plan_units(files, unit_bytes), settings.fields, limit)
        finished = {unit.name: counts for unit in units if (counts := journal.unit_counts(unit.name)) is not None}
        left = [unit for unit in units if unit.name not in finished]
        with closing(run(left, settings)) as results:
            return _gather(results, units, list(finished.values()), progress, journal.take_changed())


def _gather(
    results: Iterator[UnitResult], units: Sequence[Unit], before: Sequence[Counts], progress: bool, remade: list[str]
) -> RunReport:
    """Add up what comes back.

    remade (list[str]): Files of units that an earlier call had finished, and that are not what they were.
    RAISES (DataError): When no other unit would fare better than one that failed.
    """
    paths = {unit.name: unit.path for unit in units}
    total, finished, problems = sum_counts(before), len(before), []
    bar = tqdm(total=len(units), initial=finished, disable=not progress, unit="unit")
    with bar:
        for result in results:
            total = total.plus(result.counts)
            remade = [*remade, *result.remade]
            if result.is_fatal:
                raise error("O610", reason=result.problem, finished=finished, units=len(units))
            if result.problem is None:
                finished += 1
            else:
                problems.append((paths[result.unit], result.problem))
            bar.update()
            bar.set_postfix_str(f"{total.records:,} records, {total.set_aside:,} set aside")
    return RunReport(total, len(units), finished, sorted(problems), sorted(remade))


def sum_counts(counts: Sequence[Counts]) -> Counts:
    """Return the sum of some counts."""
    total = Counts()
    for count in counts:
        total = total.plus(count)
    return total


def _limited(units: Sequence[Unit], fields: RecordFields, limit: int | None) -> list[Unit]:
    """Keep the units that the first records lie in; the last of them ends early."""
    if limit is None:
        return list(units)
    kept: list[Unit] = []
    for unit in units:
        n, most = 0, limit
        # Whatever is wrong with a file, the run says so, and takes the others.
        with suppress(Exception):
            for _ in islice(read_records(unit, fields, Vocab()), limit):
                n += 1
            most = n
        kept.append(replace(unit, limit=most))
        limit -= n
        if limit <= 0:
            break
    return kept


def _identity(settings: RunSettings, limit: int | None) -> dict[str, Any]:
    """Gather all that the output depends on, beside the corpus. Where things lie is not part of it."""
    known = asdict(settings)
    del known["dest"], known["pipeline"], known["threads"]
    return {"package": __version__, "pipeline": _pipeline_digest(settings.pipeline), "limit": limit, **known}


def _pipeline_digest(pipeline: str) -> str:
    """Tell one state of a pipeline from another: by its files, or by the version of the package that it is."""
    path = Path(pipeline)
    if not path.is_dir():
        try:
            return f"{pipeline} {version(pipeline)}"
        except PackageNotFoundError as problem:
            raise error("O609", pipeline=pipeline) from problem
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")):
        if file.is_file():
            digest.update(file.relative_to(path).as_posix().encode())
            digest.update(b"\0")
            with file.open("rb") as stream:
                for block in iter(partial(stream.read, 2**20), b""):
                    digest.update(block)
    return digest.hexdigest()


def _target(dest: Any) -> Path:
    """Return the directory of the output, as workers elsewhere find it.

    RAISES (SettingError): For a URL, which would become a directory of an odd name here.
    """
    path = as_path(dest, "dest")
    if _URL.match(str(path)):
        raise error("O001", name="dest", value=str(dest), allowed="a directory; storage elsewhere has to be mounted")
    return path.absolute()


def _pipeline_name(pipeline: Any) -> str:
    """Return the directory of a pipeline as workers elsewhere find it, or the name of a package."""
    path = as_path(pipeline, "pipeline")
    return str(path.absolute() if path.is_dir() else path)


def _source_text(source: Any) -> str:
    """Return a source as text; of a URL, the slashes are its own."""
    return source if is_text(source) else str(as_path(source, "source"))


def _check_engine(engine: Any, gpus: Any, format: Any) -> None:
    for name, value, allowed in (("engine", engine, ENGINES), ("format", format, WRITABLE)):
        if value not in allowed:
            raise error("O001", name=name, value=value, allowed=", ".join(allowed))
    if isinstance(gpus, bool) or not isinstance(gpus, int | float) or not 0 <= gpus < math.inf:
        raise error("O001", name="gpus", value=gpus, allowed="a number from 0")


def _check_counts(**counts: Any) -> None:
    for name, value in counts.items():
        if value is None and name in OPTIONAL:
            continue
        as_whole(value, name, 1, MOST_THREADS if name == "threads" else MOST)
