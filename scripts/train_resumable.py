"""Train as `spacy train` does, so that the run can be stopped at any time and goes on where it was.

    python scripts/train_resumable.py configs/type_cache.cfg training/type_cache --paths.corpus corpus/default
    python scripts/train_resumable.py configs/type_cache.cfg training/type_cache --paths.corpus corpus/default --for 3600

The same command goes on. At each evaluation (`[training] eval_frequency`) weights, moments of the optimizer and counts
are written to OUTPUT/model-last and OUTPUT/state, and a line of JSON to OUTPUT/log.jsonl: the learning curve. The best
weights are in OUTPUT/model-best. After a stop the corpus is mixed by another seed. Settings are overridden as for
`spacy train`; `--for SECONDS` stops after so much processor time, with what has been learnt written.
"""

import itertools
import json
import os
import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import spacy
import torch
import typer
from safetensors.torch import load_file, save_file
from spacy import util
from spacy.cli._util import parse_config_overrides, setup_gpu
from spacy.language import Language
from spacy.schemas import ConfigSchemaTraining
from spacy.training.initialize import init_nlp
from spacy.util import registry, resolve_dot_names
from thinc.api import Config, Optimizer, fix_random_seed

MOMENTS = ("mom1", "mom2")


class Run:
    """A training run and what it has written so far.

    config (Config): As for `spacy train`, interpolated.
    output (Path): Its directory.
    """

    def __init__(self, config: Config, output: Path) -> None:
        self.output = output
        self.counts: dict[str, Any] = {"step": 0, "words": 0, "seconds": 0.0, "best": -1.0}
        if self.is_resumed:
            self.counts = json.loads((output / "state" / "counts.json").read_text(encoding="utf8"))
        # Mixed alike again, the corpus would show its first texts again.
        seed = config["training"]["seed"] + self.counts["step"]
        fix_random_seed(seed)
        random.seed(seed)
        torch.manual_seed(seed)
        if "seed" in config["corpora"]["train"]:
            config["corpora"]["train"]["seed"] = seed
        self.nlp: Language = spacy.load(output / "model-last") if self.is_resumed else init_nlp(config)
        # What the config leaves out, the pipeline's own has by default.
        training = {**self.nlp.config.interpolate()["training"], **config["training"]}
        self.settings = registry.resolve(training, schema=ConfigSchemaTraining)
        names = [self.settings["train_corpus"], self.settings["dev_corpus"]]
        self.train_corpus, self.dev_corpus = resolve_dot_names(config, names)
        self.optimizer: Optimizer = self.settings["optimizer"]
        self.nlp.resume_training(sgd=self.optimizer)
        if self.is_resumed:
            self._load_optimizer()

    @property
    def is_resumed(self) -> bool:
        """Tell whether there is something to go on from."""
        return (self.output / "state" / "counts.json").is_file()

    def train(self, seconds: float | None) -> None:
        """Go on to the last step, or for some seconds of processor time."""
        batches = self._batches()
        begun, spent = time.process_time(), self.counts["seconds"]
        losses: dict[str, float] = {}
        while self.counts["step"] < self.settings["max_steps"]:
            batch = next(batches)
            self.nlp.update(batch, drop=self.settings["dropout"], sgd=self.optimizer, losses=losses)
            self.optimizer.step_schedules()
            self.counts["step"] += 1
            self.counts["words"] += sum(len(example.predicted) for example in batch)
            self.counts["seconds"] = spent + time.process_time() - begun
            over = seconds is not None and time.process_time() - begun > seconds
            if over or self._is_due():
                paused = time.process_time()
                self._evaluate(losses)
                begun += time.process_time() - paused
                losses = {}
            if over:
                return

    def _batches(self) -> Iterator[list[Any]]:
        passes = (self.train_corpus(self.nlp) for _ in itertools.count())
        yield from self.settings["batcher"](itertools.chain.from_iterable(passes))

    def _is_due(self) -> bool:
        step = self.counts["step"]
        return step % self.settings["eval_frequency"] == 0 or step == self.settings["max_steps"]

    def _evaluate(self, losses: dict[str, float]) -> None:
        """Score the dev corpus, and write what there is."""
        scores = self.nlp.evaluate(list(self.dev_corpus(self.nlp)))
        weights = {name: weight for name, weight in self.settings["score_weights"].items() if weight}
        score = sum(weight * (scores.get(name) or 0.0) for name, weight in weights.items())
        line = {**self.counts, "score": score, "losses": losses, "rate": float(self.optimizer.learn_rate)}
        if score > self.counts["best"]:
            self.counts["best"] = score
            self._write("model-best")
        self._write("model-last")
        self._save_optimizer()
        with (self.output / "log.jsonl").open("a", encoding="utf8") as log:
            log.write(json.dumps(line) + "\n")
        typer.echo(json.dumps(line))

    def _write(self, name: str) -> None:
        """Write the pipeline; one that is there is replaced when the new one is whole."""
        new, target = self.output / f"{name}.new", self.output / name
        shutil.rmtree(new, ignore_errors=True)
        self.nlp.to_disk(new)
        shutil.rmtree(target, ignore_errors=True)
        os.replace(new, target)

    def _save_optimizer(self) -> None:
        """Write the moments by the names of parameters; the ids of layers are those of one process."""
        folder = self.output / "state"
        folder.mkdir(exist_ok=True)
        tensors = {
            f"{moment}/{name}": torch.from_numpy(values.reshape(-1)).clone()
            for moment in MOMENTS
            for (_, name), values in getattr(self.optimizer, moment).items()
        }
        counts = {name: count for (_, name), count in self.optimizer.nr_update.items()}
        save_file(tensors, folder / "moments.safetensors")
        (folder / "updates.json").write_text(json.dumps(counts), encoding="utf8")
        (folder / "counts.json").write_text(json.dumps(self.counts), encoding="utf8")

    def _load_optimizer(self) -> None:
        folder = self.output / "state"
        (owner,) = {shim.id for _, pipe in self.nlp.pipeline for shim in pipe.model.shims}
        for key, values in load_file(folder / "moments.safetensors").items():
            moment, _, name = key.partition("/")
            getattr(self.optimizer, moment)[owner, name] = values.numpy()
        for name, count in json.loads((folder / "updates.json").read_text(encoding="utf8")).items():
            self.optimizer.nr_update[owner, name] = count
        for _ in range(self.counts["step"]):
            self.optimizer.step_schedules()


def main(
    context: typer.Context,
    config: Annotated[Path, typer.Argument(exists=True, dir_okay=False)],
    output: Annotated[Path, typer.Argument(help="Made if it is missing.")],
    seconds: Annotated[float | None, typer.Option("--for", help="Processor time after which to stop.")] = None,
    gpu_id: Annotated[int, typer.Option(help="-1 for the CPU.")] = -1,
) -> None:
    """Train, or go on."""
    setup_gpu(gpu_id, silent=True)
    output.mkdir(parents=True, exist_ok=True)
    overrides = parse_config_overrides(context.args)
    Run(util.load_config(config, overrides=overrides, interpolate=True), output).train(seconds)


if __name__ == "__main__":
    app = typer.Typer()
    app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(main)
    app()
