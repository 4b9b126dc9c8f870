"""Several classifiers in one: a model that saves, loads, exports and answers as one does.

Importing this package makes ensembles known to the Auto classes of transformers, and so to ``pipeline``.
"""

from transformers import AutoConfig, AutoModelForImageClassification, AutoModelForSequenceClassification

import logitmix_hf.vision.networks  # noqa: F401  members may be networks of ours
from logitmix_hf.ensembles.adapters import (
    AdapterEnsembleConfig,
    LogitmixAdaptersForSequenceClassification,
    over_one_network,
)
from logitmix_hf.ensembles.config import EnsembleConfig
from logitmix_hf.ensembles.model import (
    LogitmixEnsembleForImageClassification,
    LogitmixEnsembleForSequenceClassification,
    check_single,
    join_models,
)

__all__ = [
    "AdapterEnsembleConfig",
    "EnsembleConfig",
    "LogitmixAdaptersForSequenceClassification",
    "LogitmixEnsembleForImageClassification",
    "LogitmixEnsembleForSequenceClassification",
    "check_single",
    "join_models",
    "over_one_network",
]

AutoConfig.register(EnsembleConfig.model_type, EnsembleConfig, exist_ok=True)
AutoModelForSequenceClassification.register(EnsembleConfig, LogitmixEnsembleForSequenceClassification, exist_ok=True)
AutoModelForImageClassification.register(EnsembleConfig, LogitmixEnsembleForImageClassification, exist_ok=True)
AutoConfig.register(AdapterEnsembleConfig.model_type, AdapterEnsembleConfig, exist_ok=True)
AutoModelForSequenceClassification.register(
    AdapterEnsembleConfig, LogitmixAdaptersForSequenceClassification, exist_ok=True
)
