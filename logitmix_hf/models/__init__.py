"""Models of transformers as they are met: found, unwrapped, their heads, their last layer."""
