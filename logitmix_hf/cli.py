"""``logitmix COMMAND``: one door to every command."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

from logitmix_hf.errors import UserError, pick
from logitmix_hf.process import guarded
from logitmix_hf.version import __version__

COMMANDS: dict[str, str] = {
    "glue": "fine-tune a text classifier on a GLUE task or your own data, and judge it",
    "vision": "train or fine-tune an image classifier with any mixer, and judge it",
    "demo": "train vanilla, mixup and logitmix on built-in data and set them side by side; no network",
    "demo-vision": "train one small network on digits in six ways and set them side by side; no network",
    "spiral": "train four methods on two spirals and draw how sure each is of every place; no network",
    "check": "look at rows and labels as a training would, and tell what is odd; nothing is trained",
    "calibrate": "judge any text or image classifier and fit its temperature, without training",
    "predict": "label the rows of a file or a folder of images, with calibrated probabilities",
    "serve": "answer over HTTP what predict answers, for many clients; --ui adds a page",
    "report": "set the folders of many runs side by side: one page, Markdown and CSV",
    "study": "many runs that one file names: start, resume, watch, and set side by side",
    "ensemble": "join finished runs: what they say together, and one classifier of them all",
    "export": "write a classifier as ONNX, or one of several members as a plain network, seen to answer alike",
    "card": "write the model card of a finished run again, around what you wrote into it",
    "inspect": "tell how active the filters of a trained image network are, member by member",
    "push": "push the folder of a finished run to the Hub",
}
"""What each command does; the module of ``commands`` that is called so, imported when it is asked for, has its ``main``."""
EXAMPLES = (
    "logitmix glue --task rte --method logitmix",
    "logitmix glue --train_file reviews.csv --text_columns text --label_column stars",
    "logitmix glue --task sst2 --dataset_name builtin --model builtin",
    "logitmix vision --dataset cifar100 --model resnet50 --method logitmix --mixer cutmix",
)


def usage() -> str:
    """What ``logitmix --help`` prints."""
    width = max(map(len, COMMANDS))
    lines = ["usage: logitmix COMMAND [flags]", "", "commands:"]
    lines += [f"  {name:<{width}}  {text}" for name, text in COMMANDS.items()]
    lines += ["", "examples:", *(f"  {example}" for example in EXAMPLES)]
    return "\n".join([*lines, "", "`logitmix COMMAND --help` lists the flags of a command."])


def main(argv: Sequence[str] | None = None) -> int:
    """The console command; returns its exit code."""
    words = sys.argv[1:] if argv is None else list(argv)
    if not words or words[0] in ("-h", "--help", "help"):
        print(usage())
        return 0
    if words[0] in ("-V", "--version"):
        print(f"logitmix {__version__}")
        return 0
    return guarded(lambda: _run(words))


def _run(words: Sequence[str]) -> int:
    if words[0].startswith("-"):
        raise UserError(
            f"a command comes before the flags: logitmix glue {words[0]} … Commands: {', '.join(COMMANDS)}."
        )
    pick(COMMANDS, words[0], "command")
    return import_module(f"logitmix_hf.commands.{words[0].replace('-', '_')}").main(words[1:])


if __name__ == "__main__":
    sys.exit(main())
