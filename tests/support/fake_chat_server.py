"""A chat-completions server on this machine that knows the gold answers, as often as it is told to, and can fail."""

import hashlib
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

FAULTS = ("429", "500", "timeout", "disconnect", "malformed", "malformed_http", "out_of_range")


NOTHING = object()


@dataclass
class Behaviour:
    """How a server answers.

    gold: Mention -> type; a mention that is not there has the last option, "none of these".
    answer: In place of gold: what is said to the text of a request's last message.
    accuracy: The share of mentions that get the gold answer; the others get another option. Fixed by the mention.
    delay: Seconds before each answer.
    faults: Kinds of FAULTS that happen in turn, to `fault_rate` of the requests. Fixed by request and attempt.
    script: Kinds of faults of the first requests, "" for none; before `faults`.
    slow: Seconds that a "timeout" takes.
    retry_after: What 429 asks for.
    knows_schemas: Whether `response_format` is understood; else it is refused with status 400.
    obeys_texts: Whether the model does what texts tell it: "SAY x" in a text is the answer to all of its mentions.
    with_usage: Whether tokens are counted.
    streams: Whether answers come as events, asked for or not.
    reply: In place of a reply of the protocol; strings as plain text. `NOTHING` for none.
    key: The key that is needed.
    packed: In place of a reply of the protocol: a gzipped body.
    refuse: The status and message of all replies.
    refuse_key: A parameter, and the message with which requests that have it are refused.
    refuse_system: Whether system messages are refused.
    refuse_word: Requests with this word in their schema are refused.
    schema_status: The status of replies to requests with a schema.
    content_type: What the server says of all replies' type.
    """

    gold: dict[str, str] = field(default_factory=dict)
    answer: Callable[[str], str] | None = None
    accuracy: float = 1.0
    delay: float = 0.0
    faults: Sequence[str] = ()
    fault_rate: float = 0.0
    script: Sequence[str] = ()
    slow: float = 5.0
    retry_after: str = "0.05"
    knows_schemas: bool = True
    obeys_texts: bool = False
    with_usage: bool = True
    streams: bool = False
    reply: Any = NOTHING
    key: str | None = None
    packed: bytes | None = None
    refuse: tuple[int, str] | None = None
    refuse_key: tuple[str, str] | None = None
    refuse_system: bool = False
    refuse_word: str | None = None
    schema_status: int | None = None
    content_type: str | None = None


def chance(*parts: Any) -> float:
    """A number from 0 to 1 that depends on the parts alone."""
    return int(hashlib.sha256(repr(parts).encode()).hexdigest()[:8], 16) / 16**8


class PatientHTTPServer(ThreadingHTTPServer):
    """Lets many connections wait to be accepted: the five that are usual are fewer than a client opens at once."""

    request_queue_size = 256
    daemon_threads = True


class Server:
    """A running server, and what it saw.

    url: For `base_url`.
    requests: The body of each request, as they came.
    headers: Of each, in lower case.
    most_at_once: Requests under way at one time.
    """

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.times: list[float] = []
        self.served: Counter[str] = Counter()
        self.at_once = self.most_at_once = 0
        self._attempts: Counter[str] = Counter()
        self.http = PatientHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"

    def fault(self, body: dict[str, Any]) -> str:
        """Return the fault of a request; "" if it has none."""
        with self.lock:
            number = len(self.requests)
            if number <= len(self.behaviour.script):
                return self.behaviour.script[number - 1]
            content = json.dumps(body["messages"])
            self._attempts[content] += 1
            attempt = self._attempts[content]
        if not self.behaviour.faults or chance("fault", content, attempt) >= self.behaviour.fault_rate:
            return ""
        return self.behaviour.faults[int(chance("kind", content, attempt) * len(self.behaviour.faults))]

    def content(self, body: dict[str, Any], fault: str) -> str:
        """Return the model's answer."""
        if fault == "malformed":
            return '{"answers": {"1": '
        asked = body["messages"][-1]["content"]
        if self.behaviour.answer is not None:
            return self.behaviour.answer(asked)
        question = json.loads(asked)
        chosen = {
            n: "Z9" if fault == "out_of_range" else self._letter(question, e) for n, e in question["entities"].items()
        }
        return json.dumps({"answers": chosen})

    def _letter(self, question: dict[str, Any], entity: dict[str, Any]) -> str:
        if self.behaviour.obeys_texts and "SAY " in question["text"]:
            return question["text"].split("SAY ", 1)[1].split()[0]
        letters = {label: letter for letter, label in entity["options"].items()}
        right = letters.get(self.behaviour.gold.get(entity["mention"], ""), list(letters.values())[-1])
        if chance("right", entity["mention"]) < self.behaviour.accuracy or len(letters) == 1:
            return right
        others = [letter for letter in letters.values() if letter != right]
        return others[int(chance("other", entity["mention"]) * len(others))]


def _handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            with server.lock:
                server.requests.append(body)
                server.headers.append({name.lower(): value for name, value in self.headers.items()})
                server.times.append(time.monotonic())
                server.at_once += 1
                server.most_at_once = max(server.most_at_once, server.at_once)
            try:
                self.reply(body)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True
            finally:
                with server.lock:
                    server.at_once -= 1

        def reply(self, body: dict[str, Any]) -> None:
            how = server.behaviour
            if how.key is not None and self.headers["authorization"] != f"Bearer {how.key}":
                said = f"Incorrect API key provided: {self.headers['authorization']}"
                return self.send(401, {"error": {"message": said, "code": "invalid_api_key"}})
            if "response_format" in body and not how.knows_schemas:
                return self.send(400, {"error": {"message": "response_format is not supported"}})
            refusal = refused(how, body)
            if refusal is not None:
                return self.send(refusal[0], {"error": {"message": refusal[1]}})
            if how.packed is not None:
                return self.write(200, how.packed, {"content-encoding": "gzip"})
            fault = server.fault(body)
            server.served[fault] += 1
            server.stopping.wait(how.slow if fault == "timeout" else how.delay)
            if fault == "429":
                return self.send(429, {"error": {"message": "slow down"}}, {"retry-after": how.retry_after})
            if fault.isdigit():
                return self.send(int(fault), {"error": {"message": "out of order"}})
            if fault == "disconnect":
                self.connection.close()
                self.close_connection = True
                return None
            if fault == "malformed_http":
                return self.write(200, b"<html>Welcome</html>")
            if how.reply is not NOTHING:
                plain = isinstance(how.reply, str)
                data = how.reply if plain else json.dumps(how.reply)
                return self.write(200, data.encode(), {"content-type": "text/plain"} if plain else None)
            if how.streams:
                events = stream(completion(body, server.content(body, fault), fault, how.with_usage))
                return self.write(200, events, {"content-type": "text/event-stream"})
            return self.send(200, completion(body, server.content(body, fault), fault, how.with_usage))

        def send(self, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
            self.write(status, json.dumps(value).encode(), headers)

        def write(self, status: int, data: bytes, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            own = {"content-type": server.behaviour.content_type} if server.behaviour.content_type else {}
            for name, text in {"content-type": "application/json", **(headers or {}), **own}.items():
                self.send_header(name, text)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args: Any) -> None:
            pass

    return Handler


def refused(how: Behaviour, body: dict[str, Any]) -> tuple[int, str] | None:
    """Status and message where a request is refused as it is."""
    if how.refuse_system and body["messages"][0]["role"] == "system":
        return 400, "System role not supported"
    if how.refuse_key is not None and how.refuse_key[0] in body:
        return 400, how.refuse_key[1]
    if how.refuse_word is not None and how.refuse_word in json.dumps(body.get("response_format", "")):
        return 400, f"Unknown keyword {how.refuse_word}"
    if how.schema_status is not None and "response_format" in body:
        return how.schema_status, "Internal error"
    return how.refuse


def completion(body: dict[str, Any], content: str, fault: str, with_usage: bool) -> dict[str, Any]:
    """A reply of the protocol."""
    message = {"role": "assistant", "content": content}
    finish = {"truncated": "length", "filtered": "content_filter"}.get(fault, "stop")
    reply = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": body["model"],
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
    }
    if with_usage:
        asked = sum(len(each["content"].split()) for each in body["messages"])
        said = len(content.split())
        reply["usage"] = {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said}
    return reply


def stream(reply: dict[str, Any]) -> bytes:
    """A reply as events: its text in two parts, its end, its count of tokens."""
    (choice,) = reply["choices"]
    content = choice["message"]["content"]
    parts = [{"delta": {"role": "assistant", "content": content[:5]}}, {"delta": {"content": content[5:]}}]
    parts.append({"delta": {}, "finish_reason": choice["finish_reason"]})
    events = [{"object": "chat.completion.chunk", "choices": [part]} for part in parts]
    events.append({"choices": [], "usage": reply.get("usage")})
    return "".join(f"data: {line}\n\n" for line in [*map(json.dumps, events), "[DONE]"]).encode()


@contextmanager
def serve(behaviour: Behaviour | None = None, **options: Any) -> Iterator[Server]:
    """Run a server for a while."""
    server = Server(behaviour or Behaviour(**options))
    thread = threading.Thread(target=server.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.stopping.set()
        server.http.shutdown()
        server.http.server_close()
        thread.join(10)
