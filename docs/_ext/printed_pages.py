"""Pages of docs/ that are printed from tables: ``python docs/_ext/printed_pages.py mixers > docs/mixers.md``."""

from __future__ import annotations

import sys

from logitmix_hf.errors import pick
from logitmix_hf.flags import read_recipe, recipes_folder
from logitmix_hf.tables import markdown_table
from logitmix_hf.vision.mixers import MIXERS
from logitmix_hf.vision.mixers.options import known_options
from logitmix_hf.vision.network_table import NETWORKS, STEMS


def mixers_page() -> str:
    """``docs/mixers.md``, printed from :data:`MIXERS`."""
    lines = [
        "# Mixers of images",
        "",
        "Printed from `logitmix_hf.vision.MIXERS`: `python docs/_ext/printed_pages.py mixers > docs/mixers.md`.",
        "",
        "`--mixer NAME` takes one, `--mixer mixup,cutmix --mixer_probs .5,.5` several by chance. Each works alone"
        " (`--method mixup --mixer cutmix`: alpha as below) and as the base of LogitMix (`--method logitmix`: alpha 3, w_sim"
        " as below). `--mixer_options name=value,…` sets the options; `--lam_per example` draws a share and a place for each"
        " image. The share that labels and logits are mixed by is always the exact mean of the mask.",
        "",
    ]
    for row in MIXERS.values():
        options = ", ".join(f"`{name}` ({_shown(option.default)})" for name, option in known_options(row.name).items())
        facts = {
            "Source": row.source,
            "alpha alone": f"{row.alpha:g}",
            "w_sim in logitmix": f"{row.w_sim:g}",
            "Needs saliency": "yes: one look at the clean rows" if row.needs_saliency else "no",
            "Sites": "`input`, and inside the network" if row.hidden else "`input`",
            "Options": options or "none",
        }
        lines += [f"## `{row.name}`", "", f"{row.idea[0].upper()}{row.idea[1:]}.", ""]
        lines += [markdown_table(("", ""), list(facts.items())), ""]
        lines += [row.note, ""] if row.note else []
    return "\n".join(lines)


def networks_page() -> str:
    """``docs/networks.md``, printed from :data:`NETWORKS`."""
    lines = [
        "# Networks for images",
        "",
        "Printed from `logitmix_hf.vision.NETWORKS`: `python docs/_ext/printed_pages.py networks > docs/networks.md`.",
        "",
        "`--model NAME` starts one from random weights; a Hub id or a folder loads any"
        " `AutoModelForImageClassification` with its weights. What is saved loads with `from_pretrained` and `pipeline` after"
        " `import logitmix_hf.vision.networks`, which makes these networks known to the Auto classes of transformers; the"
        " commands need no such line. `logitmix_hf.vision.networks.load_reference_weights(model, state_dict)` reads weights"
        " of the definitions named as sources.",
        "",
        markdown_table(
            ("stem", "for", "default"),
            [(f"`{name}`", text.partition(": ")[2], _sides(name)) for name, text in STEMS.items()],
        ),
        "",
    ]
    rows = []
    for row in NETWORKS.values():
        sources = "; ".join(f"{stem}: {text}" for stem, text in row.source.items())
        smallest = ", ".join(f"{stem} {2**count}" for stem, count in row.halvings.items())
        rows.append((f"`{row.name}`", row.idea, row.paper, str(row.stages), sources, smallest))
    head = ("network", "what it is", "paper", "stages", "definition, by stem", "smallest image")
    return "\n".join([*lines, markdown_table(head, rows), ""])


def recipes_page() -> str:
    """``docs/recipes.md``, printed from ``recipes/``."""
    lines = [
        "# Recipes",
        "",
        "Printed from `recipes/`: `python docs/_ext/printed_pages.py recipes > docs/recipes.md`.",
        "",
        "A recipe is a file of flags of a published row: `--recipe NAME`, or the path of a JSON file of your own. Flags on the"
        " command line override it. It says nothing of the data: `--dataset` and `--task` stay yours.",
        "",
    ]
    recipes = {path.stem: read_recipe(path.stem) for path in sorted(recipes_folder().glob("*.json"))}
    for command in ("glue", "vision"):
        lines += [f"## For `logitmix {command}`", ""]
        for name, values in recipes.items():
            if values.get("_command") == command:
                flags = " ".join(_words(flag, value) for flag, value in values.items() if not flag.startswith("_"))
                lines += [f"### `{name}`", "", str(values["_source"]), "", "```text", flags, "```", ""]
    return "\n".join(lines)


def _words(flag: str, value: object) -> str:
    several = value if isinstance(value, list) else [value]
    return " ".join([f"--{flag}", *(_shown(one) for one in several)])


def _sides(stem: str) -> str:
    return {"cifar": "up to 32 pixels a side", "tiny": "33 to 127", "imagenet": "128 and more"}[stem]


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) or value is None else str(value)


PAGES = {"mixers": mixers_page, "networks": networks_page, "recipes": recipes_page}

if __name__ == "__main__":
    print(pick(PAGES, sys.argv[1] if len(sys.argv) > 1 else "", "page")(), end="")
