"""Run a workflow on a ComfyUI server from a script: queue it, wait, collect verdicts and pictures; cancel with Ctrl-C.

    python tools/drive_comfyui.py workflows/api/trace_image.app.json --image 2=a.png --set 1.vae_name=taesd -o results

The workflow is one in API format, as in ``workflows/api`` or from *Workflow -> Export (API)*. ``--image NODE=FILE``
uploads a picture for a Load Image node, ``--set NODE.INPUT=VALUE`` changes a widget. What the nodes say goes to
standard output and to ``results/NODE.txt``, their pictures to ``results/``.

Standard library only, so that the file can be copied anywhere. It asks ``/history`` again and again instead of
listening on the web socket: an answer cannot be missed, whenever the prompt ends. Exit codes: 0 done, 1 a node failed,
2 the workflow was refused, 3 no server, 130 cancelled.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from pathlib import Path
from typing import Any

REQUEST_SECONDS = 60.0
POLL_SECONDS = 0.5


class RefusedError(Exception):
    """The server refused the workflow before running it."""


class FailedError(Exception):
    """A node raised an error, or the run was interrupted by somebody else."""


class ComfyServer:
    """A running server; ``url`` like ``http://127.0.0.1:8188``."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def get(self, path: str, **query: str) -> bytes:
        suffix = "?" + urllib.parse.urlencode(query) if query else ""
        with urllib.request.urlopen(self.url + path + suffix, timeout=REQUEST_SECONDS) as answer:
            return answer.read()

    def post(self, path: str, body: bytes, kind: str = "application/json") -> bytes:
        request = urllib.request.Request(self.url + path, body, {"Content-Type": kind})
        with urllib.request.urlopen(request, timeout=REQUEST_SECONDS) as answer:
            return answer.read()

    def upload(self, picture: Path) -> str:
        """Put ``picture`` into the server's input folder and return the name by which Load Image knows it."""
        boundary = uuid.uuid4().hex
        name = re.sub(r"[^\w.-]", "_", picture.name)
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="{name}"\r\n\r\n'
        body = head.encode() + picture.read_bytes() + f"\r\n--{boundary}--\r\n".encode()
        answer = json.loads(self.post("/upload/image", body, f"multipart/form-data; boundary={boundary}"))
        return "/".join(filter(None, (answer["subfolder"], answer["name"])))

    def queue(self, workflow: dict[str, Any]) -> str:
        """Hand ``workflow`` in and return its id. Raises :class:`RefusedError` with every node's complaint."""
        try:
            answer = json.loads(self.post("/prompt", json.dumps({"prompt": workflow}).encode()))
        except urllib.error.HTTPError as error:
            raise RefusedError(complaints(error.read())) from None
        return answer["prompt_id"]

    def wait(self, prompt: str, seconds: float) -> dict[str, Any]:
        """The history entry of a prompt once it has ended. Raises TimeoutError after ``seconds``."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            entry = json.loads(self.get(f"/history/{prompt}")).get(prompt)
            if entry is not None:
                return entry
            time.sleep(POLL_SECONDS)
        raise TimeoutError(f"The workflow did not end within {seconds:g} s.")

    def cancel(self, prompt: str) -> None:
        """Take ``prompt`` out of the queue, or interrupt it where it is running already; other prompts go on."""
        self.post("/queue", json.dumps({"delete": [prompt]}).encode())
        running = json.loads(self.get("/queue"))["queue_running"]
        if any(entry[1] == prompt for entry in running):
            self.post("/interrupt", json.dumps({"prompt_id": prompt}).encode())

    def picture(self, entry: dict[str, str]) -> bytes:
        return self.get("/view", filename=entry["filename"], subfolder=entry["subfolder"], type=entry["type"])


def complaints(answer: bytes) -> str:
    """What the server said about a workflow that it refused, a line per node."""
    try:
        told = json.loads(answer)
    except ValueError:
        return answer.decode(errors="replace")[:500]
    lines = [
        f"node {number} ({node['class_type']}): {error['message']} {error.get('details', '')}".rstrip()
        for number, node in (told.get("node_errors") or {}).items()
        for error in node["errors"]
    ]
    return "\n".join(lines) or str(told.get("error", told))


def failure(entry: dict[str, Any]) -> str | None:
    """The error of a run that ended badly, in one line."""
    for kind, told in entry["status"]["messages"]:
        if kind == "execution_error":
            return f"node {told['node_id']} ({told['node_type']}): {told['exception_message'].strip()}"
        if kind == "execution_interrupted":
            return "the run was interrupted"
    return None if entry["status"]["status_str"] == "success" else "the run failed"


def collect(server: ComfyServer, entry: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Save every node's texts and pictures in ``folder``; returns {node: {"text": […], "pictures": […]}}."""
    folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = {}
    for number, output in entry["outputs"].items():
        texts = [text for text in output.get("text", []) if isinstance(text, str)]
        pictures = []
        safe = re.sub(r"\W", "_", number)
        if texts:
            (folder / f"{safe}.txt").write_text("\n\n".join(texts) + "\n", encoding="utf-8")
        for index, picture in enumerate(output.get("images", []), start=1):
            # The server names its files; only the ending is taken from it.
            suffix = (
                Path(picture["filename"]).suffix if re.fullmatch(r"\.\w+", Path(picture["filename"]).suffix) else ""
            )
            path = folder / f"{safe}_{index}{suffix}"
            path.write_bytes(server.picture(picture))
            pictures.append(str(path))
        found[number] = {"text": texts, "pictures": pictures}
    return found


def run(server: ComfyServer, workflow: dict[str, Any], folder: Path, seconds: float = 3600.0) -> dict[str, Any]:
    """Queue, wait, collect. Whatever ends the wait early, Ctrl-C or the time, cancels the prompt on the server."""
    prompt = server.queue(workflow)
    try:
        entry = server.wait(prompt, seconds)
    except BaseException:
        server.cancel(prompt)
        raise
    problem = failure(entry)
    if problem is not None:
        raise FailedError(problem)
    return collect(server, entry, folder)


def value_of(text: str) -> Any:
    """A widget's value: a JSON number, true or false, else the text itself."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, (int, float, bool, str)) else text


def change(workflow: dict[str, Any], server: ComfyServer, images: list[str], settings: list[str]) -> None:
    """Apply ``--image`` and ``--set``. Raises ValueError for a node that the workflow lacks."""
    for given, is_image in [*((one, True) for one in images), *((one, False) for one in settings)]:
        place, separator, value = given.partition("=")
        number, _, name = (place, "", "image") if is_image else place.rpartition(".")
        if not separator or number not in workflow or not name:
            raise ValueError(f"{given!r} names no node of this workflow: it has {', '.join(workflow)}")
        workflow[number]["inputs"][name] = server.upload(Path(value)) if is_image else value_of(value)


def main() -> int:
    parser = argparse.ArgumentParser(description="Run an API-format workflow on a ComfyUI server.")
    parser.add_argument("workflow", type=Path)
    parser.add_argument("--server", default="http://127.0.0.1:8188")
    parser.add_argument("--image", action="append", default=[], metavar="NODE=FILE")
    parser.add_argument("--set", action="append", default=[], metavar="NODE.INPUT=VALUE", dest="settings")
    parser.add_argument("-o", "--output", type=Path, default=Path("results"))
    parser.add_argument("--timeout", type=float, default=3600.0, help="seconds")
    arguments = parser.parse_args()
    server = ComfyServer(arguments.server)
    try:
        workflow = json.loads(arguments.workflow.read_text(encoding="utf-8"))
        change(workflow, server, arguments.image, arguments.settings)
        found = run(server, workflow, arguments.output, arguments.timeout)
    except KeyboardInterrupt:
        print("cancelled, here and on the server", file=sys.stderr)
        return 130
    except (RefusedError, ValueError, FileNotFoundError) as error:
        print(f"refused: {error}", file=sys.stderr)
        return 2
    except (FailedError, TimeoutError) as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"no answer from {arguments.server}: {error}", file=sys.stderr)
        return 3
    for number, output in found.items():
        print("\n".join([f"node {number}:", *output["text"], *output["pictures"]]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
