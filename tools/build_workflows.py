"""Write the example workflows: for each, the UI file that ComfyUI's template browser loads, and a copy for scripts.

One description makes both files, so that they cannot drift apart. ``tools/draw_pictures.py`` draws their thumbnails.
Beside them, the blueprints of ``subgraphs``.

    python tools/build_workflows.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from example_workflows import EXAMPLES, load_vae, trace_node
from latent_tracer.core.storage.atomic import write_text
from workflow_files import Layout, Node, api_workflow, blueprint, ui_workflow

REPOSITORY = Path(__file__).resolve().parent.parent


def trace_what_i_just_made() -> dict[str, Any]:
    """Decode, save and trace as one block."""
    vae = load_vae()
    decode = Node("VAEDecode", (320, 60), [("IMAGE", "IMAGE")], {"vae": (vae, 0, "VAE")})
    trace = trace_node(vae, decode)
    layout = Layout("", [[("VAE", [vae, decode])], [("Answer", [trace])]])
    return blueprint(
        "Trace what I just made",
        layout,
        given=[("latent", decode, "samples"), ("vae", vae, "vae_name")],
        returned=[("image", decode, 0), ("answer", trace, 4), ("report", trace, 3)],
        about="Decodes a latent and says whether the picture came out of that VAE. Preview `answer`.",
    )


def written(folder: str, name: str, content: dict[str, Any]) -> None:
    (REPOSITORY / folder).mkdir(exist_ok=True)
    write_text(REPOSITORY / folder / f"{name}.json", json.dumps(content, indent=1) + "\n")


def main() -> None:
    for name, build in EXAMPLES.items():
        layout = build()
        written("workflows", name, ui_workflow(layout))
        written("workflows/api", name, api_workflow(layout))
    written("subgraphs", "Trace what I just made", trace_what_i_just_made())


if __name__ == "__main__":
    main()
