"""How the model came about: the command, what was set, the machine, and what it cost."""

from __future__ import annotations

from typing import Any

from logitmix_hf.reporting.card.facts import Facts, cell
from logitmix_hf.reporting.card.images import images_read, is_image
from logitmix_hf.reporting.card.words import TRAINING_ARGUMENTS
from logitmix_hf.tables import markdown_table

_NOT_ROWS = ("name", "idea", "source", "site", "w_mix", "w_cls", "w_sim")


def training(facts: Facts) -> str:
    """The section ``Training``: the command that repeats it and everything that was set."""
    run, method, arguments = facts.run, facts.method, facts.arguments
    command = f"```bash\n{run['command']}\n```" if run.get("command") else ""
    rows: dict[str, Any] = {}
    if facts.trained:
        rows = {"method": method.get("name"), "source": method.get("source"), "site": _site(facts)}
        weights = {name: method.get(name) for name in ("w_mix", "w_cls", "w_sim")}
        if all(value is not None for value in weights.values()):
            rows["loss"] = f"{weights['w_mix']:g} L_mix + {weights['w_cls']:g} L_cls + {weights['w_sim']:g} L_sim"
        rows |= {k: value for k, value in method.items() if k not in _NOT_ROWS and not isinstance(value, (dict, list))}
    rows |= images_read(facts.data) if is_image(run) else {}
    rows |= run.get("seeds", {})
    if facts.trained:
        rows |= {key: arguments[key] for key in TRAINING_ARGUMENTS if key in arguments}
        if not isinstance(rows.get("max_steps"), int) or rows["max_steps"] <= 0:
            rows.pop("max_steps", None)  # it overrides the epochs only where it is set
        rows["training rows"] = facts.data.get("train_rows")
    rows["data fingerprint"] = facts.data.get("fingerprint")
    versions = run.get("environment", {}).get("versions", {})
    rows["versions"] = ", ".join(f"{key} {versions[key]}" for key in versions if versions[key] is not None)
    said = "" if facts.trained else "The weights were not trained by this run: it judged the model as it was."
    return "\n\n".join(part for part in (said, command, _rows(rows)) if part)


def hardware(facts: Facts) -> str:
    """The section ``Hardware and energy``: what is known. Energy is a measurement or is not given: a guess from
    seconds and a catalogue's watts would read like a measurement."""
    environment, memory = facts.run.get("environment", {}), facts.run.get("peak_memory") or {}
    rows: dict[str, Any] = {
        "device": hardware_name(facts),
        "processor": environment.get("cpu") if environment.get("device", {}).get("name") else None,
        "cores": _cores(environment),
        "processes": environment.get("processes"),
    }
    seconds, rate = facts.run.get("seconds"), facts.run.get("examples_per_second")
    rows["wall-clock time of the run"] = None if seconds is None else f"{seconds:,.0f} s"
    rows["training speed"] = None if rate is None else f"{rate:,.4g} examples/s"
    rows["peak memory of the process"] = _megabytes(memory.get("process_mb"))
    rows["peak memory of the device"] = _megabytes(memory.get("device_mb"))
    measured = facts.emissions
    if measured is None:
        said = (
            "Energy and carbon were not measured, and are not guessed here; `pip install codecarbon` and "
            "`--report_to codecarbon` measure them."
        )
    else:
        tool = " ".join(filter(None, ("codecarbon", measured.get("version"))))
        spent = f"Energy of training: {measured['kwh']:.4g} kWh"
        over = f"over {measured['seconds']:,.0f} s."
        where = f" in {measured['place']}" if measured.get("place") else ""
        if measured["grams"] is None:
            said = (
                f"{spent}, as {tool} gives it {over} Its carbon is not told: codecarbon got no answer from the network on "
                "where the machine is, and then reckons with the electricity of Quebec."
            )
        else:
            said = (
                f"{spent}; carbon: {measured['grams']:,.3g} g CO2 equivalent, as {tool} gives them for the machine{where} "
                f"{over}"
            )
    return "\n\n".join(part for part in (_rows(rows), said) if part)


def hardware_name(facts: Facts) -> str | None:
    """The device that did the work, as one line."""
    environment = facts.run.get("environment", {})
    device = environment.get("device", {})
    if not device.get("name"):
        return device.get("type") if device.get("type") not in (None, "cpu") else environment.get("cpu")
    memory = f" ({device['memory_gb']:g} GB)" if device.get("memory_gb") else ""
    return f"{device['name']}{memory}"


def _cores(environment: dict[str, Any]) -> str | None:
    cores, threads = environment.get("cores"), environment.get("threads")
    if cores is None:
        return None
    return f"{cores}" + (f", {threads} thread{'s' * (threads != 1)} a process" if threads else "")


def _megabytes(value: float | None) -> str | None:
    return None if value is None else f"{value:,.0f} MB"


def _rows(rows: dict[str, Any]) -> str:
    shown = [(key.replace("_", " "), cell(value)) for key, value in rows.items() if value not in (None, "")]
    return markdown_table(("", ""), shown) if shown else ""


def _site(facts: Facts) -> str | None:
    """The site as the flag calls it, with the layer that ``middle`` means in this model."""
    site, layers = facts.method.get("site"), facts.model.get("layers")
    return f"middle (layer.{layers // 2} of {layers})" if site == "middle" and layers else site
