"""Train one image classifier, judge it, write its report: `accelerate launch run_vision.py --dataset cifar100`."""

import sys
from pathlib import Path

# The checkout works without being installed.
sys.path.insert(0, str(Path(__file__).resolve().parent))

from logitmix_hf.process import speak_once

if __name__ == "__main__":
    speak_once()  # before torch is imported
    from logitmix_hf.commands.vision import vision_script

    vision_script()
