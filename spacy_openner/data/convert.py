"""Conversion of annotated data to what training reads: spaCy's files, with all spans and the list of types."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import accumulate, count, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..arguments import as_name, as_whole
from ..errors import error
from ..files import as_path, refuse_overwriting, replaced_file
from ..json_files import json_text
from ..types import DEFAULT_SPANS_KEY
from .docbin import labels_file, withdraw
from .formats import detect_format, read
from .naming import list_types, make_renamer
from .report import ConversionReport
from .texts import AnnotatedText, Span, Tally

if TYPE_CHECKING:
    from spacy.tokens import Doc
    from spacy.vocab import Vocab

# Beside words and spaces, which are always there. Nothing else is known.
ATTRS = ("ENT_IOB", "ENT_TYPE", "SENT_START")


def convert(
    source: str | Path,
    target: str | Path,
    *,
    format: str = "auto",
    labels: Mapping[str, str | None] | None = None,
    types: Mapping[str, str] | Sequence[str] | None = None,
    natural: bool = True,
    spans_key: str = DEFAULT_SPANS_KEY,
    n_sents: int = 1,
    shard: int | None = None,
    **options: Any,
) -> ConversionReport:
    """Convert annotated data to .spacy files, and list the types that it annotates beside them.

    Each doc has the tokens of the data, all spans in `doc.spans`, and the longest of those that do not overlap
    in `doc.ents`. Malformed spans are left out and counted. Files are replaced when all is done, or not at all.

    source (str | Path): A file, or a directory where the format has such.
    target (str | Path): The file to write, NAME.spacy, or a directory for a file that is named like the source.
        NAME.labels.json, beside it, maps each type to its description.
    format (str): A key of `spacy_openner.data.formats.READERS`, or "auto".
    labels (Mapping[str, str | None] | None): The data's label -> the label to write; None leaves its spans out.
    types (Mapping[str, str] | Sequence[str] | None): All types that the data annotates, if not only those that
        occur in it or in `labels`; or type -> description.
    natural (bool): Write labels that `labels` lacks as words: "cell_type" -> "cell type".
    spans_key (str): The span group to write. It is set in each doc, though it may be empty.
    n_sents (int): How many texts make a doc; it ends sooner where a document of the data ends.
    shard (int | None): How many docs make a file: NAME-00001.spacy and so on. All in one if not given.
    **options (Any): Of the format's reader (see `spacy_openner.data.formats`).
    RETURNS (ConversionReport): What was written, and what was not.
    RAISES (OpenNERError): For settings that are not allowed, data of another form, or data without texts.
    """
    _check_counts(n_sents=n_sents, shard=1 if shard is None else shard)
    as_name(format, "format")
    as_name(spans_key, "spans_key")
    intake = _Intake(make_renamer(labels, natural))
    source = as_path(source, "source")
    outputs = _Outputs.of(source, as_path(target, "target"))
    kind = detect_format(source) if format == "auto" else format
    groups = _group(intake.take(read(source, kind, intake.tally, **options)), n_sents)
    with ExitStack() as stack:
        beside = stack.enter_context(replaced_file(outputs.listing, parents=True))
        files, n_docs = _write_docs(groups, outputs.file, spans_key, shard, stack)
        if not n_docs:
            raise error("O406", path=str(source), kind=kind, skipped=", ".join(intake.tally.skipped) or "none")
        listed = list_types(intake.types, types, labels)
        beside.write_text(json_text(listed), encoding="utf8")
        withdraw(outputs.listing, json_text(listed))
    if shard is not None:
        outputs.remove_old_shards(files)
    return ConversionReport(
        source=str(source),
        format=kind,
        files=tuple(map(str, files)),
        labels_file=str(outputs.listing),
        docs=n_docs,
        **intake.counts(listed),
    )


def _check_counts(**counts: int) -> None:
    for name, value in counts.items():
        as_whole(value, name, 1)


@dataclass(frozen=True)
class _Outputs:
    """The files of a conversion.

    file: That of docs, whose name is numbered where there are several.
    listing: That of types, beside it.
    old_shards: Numbered ones of an earlier conversion.
    """

    file: Path
    listing: Path
    old_shards: Sequence[Path]

    @classmethod
    def of(cls, source: Path, target: Path) -> "_Outputs":
        """Name the files.

        RAISES (SettingError): For a target that is no such file, or where one of the files is the source.
        """
        file = target_file(source, target)
        old_shards = [path for path in file.parent.glob("*.spacy") if _is_shard(path, file)]
        outputs = cls(file, labels_file(file), old_shards)
        refuse_overwriting([source], [outputs.file, outputs.listing, *old_shards])
        return outputs

    def remove_old_shards(self, new: Iterable[Path]) -> None:
        """Remove those that are not written anew, since they would be read too."""
        for path in set(self.old_shards).difference(new):
            path.unlink()


@dataclass
class _Intake:
    """Takes texts over as they are to be written, and counts.

    rename (Callable[[str], str | None]): Gives the label to write; None for one that is left out.
    """

    rename: Callable[[str], str | None]
    tally: Tally = field(default_factory=Tally)
    types: Counter[str] = field(default_factory=Counter)
    texts: int = 0
    tokens: int = 0

    def counts(self, listed: Iterable[str]) -> dict[str, Any]:
        """Return what a report of the conversion says of the texts that were taken over.

        listed (Iterable[str]): Types, of which it says how often they occur.
        """
        tally = self.tally
        return {
            "types": dict(sorted(((label, self.types[label]) for label in listed), key=lambda item: -item[1])),
            "texts": self.texts,
            "tokens": self.tokens,
            "spans": sum(self.types.values()),
            "dropped": tally.dropped,
            "repaired": tally.repaired,
            "skipped": tally.skipped,
            "unread": tally.unread,
        }

    def take(self, texts: Iterable[AnnotatedText]) -> Iterator[AnnotatedText]:
        """Yield the texts that have words, with the spans that can be written."""
        starts_doc = False
        for text in texts:
            starts_doc = starts_doc or text.starts_doc
            if not any(text.tokens):
                self.tally.skip("text without words", text.where)
            cleaned = self._clean(text)
            if cleaned.tokens:
                self.texts += 1
                self.tokens += len(cleaned.tokens)
                self.types.update(label for _, _, label in cleaned.spans)
                yield replace(cleaned, starts_doc=starts_doc)
                starts_doc = False

    def _clean(self, text: AnnotatedText) -> AnnotatedText:
        """Rename labels, and leave out what spaCy's docs cannot hold: empty tokens and malformed spans."""
        positions = list(accumulate(map(bool, text.tokens), initial=0))  # of each token when empty ones are gone
        spans: dict[Span, None] = {}
        for start, end, label in text.spans:
            new = self.rename(label)
            is_inside = 0 <= start <= end <= len(text.tokens)
            span = (positions[start], positions[end], new or "") if is_inside else (start, end, new or "")
            reason = "repeated" if span in spans else _objection(span, new, is_inside)
            if reason:
                self.tally.drop(reason, f"{text.where}, [{start}, {end}, {json.dumps(label, ensure_ascii=False)}]")
            else:
                spans[span] = None
        text = replace(text, types=self._types(text))
        if all(text.tokens):
            return replace(text, spans=tuple(spans))
        self.tally.repair("empty token, left out", text.where, text.tokens.count(""))
        kept = [i for i, token in enumerate(text.tokens) if token]
        return replace(
            text,
            tokens=tuple(text.tokens[i] for i in kept),
            spans=tuple(spans),
            spaces=text.spaces and tuple(text.spaces[i] for i in kept),
            sent_starts=tuple(sorted({positions[i] for i in text.sent_starts if positions[i] < len(kept)})),
        )

    def _types(self, text: AnnotatedText) -> tuple[str, ...] | None:
        """Rename a text's own types, without those that are left out. Absent ones are listed with the rest."""
        if text.types is None:
            return None
        types = tuple(dict.fromkeys(new for label in text.types if (new := self.rename(label)) and new.strip()))
        for label in types:
            self.types.setdefault(label, 0)
        return types


def _objection(span: Span, label: str | None, is_inside: bool) -> str:
    """Say why a span cannot be written; nothing if it can.

    label (str | None): What its label became.
    is_inside (bool): Its text has tokens at both ends.
    """
    if label is None:
        return "label that is mapped to null"
    if not label.strip():
        return "without a label"
    if span[0] >= span[1]:
        return "empty"
    return "" if is_inside else "outside of the tokens"


def _group(texts: Iterable[AnnotatedText], size: int) -> Iterator[list[AnnotatedText]]:
    """Put up to so many texts of one document together, if they are annotated with the same types."""
    group: list[AnnotatedText] = []
    for text in texts:
        if group and (text.starts_doc or len(group) == size or text.types != group[0].types):
            yield group
            group = []
        group.append(text)
    if group:
        yield group


def _write_docs(
    groups: Iterable[list[AnnotatedText]], target: Path, spans_key: str, shard: int | None, stack: ExitStack
) -> tuple[list[Path], int]:
    """Write a doc for each group, and hold no more than one file's docs in memory.

    target (Path): The file, or that whose name is numbered.
    stack (ExitStack): Puts all files in their places when it ends.
    RETURNS (tuple[list[Path], int]): The files, none without docs, and how many docs were written.
    """
    from spacy.tokens import DocBin
    from spacy.vocab import Vocab

    groups, files, n_docs = iter(groups), list[Path](), 0
    for number in count(1):
        # A vocab of its own keeps the strings of earlier files from adding up.
        vocab, packed = Vocab(), DocBin(attrs=ATTRS, store_user_data=True)
        for group in islice(groups, shard):
            packed.add(_make_doc(vocab, group, spans_key))
        if len(packed):
            files.append(target.with_name(f"{target.stem}-{number:05}.spacy") if shard else target)
            packed.to_disk(stack.enter_context(replaced_file(files[-1], parents=True)))
        n_docs += len(packed)
        if shard is None or len(packed) < shard:
            break
    return files, n_docs


def _make_doc(vocab: "Vocab", group: Sequence[AnnotatedText], spans_key: str) -> "Doc":
    """Make a doc of texts that follow one another.

    Without known spaces spaCy's corpus readers keep these tokens; with them they tokenise the text again.
    """
    from spacy.tokens import Doc, Span
    from spacy.util import filter_spans

    from ..labels import set_labels

    words = [token for text in group for token in text.tokens]
    spaces = [space for text in group for space in text.spaces or ()]
    starts: list[bool | None] = []
    for text in group:
        known = set(text.sent_starts)  # none at all stand for "unknown", spaCy's None
        starts.extend(i in known if known else None for i in range(len(text.tokens)))
    doc = Doc(vocab, words=words, spaces=spaces if len(spaces) == len(words) else None, sent_starts=starts)
    offsets = accumulate((len(text.tokens) for text in group), initial=0)
    spans = [
        Span(doc, offset + start, offset + end, label=label)
        for offset, text in zip(offsets, group, strict=False)
        for start, end, label in text.spans
    ]
    doc.spans[spans_key] = spans
    doc.ents = filter_spans(spans)
    if group[0].types is not None:
        set_labels(doc, group[0].types)
    return doc


def target_file(source: Path, target: Path) -> Path:
    """Return the file to write: the target, or one in it that is named like the source.

    RAISES (SettingError): For a target that is neither a .spacy file nor a directory.
    """
    if target.suffix == ".spacy":
        return target
    if target.suffix and not target.is_dir():
        raise error("O001", name="target", value=str(target), allowed="NAME.spacy, or a directory")
    name = source.resolve().name.removesuffix(".gz")
    return target / f"{name if source.is_dir() else Path(name).stem}.spacy"


def _is_shard(path: Path, target: Path) -> bool:
    return re.fullmatch(re.escape(target.stem) + r"-\d{5,}\.spacy", path.name) is not None
