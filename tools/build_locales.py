"""Write ``locales/en/nodeDefs.json`` from the nodes' own schemas, and say what the other languages lack.

    python tools/build_locales.py http://127.0.0.1:8188

ComfyUI shows the texts of ``locales/LANGUAGE/nodeDefs.json`` in place of those in the schemas. English is generated, so
that it cannot drift from the schemas; the others are written by hand.
"""

from __future__ import annotations

import json
import sys
import urllib.request
from pathlib import Path
from typing import Any

LOCALES = Path(__file__).resolve().parent.parent / "locales"
PREFIX = "LatentTracer"


def definitions(object_info: dict[str, Any]) -> dict[str, Any]:
    """The texts of our nodes, in the shape of the frontend's ``nodeDefs``."""
    texts: dict[str, Any] = {}
    for node_id, info in sorted(object_info.items()):
        if not node_id.startswith(PREFIX):
            continue
        inputs = info["input"].get("required", {}) | info["input"].get("optional", {})
        texts[node_id] = {
            "display_name": info["display_name"],
            "description": info["description"],
            "inputs": {name: {"name": name, "tooltip": config[0]["tooltip"]} for name, (_, *config) in inputs.items()},
            "outputs": {
                str(number): {"name": name, "tooltip": tooltip}
                for number, (name, tooltip) in enumerate(zip(info["output_name"], info["output_tooltips"], strict=True))
            },
        }
    return texts


def gaps(english: Any, other: Any, where: str = "") -> list[str]:
    """Places that one of two nested dictionaries has and the other lacks."""
    if not isinstance(english, dict) or not isinstance(other, dict):
        return [] if type(english) is type(other) and other else [where]
    missing = [f"{where}/{key}" for key in sorted(english.keys() ^ other.keys())]
    return missing + [
        gap for key in sorted(english.keys() & other.keys()) for gap in gaps(english[key], other[key], f"{where}/{key}")
    ]


def main() -> int:
    with urllib.request.urlopen(sys.argv[1].rstrip("/") + "/object_info", timeout=120) as answer:
        english = definitions(json.load(answer))
    path = LOCALES / "en" / "nodeDefs.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(english, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    problems = 0
    for other in sorted(LOCALES.glob("*/nodeDefs.json")):
        for gap in gaps(english, json.loads(other.read_text(encoding="utf-8"))):
            print(f"{other.parent.name}: {gap}")
            problems += 1
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
