"""Put a source pipeline, an alignment table and a span matcher of target types together (LAR).

    python scripts/lar.py training/lar/source/model-best training/lar/target/model-best training/lar/table.json \
        training/lar/pipeline
    python scripts/lar.py ... training/lar/pipeline-llm --llm MODEL --base-url http://localhost:8000/v1

With a language model, it is asked wherever the span matcher's score is below a limit; `spacy-openner calibrate` then
finds out for which types that helps.
"""

from pathlib import Path
from typing import Annotated, Any

import spacy
import typer
from wasabi import msg

from spacy_openner.lar.table import AlignmentTable
from spacy_openner.models.architectures import span_architecture


def main(
    source: Annotated[Path, typer.Argument(exists=True, help="The pipeline that finds source types.")],
    target: Annotated[Path, typer.Argument(exists=True, help="A pipeline trained on the table's descriptions.")],
    table: Annotated[Path, typer.Argument(exists=True, help="The alignment table.")],
    output: Annotated[Path, typer.Argument(help="The directory to write to.")],
    llm: Annotated[
        str, typer.Option(help="The name of a language model, asked where the span matcher is unsure.")
    ] = "",
    base_url: Annotated[str, typer.Option(help="Where it is; OpenAI if empty.")] = "",
    below: Annotated[float, typer.Option(help="Scores from which on it is not asked.")] = 0.9,
) -> None:
    """Assemble the pipeline."""
    aligned = AlignmentTable.load(table)
    weights = target / "open_ner_span" / "model"
    # Types are read as they were taught: beside their source types.
    reassigner: dict[str, Any] = {
        "@misc": "spacy-openner.SpanTypeReassigner.v1",
        "model": {"@architectures": span_architecture(weights), "name": str(weights)},
        "use_descriptions": True,
    }
    if llm:
        client = {"@misc": "spacy-openner.LLMClient.v1", "model": llm, "base_url": base_url or None}
        cached = {**client, "cache_dir": str(output.with_name(f"{output.name}.answers"))}
        second = {"@misc": "spacy-openner.LLMReassigner.v1", "client": cached}
        gate = {"@misc": "spacy-openner.GatedReassigner.v1", "first": reassigner, "second": second, "below": below}
        reassigner = gate
    nlp = spacy.load(source)
    pipe: Any = nlp.add_pipe("lar_reassigner", config={"labels": aligned.described(), "reassigner": reassigner})
    pipe.table = aligned
    pipe.reassigner.start()
    nlp.to_disk(output)
    msg.good(f"{output}: {', '.join(nlp.pipe_names)}")


if __name__ == "__main__":
    typer.run(main)
