"""The client against a server that nobody here wrote: `transformers serve`, with a tiny model that always says "A".

Its chat completions came after the releases that spacy-transformers allows. So it takes an environment of its own
(`pip install "transformers[serving]>=4.55"`), whose program `transformers` the variable OPENNER_TRANSFORMERS names.
"""

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import torch

from spacy_openner.lar.decisions import read_decisions
from spacy_openner.llm.factory import LLMClient_v1
from spacy_openner.llm.types import Failure, LLMRequest
from tests.support import tiny_models as tiny
from tests.support.reassignment_case import lar_nlp, llm

TEMPLATE = "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }} {% endfor %}assistant:"
SCHEMA = {"type": "object", "properties": {"answers": {"type": "object"}}, "required": ["answers"]}
ANSWER = '{"answers": {"1": "A"}}'


def program() -> str:
    """The program that serves chat completions, if there is one."""
    found = os.environ.get("OPENNER_TRANSFORMERS") or shutil.which("transformers")
    if found is None:
        pytest.skip("no program `transformers`; name one in OPENNER_TRANSFORMERS")
    help_text = subprocess.run([found, "serve", "--help"], capture_output=True, text=True, check=False).stdout
    if "--force_model" not in help_text:
        pytest.skip("this `transformers serve` knows no chat completions; name another in OPENNER_TRANSFORMERS")
    return found


def save_model(path: Path) -> None:
    """Train a tiny LLaMA to say ANSWER after "assistant:", whatever stands before."""
    tokenizer = tiny.generator_tokenizer("llama", [ANSWER, "assistant:"] * 5)
    network = tiny.generator_network("llama", tokenizer).train()
    network.config.max_position_embeddings = 4096
    said = [*tokenizer(ANSWER, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
    tail = torch.tensor([[*tokenizer("x assistant:", add_special_tokens=False)["input_ids"], *said]])
    optimizer = torch.optim.AdamW(network.parameters(), 3e-3)
    for _ in range(150):
        noise = torch.randint(4, len(tokenizer), (1, int(torch.randint(5, 2000, ()))))
        ids = torch.cat([noise, tail], 1)
        labels = ids.clone()
        labels[:, : -len(said)] = -100
        network(input_ids=ids, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    network.eval().save_pretrained(path)
    tokenizer.save_pretrained(path)
    config = json.loads((path / "tokenizer_config.json").read_text())
    config["model_input_names"] = ["input_ids", "attention_mask"]
    (path / "tokenizer_config.json").write_text(json.dumps(config))
    (path / "chat_template.jinja").write_text(TEMPLATE)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """Address and model of a running server."""
    path = tmp_path_factory.mktemp("llama") / "model"
    save_model(path)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [program(), "serve", "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    with open(path / "log.txt", "w") as log, subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT) as process:
        try:
            for _ in range(240):
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2).close()
                    break
                except (urllib.error.URLError, ConnectionError, TimeoutError):
                    assert process.poll() is None, (path / "log.txt").read_text()
                    time.sleep(1)
            yield f"http://127.0.0.1:{port}/v1", str(path)
        finally:
            process.kill()


def client(url, model, **settings):
    """Settings of a client of this server."""
    own = {"parameters": {"max_tokens": 16}, "max_retries": 1, "timeout": 30.0, "concurrency": 1, **settings}
    return {"@misc": "spacy-openner.LLMClient.v1", "model": model, "base_url": url, **own}


@pytest.mark.slow
def test_entities_get_their_first_options(served):
    config = {**llm(served[0], entities_per_request=1), "client": client(*served)}
    nlp = lar_nlp(config)
    doc = nlp("Ada met Lee in Rome")
    assert [(d.label, d.by) for d in read_decisions(doc)] == [("politician", "llm")] * 2 + [("city", "llm")]
    report = nlp.get_pipe("lar_reassigner").reassigner.report
    assert (report.requests, report.answered) == (3, 3)
    # It streams unasked, and then without a count of tokens: they are estimated.
    assert report.tokens > 0


@pytest.mark.slow
def test_entities_that_are_not_answered_keep_their_types(served):
    """The model speaks of the first of three entities only; cut short, of none."""
    doc = lar_nlp({**llm(served[0]), "client": client(*served)})("Ada met Lee in Rome")
    assert [(d.label, d.reason) for d in read_decisions(doc)] == [
        ("politician", ""),
        ("person", "llm: no option"),
        ("place", "llm: no option"),
    ]
    cut = LLMClient_v1(served[1], base_url=served[0], parameters={"max_tokens": 1}, max_retries=0, timeout=60.0)
    (failure,) = cut.ask([LLMRequest((("user", "Hi"),), SCHEMA)])
    assert isinstance(failure, Failure)
    assert failure.kind in ("truncated", "malformed")
    cut.close()
