"""Fine-tune Hugging Face classifiers that are right and honest about how sure they are."""

__version__ = "0.1.0"
