"""Annotate one unit of a corpus: read its records, run the pipeline, write parts, set aside what fails."""

import json
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, islice
from pathlib import Path
from typing import Any

import spacy
import torch
from spacy.language import Language
from spacy.tokens import Doc
from spacy.util import raise_error

from ..components.entity_pipe import OpenNERPipe
from ..environment import load_pipeline
from ..errors import OpenNERError, error
from ..files import replaced_file, write_text
from ..labels import set_labels
from ..types import DEFAULT_SPANS_KEY
from .journal import Counts, Journal
from .reading import read_records
from .records import BadRecord, Record, RecordFields, Unit
from .writing import RECORD_COLUMNS, write_records

DEAD_LETTERS = "dead_letters"
# Of a unit that has no result.
LOST = "the worker process died whenever it was annotated (out of memory, or killed)"


@dataclass(frozen=True)
class RunSettings:
    """All that the output of a run depends on, beside the corpus and the pipeline's files.

    pipeline (str): Name or directory of the pipeline.
    dest (str): Directory for the output.
    labels (Sequence[str] | dict[str, str] | None): Types to look for; None for those of the pipeline.
    fields (RecordFields): Names of the fields of records.
    format (str): See `records.WRITABLE`.
    shard_size (int): The most records in an output file.
    spans_key (str): The span group that entities are read from, beside `doc.ents`.
    batch_size (int | None): Records that the pipeline gets at a time; as many as its config says if None.
    threads (int): Of each process, for the arithmetic.
    gpu (bool): Run the pipeline on a GPU.
    RAISES (SettingError): For a column of entities that has the name of another one.
    """

    pipeline: str
    dest: str
    labels: Sequence[str] | dict[str, str] | None = None
    fields: RecordFields = field(default_factory=RecordFields)
    format: str = "jsonl"
    shard_size: int = 1000
    spans_key: str = DEFAULT_SPANS_KEY
    batch_size: int | None = None
    threads: int = 1
    gpu: bool = False

    def __post_init__(self) -> None:
        if self.format == "parquet" and self.fields.entities in RECORD_COLUMNS:
            allowed = f"with Parquet, any name but {' and '.join(RECORD_COLUMNS)}"
            raise error("O001", name="entities_field", value=self.fields.entities, allowed=allowed)


@dataclass(frozen=True)
class UnitResult:
    """Result of annotating a unit.

    unit: Its name.
    counts: What it holds.
    problem: Why it could not be annotated to its end; None where it could.
    is_fatal: Whether no other unit would fare better, so that the run is to stop.
    remade: Files that had changed since an earlier run had finished them, or were gone.
    """

    unit: str
    counts: Counts
    problem: str | None = None
    is_fatal: bool = False
    remade: Sequence[str] = ()


class CannotGoOn(Exception):
    """A failure that every unit would meet, such as a full disk."""


class UnitAnnotator:
    """Annotates units, one after the other. The pipeline is loaded at the first one.

    settings (RunSettings): Of the run.
    """

    def __init__(self, settings: RunSettings) -> None:
        self.settings = settings
        self.journal = Journal(Path(settings.dest))

    @cached_property
    def nlp(self) -> Language:
        """The pipeline, loaded now if it was not.

        RAISES (CannotGoOn): Where it cannot be loaded, has no use for the labels, or there is no GPU for it.
        """
        torch.set_num_threads(self.settings.threads)
        try:
            if self.settings.gpu:
                spacy.require_gpu()
            nlp = load_pipeline(self.settings.pipeline)
        # Each component of a pipeline may refuse its files or this machine in its own way.
        except Exception as problem:
            reason = f"the pipeline {self.settings.pipeline!r} cannot be loaded: {_describe(problem)}"
            raise CannotGoOn(reason) from problem
        if self.settings.labels is not None and not any(isinstance(pipe, OpenNERPipe) for _, pipe in nlp.pipeline):
            raise CannotGoOn(str(error("O652", pipes=", ".join(nlp.pipe_names) or "no components")))
        # Records that fail are set aside here. A handler that the pipeline came with would lose them.
        nlp.set_error_handler(raise_error)
        return nlp

    def __call__(self, unit: Unit) -> UnitResult:
        """Annotate a unit. Parts of it that an earlier run has finished are left alone.

        RETURNS (UnitResult): With a problem where the file cannot be read to its end, or the output not be written.
        """
        total = Counts()
        try:
            done = self.journal.unit_counts(unit.name)
            if done is not None:
                return UnitResult(unit.name, done)
            # Docs of spaCy's own files share one table of strings, which lives as long as all of them.
            with self._zone(unit.format == "spacy"):
                for counts in self._annotate_parts(unit):
                    total = total.plus(counts)
            with _writing():
                self.journal.finish_unit(unit.name, total)
        except CannotGoOn as problem:
            return UnitResult(unit.name, total, str(problem), is_fatal=True)
        # Files can be damaged in more ways than are known here; a unit costs no other one.
        except Exception as problem:
            with suppress(OpenNERError, OSError):
                self.journal.note_problem(unit.name, _describe(problem))
            return UnitResult(unit.name, total, _describe(problem))
        return UnitResult(unit.name, total, remade=self.journal.take_changed())

    def _annotate_parts(self, unit: Unit) -> Iterator[Counts]:
        records = read_records(unit, self.settings.fields, self.nlp.vocab)
        for part, chunk in enumerate(_chunks(records, self.settings.shard_size)):
            counts = self.journal.part_counts(unit.name, part)
            yield counts if counts is not None else self._write_part(unit, part, chunk)

    def _write_part(self, unit: Unit, part: int, chunk: Sequence[Record | BadRecord]) -> Counts:
        with self._zone(unit.format != "spacy"):
            kept, docs, bad = self._annotate(chunk)
            with _writing():
                entities, files = self._write_files(f"part-{unit.name}-{part:05d}", kept, docs, bad)
                counts = Counts(len(kept), entities, len(bad))
                self.journal.finish_part(unit.name, part, counts, files)
        return counts

    def _zone(self, is_needed: bool) -> AbstractContextManager[Any]:
        """Let go of the strings of texts when the block ends; zones cannot be nested."""
        return self.nlp.memory_zone() if is_needed else nullcontext()

    def _annotate(self, chunk: Sequence[Record | BadRecord]) -> tuple[list[Record], list[Doc], list[BadRecord]]:
        """Run the pipeline. Where it fails, each record is tried by itself, and those that fail are set aside."""
        bad = [record for record in chunk if isinstance(record, BadRecord)]
        records = [record for record in chunk if isinstance(record, Record)]
        try:
            return records, list(self._run(records)), bad
        # Any component may fail in any way: it must cost the record that it fails on, and no other.
        except Exception:
            kept: list[Record] = []
            docs: list[Doc] = []
            for record in records:
                try:
                    docs += self._run([record])
                    kept.append(record)
                except Exception as problem:
                    reason = _describe(problem)[:500]
                    bad.append(BadRecord(record.where, reason, record.text[:2000], record.id))
            return kept, docs, bad

    def _run(self, records: Sequence[Record]) -> Iterator[Doc]:
        docs = (record.doc or self.nlp.make_doc(record.text) for record in records)
        return self.nlp.pipe(map(self._ask, docs), batch_size=self.settings.batch_size)

    def _ask(self, doc: Doc) -> Doc:
        if self.settings.labels is not None:
            set_labels(doc, self.settings.labels)
        return doc

    def _write_files(
        self, name: str, kept: list[Record], docs: list[Doc], bad: list[BadRecord]
    ) -> tuple[int, list[Path]]:
        """Write what there is to write, and remove what an attempt that did not end may have left of the rest.

        RETURNS (tuple): How many entities there are, and the files.
        """
        settings, dest = self.settings, Path(self.settings.dest)
        output, aside = dest / f"{name}.{settings.format}", dest / DEAD_LETTERS / f"{name}.jsonl"
        entities = 0
        if bad:
            aside.parent.mkdir(exist_ok=True)
            lines = [json.dumps(record._asdict(), ensure_ascii=True, default=str) + "\n" for record in bad]
            write_text(aside, "".join(lines))
        else:
            aside.unlink(missing_ok=True)
        if kept:
            with replaced_file(output, clear=False) as beside:
                entities = write_records(beside, settings.format, kept, docs, settings.spans_key, settings.fields)
        else:
            output.unlink(missing_ok=True)
        return entities, [path for path, is_there in ((output, kept), (aside, bad)) if is_there]


@contextmanager
def _writing() -> Iterator[None]:
    """Mark failures to write.

    RAISES (CannotGoOn): Instead of them.
    """
    try:
        yield
    except (OpenNERError, OSError) as problem:
        # The system's own words, without advice that is meant for single files.
        raise CannotGoOn(str(problem.__cause__ or problem)) from problem


def _describe(problem: Exception) -> str:
    return str(problem) if isinstance(problem, OpenNERError) else f"{type(problem).__name__}: {problem}"


def _chunks(records: Iterator[Any], size: int) -> Iterator[list[Any]]:
    for first in records:
        yield list(chain([first], islice(records, size - 1)))
