"""The commands from Python: ``fine_tune`` for a whole run, and scikit-learn estimators that go the same road."""
