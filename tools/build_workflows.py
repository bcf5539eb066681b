"""Write the example workflows: for each, the UI file that ComfyUI's template browser loads, and a copy for scripts.

One description makes both files, so that they cannot drift apart. ``tools/draw_pictures.py`` draws their thumbnails.

    python tools/build_workflows.py
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from latent_tracer.core.storage.atomic import write_text

WORKFLOWS = Path(__file__).resolve().parent.parent / "workflows"

VERDICT_OUTPUTS = [
    ("belongs", "BOOLEAN"), ("verdict", "STRING"), ("score", "FLOAT"), ("report", "STRING"), ("picture", "IMAGE"),
]  # fmt: skip


@dataclass
class Node:
    """One node: ``inputs`` maps a name to (source node, output index, type); ``widgets`` name to value, in order."""

    type: str
    position: tuple[int, int]
    size: tuple[int, int]
    outputs: list[tuple[str, str]] = field(default_factory=list)
    inputs: dict[str, tuple[Node, int, str]] = field(default_factory=dict)
    widgets: dict[str, Any] = field(default_factory=dict)
    title: str | None = None
    colour: str | None = None


def note(text: str, position: tuple[int, int], size: tuple[int, int]) -> Node:
    return Node("MarkdownNote", position, size, widgets={"text": text}, title="What to expect", colour="#432")


def ui_workflow(nodes: list[Node], groups: list[dict[str, Any]]) -> dict[str, Any]:
    ids = {id(node): number for number, node in enumerate(nodes, start=1)}
    links: list[list[Any]] = []
    outgoing: dict[tuple[int, int], list[int]] = {}
    serialised = []
    for node in nodes:
        inputs: list[dict[str, Any]] = []
        for slot, (name, (source, output, kind)) in enumerate(node.inputs.items()):
            number = len(links) + 1
            links.append([number, ids[id(source)], output, ids[id(node)], slot, kind])
            outgoing.setdefault((ids[id(source)], output), []).append(number)
            inputs.append({"name": name, "type": kind, "link": number})
        entry: dict[str, Any] = {
            "id": ids[id(node)],
            "type": node.type,
            "pos": list(node.position),
            "size": list(node.size),
            "flags": {},
            "order": ids[id(node)] - 1,
            "mode": 0,
            "inputs": inputs,
            "properties": {} if node.type == "MarkdownNote" else {"Node name for S&R": node.type},
            "widgets_values": list(node.widgets.values()),
        }
        if node.title:
            entry["title"] = node.title
        if node.colour:
            entry |= {"color": node.colour, "bgcolor": "#653"}
        serialised.append(entry)
    for node, entry in zip(nodes, serialised, strict=True):
        entry["outputs"] = [
            {"name": name, "type": kind, "links": outgoing.get((entry["id"], slot))}
            for slot, (name, kind) in enumerate(node.outputs)
        ]
    return {
        "last_node_id": len(nodes),
        "last_link_id": len(links),
        "nodes": serialised,
        "links": links,
        "groups": groups,
        "config": {},
        "extra": {"ds": {"scale": 0.8, "offset": [0, 0]}},
        "version": 0.4,
    }


def api_workflow(nodes: list[Node]) -> dict[str, Any]:
    ids = {id(node): str(number) for number, node in enumerate(nodes, start=1)}
    prompt = {}
    for node in nodes:
        if node.type == "MarkdownNote":
            continue
        # What only the frontend knows (upload buttons, seed control) stays out of the API copy.
        inputs = {name: value for name, value in node.widgets.items() if not name.startswith("_")}
        inputs |= {name: [ids[id(source)], output] for name, (source, output, _) in node.inputs.items()}
        prompt[ids[id(node)]] = {"class_type": node.type, "inputs": inputs}
    return prompt


def group(title: str, box: tuple[int, int, int, int]) -> dict[str, Any]:
    return {"title": title, "bounding": list(box), "color": "#3f789e", "font_size": 24, "flags": {}}


def load_image(position: tuple[int, int], name: str = "example.png") -> Node:
    return Node(
        "LoadImage", position, (300, 330), [("IMAGE", "IMAGE"), ("MASK", "MASK")],
        widgets={"image": name, "_upload": "image"},
    )  # fmt: skip


def load_vae(position: tuple[int, int], name: str = "taesd") -> Node:
    return Node("VAELoader", position, (300, 80), [("VAE", "VAE")], widgets={"vae_name": name})


def load_folder(position: tuple[int, int]) -> Node:
    outputs = [
        ("image", "IMAGE"), ("file", "LATENT_TRACE_FILE"), ("unreadable", "LATENT_TRACE_UNREADABLE"),
        ("report", "STRING"),
    ]  # fmt: skip
    widgets = {"folder": "photographs", "below": True, "first": 1, "most": 500}
    return Node("LatentTracerLoadImages", position, (300, 190), outputs, widgets=widgets)


def show_text(source: Node, output: int, position: tuple[int, int], size: tuple[int, int]) -> Node:
    """Nodes keep their text in the history; core's preview is what shows it in the graph."""
    node = Node("PreviewAny", position, size, [("STRING", "STRING")], {"source": (source, output, "STRING")})
    node.title = "Report"
    return node


def trace_step_by_step() -> tuple[list[Node], list[dict[str, Any]]]:
    vae, image = load_vae((40, 120)), load_image((40, 260))
    encode = Node(
        "LatentTracerEncode", (420, 120), (300, 80), [("initial_latents", "LATENT"), ("first_reconstruction", "IMAGE")],
        {"vae": (vae, 0, "VAE"), "image": (image, 0, "IMAGE")},
    )  # fmt: skip
    invert = Node(
        "LatentTracerInvert",
        (800, 120),
        (320, 200),
        [("trace", "LATENT_TRACE"), ("latents", "LATENT"), ("reconstruction", "IMAGE")],
        {"vae": (vae, 0, "VAE"), "image": (image, 0, "IMAGE"), "initial_latents": (encode, 0, "LATENT")},
        {"solver": "adam-paper", "steps": 100, "quantiser": "auto"},
    )
    verdict = Node(
        "LatentTracerVerdict",
        (1200, 120),
        (860, 900),
        VERDICT_OUTPUTS,
        {"trace": (invert, 0, "LATENT_TRACE")},
        {"threshold": 0.0, "belonging_losses": "", "alpha": 0.05},
    )
    text = note(
        "# Trace an image, step by step\n\nDid this picture come out of the VAE that is loaded here?\n\n1. Choose the"
        " VAE and the image, **as it was saved** (not resized).\n2. *Encode for Trace* starts at E(x).\n3. *Invert"
        " Latent* searches the latent that decodes to the image.\n4. *Trace Verdict* answers, with a picture. Without a"
        " threshold it stays **inconclusive** on purpose: a bare loss is no evidence.",
        (40, 660),
        (680, 260),
    )
    groups = [
        group("1 What to compare", (20, 50, 340, 560)),
        group("2 Encoder start", (400, 50, 340, 180)),
        group("3 Inversion", (780, 50, 360, 300)),
        group("4 Verdict", (1180, 50, 900, 990)),
    ]
    return [vae, image, encode, invert, verdict, text], groups


def trace_node(position: tuple[int, int], vae: Node, image: Node, profile: Node | None = None) -> Node:
    inputs = {"vae": (vae, 0, "VAE"), "image": (image, 0, "IMAGE")}
    if profile is not None:
        inputs["profile"] = (profile, 0, "LATENT_TRACE_PROFILE")
    outputs = [*VERDICT_OUTPUTS, ("row", "LATENT_TRACE_ROW")]
    return Node("LatentTracerTraceImage", position, (860, 960), outputs, inputs, {"steps": 30, "explain": False})


def trace_image() -> tuple[list[Node], list[dict[str, Any]]]:
    vae, image = load_vae((40, 120)), load_image((40, 260))
    text = note(
        "# Trace an image\n\nDid this picture come out of the VAE that is loaded here?\n\nChoose a VAE and an image"
        " **as it was saved** (not resized, not a screenshot), then press Run.\n\n- **belonging**: with the stated"
        " false-positive rate.\n- **non-belonging**: this VAE's own pictures rarely score like this.\n"
        "- **inconclusive**: neither is rare enough, or nothing is known about this VAE. Make a profile with the"
        " template *calibrate_and_trace* and connect it.\n\nThe answer names the VAE, not the checkpoint: models that"
        " share a VAE cannot be told apart.",
        (20, 670),
        (340, 420),
    )
    groups = [group("1 What to compare", (20, 50, 340, 560)), group("2 Verdict", (400, 50, 900, 1050))]
    return [vae, image, trace_node((420, 120), vae, image), text], groups


def trace_own_output() -> tuple[list[Node], list[dict[str, Any]]]:
    vae, image = load_vae((40, 120)), load_image((40, 260))
    encode = Node(
        "VAEEncode", (420, 120), (260, 60), [("LATENT", "LATENT")],
        {"pixels": (image, 0, "IMAGE"), "vae": (vae, 0, "VAE")},
    )  # fmt: skip
    decode = Node(
        "VAEDecode", (420, 260), (260, 60), [("IMAGE", "IMAGE")],
        {"samples": (encode, 0, "LATENT"), "vae": (vae, 0, "VAE")},
    )  # fmt: skip
    save = Node(
        "SaveImage", (420, 400), (300, 360), inputs={"images": (decode, 0, "IMAGE")},
        widgets={"filename_prefix": "traced"},
    )  # fmt: skip
    text = note(
        "# Generate, save, trace your own output\n\n*VAE Encode* stands in for your own sampler, so that this runs with"
        " nothing but a VAE: connect your KSampler's LATENT to *VAE Decode*, and your checkpoint's VAE everywhere.\n\n"
        "What a VAE decoded **belongs** to it, also when it began as a photograph. Trace Image sees the pixels just"
        " before *Save Image* stores them as 8 bit. To trace the stored file, load it with the template *trace_image*:"
        " the report then also says what its metadata claim. Without a profile for your VAE the answer stays"
        " **inconclusive**; make one with *calibrate_and_trace*.",
        (20, 820),
        (700, 300),
    )
    groups = [
        group("1 VAE and start", (20, 50, 340, 560)),
        group("2 Generate and save", (400, 50, 340, 730)),
        group("3 Verdict", (780, 50, 900, 1050)),
    ]
    return [vae, image, encode, decode, save, trace_node((800, 120), vae, decode), text], groups


def trace_folder() -> tuple[list[Node], list[dict[str, Any]]]:
    vae = load_vae((40, 120))
    folder = load_folder((40, 260))
    trace = trace_node((420, 120), vae, folder)
    trace.inputs["file"] = (folder, 1, "LATENT_TRACE_FILE")
    report = Node(
        "LatentTracerSaveReport",
        (1340, 120),
        (400, 220),
        [("summary", "STRING"), ("path", "STRING")],
        {"row": (trace, 5, "LATENT_TRACE_ROW"), "unreadable": (folder, 2, "LATENT_TRACE_UNREADABLE")},
        {"name": "report"},
    )
    text = note(
        "# Trace a folder\n\n1. Put pictures into a folder under ComfyUI's `input`, press R and choose it. Sizes and"
        " formats may differ; files that cannot be read are listed.\n2. *Trace Image* runs once per picture; its bar"
        " covers the whole folder.\n3. *Save Trace Report* writes CSV, JSON and an HTML page under"
        " `output/latent-tracer`: open the page with a double click, sort it by a click on a column.\n\nFor thousands"
        " of pictures use the terminal: `latent-tracer trace FOLDER --vae … --report DIR` goes on where it stopped.",
        (1340, 460),
        (400, 420),
    )
    groups = [
        group("1 VAE and folder", (20, 50, 340, 420)),
        group("2 Verdicts", (400, 50, 900, 1050)),
        group("3 Report", (1320, 50, 440, 310)),
    ]
    return [vae, folder, trace, report, text], groups


def calibrate_and_trace() -> tuple[list[Node], list[dict[str, Any]]]:
    vae = load_vae((40, 120))
    folder = load_folder((40, 260))
    calibrate = Node(
        "LatentTracerCalibrate",
        (420, 120),
        (340, 290),
        [("profile", "LATENT_TRACE_PROFILE"), ("report", "STRING")],
        {"vae": (vae, 0, "VAE"), "photographs": (folder, 0, "IMAGE")},
        {"name": "my-vae", "fpr": 0.01, "condition": "clean", "search_grid": False},
    )
    report = show_text(calibrate, 1, (420, 450), (340, 200))
    image = load_image((40, 570))
    text = note(
        "# Calibrate, then trace\n\n1. Put photographs, or other pictures that did **not** come out of this VAE, into"
        " a folder `photographs` under ComfyUI's `input`, and press R. Five are the least; about 100 allow a stated"
        " false-positive rate of 1 %.\n2. Choose the VAE and the image to trace, then press Run. *Calibrate Trace*"
        " passes every photograph through the VAE and through two others, and scores them all: seconds each for a"
        " small VAE, more for a large one. Cancel works.\n3. The profile stays under `models/latent_trace`. Next time"
        " *Load Trace Profile* brings it back at once.",
        (20, 950),
        (740, 330),
    )
    groups = [
        group("1 VAE and photographs", (20, 50, 340, 420)),
        group("2 Calibration", (400, 50, 380, 620)),
        group("3 Image under test", (20, 500, 340, 420)),
        group("4 Verdict", (800, 50, 900, 1050)),
    ]
    return [vae, folder, calibrate, report, image, trace_node((820, 120), vae, image, calibrate), text], groups


def which_vae() -> tuple[list[Node], list[dict[str, Any]]]:
    names = ("taesd", "taesdxl", "taesd3")
    image = load_image((40, 120))
    vaes = [load_vae((420, 120 + 290 * row), name) for row, name in enumerate(names)]
    profiles = [
        Node(
            "LatentTracerLoadProfile", (420, 250 + 290 * row), (300, 90), [("profile", "LATENT_TRACE_PROFILE")],
            widgets={"profile_name": f"{name}.json"},
        )
        for row, name in enumerate(names)
    ]  # fmt: skip
    inputs: dict[str, tuple[Node, int, str]] = {"image": (image, 0, "IMAGE")}
    for number, (vae, profile) in enumerate(zip(vaes, profiles, strict=True), start=1):
        inputs[f"vae_{number}"] = (vae, 0, "VAE")
        inputs[f"profile_{number}"] = (profile, 0, "LATENT_TRACE_PROFILE")
    attribute = Node(
        "LatentTracerAttributeImage",
        (800, 120),
        (640, 480),
        [("candidate", "INT"), ("report", "STRING"), ("picture", "IMAGE")],
        inputs,
    )
    report = show_text(attribute, 1, (1480, 120), (460, 420))
    text = note(
        "# Which of these VAEs made the image?\n\nEvery candidate answers through its own profile, so that their"
        " scores compare. Make the profiles with the template *calibrate_and_trace* and choose them here. A VAE whose"
        " profile ships with the pack needs none: remove its *Load Trace Profile*.\n\n**None of them** is an answer,"
        " and so is a tie.",
        (800, 680),
        (900, 200),
    )
    groups = [
        group("1 Image under test", (20, 50, 340, 420)),
        *[
            group(f"2{letter} Candidate {number}", (400, 50 + 290 * (number - 1), 340, 280))
            for number, letter in enumerate("abc", start=1)
        ],
        group("3 Answer", (780, 50, 1180, 570)),
    ]
    nodes = [image]
    for vae, profile in zip(vaes, profiles, strict=True):
        nodes += [vae, profile]
    return [*nodes, attribute, report, text], groups


def invert_input(
    title: str, position: tuple[int, int], image: Node, checkpoint: Node, prompt: Node, sigmas: Node
) -> Node:
    inputs = {
        "vae": (checkpoint, 2, "VAE"),
        "image": (image, 0, "IMAGE"),
        "model": (checkpoint, 0, "MODEL"),
        "positive": (prompt, 0, "CONDITIONING"),
        "sigmas": (sigmas, 0, "SIGMAS"),
    }
    outputs = [("trace", "LATENT_TRACE_ORIGIN"), ("inputs", "LATENT"), ("reconstruction", "IMAGE")]
    widgets = {"starts": 2, "start_seed": 0, "solver": "automatic", "steps": 0, "quantiser": "auto"}
    return Node("LatentTracerInvertInput", position, (320, 290), outputs, inputs, widgets, title)


def images_of(folder: str, position: tuple[int, int]) -> tuple[Node, Node]:
    """A folder's pictures of one size, as one batch."""
    loader = Node("LoadImageDataSetFromFolder", position, (300, 90), [("images", "IMAGE")], widgets={"folder": folder})
    below = (position[0], position[1] + 130)
    batch = Node(
        "RebatchImages", below, (300, 60), [("IMAGE", "IMAGE")], {"images": (loader, 0, "IMAGE")}, {"batch_size": 4096}
    )
    return loader, batch


def origin_of_image() -> tuple[list[Node], list[dict[str, Any]]]:
    checkpoint = Node(
        "CheckpointLoaderSimple",
        (40, 120),
        (300, 110),
        [("MODEL", "MODEL"), ("CLIP", "CLIP"), ("VAE", "VAE")],
        widgets={"ckpt_name": "sd_turbo.safetensors"},
    )
    prompt = Node(
        "CLIPTextEncode",
        (40, 270),
        (300, 110),
        [("CONDITIONING", "CONDITIONING")],
        {"clip": (checkpoint, 1, "CLIP")},
        {"text": ""},
    )
    sigmas = Node(
        "SDTurboScheduler",
        (40, 420),
        (300, 90),
        [("SIGMAS", "SIGMAS")],
        {"model": (checkpoint, 0, "MODEL")},
        {"steps": 1, "denoise": 1.0},
    )
    image = load_image((420, 120))
    made, made_batch = images_of("made", (420, 540))
    others, others_batch = images_of("photographs", (420, 860))
    traces = [
        invert_input("Invert: image under test", (780, 120), image, checkpoint, prompt, sigmas),
        invert_input("Invert: made by the model", (780, 500), made_batch, checkpoint, prompt, sigmas),
        invert_input("Invert: other images", (780, 880), others_batch, checkpoint, prompt, sigmas),
    ]
    verdict = Node(
        "LatentTracerOriginVerdict",
        (1180, 120),
        (860, 560),
        [*VERDICT_OUTPUTS, ("profile", "LATENT_TRACE_PROFILE")],
        {
            name: (trace, 0, "LATENT_TRACE_ORIGIN")
            for name, trace in zip(("trace", "belonging", "others"), traces, strict=True)
        },
        {"complexity": "entropy", "fpr": 0.01, "save_as": ""},
    )
    text = note(
        "# Did this one-step model make the image?\n\nFor models that make an image in **one step** at cfg 1"
        " (Turbo, LCM and the like) with one prompt. The search starts from random noise, so no encoder is"
        " needed.\n\n1. Choose the checkpoint, the prompt, and the image **as it was saved**, in the size the model"
        " makes.\n2. Put images this model made with this prompt into `input/made`, and others **of the same size**"
        " into `input/photographs`, then press R: five of each at least, 99 others for a stated false-positive rate"
        " of 1 %.\n3. Run. Every image takes hundreds of model passes with gradients, in 32 bits: a large model needs"
        " a large card. `save_as` keeps the profile; next time *Load Trace Profile* takes the place of both"
        " folders.\n\nTo"
        " inspect a VAE decoder alone, remove the links to `model`, `positive` and `sigmas`; expect it not to"
        " tell images apart, as the published study found.",
        (1180, 760),
        (860, 420),
    )
    groups = [
        group("1 Model", (20, 50, 340, 480)),
        group("2 Images", (400, 50, 340, 1040)),
        group("3 Inversion", (760, 50, 360, 1140)),
        group("4 Verdict", (1160, 50, 900, 650)),
    ]
    nodes = [checkpoint, prompt, sigmas, image, made, made_batch, others, others_batch, *traces, verdict, text]
    return nodes, groups


def sign_and_read() -> tuple[list[Node], list[dict[str, Any]]]:
    checkpoint = Node(
        "CheckpointLoaderSimple",
        (40, 120),
        (320, 100),
        [("MODEL", "MODEL"), ("CLIP", "CLIP"), ("VAE", "VAE")],
        widgets={"ckpt_name": "v1-5-pruned-emaonly-fp16.safetensors"},
    )
    prompts = [
        Node(
            "CLIPTextEncode", (40, 270 + 170 * row), (320, 120), [("CONDITIONING", "CONDITIONING")],
            {"clip": (checkpoint, 1, "CLIP")}, {"text": text},
        )
        for row, text in enumerate(("a lighthouse on a cliff, morning light", "text, watermark"))
    ]  # fmt: skip
    empty = Node(
        "EmptyLatentImage", (40, 610), (320, 110), [("LATENT", "LATENT")],
        widgets={"width": 512, "height": 512, "batch_size": 1},
    )  # fmt: skip
    sampler = Node(
        "KSampler",
        (420, 120),
        (300, 270),
        [("LATENT", "LATENT")],
        {
            "model": (checkpoint, 0, "MODEL"),
            "positive": (prompts[0], 0, "CONDITIONING"),
            "negative": (prompts[1], 0, "CONDITIONING"),
            "latent_image": (empty, 0, "LATENT"),
        },
        {
            **{"seed": 1, "_control": "fixed", "steps": 20, "cfg": 7.0},
            **{"sampler_name": "euler", "scheduler": "normal", "denoise": 1.0},
        },
    )
    secret = "environment variable LATENT_TRACER_SECRET"
    basis = Node(
        "LatentTracerLoadFingerprintBasis", (420, 440), (300, 80), [("basis", "LATENT_FINGERPRINT_BASIS")],
        widgets={"basis_name": "my-vae.safetensors"},
    )  # fmt: skip
    embed = Node(
        "LatentTracerEmbedFingerprint",
        (780, 120),
        (340, 260),
        [("latent", "LATENT"), ("report", "STRING")],
        {
            "latent": (sampler, 0, "LATENT"),
            "basis": (basis, 0, "LATENT_FINGERPRINT_BASIS"),
            "vae": (checkpoint, 2, "VAE"),
        },
        {"user": "alice", "secret": secret, "strength": 1.0, "key_bits": 64},
    )
    decode = Node(
        "VAEDecode", (780, 430), (340, 60), [("IMAGE", "IMAGE")],
        {"samples": (embed, 0, "LATENT"), "vae": (checkpoint, 2, "VAE")},
    )  # fmt: skip
    save = Node(
        "SaveImage", (780, 540), (340, 270), [], {"images": (decode, 0, "IMAGE")}, {"filename_prefix": "signed"}
    )
    image = load_image((1180, 120))
    read = Node(
        "LatentTracerReadFingerprint",
        (1540, 120),
        (700, 560),
        [("key", "STRING"), ("confidence", "FLOAT"), ("report", "STRING"), ("picture", "IMAGE"), ("user", "STRING")],
        {
            "vae": (checkpoint, 2, "VAE"),
            "image": (image, 0, "IMAGE"),
            "basis": (basis, 0, "LATENT_FINGERPRINT_BASIS"),
        },
        {"secret": secret, "register": "none", "key_bits": 64, "steps": 30},
    )
    text = note(
        "# Sign what you generate, and read it back\n\n1. Once per VAE: *Build Fingerprint Basis* on two dozen"
        " pictures; *Load Fingerprint Basis* then offers it.\n2. Put a secret into a file `NAME.secret` under"
        " `models/latent_fingerprints`, or into the environment variable. Workflows only ever hold its **name**.\n3."
        " *Embed Fingerprint* writes the user's key into the latent, *Save Image* stores the picture as usual.\n4."
        " Later, load a saved picture here: *Read Fingerprint* gives the key, or **no key**, and the odds that an"
        " unmarked picture does as well. With a register it names the user.",
        (1180, 500),
        (320, 420),
    )
    groups = [
        group("1 Generate", (20, 50, 720, 690)),
        group("2 Embed, decode, save", (760, 50, 380, 780)),
        group("3 Load and read", (1160, 50, 1100, 890)),
    ]
    return [checkpoint, *prompts, empty, sampler, basis, embed, decode, save, image, read, text], groups


def find_the_edit() -> tuple[list[Node], list[dict[str, Any]]]:
    vae, image = load_vae((40, 120)), load_image((40, 260))
    outputs = [("heat_map", "IMAGE"), ("mask", "MASK"), ("share", "FLOAT"), ("report", "STRING")]
    find = Node(
        "LatentTracerFindForeignRegions", (420, 120), (620, 700), outputs,
        {"vae": (vae, 0, "VAE"), "image": (image, 0, "IMAGE")},
    )  # fmt: skip
    as_image = Node("MaskToImage", (1120, 120), (300, 60), [("IMAGE", "IMAGE")], {"mask": (find, 1, "MASK")})
    preview = Node("PreviewImage", (1120, 230), (300, 320), [], {"images": (as_image, 0, "IMAGE")})
    report = show_text(find, 3, (1120, 600), (440, 220))
    text = note(
        "# Find the edited region\n\nWhich part of this picture did the loaded VAE **not** make?\n\n1. Choose the VAE"
        " and the picture, **as it was saved**.\n2. Run. Orange with a white edge is foreign; the mask goes to any of"
        " core's mask nodes.\n\nThe map compares the picture with itself: ask *Trace Image* first whether the rest"
        " belongs at all. Smooth areas hold too little to tell, and patches under 64 pixels are rarely seen.",
        (40, 660),
        (340, 330),
    )
    groups = [
        group("1 What to compare", (20, 50, 380, 570)),
        group("2 Find", (400, 50, 660, 790)),
        group("3 Mask and words", (1100, 50, 480, 790)),
    ]
    return [vae, image, find, as_image, preview, report, text], groups


EXAMPLES = {
    "trace_image": trace_image,
    "trace_own_output": trace_own_output,
    "trace_folder": trace_folder,
    "trace_step_by_step": trace_step_by_step,
    "calibrate_and_trace": calibrate_and_trace,
    "which_vae": which_vae,
    "origin_of_image": origin_of_image,
    "sign_and_read": sign_and_read,
    "find_the_edit": find_the_edit,
}


def main() -> None:
    for name, build in EXAMPLES.items():
        nodes, groups = build()
        write_text(WORKFLOWS / f"{name}.json", json.dumps(ui_workflow(nodes, groups), indent=1) + "\n")
        write_text(WORKFLOWS / "api" / f"{name}.json", json.dumps(api_workflow(nodes), indent=1) + "\n")


if __name__ == "__main__":
    main()
