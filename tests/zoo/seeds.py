"""An ONNX file ↔ the same with its weights told as seeds: an initialiser becomes external data whose "file" is the rule
that makes it, `seeded/TYPE/COUNT/SEED/MEAN/STD/LEAST`. tests/zoo.rs follows the same rule."""

import zlib

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

ROOT_3 = 1.7320508075688772
SMALL = 64  # an initialiser of no more elements keeps its values
FEW = 8  # one with no more different values too: masks and the like
TYPES = {
    TensorProto.FLOAT: np.float32,
    TensorProto.FLOAT16: np.float16,
    TensorProto.INT8: np.int8,
    TensorProto.UINT8: np.uint8,
    TensorProto.INT32: np.int32,
}
NAMES = {np.dtype(kind).name: np.dtype(kind) for kind in TYPES.values()}


def uniform(seed, count):
    """Splitmix64 at the places 0 to `count` - 1, as float64 in -1..1."""
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return (z >> np.uint64(11)).astype(np.float64) * 2.0**-52 - 1.0


def values(rule):
    """What a rule makes: a flat array of its type."""
    _, kind, count, seed, mean, std, least = rule.split("/")
    made = float(mean) + float(std) * ROOT_3 * uniform(int(seed), int(count))
    if least != "any":
        made = np.maximum(made, float(least))
    kind = NAMES[kind]
    if kind.kind in "iu":
        limits = np.iinfo(kind)
        return np.clip(np.rint(made), limits.min, limits.max).astype(kind)
    return made.astype(np.float32).astype(kind)


def image(size, seed=1, channels=3, last=False):
    """The one input, mean 0 and standard deviation 1: 1 × channels × size × size, or with the channels last."""
    made = values(f"seeded/float32/{channels * size * size}/{seed}/0/1/any")
    return made.reshape((1, size, size, channels) if last else (1, channels, size, size))


def rule(tensor, data):
    """The rule for an initialiser, or none where it keeps its values."""
    if tensor.data_type not in TYPES or data.size <= SMALL:
        return None
    wide = data.astype(np.float64).ravel()
    if not np.isfinite(wide).all() or np.unique(wide[:4096]).size <= FEW:
        return None
    # What is never negative may be divided by, or stand under a root.
    least = f"{max(wide.min(), wide.mean() / 10):.6g}" if data.dtype.kind == "f" and wide.min() >= 0 else "any"
    seed = zlib.crc32(tensor.name.encode())
    return f"seeded/{data.dtype.name}/{data.size}/{seed}/{wide.mean():.6g}/{wide.std():.6g}/{least}"


def scaled(rule, factor):
    """The rule for that many times the values."""
    *head, mean, std, least = rule.split("/")
    return "/".join([*head, *(n if n == "any" else f"{float(n) * factor:.6g}" for n in (mean, std, least))])


def strip(model):
    """Puts rules in place of the weights of a model that holds them all."""
    for tensor in model.graph.initializer:
        data = numpy_helper.to_array(tensor)
        if made := rule(tensor, data):
            kept = TensorProto(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
            kept.data_location = TensorProto.EXTERNAL
            kept.external_data.add(key="location", value=made)
            tensor.CopyFrom(kept)
    return model


def fill(model):
    """The model with the weights that its rules make."""
    filled = onnx.ModelProto()
    filled.CopyFrom(model)
    for tensor in filled.graph.initializer:
        if tensor.data_location == TensorProto.EXTERNAL:
            made = values(tensor.external_data[0].value)
            tensor.raw_data = made.astype(made.dtype.newbyteorder("<")).tobytes()
            del tensor.external_data[:]
            tensor.data_location = TensorProto.DEFAULT
    return filled
