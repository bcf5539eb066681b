"""A small HTTP client for a ComfyUI server: standard library only, every wait bounded."""

from __future__ import annotations

import base64
import json
import os
import socket
import struct
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from .workflow import Prompt, with_defaults

# Generous, because continuous integration machines are slow; a hang still ends.
RUN_SECONDS = 900
REQUEST_SECONDS = 60.0


class PromptRejectedError(Exception):
    """The server refused a prompt before running it; ``node_errors`` is what it said about each node."""

    def __init__(self, answer: dict[str, Any]) -> None:
        super().__init__(json.dumps(answer)[:2000])
        self.node_errors: dict[str, Any] = answer.get("node_errors", {})


@dataclass(frozen=True)
class Run:
    """One finished prompt as ``/history`` tells it."""

    prompt_id: str
    outputs: dict[str, Any]
    status: str
    messages: list[tuple[str, dict[str, Any]]]

    def message(self, kind: str) -> dict[str, Any] | None:
        return next((data for name, data in self.messages if name == kind), None)

    @property
    def error(self) -> dict[str, Any] | None:
        return self.message("execution_error")

    @property
    def interrupted(self) -> dict[str, Any] | None:
        return self.message("execution_interrupted")

    @property
    def cached(self) -> set[str]:
        return set((self.message("execution_cached") or {"nodes": []})["nodes"])

    def texts(self, node: str) -> list[str]:
        return list(self.outputs[node]["text"])

    def text(self, node: str) -> str:
        (text,) = self.texts(node)
        return text

    def images(self, node: str) -> list[dict[str, str]]:
        return list(self.outputs[node]["images"])


class Client:
    def __init__(self, url: str) -> None:
        self.url = url
        self._object_info: dict[str, Any] | None = None

    def get(self, path: str, **query: str) -> bytes:
        suffix = "?" + urllib.parse.urlencode(query) if query else ""
        with urllib.request.urlopen(self.url + path + suffix, timeout=REQUEST_SECONDS) as answer:
            return answer.read()

    def get_json(self, path: str, **query: str) -> Any:
        return json.loads(self.get(path, **query))

    def post(self, path: str, body: bytes, content_type: str = "application/json") -> bytes:
        request = urllib.request.Request(self.url + path, body, {"Content-Type": content_type})
        with urllib.request.urlopen(request, timeout=REQUEST_SECONDS) as answer:
            return answer.read()

    def post_json(self, path: str, body: Any) -> bytes:
        return self.post(path, json.dumps(body).encode())

    @property
    def object_info(self) -> dict[str, Any]:
        if self._object_info is None:
            self._object_info = self.get_json("/object_info")
        return self._object_info

    def choices(self, node: str, name: str) -> list[str]:
        """The options of a combo input now, in the old (a list) or the new (COMBO with options) notation."""
        kind, *config = self.get_json(f"/object_info/{node}")[node]["input"]["required"][name]
        return list(kind) if isinstance(kind, list) else list(config[0]["options"])

    def queue(self, prompt: Prompt, client_id: str | None = None) -> str:
        """Post a prompt, absent widgets at their defaults. Raises :class:`PromptRejectedError`."""
        body: dict[str, Any] = {"prompt": with_defaults(prompt, self.object_info)}
        if client_id is not None:
            body["client_id"] = client_id
        try:
            return json.loads(self.post_json("/prompt", body))["prompt_id"]
        except urllib.error.HTTPError as error:
            raise PromptRejectedError(json.loads(error.read())) from None

    def wait(self, prompt_id: str, seconds: float = RUN_SECONDS) -> Run:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            entry = self.get_json(f"/history/{prompt_id}").get(prompt_id)
            if entry is not None:
                status = entry["status"]
                messages = [(name, data) for name, data in status["messages"]]
                return Run(prompt_id, entry["outputs"], status["status_str"], messages)
            time.sleep(0.1)
        raise TimeoutError(f"Prompt {prompt_id} did not finish within {seconds:.0f} s.")

    def run(self, prompt: Prompt, seconds: float = RUN_SECONDS) -> Run:
        """Post a prompt and wait for its end, whatever that is."""
        return self.wait(self.queue(prompt), seconds)

    def succeed(self, prompt: Prompt) -> Run:
        run = self.run(prompt)
        assert run.status == "success", run.error or run.messages
        return run

    def fail(self, prompt: Prompt) -> dict[str, Any]:
        """Run a prompt that must end in an error, and return what the server says about it."""
        run = self.run(prompt)
        assert run.error is not None, f"the prompt ended in {run.status}: {run.outputs}"
        return run.error

    def upload_image(self, name: str, png: bytes) -> str:
        boundary = uuid.uuid4().hex
        parts = [
            f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="{name}"\r\n'
            "Content-Type: image/png\r\n\r\n",
            f'\r\n--{boundary}\r\nContent-Disposition: form-data; name="overwrite"\r\n\r\ntrue\r\n--{boundary}--\r\n',
        ]
        body = parts[0].encode() + png + parts[1].encode()
        return json.loads(self.post("/upload/image", body, f"multipart/form-data; boundary={boundary}"))["name"]

    def view(self, image: dict[str, str]) -> bytes:
        return self.get("/view", filename=image["filename"], subfolder=image["subfolder"], type=image["type"])

    def interrupt(self) -> None:
        self.post_json("/interrupt", {})

    def free(self) -> None:
        """Ask the server to forget every cached result and model; it does so between two prompts, not at once."""
        self.post_json("/free", {"unload_models": True, "free_memory": True})


class Events:
    """What the server tells the browser while a prompt runs: its web socket, read only."""

    def __init__(self, url: str) -> None:
        self.client_id = uuid.uuid4().hex
        address = urllib.parse.urlsplit(url)
        assert address.hostname is not None
        self._socket = socket.create_connection((address.hostname, address.port or 80), REQUEST_SECONDS)
        key = base64.b64encode(os.urandom(16)).decode()
        self._socket.sendall(
            f"GET /ws?clientId={self.client_id} HTTP/1.1\r\nHost: {address.netloc}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        self._stream = self._socket.makefile("rb")
        status = self._stream.readline()
        assert b" 101 " in status, status
        while self._stream.readline().strip():
            pass

    def __enter__(self) -> Events:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()
        self._socket.close()

    def next(self, seconds: float = RUN_SECONDS) -> dict[str, Any] | bytes:
        """The next event: a JSON message, or the bytes of a binary one (a live preview)."""
        self._socket.settimeout(seconds)
        while True:
            first, length = self._stream.read(2)
            if length == 126:
                (length,) = struct.unpack(">H", self._stream.read(2))
            elif length == 127:
                (length,) = struct.unpack(">Q", self._stream.read(8))
            payload = self._stream.read(length)
            kind = first & 0x0F
            if kind == 1:
                return json.loads(payload)
            if kind == 2:
                return payload
