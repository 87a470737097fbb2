"""A reader that mixes annotated corpora, each of which knows its own types."""

import json
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spacy.language import Language
from spacy.tokens import Doc, DocBin
from spacy.training import Example
from spacy.vocab import Vocab

from .. import labels as doc_labels
from ..errors import error, warn
from .align import gold_spans

LABELS_SUFFIX = ".labels.json"
SHARD_NUMBER = re.compile(r"-\d+$")


@dataclass(frozen=True)
class Source:
    """One corpus of a mixture.

    path (Path): A `.spacy` file, or a directory of them.
    weight (float): How often each text is read in one pass: 0.5 for a random half, 3 for three times.
    limit (int): The most texts that are used, a fixed random choice; 0 for all.
    labels (tuple[tuple[str, str], ...]): The types that the corpus annotates, with descriptions; empty to take
        `NAME.labels.json` beside the file, or without one the types that occur.
    """

    path: Path
    weight: float = 1.0
    limit: int = 0
    labels: tuple[tuple[str, str], ...] = ()

    @property
    def files(self) -> list[Path]:
        """The files, sorted by name.

        RAISES (SettingError): When there are none.
        """
        found = sorted(self.path.rglob("*.spacy")) if self.path.is_dir() else [self.path]
        if not found or not all(file.is_file() for file in found):
            raise error("O010", path=str(self.path))
        return found

    def listed(self) -> dict[str, str]:
        """The types that were given, or that files beside the corpus name; empty without either."""
        if self.labels:
            return dict(self.labels)
        types: dict[str, str] = {}
        folder = self.path if self.path.is_dir() else self.path.parent
        stems = {SHARD_NUMBER.sub("", file.stem) for file in self.files}
        for stem in sorted(stems):
            file = folder / f"{stem}{LABELS_SUFFIX}"
            if file.is_file():
                labels = doc_labels.parse(json.loads(file.read_text(encoding="utf8")))
                types.update(_pairs(labels))
        return types


def OpenNERCorpus_v1(
    sources: dict[str, dict[str, Any]],
    replay: dict[str, dict[str, Any]] | None = None,
    replay_share: float = 0.2,
    spans_key: str = "openner",
    exclude_labels: list[str] | None = None,
    max_words: int = 0,
    shuffle: bool = True,
    seed: int = 0,
    shard: int = 0,
    shards: int = 1,
    ask: bool = True,
) -> "OpenNERCorpus":
    """Read and mix corpora. Registered as "spacy-openner.OpenNERCorpus.v1".

    sources (dict[str, dict[str, Any]]): Name -> `path`, and optionally `weight`, `limit`, `labels`; see `Source`.
    replay (dict[str, dict[str, Any]] | None): More sources, of what must not be forgotten.
    replay_share (float): The share of `replay` in all texts read; 0 to leave it out.
    spans_key (str): Where gold spans are.
    exclude_labels (list[str] | None): Types that are dropped from the annotation and from the lists of types.
    max_words (int): Longer texts are left out, and counted in a warning; 0 for any length.
    shuffle (bool): Mix the texts of all sources; they follow one another otherwise, weights and all.
    seed (int): Of the mixture.
    shard, shards (int): Read every `shards`-th text, from number `shard` on, so that several readers share a corpus.
    ask (bool): Let the components look for the source's own types in each text, instead of for their own labels.
    RETURNS (Callable): Yields examples; each call is one pass, mixed anew.
    RAISES (SettingError): For a value that is not allowed.
    """
    if not 0 <= replay_share < 1:
        raise error("O001", name="replay_share", value=replay_share, allowed="a number from 0 to below 1")
    if not 0 <= shard < shards:
        raise error("O001", name="shard", value=shard, allowed=f"0 to {shards - 1} (shards)")
    return OpenNERCorpus(
        {name: _source(name, given) for name, given in sources.items()},
        {name: _source(name, given) for name, given in (replay or {}).items()} if replay_share else {},
        replay_share,
        Reading(spans_key, frozenset(exclude_labels or ()), max_words, ask),
        shuffle,
        seed,
        range(shard, 1 << 62, shards),
    )


@dataclass(frozen=True)
class Reading:
    """How one text becomes an example; see `OpenNERCorpus_v1`."""

    spans_key: str
    exclude_labels: frozenset[str]
    max_words: int
    ask: bool


class OpenNERCorpus:
    """See `OpenNERCorpus_v1`. One file of each source is in memory at a time."""

    def __init__(
        self,
        sources: Mapping[str, Source],
        replay: Mapping[str, Source],
        replay_share: float,
        reading: Reading,
        shuffle: bool,
        seed: int,
        numbers: range,
    ) -> None:
        self.sources, self.replay, self.replay_share = dict(sources), dict(replay), replay_share
        self.reading, self.shuffle, self.numbers = reading, shuffle, numbers
        self._random = random.Random(seed)
        self._seed = seed
        self._known: dict[Source, tuple[dict[Path, range], dict[str, str]]] = {}
        self._warned: set[Path] = set()
        if not self.sources:
            raise error("O001", name="sources", value=sources, allowed="at least one corpus")

    def __call__(self, nlp: Language) -> Iterator[Example]:
        """Read all sources once, by their weights.

        YIELDS (Example): The reference has its gold spans under `spans_key`, the best flat set as `ents`, and
            the types of its source as `_.openner_labels`.
        """
        doc_labels.register()
        shares = [(source, self._share(source)) for source in self.sources.values()]
        again = [(source, self._share(source)) for source in self.replay.values()]
        wanted = round(sum(n for _, n in shares) * self.replay_share / (1 - self.replay_share))
        for number, doc in enumerate(self._interleaved(shares + _scaled(again, wanted), nlp.vocab)):
            if number in self.numbers:
                yield self._example(nlp, doc)

    def labels(self, source: Source) -> dict[str, str]:
        """The types that a source annotates, with descriptions, the excluded ones aside."""
        return self._look(source)[1]

    def _interleaved(self, shares: Sequence[tuple[Source, int]], vocab: Vocab) -> Iterator[Doc]:
        """Yield texts of all sources, each as often as its share says."""
        streams = [self._stream(source, n, vocab) for source, n in shares]
        for i in self._mixed([i for i, (_, n) in enumerate(shares) for _ in range(n)]):
            yield next(streams[i])

    def _share(self, source: Source) -> int:
        """How many texts of a source one pass has."""
        n = sum(map(len, self._look(source)[0].values()))
        return round((min(n, source.limit) if source.limit else n) * source.weight)

    def _look(self, source: Source) -> tuple[dict[Path, range], dict[str, str]]:
        """Number a source's texts, file by file, and list its types; once."""
        if source not in self._known:
            numbers: dict[Path, range] = {}
            first, occurring = 0, set[str]()
            for file in source.files:
                docs = self._docs(file, Vocab())
                first, numbers[file] = first + len(docs), range(first, first + len(docs))
                occurring.update(span.label_ for doc in docs for span in gold_spans(doc, self.reading.spans_key))
            types = source.listed() or {label: label for label in sorted(occurring)}
            kept = {label: text for label, text in types.items() if label not in self.reading.exclude_labels}
            self._known[source] = (numbers, kept)
        return self._known[source]

    def _stream(self, source: Source, n: int, vocab: Vocab) -> Iterator[Doc]:
        """Yield `n` texts of a source: all of them as often as that goes, and of the rest a random choice."""
        numbers, types = self._look(source)
        pool = list(range(sum(map(len, numbers.values()))))
        if source.limit and source.limit < len(pool):
            pool = sorted(random.Random(self._seed).sample(pool, source.limit))
        while n > 0:
            taken = set(pool) if n >= len(pool) else set(self._random.sample(pool, n))
            n -= len(taken)
            for file in self._mixed(list(numbers)):
                docs = zip(numbers[file], self._docs(file, vocab), strict=True)
                for doc in self._mixed([doc for i, doc in docs if i in taken]):
                    doc._.set(doc_labels.ATTRIBUTE, types)
                    yield doc

    def _mixed(self, items: list[Any]) -> list[Any]:
        """The items in random order, if the corpus is mixed."""
        return self._random.sample(items, len(items)) if self.shuffle else items

    def _docs(self, file: Path, vocab: Vocab) -> list[Doc]:
        """Read a file, without the excluded types and the texts that are too long."""
        try:
            docs = list(DocBin().from_disk(file).get_docs(vocab))
        except Exception as problem:
            raise error("O011", path=str(file), reason=f"{type(problem).__name__}: {problem}") from problem
        reading = self.reading
        short = [doc for doc in docs if not reading.max_words or len(doc) <= reading.max_words]
        if len(short) < len(docs) and file not in self._warned:
            self._warned.add(file)
            warn("W008", path=str(file), n=len(docs) - len(short), most=reading.max_words)
        for doc in short:
            _without(doc, reading)
        return short

    def _example(self, nlp: Language, doc: Doc) -> Example:
        if doc.has_unknown_spaces:
            predicted = Doc(nlp.vocab, [token.text for token in doc])
        else:
            predicted = nlp.make_doc(doc.text)
        if self.reading.ask:
            doc_labels.write(predicted, doc._.get(doc_labels.ATTRIBUTE))
        return Example(predicted, doc)


def _without(doc: Doc, reading: Reading) -> None:
    """Drop the excluded types from a gold doc."""
    if not reading.exclude_labels:
        return
    if reading.spans_key in doc.spans:
        kept = [span for span in doc.spans[reading.spans_key] if span.label_ not in reading.exclude_labels]
        doc.spans[reading.spans_key] = kept
    doc.ents = [span for span in doc.ents if span.label_ not in reading.exclude_labels]


def _scaled(shares: Sequence[tuple[Source, int]], wanted: int) -> list[tuple[Source, int]]:
    """Scale shares so that they sum up to about `wanted`."""
    total = sum(n for _, n in shares)
    return [(source, round(n * wanted / total)) for source, n in shares] if total else []


def _source(name: str, given: dict[str, Any]) -> Source:
    """Check what a config says about a source."""
    known = ("path", "weight", "limit", "labels")
    unknown = [key for key in given if key not in known]
    if unknown or "path" not in given:
        raise error("O001", name=f"sources.{name}", value=given, allowed=f"`path`, and {', '.join(known[1:])}")
    weight, limit = given.get("weight", 1.0), given.get("limit", 0)
    if isinstance(weight, bool) or not isinstance(weight, int | float) or weight < 0:
        raise error("O001", name=f"sources.{name}.weight", value=weight, allowed="a number from 0")
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 0:
        raise error("O001", name=f"sources.{name}.limit", value=limit, allowed="a whole number from 0")
    labels = given.get("labels")
    if labels is None:
        return Source(Path(given["path"]), float(weight), limit)
    return Source(Path(given["path"]), float(weight), limit, _pairs(doc_labels.parse(labels)))


def _pairs(labels: doc_labels.Labels) -> tuple[tuple[str, str], ...]:
    return tuple(zip(labels.names, labels.descriptions, strict=True))
