"""Keep secrets out of everything that is written or said: keys that hold tokens go, tokens in text become ``***``."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Sequence

HIDDEN = "***"

# ``hub_token``, ``HF_TOKEN``, ``api_key`` … hold secrets; ``tokenizer_name``, ``num_input_tokens_seen`` do not.
_SECRET_KEY = re.compile(r"(^|[_-])(token|secret|password|passwd|api_?key)$", re.IGNORECASE)
_TOKEN_SHAPES = re.compile(r"\bhf_[A-Za-z0-9]{16,}|(?<=[Bb]earer )[^\s'\",]+|(?<=://)[^/\s]+(?=@)")
_TOKEN_VARIABLES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACE_HUB_TOKEN")


def is_secret_key(key: str) -> bool:
    """Whether a setting of this name holds a secret (``hub_token`` does, ``tokenizer_name`` does not)."""
    return bool(_SECRET_KEY.search(key))


def scrub(text: str, secrets: Iterable[str | None] = ()) -> str:
    """``text`` with every known secret replaced by ``***``.

    Known are ``secrets``, the tokens of the environment (``HF_TOKEN`` …), and what has the shape of one: ``hf_…``,
    ``Bearer …``, and what stands before ``@`` in an address.
    """
    known = {value.strip() for value in (*secrets, *(os.environ.get(name) for name in _TOKEN_VARIABLES)) if value}
    # The longest first, so that a token that contains another does not leave its tail. Two letters are no secret,
    # and replacing them would mangle the text.
    for secret in sorted((value for value in known if len(value) > 3), key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return _TOKEN_SHAPES.sub(HIDDEN, text)


def command_line(argv: Sequence[str]) -> str:
    """The command as one could paste it into a shell, the values of secret flags (``--hub_token …``) hidden."""
    words: list[str] = []
    hide_next = False
    for word in argv:
        flag, equals, _ = word.partition("=")
        if hide_next and not word.startswith("--"):
            words.append(HIDDEN)
        elif flag.startswith("--") and equals and is_secret_key(flag[2:]):
            words.append(f"{flag}={HIDDEN}")
        else:
            words.append(shlex.quote(word))
        hide_next = word.startswith("--") and not equals and is_secret_key(word[2:])
    return scrub(" ".join(words))
