"""The example workflows: each a graph that runs at the first Run on nothing but what the pack brings."""

from __future__ import annotations

from collections.abc import Callable

from workflow_files import Layout, Node

DEMO_A, DEMO_B = (f"zz-latent-tracer-demo-{letter}.safetensors" for letter in "ab")
SECRET, BASIS, PROFILE = "zz-latent-tracer-example.secret", DEMO_A, "zz-latent-tracer-demo-a.json"
VERDICT_OUTPUTS = [
    ("belongs", "BOOLEAN"), ("verdict", "STRING"), ("score", "FLOAT"), ("report", "STRING"), ("picture", "IMAGE"),
]  # fmt: skip
OWN_VAE = "**Your own VAE:** put its file into `models/vae`, press R, choose it in *Load VAE*."
OWN_PICTURE = "**Your own picture**, as it was saved: choose it in *Load Image*, and draw its link to"


def load_vae(name: str = DEMO_A) -> Node:
    return Node("VAELoader", (320, 60), [("VAE", "VAE")], widgets={"vae_name": name})


def example(folder: str, first: int = 1, most: int = 500, title: str | None = None) -> Node:
    """Pictures that come with the pack."""
    outputs = [
        ("image", "IMAGE"), ("file", "LATENT_TRACE_FILE"), ("unreadable", "LATENT_TRACE_UNREADABLE"),
        ("report", "STRING"),
    ]  # fmt: skip
    widgets = {"folder": f"latent-tracer examples/{folder}", "below": True, "first": first, "most": most}
    # Under a node's widgets its picture takes 220 pixels at least.
    return Node("LatentTracerLoadImages", (320, 400), outputs, widgets=widgets, title=title)


def own_picture() -> Node:
    """Not connected: the example runs first."""
    return Node(
        "LoadImage", (320, 330), [("IMAGE", "IMAGE"), ("MASK", "MASK")], widgets={"image": "", "_upload": "image"},
        title="Load Image: your own, later",
    )  # fmt: skip


def encode(image: Node, vae: Node) -> Node:
    inputs = {"pixels": (image, 0, "IMAGE"), "vae": (vae, 0, "VAE")}
    return Node("VAEEncode", (320, 60), [("LATENT", "LATENT")], inputs)


def decode(latent: Node, vae: Node) -> Node:
    inputs = {"samples": (latent, 0, "LATENT"), "vae": (vae, 0, "VAE")}
    return Node("VAEDecode", (320, 60), [("IMAGE", "IMAGE")], inputs)


def save_image(image: Node, prefix: str) -> Node:
    return Node("SaveImage", (320, 340), [], {"images": (image, 0, "IMAGE")}, {"filename_prefix": prefix})


def scale(image: Node, side: int) -> Node:
    widgets = {"upscale_method": "lanczos", "width": side, "height": side, "crop": "center"}
    return Node("ImageScale", (320, 130), [("IMAGE", "IMAGE")], {"image": (image, 0, "IMAGE")}, widgets)


def batch(images: Node) -> Node:
    """A list of pictures of one size as one batch."""
    return Node("RebatchImages", (320, 60), [("IMAGE", "IMAGE")], {"images": (images, 0, "IMAGE")}, {"batch_size": 64})


def show_text(source: Node, output: int, size: tuple[int, int]) -> Node:
    """Core's preview shows a text in the graph."""
    return Node("PreviewAny", size, [("STRING", "STRING")], {"source": (source, output, "STRING")}, title="Report")


def trace_node(vae: Node, image: Node, profile: Node | None = None, has_file: bool = False) -> Node:
    inputs = {"vae": (vae, 0, "VAE"), "image": (image, 0, "IMAGE")}
    if profile is not None:
        inputs["profile"] = (profile, 0, "LATENT_TRACE_PROFILE")
    if has_file:
        inputs["file"] = (image, 1, "LATENT_TRACE_FILE")
    outputs = [*VERDICT_OUTPUTS, ("row", "LATENT_TRACE_ROW")]
    return Node("LatentTracerTraceImage", (860, 960), outputs, inputs, {"steps": 30, "explain": False})


def trace_own_output() -> Layout:
    vae, picture = load_vae(), example("picture", title="A picture to start from")
    latent = encode(picture, vae)
    made = decode(latent, vae)
    save, trace = save_image(made, "traced"), trace_node(vae, made)
    text = (
        "# Trace what I just made\n\nPress **Run**: the VAE makes a picture, *Save Image* stores it, and *Trace Image*"
        " says whether it came out of this VAE. It did.\n\n*VAE Encode* stands in for your sampler: connect your"
        " KSampler's LATENT to *VAE Decode* instead.\n\nWhat a VAE decoded belongs to it, also when it began as a"
        f" photograph.\n\n{OWN_VAE}"
    )
    columns = [
        [("1 VAE and start", [vae, picture])],
        [("2 Make and save", [latent, made, save])],
        [("3 Who made it?", [trace])],
    ]
    return Layout(text, columns, note_over=2)


def trace_image() -> Layout:
    vae, picture, own = load_vae(), example("made by demo-a", title="An example that demo-a made"), own_picture()
    trace = trace_node(vae, picture, has_file=True)
    text = (
        "# Trace an image\n\nPress **Run**: did this picture come out of the VAE that is loaded here? Its metadata say"
        f" so, and its pixels agree.\n\n{OWN_PICTURE} `image` of *Trace Image*; pull the link out of `file`."
        f"\n\n{OWN_VAE}\n\n- **belonging**: with the stated rate of false alarms.\n"
        "- **non-belonging**: this VAE's own pictures rarely look like this.\n"
        "- **inconclusive**: neither is rare enough, with the reason.\n\n"
        "The answer names the VAE, not the checkpoint."
    )
    columns = [
        [("1 VAE and picture", [vae, picture])],
        [("Your own picture, later", [own])],
        [("2 Answer", [trace])],
    ]
    return Layout(text, columns, note_over=2)


def trace_app() -> Layout:
    """App mode: a picture in, an answer out."""
    vae = load_vae()
    image = Node(
        "LoadImage", (320, 330), [("IMAGE", "IMAGE"), ("MASK", "MASK")],
        widgets={"image": "example.png", "_upload": "image"}, title="Picture",
    )  # fmt: skip
    trace = trace_node(vae, image)
    text = (
        "# The app\n\nChoose a picture, as it was saved, and the VAE; press **Run**. *App mode* shows only these and"
        f" the answer.\n\nIt begins with ComfyUI's own `example.png`, which no VAE made.\n\n{OWN_VAE}"
    )
    columns = [[("1 VAE and picture", [vae, image])], [("2 Answer", [trace])]]
    return Layout(text, columns, app=([(image, "image"), (vae, "vae_name")], [trace]))


def trace_folder() -> Layout:
    vae, folder = load_vae(), example("mixed", title="A folder of examples")
    trace = trace_node(vae, folder, has_file=True)
    report = Node(
        "LatentTracerSaveReport",
        (400, 320),
        [("summary", "STRING"), ("path", "STRING")],
        {"row": (trace, 5, "LATENT_TRACE_ROW"), "unreadable": (folder, 2, "LATENT_TRACE_UNREADABLE")},
        {"name": "report"},
    )
    text = (
        "# Trace a folder\n\nPress **Run**: every picture of the folder is traced, and *Save Trace Report* writes CSV,"
        " JSON and a page that opens with a double click, under `output/latent-tracer`.\n\n**Your own folder:** put it"
        f" under `input`, press R, choose it. Sizes and formats may differ.\n\n{OWN_VAE}\n\nFor thousands of pictures:"
        " `latent-tracer trace FOLDER` in a terminal goes on where it stopped."
    )
    columns = [
        [("1 VAE and folder", [vae, folder])],
        [("2 Answers", [trace])],
        [("3 Report", [report, show_text(report, 0, (400, 160)), show_text(report, 1, (400, 130))])],
    ]
    return Layout(text, columns)


def trace_step_by_step() -> Layout:
    vae, picture = load_vae(), example("mixed", most=1, title="An example that demo-a made")
    start = Node(
        "LatentTracerEncode", (340, 80), [("initial_latents", "LATENT"), ("first_reconstruction", "IMAGE")],
        {"vae": (vae, 0, "VAE"), "image": (picture, 0, "IMAGE")},
    )  # fmt: skip
    invert = Node(
        "LatentTracerInvert",
        (340, 420),
        [("trace", "LATENT_TRACE"), ("latents", "LATENT"), ("reconstruction", "IMAGE")],
        {"vae": (vae, 0, "VAE"), "image": (picture, 0, "IMAGE"), "initial_latents": (start, 0, "LATENT")},
        {"solver": "adam-paper", "steps": 40, "quantiser": "auto"},
    )
    verdict = Node(
        "LatentTracerVerdict",
        (860, 960),
        VERDICT_OUTPUTS,
        {"trace": (invert, 0, "LATENT_TRACE"), "vae": (vae, 0, "VAE")},
        {"threshold": 0.0, "belonging_losses": "", "alpha": 0.05},
    )
    text = (
        "# The paper's method, step by step\n\n1. *Encode for Trace*: the search begins at E(x).\n2. *Invert Latent*:"
        " it looks for the latent that decodes to the picture. The paper takes 100 steps or more.\n3. *Trace Verdict*:"
        " with `vae` connected, the calibration of this VAE answers. A `threshold` or `belonging_losses` of yours go"
        f" before it, as published; a bare loss is no evidence.\n\n{OWN_VAE}"
    )
    columns = [
        [("1 What to compare", [vae, picture])],
        [("2 Encoder's start", [start]), ("3 Inversion", [invert])],
        [("4 Answer", [verdict])],
    ]
    return Layout(text, columns, note_over=2)


def calibrate_and_trace() -> Layout:
    vae, folder = load_vae(), example("drawn", most=12, title="Pictures this VAE did not make")
    picture = example("drawn", first=20, most=1, title="Another one, which it makes anew")
    latent = encode(picture, vae)
    made = decode(latent, vae)
    calibrate = Node(
        "LatentTracerCalibrate",
        (400, 460),
        [("profile", "LATENT_TRACE_PROFILE"), ("report", "STRING")],
        {"vae": (vae, 0, "VAE"), "photographs": (folder, 0, "IMAGE")},
        {"name": "demo-a example", "fpr": 0.1, "condition": "clean", "search_grid": False},
    )
    text = (
        "# Calibrate, then trace\n\nPress **Run** and wait: 12 pictures that this VAE did *not* make tell how rare a"
        " false alarm is; then a picture that it did make is judged by that.\n\n**In earnest:** about 100"
        " photographs of yours, for a rate of 1 %. Put them into a folder under `input`, press R, choose it, and give"
        " the profile a `name`. It stays under `models/latent_trace`; *Load Trace Profile* brings it back."
        f"\n\n{OWN_VAE}"
    )
    columns = [
        [("1 VAE and photographs", [vae, folder])],
        [("2 Calibration", [calibrate])],
        [("3 Picture", [picture, latent, made])],
        [("4 Answer", [trace_node(vae, made, calibrate)])],
    ]
    return Layout(text, columns, note_over=3)


def which_vae() -> Layout:
    picture, own = example("made by demo-a", title="An example that demo-a made"), own_picture()
    first, second = load_vae(DEMO_A), load_vae(DEMO_B)
    profile = Node(
        "LatentTracerLoadProfile", (320, 310), [("profile", "LATENT_TRACE_PROFILE")], widgets={"profile_name": PROFILE}
    )
    attribute = Node(
        "LatentTracerAttributeImage",
        (760, 620),
        [("candidate", "INT"), ("report", "STRING"), ("picture", "IMAGE")],
        {
            "image": (picture, 0, "IMAGE"),
            "vae_1": (first, 0, "VAE"),
            "profile_1": (profile, 0, "LATENT_TRACE_PROFILE"),
            "vae_2": (second, 0, "VAE"),
        },
    )
    family = Node(
        "LatentTracerWhichFamily",
        (760, 620),
        [("answer", "STRING"), ("family", "STRING"), ("report", "STRING"), ("picture", "IMAGE")],
        {"image": (picture, 0, "IMAGE")},
    )
    text = (
        "# Which of these VAEs made it?\n\nPress **Run**. *None of them* is an answer, and so is a tie.\n\nEvery"
        " candidate needs a profile. Some ship and are found by themselves, as for candidate 2; make others with the"
        f" template *calibrate_and_trace*, and load them as for candidate 1.\n\n{OWN_PICTURE} `image`.\n\n{OWN_VAE}"
        " Up to four candidates fit.\n\n**No VAE at hand?** *Which Family* tells SD1/SD2 from SDXL by the tiny"
        " autoencoders of ComfyUI's previews, once they are in `models/vae_approx`; it says which are missing."
    )
    columns = [
        [("1 Picture", [picture, own])],
        [("2a Candidate 1", [first, profile]), ("2b Candidate 2", [second])],
        [("3 Answer", [attribute, show_text(attribute, 1, (760, 240))])],
        [("4 Without any VAE", [family])],
    ]
    return Layout(text, columns, note_over=2)


def find_the_edit() -> Layout:
    vae, picture = load_vae(), example("edited", title="An example with a foreign patch")
    own = own_picture()
    outputs = [("heat_map", "IMAGE"), ("mask", "MASK"), ("share", "FLOAT"), ("report", "STRING")]
    find = Node(
        "LatentTracerFindForeignRegions",
        (640, 750),
        outputs,
        {"vae": (vae, 0, "VAE"), "image": (picture, 0, "IMAGE")},
        {"look_for": "foreign"},
    )
    as_image = Node("MaskToImage", (340, 40), [("IMAGE", "IMAGE")], {"mask": (find, 1, "MASK")})
    preview = Node("PreviewImage", (340, 340), [], {"images": (as_image, 0, "IMAGE")})
    text = (
        "# Find the edited part\n\nPress **Run**: demo-a made the picture, and somebody pasted a part of another one"
        " into it. Orange with a white edge is what the VAE did *not* make.\n\nThe map compares the picture with"
        " itself: ask *Trace Image* first whether the rest belongs at all. Smooth areas tell nothing, patches under 64"
        " pixels are rarely seen."
        f"\n\n{OWN_PICTURE} `image`.\n\n{OWN_VAE}"
    )
    columns = [
        [("1 VAE and picture", [vae, picture, own])],
        [("2 Find", [find])],
        [("3 Mask and words", [as_image, preview, show_text(find, 3, (340, 240))])],
    ]
    return Layout(text, columns, note_over=2)


def invert_input(title: str, image: Node, vae: Node) -> Node:
    inputs = {"vae": (vae, 0, "VAE"), "image": (image, 0, "IMAGE")}
    outputs = [("trace", "LATENT_TRACE_ORIGIN"), ("inputs", "LATENT"), ("reconstruction", "IMAGE")]
    widgets = {"starts": 1, "start_seed": 0, "solver": "lbfgs-whitened", "steps": 60, "quantiser": "auto"}
    # Its reconstruction is drawn below the widgets.
    return Node("LatentTracerInvertInput", (340, 490), outputs, inputs, widgets, title)


def origin_of_image() -> Layout:
    vae = load_vae()
    picture = example("small, made by demo-a", title="An example that demo-a made")
    small = example("small", title="Five pictures from elsewhere")
    others = batch(small)
    latents = encode(others, vae)
    made = decode(latents, vae)
    traces = [
        invert_input("Invert: picture under test", picture, vae),
        invert_input("Invert: made by the VAE", made, vae),
        invert_input("Invert: other pictures", others, vae),
    ]
    verdict = Node(
        "LatentTracerOriginVerdict",
        (860, 960),
        [*VERDICT_OUTPUTS, ("profile", "LATENT_TRACE_PROFILE")],
        {
            name: (trace, 0, "LATENT_TRACE_ORIGIN")
            for name, trace in zip(("trace", "belonging", "others"), traces, strict=True)
        },
        {"complexity": "entropy", "fpr": 0.2, "save_as": ""},
    )
    text = (
        "# Did this generator make the picture?\n\nPress **Run** and wait: eleven small pictures are searched for from"
        " random noise, no encoder is needed. Here the generator is a VAE's decoder alone, which the published study"
        " found hard to tell.\n\n**A one-step model** (Turbo, LCM, cfg 1): load its checkpoint, connect `model`, the"
        " prompt to `positive`, one step of *SDTurboScheduler* to `sigmas` and its VAE to each *Invert Generator"
        " Input*, `solver` at *automatic* and `steps` at 0. Take whole pictures of one size: five that it"
        " made with this prompt, 99 others for a rate of 1 %."
        " `save_as` keeps the profile.\n\n**Your own VAE:** put its file into `models/vae`, press R, choose it in"
        " *Load VAE*."
    )
    columns = [
        [("1 Generator", [vae]), ("2 Picture", [picture])],
        [("3 Known pictures", [small, others, latents, made])],
        [("4 Inversion", traces)],
        [("5 Answer", [verdict])],
    ]
    return Layout(text, columns, note_over=3)


def build_fingerprint_basis() -> Layout:
    vae, drawn = load_vae(), example("drawn", most=16, title="Any sixteen pictures or more")
    part = scale(drawn, 128)
    build = Node(
        "LatentTracerBuildFingerprintBasis",
        (400, 330),
        [("basis", "LATENT_FINGERPRINT_BASIS"), ("report", "STRING")],
        {"vae": (vae, 0, "VAE"), "images": (part, 0, "IMAGE")},
        {"name": "demo-a example"},
    )
    text = (
        "# Measure a fingerprint basis, once per VAE\n\nPress **Run** and wait a minute or two: which latent directions"
        " of this VAE vary little and survive storage? Users' keys are written along them. The basis stays under"
        " `models/latent_fingerprints`; *Load Fingerprint Basis* then offers it, as in the template *sign_and_read*."
        "\n\n**In earnest:** two dozen pictures of 256² or more, not made smaller.\n\n" + OWN_VAE
    )
    columns = [
        [("1 VAE and pictures", [vae, drawn, part])],
        [("2 Measure", [build, show_text(build, 1, (400, 200))])],
    ]
    return Layout(text, columns, note_over=2)


def sign_and_read() -> Layout:
    vae, picture = load_vae(), example("picture", title="A picture to start from")
    basis = Node(
        "LatentTracerLoadFingerprintBasis", (320, 290), [("basis", "LATENT_FINGERPRINT_BASIS")],
        widgets={"basis_name": BASIS},
    )  # fmt: skip
    latent = encode(picture, vae)
    embed = Node(
        "LatentTracerEmbedFingerprint",
        (340, 430),
        [("latent", "LATENT"), ("report", "STRING")],
        {
            "latent": (latent, 0, "LATENT"),
            "basis": (basis, 0, "LATENT_FINGERPRINT_BASIS"),
            "vae": (vae, 0, "VAE"),
        },
        {"user": "alice", "secret": SECRET, "strength": 1.0, "key_bits": 64},
    )
    signed = decode(embed, vae)
    save = save_image(signed, "signed")
    altered = scale(signed, 384)
    read = Node(
        "LatentTracerReadFingerprint",
        (760, 640),
        [("key", "STRING"), ("confidence", "FLOAT"), ("report", "STRING"), ("picture", "IMAGE"), ("user", "STRING")],
        {
            "vae": (vae, 0, "VAE"),
            "image": (altered, 0, "IMAGE"),
            "basis": (basis, 0, "LATENT_FINGERPRINT_BASIS"),
        },
        {"secret": SECRET, "register": "none", "key_bits": 64, "steps": 30, "search": True},
    )
    text = (
        "# Sign what you generate, and read it back\n\nPress **Run**: *Embed Fingerprint* writes alice's key into the"
        " latent, *Upscale Image* makes the picture smaller as a website would, and *Read Fingerprint* still finds the"
        " key, or says that there is none. *VAE Encode* stands in for your sampler.\n\n**In earnest:** make a secret of"
        " your own, 16 random characters or more in a file `NAME.secret` under `models/latent_fingerprints`; everybody"
        " knows the example's. Workflows only ever hold its name. Measure a basis of your VAE with the"
        " template *build_fingerprint_basis*.\n\n" + OWN_VAE
    )
    columns = [
        [("1 VAE and start", [vae, basis, picture, latent])],
        [("2 Sign and save", [embed, signed, save])],
        [("3 Alter, read", [altered, read, show_text(read, 2, (760, 190))])],
    ]
    return Layout(text, columns, note_over=2)


#: In the order in which a newcomer meets them.
EXAMPLES: dict[str, Callable[[], Layout]] = {
    # Where files are listed by name this one is first.
    "1_trace_what_I_just_made": trace_own_output,
    # ComfyUI's own templates of that ending are shown as apps.
    "trace_image.app": trace_app,
    **{
        build.__name__: build
        for build in (
            trace_image, trace_folder, find_the_edit, which_vae, calibrate_and_trace, trace_step_by_step,
            origin_of_image, build_fingerprint_basis, sign_and_read,
        )
    },
}  # fmt: skip
