"""Effect of a language model's accuracy on F1, with and without a gate; and how near the client comes to its limit.

    python -m benchmarks.llm_reassigner --set politics --output llm_reassigner.json

The model is a stand-in: a chat-completions server on this machine that answers from gold with a given accuracy, and else
with another option. Entities come from the default span matcher, which is asked for the four types of CoNLL-2003. Strict
micro F1 in percent on one half of a CrossNER dev set, without the type "miscellaneous"; the table of types and the gate
are made from the other half, and "gate" asks where that half says that it helps. "asked" is the share of entities that
the model was asked about.
"""

import random
import time
from pathlib import Path
from typing import Any

import spacy
import torch
from spacy.language import Language
from spacy.training import Example

from benchmarks.common import BenchmarkParser, report, run_benchmark, span_matcher
from benchmarks.zero_shot import examples_of
from spacy_openner.calibration.cascade import calibrate_cascade
from spacy_openner.lar.alignment import PseudoLabelAlignment_v1, align_labels
from spacy_openner.lar.decisions import read_decisions
from tests.support.annotated_sets import CROSSNER, DATA, labels_of, read_set
from tests.support.fake_chat_server import serve

SOURCES = ["person", "organization", "location", "miscellaneous"]


def ask_llm(url: str, *, entities_per_request: int = 8, **client: Any) -> dict[str, Any]:
    """Write the config of an LLMReassigner that asks a server."""
    settings = {"model": "stand-in", "base_url": url, "timeout": 30.0, "max_wait": 2.0, **client}
    client = {"@misc": "spacy-openner.LLMClient.v1", **settings}
    return {"@misc": "spacy-openner.LLMReassigner.v1", "client": client, "entities_per_request": entities_per_request}


def build(url: str, none: str, model: Path | None) -> Language:
    """A span matcher on source types, and a gate between it and the server."""
    nlp = spacy.blank("en")
    nlp.add_pipe("open_ner_span", config={"labels": SOURCES, "model": span_matcher(model, precision="float32")})
    first = {"@misc": "spacy-openner.SpanTypeReassigner.v1"}
    second = ask_llm(url, concurrency=16, timeout=60.0, max_retries=6)
    both = {"@misc": "spacy-openner.GatedReassigner.v1", "first": first, "second": second}
    nlp.add_pipe("lar_reassigner", config={"on_none": none, "on_unmapped": "drop", "reassigner": both})
    return nlp


def answers_of(examples: list[Example]) -> dict[str, str]:
    """The gold type of each mention, by its text, which is all that the server looks at."""
    return {ent.text: ent.label_ for example in examples for ent in example.reference.ents}


def measure(nlp: Language, dev: list[Example], test: list[Example]) -> dict[str, float]:
    """F1 of the span matcher alone, of the model alone, and of both behind the gate that the dev half chooses."""
    pipe = nlp.get_pipe("lar_reassigner")
    gate = calibrate_cascade(nlp, dev, min_cases=5).gate
    scores: dict[str, float] = {}
    for name, below, chosen in (("direct", 0.0, {}), ("always", 1.01, {}), ("below 0.5", 0.5, {}), ("gate", 0.0, gate)):
        pipe.reassigner.below, pipe.gate = below, chosen
        docs = list(nlp.pipe(example.predicted.copy() for example in test))
        pairs = [Example(doc, example.reference) for doc, example in zip(docs, test, strict=True)]
        scores[name] = 100 * (pipe.score(pairs)["openner_f"] or 0.0)
        by = [decision.by for doc in docs for decision in read_decisions(doc)]
        scores[f"{name} asked"] = by.count("llm") / max(1, len(by))
    return scores


def throughput(n: int, latency: float, concurrency: int) -> dict[str, Any]:
    """Seconds that n entities take, each a request of its own, and how much more that is than must be."""
    names = {f"Name{i}": "politician" for i in range(n)}
    with serve(gold=names, delay=latency) as server:
        nlp = spacy.blank("en")
        nlp.add_pipe("entity_ruler").add_patterns([{"label": "person", "pattern": name} for name in names])
        reassigner = ask_llm(server.url, concurrency=concurrency, entities_per_request=1, timeout=60.0)
        nlp.add_pipe("lar_reassigner", config={"table": {"politician": "person"}, "reassigner": reassigner})
        list(nlp.pipe(f"{name} again" for name in names if int(name[4:]) < concurrency))
        begun = time.perf_counter()
        list(nlp.pipe(f"{name} left" for name in names))
        seconds = time.perf_counter() - begun
    least = latency * n / concurrency
    return {"entities": n, "latency": latency, "concurrency": concurrency, "seconds": seconds, "ratio": seconds / least}


def main() -> None:
    """Measure each accuracy, then the throughput."""
    parser = BenchmarkParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--model", type=Path, help="of open_ner_span; the default weights if not given")
    parser.add_argument("--set", choices=CROSSNER, default="politics")
    parser.add_argument("--accuracies", type=float, nargs="+", default=[0.0, 0.25, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
    parser.add_argument("--none", choices=["drop", "keep", "never"], default="drop", help="see lar_reassigner")
    parser.add_argument("--entities", type=int, default=1000, help="of the throughput; 0 to leave it out")
    parser.add_argument("--concurrency", type=int, nargs="+", default=[4, 8, 16])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    lines = read_set(f"crossner_{args.set}", "dev", args.data)
    random.Random(0).shuffle(lines)
    rows = []
    with serve() as server:
        nlp = build(server.url, args.none, args.model)
        examples = examples_of(nlp, lines)
        dev, test = examples[: len(examples) // 2], examples[len(examples) // 2 :]
        pipe = nlp.get_pipe("lar_reassigner")
        pipe.table = align_labels(nlp, dev, PseudoLabelAlignment_v1(), before="lar_reassigner")
        for target, alignment in pipe.table.targets.items():
            print(f"{target} -> {alignment.sources[0]}  {alignment.counts}")
        server.behaviour.gold = answers_of(examples)
        for accuracy in args.accuracies:
            server.behaviour.accuracy = accuracy
            rows.append({"accuracy": accuracy, **measure(nlp, dev, test)})
    speeds = [throughput(args.entities, 0.2, n) for n in args.concurrency] if args.entities else []
    report(rows, args.output, set=args.set, labels=labels_of(lines), throughput=speeds)
    for row in speeds:
        print(row)


if __name__ == "__main__":
    run_benchmark(main)
