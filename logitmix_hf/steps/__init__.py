"""One training step: the only door from the trainer to text and images."""
