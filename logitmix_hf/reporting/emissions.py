"""What codecarbon measured of a run: ``--report_to codecarbon`` leaves ``emissions.csv`` in the run folder.

The file holds the coordinates of the machine too, so it stays at home; only sums and the region go into the card.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FILE = "emissions.csv"
_ASSUMED = (46.8, -71.2)


def read_emissions(path: Path) -> dict[str, Any] | None:
    """``grams`` (of CO2 equivalent), ``kwh``, ``seconds``, ``place`` and ``version`` of codecarbon; None without a
    measurement that can be read. ``grams`` and ``place`` are None where it did not find out where the machine stands.

    Each row is one start of the training: those of a run that was resumed are added up. A row that codecarbon wrote
    again later (the same ``run_id``) counts once, as it stood last.
    """
    try:
        with open(path, encoding="utf-8", newline="") as file:
            rows = {row["run_id"]: row for row in csv.DictReader(file)}.values()
        # codecarbon gives kilograms; the Hub wants grams
        sums = [sum(float(row[name]) for row in rows) for name in ("emissions", "energy_consumed", "duration")]
    except (OSError, ValueError, KeyError, TypeError, csv.Error):
        return None
    if not rows or not all(map(math.isfinite, sums)):
        return None
    last, assumed = list(rows)[-1], any(map(_is_assumed, rows))
    place = ", ".join(
        part.strip() for part in (last.get("region") or "", last.get("country_name") or "") if part.strip()
    )
    version = last.get("codecarbon_version")
    return {
        "grams": None if assumed else 1000 * sums[0],
        "kwh": sums[1],
        "seconds": sums[2],
        "place": None if assumed else place or None,
        "version": version,
    }


def _is_assumed(row: Mapping[str, str]) -> bool:
    """Whether the place is codecarbon's guess: it asks the network, and takes Quebec where nobody answers, whose
    electricity has a hundredth of the carbon of others. An address that was found has more digits."""
    try:
        return (float(row["latitude"]), float(row["longitude"])) == _ASSUMED
    except (KeyError, ValueError, TypeError):
        return False
