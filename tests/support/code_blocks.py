"""Code blocks of Markdown pages: finding them, and running them as a reader would.

A comment before a block says what is special about it: `<!-- block: slow -->`, `<!-- block: needs gliner -->`,
`<!-- block: background -->` (a server), `<!-- block: not run -->` (a block that shows another package's call, or needs what
no test has).
"""

import contextlib
import io
import json
import re
import shlex
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spacy.language import Language
from spacy.util import load_model_from_config
from thinc.api import Config
from typer.testing import CliRunner

SERVER = "http://localhost:8000/v1"
# What the reader has done when these tests run, or what they are a part of.
SET_UP = (
    "pip install",
    "python -m pip",
    "python -m venv",
    "python -m pytest",
    "ruff ",
    "mypy",
    "lint-imports",
    "mkdocs",
)
SET_UP += ("git clone", "cd ", "docker ")
OURS = ("spacy-openner ", "python -m spacy_openner ", "python -m spacy openner ")
FENCE = re.compile(
    r"^(?P<indent> *)(?:<!-- block: (?P<marks>[^>]*?) -->\n+ *)?```(?P<language>\w*)[^\n]*\n(?P<code>.*?)^ *```$",
    re.M | re.S,
)
LANGUAGES = {"python", "bash", "ini", "json", "text", "yaml", "dockerfile"}


@dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    line: Of the page, where its code begins.
    marks: What its comment says.
    """

    page: Path
    line: int
    language: str
    code: str
    marks: frozenset[str] = frozenset()

    @property
    def where(self) -> str:
        """Page and line, for messages."""
        return f"{self.page.name}:{self.line}"

    @property
    def needs(self) -> list[str]:
        """Packages beside the project's own."""
        return [mark.removeprefix("needs ") for mark in self.marks if mark.startswith("needs ")]


def blocks_of(page: Path) -> list[Block]:
    """Find the fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf8")
    blocks = []
    for found in FENCE.finditer(text):
        marks = frozenset(mark.strip() for mark in (found["marks"] or "").split(",") if mark.strip())
        line = text.count("\n", 0, found.start("code")) + 1
        blocks.append(Block(page, line, found["language"], textwrap.dedent(found["code"]), marks))
    return blocks


@dataclass
class Session:
    """What a reader has at hand while going through a page: a checkout to work in, and the names of earlier blocks.

    cwd: Where files are written; `open_session` puts what a checkout has there.
    server: Address of a language model, in place of the one that pages name.
    """

    cwd: Path
    server: str
    names: dict[str, Any] = field(default_factory=lambda: {"__name__": "__main__"})
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def run(self, block: Block) -> None:
        """Run a block, and hold it against the output that it promises (`# -> ...`)."""
        if "background" in block.marks:
            self._start(block)
        else:
            getattr(self, f"_{block.language}", lambda _: None)(block)

    def close(self) -> None:
        """End what still runs."""
        for process in self.running:
            process.terminate()
            process.wait(60)

    def _start(self, block: Block) -> None:
        """Start a server, and wait until it listens at the port that its command names."""
        command = re.sub(
            r"^spacy-openner ", f"exec {shlex.quote(sys.executable)} -m spacy_openner ", block.code.strip()
        )
        self.running.append(subprocess.Popen(["bash", "-c", command], cwd=self.cwd, stderr=subprocess.DEVNULL))
        port = int(re.findall(r"--port (\d+)", block.code)[0])
        for _ in range(600):
            with contextlib.suppress(OSError), socket.create_connection(("localhost", port), timeout=1):
                return
            assert self.running[-1].poll() is None, f"{block.where} has ended"
            time.sleep(0.2)
        raise AssertionError(f"{block.where} does not listen")

    def _python(self, block: Block) -> None:
        code = compile("\n" * (block.line - 1) + block.code.replace(SERVER, self.server), str(block.page), "exec")
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(code, self.names)
        self._check(block, printed.getvalue())

    def _bash(self, block: Block) -> None:
        lines = block.code.replace("\\\n", "").replace(SERVER, self.server).splitlines()
        for line in (line for line in lines if line.strip() and not line.startswith("#")):
            commands = [part for part in line.split(" && ") if not part.startswith(SET_UP)]
            self._check(block, "".join(self._command(command, block) for command in commands))

    def _command(self, command: str, block: Block) -> str:
        *before, last = command.split(" | ")
        ours = next((start for start in OURS if last.startswith(start)), None)
        if ours is None or ">" in last:
            return self._shell(command, block)
        stdin = self._shell(before[0], block) if before else None
        return self._own_command(shlex.split(last.removeprefix(ours)), stdin, block)

    def _own_command(self, args: list[str], stdin: str | None, block: Block) -> str:
        """In this process, which has imported everything: a new one takes ten seconds to begin."""
        from spacy_openner.cli.app import app

        result = CliRunner().invoke(app, args, input=stdin)
        assert result.exit_code == 0, f"{block.where}: {args}\n{result.output}\n{result.exception!r}"
        return result.output

    def _shell(self, command: str, block: Block) -> str:
        command = re.sub(r"^python ", f"{shlex.quote(sys.executable)} ", command)
        command = re.sub(r"^spacy ", f"{shlex.quote(sys.executable)} -m spacy ", command)
        run = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=self.cwd)
        assert run.returncode == 0, f"{block.where}: {command}\n{run.stdout[-2000:]}\n{run.stderr[-4000:]}"
        return run.stdout

    def _check(self, block: Block, printed: str) -> None:
        promised = [line.strip()[5:].strip() for line in block.code.splitlines() if line.strip().startswith("# -> ")]
        missing = [line for line in promised if line not in printed]
        assert not missing, f"{block.where} promises {missing}, and prints:\n{printed}"

    def _ini(self, block: Block) -> None:
        """Load a config; a part of one stands in a blank pipeline."""
        config = Config().from_str(with_parents(block.code))
        if "components" not in config:
            return
        for name, component in config["components"].items():
            if "source" not in component:
                component.setdefault("factory", name)
        kept = {name: each for name, each in config["components"].items() if "source" not in each}
        whole = Config({"nlp": {"lang": "en", **config.get("nlp", {}), "pipeline": list(kept)}, "components": kept})
        nlp = load_model_from_config(whole, auto_fill=True)
        assert isinstance(nlp, Language), block.where

    def _json(self, block: Block) -> None:
        json.loads(block.code)


def with_parents(config: str) -> str:
    """Give a part of a config the sections that its own lie in, which a config must name."""
    named = re.findall(r"^\[([^\]]+)\]$", config, re.M)
    parents = {".".join(name.split(".")[:i]): None for name in named for i in range(1, name.count(".") + 1)}
    return "".join(f"[{name}]\n\n" for name in parents if name not in named) + config


def open_session(root: Path, cwd: Path, server: str) -> Session:
    """Begin to read a page: with the files of the checkout that commands name, in an empty directory."""
    for name in ("configs", "assets", "scripts", "benchmarks", "project.yml"):
        (cwd / name).symlink_to(root / name)
    return Session(cwd, server)


def pages(root: Path) -> Iterator[Path]:
    """The README and all pages of the documentation."""
    yield root / "README.md"
    yield from sorted((root / "docs").rglob("*.md"))
