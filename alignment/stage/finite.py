"""Are the numbers of a safetensors file finite? Read with numpy alone, so that it costs no training library.

An adapter with a NaN or an infinity must never reach vLLM: its CPU build multiplies rows of other requests by it,
masked with zeros, and zero times NaN is NaN. Nothing but floating-point tensors is looked at.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from alignment.errors import ArtifactProblem

# By the format's name: the unsigned integer of its size, and the bits of its exponent, all set in what is not finite.
_EXPONENTS: dict[str, tuple[Any, int]] = {
    "F64": (np.uint64, 0x7FF0000000000000),
    "F32": (np.uint32, 0x7F800000),
    "F16": (np.uint16, 0x7C00),
    "BF16": (np.uint16, 0x7F80),
}


def not_finite(path: Path) -> str:
    """The name of the first tensor that holds something else than finite numbers; empty when there is none.

    Raises `ArtifactProblem` when the file is not whole.
    """
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    try:
        header = json.loads(data[8:start])
        for name, facts in header.items():
            if name == "__metadata__" or facts["dtype"] not in _EXPONENTS:
                continue
            kind, exponent = _EXPONENTS[facts["dtype"]]
            begin, end = facts["data_offsets"]
            bits = np.frombuffer(data[start + begin : start + end], kind)
            if ((bits & kind(exponent)) == kind(exponent)).any():
                return str(name)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArtifactProblem(f"{path} is not a whole safetensors file: {error}.") from error
    return ""
