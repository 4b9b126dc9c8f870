"""``logitmix COMMAND``: one door to every command."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from logitmix_hf import __version__
from logitmix_hf.ends import guarded
from logitmix_hf.errors import UserError, pick


def _glue(argv: Sequence[str]) -> int:
    from logitmix_hf.text.run import main

    return main(argv)


def _vision(argv: Sequence[str]) -> int:
    from logitmix_hf.vision.run import main

    return main(argv)


def _spiral(argv: Sequence[str]) -> int:
    from logitmix_hf.vision.spiral import main

    return main(argv)


def _demo(argv: Sequence[str]) -> int:
    from logitmix_hf.text.demo import main

    return main(argv)


def _demo_vision(argv: Sequence[str]) -> int:
    from logitmix_hf.vision.demo import main

    return main(argv)


def _card(argv: Sequence[str]) -> int:
    from logitmix_hf.running.card import main

    return main(argv)


def _predict(argv: Sequence[str]) -> int:
    from logitmix_hf.serving.predict import main

    return main(argv)


def _export(argv: Sequence[str]) -> int:
    from logitmix_hf.serving.export import main

    return main(argv)


def _calibrate(argv: Sequence[str]) -> int:
    from logitmix_hf.calibrating.run import main

    return main(argv)


def _push(argv: Sequence[str]) -> int:
    from logitmix_hf.running.push import main

    return main(argv)


def _report(argv: Sequence[str]) -> int:
    from logitmix_hf.running.report import main

    return main(argv)


COMMANDS: dict[str, tuple[str, Callable[[Sequence[str]], int]]] = {
    "glue": ("fine-tune a text classifier on a GLUE task or your own data, and judge it", _glue),
    "vision": ("train or fine-tune an image classifier with any mixer, and judge it", _vision),
    "demo": ("train vanilla, mixup and logitmix on built-in data and set them side by side; no network", _demo),
    "demo-vision": (
        "train one small network on digits in six ways and set them side by side; no network",
        _demo_vision,
    ),
    "spiral": ("train four methods on two spirals and draw how sure each is of every place; no network", _spiral),
    "card": ("write the model card of a finished run again, around what you wrote into it", _card),
    "calibrate": ("judge any text or image classifier and fit its temperature, without training", _calibrate),
    "predict": ("label the rows of a file or a folder of images, with calibrated probabilities", _predict),
    "report": ("set the folders of many runs side by side: one page, Markdown and CSV", _report),
    "export": ("write a classifier as ONNX, after it was seen to give the same probabilities", _export),
    "push": ("push the folder of a finished run to the Hub", _push),
}
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
    lines += [f"  {name:<{width}}  {text}" for name, (text, _) in COMMANDS.items()]
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
    return pick(COMMANDS, words[0], "command")[1](words[1:])


if __name__ == "__main__":
    sys.exit(main())
