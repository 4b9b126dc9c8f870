"""Temperatures of models: fitting them by a protocol, folding them into the last layer, calibrating without training."""
