"""What the model is, the lines that use it, and what it is and is not for."""

from __future__ import annotations

import re

from logitmix_hf.evaluation.predictions import MULTI, REGRESSION
from logitmix_hf.reporting.card.facts import Facts, base_model, data_name, sentence
from logitmix_hf.reporting.card.images import is_image, is_untrained, network, own_network, quoted, use_images


def what(facts: Facts) -> str:
    """The first paragraph."""
    run, data = facts.run, facts.data
    base, local = base_model(run), facts.model.get("base")
    start = f"[`{base}`](https://huggingface.co/{base})" if base else f"`{local}`"
    if local == "builtin":
        start += " (the MiniLM-L6 weights that `--model builtin` installs)"
    labels = [f"`{label}`" for label in data.get("label_names") or ()]
    listed = ", ".join(labels[:20]) + (f" and {len(labels) - 20} more" if len(labels) > 20 else "")
    says = f" It tells apart {listed}." if labels else ""
    if data.get("problem") == MULTI:
        says = f" It says yes or no to each of {listed}."
    if data.get("problem") == REGRESSION:
        says = " It gives one number."
    idea = f" {sentence(facts.method['idea'])}" if facts.method.get("idea") and facts.trained else ""
    if not facts.trained:
        done = "judged on" if facts.divisor is None else "calibrated and judged on"
        return f"{start}, {done} {data_name(data)}; it was not trained further.{says}"
    how = "trained on" if is_untrained(run) else "fine-tuned on"
    start = network(run) if is_untrained(run) else start
    return f"{start}, {how} {data_name(data)} with the method `{facts.method.get('name')}`.{idea}{says}"


def use(facts: Facts) -> str:
    """The section ``Use``: lines that run."""
    if facts.divisor is not None and facts.classifies and not facts.folded:
        return _divided(facts)
    if is_image(facts.run):
        return use_images(facts.run, facts.location)
    # Regression must not be squashed into (0, 1); several labels need the sigmoid, which the config asks for.
    extra = ", top_k=None" + (', function_to_apply="none"' if not facts.classifies else "")
    return (
        "```python\nfrom transformers import pipeline\n\n"
        f'classify = pipeline("text-classification", model={quoted(facts.location)}{extra})\n'
        f"print(classify({_example(facts, 'text', 'text_pair')}))\n```"
    )


def _example(facts: Facts, *names: str) -> str:
    if len(facts.data.get("columns") or ("text",)) != 2:
        return '"Some text."'
    return "{" + f'"{names[0]}": "The first text.", "{names[1]}": "The second text."' + "}"


def _divided(facts: Facts) -> str:
    """Lines for a temperature that the weights do not hold: a pipeline would pass over it."""
    place, images = quoted(facts.location), is_image(facts.run)
    kind = "ImageProcessor" if images else "Tokenizer"
    head = "ImageClassification" if images else "SequenceClassification"
    pair = len(facts.data.get("columns") or ("text",)) == 2
    given = '"The first text.", "The second text."' if pair else '"Some text."'
    divisor = f"{facts.divisor!r}" if facts.folded is None else 'model.config.logitmix["temperature"]'
    shares = "sigmoid()" if facts.data.get("problem") == MULTI else "softmax(-1)"
    first = "import logitmix_hf  # makes this network known to transformers\n" if own_network(facts.run) else ""
    first += "import torch\n" + ("from PIL import Image\n" if images else "")
    given = 'Image.open("picture.png")' if images else given
    return (
        "A plain pipeline gives the probabilities before the temperature; these lines give those after it.\n\n"
        f"```python\n{first}from transformers import Auto{kind}, AutoModelFor{head}\n\n"
        f"prepare = Auto{kind}.from_pretrained({place})\n"
        f"model = AutoModelFor{head}.from_pretrained({place})\n"
        "with torch.no_grad():\n"
        f'    logits = model(**prepare({given}, return_tensors="pt")).logits\n'
        f"print((logits / {divisor}).{shares})\n```"
    )


def intended(facts: Facts) -> str:
    """The section ``Intended use``."""
    things = "Pictures" if is_image(facts.run) else "Texts" if not _pairs(facts) else "Pairs of texts"
    if facts.data.get("synthetic"):
        points = ["Studying how training changes calibration, on data whose true probabilities are known."]
    else:
        does = {MULTI: "deciding on each label", REGRESSION: "predicting the value"}.get(
            str(facts.data.get("problem")), "choosing among the labels above"
        )
        points = [f"{things} like those of {data_name(facts.data)}: {does}."]
        if facts.classifies:
            points.append(
                "Using the probability as well as the label: to rank, to weigh costs, or to leave the unsure to somebody "
                "else (see Coverage)."
            )
    what = "training" if facts.trained else "calibrating"
    points.append(f"Comparing methods of {what}: the command, the seed and the versions are below.")
    return "\n".join(f"- {point}" for point in points)


def _pairs(facts: Facts) -> bool:
    return len(facts.data.get("columns") or ()) == 2


def out_of_scope(facts: Facts) -> str:
    """The section ``Out-of-scope use``."""
    labels = "labels" if facts.classifies else "values"
    other = (
        "pictures of another kind" if is_image(facts.run) else "another language, another subject, another kind of text"
    )
    points = [
        f"Anything that the data does not cover ({other}, other {labels}): the model answers all the same"
        + (", often with high confidence." if facts.classifies else "."),
        "Decisions about people without somebody who can overrule them.",
    ]
    if facts.classifies:
        points.append("Telling apart what belongs to none of the labels: there is no such answer.")
    else:
        points.append("Reading a confidence out of it: it gives a value and no spread.")
    if facts.data.get("synthetic"):
        points.insert(0, "Real text of any kind.")
    return "\n".join(f"- {point}" for point in points)


def relocated(card: str, location: str) -> str:
    """The card with its lines of use loading from ``location``: the folder at home, the repository on the Hub."""
    call = r'(pipeline\("(?:text|image)-classification", model=|from_pretrained\()"(?:[^"\\]|\\.)*"'
    return re.sub(call, lambda found: found[1] + quoted(location), card)
