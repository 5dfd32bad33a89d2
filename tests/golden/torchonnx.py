"""ONNX in torch, float64, differentiable: an opinion on gradients that shares no code with whylens, tract or onnxruntime.

    values = run("model.onnx", {"input": x}, want=["scores", "layer"])       # tensors by ONNX name
    map, raw = gradcam("model.onnx", x, layer, scores, index, C, H, W)

Quantised operators are computed as the specification says; their gradient is the straight-through one: rounding has the derivative 1,
clipping 0 where it clips. Quantised activations are therefore kept as float64 whole numbers, whose type is that of their zero point.
"""
import math
import numpy as np
import onnx
import torch
import torch.nn.functional as F
from onnx import numpy_helper

torch.set_num_threads(1)


def attributes(node):
    return {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}


def wide(t):
    return t.double() if t.is_floating_point() else t


def from_numpy(a):
    if isinstance(a, torch.Tensor):
        return wide(a)
    a = np.array(a)
    if a.dtype.name in ("bfloat16",):
        a = a.astype(np.float32)
    if a.dtype in (np.uint16, np.uint32, np.uint64):
        a = a.astype(np.int64)
    if a.dtype.name in ("int4", "uint4"):
        a = a.astype(np.int8 if a.dtype.name == "int4" else np.uint8)
    return wide(torch.from_numpy(np.ascontiguousarray(a)).reshape(a.shape))


def ints(t):
    return [int(v) for v in t.flatten().tolist()]


def same_pads(size, kernel, stride, dilation, upper):
    pads = []
    for n, k, s, d in zip(size, kernel, stride, dilation):
        total = max(0, (-(-n // s) - 1) * s + (k - 1) * d + 1 - n)
        small = total // 2
        pads.append((small, total - small) if upper else (total - small, small))
    return pads


def window(a, x, kernel):
    n = len(kernel)
    stride, dilation = list(a.get("strides", [1] * n)), list(a.get("dilations", [1] * n))
    auto = a.get("auto_pad", b"NOTSET").decode()
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        pads = same_pads(x.shape[2:], kernel, stride, dilation, auto == "SAME_UPPER")
    elif auto == "VALID":
        pads = [(0, 0)] * n
    else:
        p = list(a.get("pads", [0] * 2 * n))
        pads = list(zip(p[:n], p[n:]))
    return stride, dilation, pads


def flat_pads(pads):
    return [v for pair in reversed(pads) for v in pair]


def conv(a, x, w, b=None):
    stride, dilation, pads = window(a, x, w.shape[2:])
    x = F.pad(x, flat_pads(pads))
    f = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}[w.dim() - 2]
    return f(x, w, b, stride, 0, dilation, a.get("group", 1))


def ceil_extra(size, pads, kernel, stride, dilation):
    extra = []
    for n, (p, q), k, s, d in zip(size, pads, kernel, stride, dilation):
        span = n + p + q - ((k - 1) * d + 1)
        out = -(-span // s) + 1
        if (out - 1) * s >= n + p:      # a window may not begin in the padding behind
            out -= 1
        extra.append(max(0, (out - 1) * s - span))
    return extra


def max_pool(a, x):
    kernel = list(a["kernel_shape"])
    stride, dilation, pads = window(a, x, kernel)
    if a.get("ceil_mode"):
        pads = [(p, q + e) for (p, q), e in zip(pads, ceil_extra(x.shape[2:], pads, kernel, stride, dilation))]
    x = F.pad(x, flat_pads(pads), value=-math.inf)
    return {1: F.max_pool1d, 2: F.max_pool2d}[len(kernel)](x, kernel, stride, 0, dilation)


def avg_pool(a, x):
    kernel = list(a["kernel_shape"])
    stride, dilation, pads = window(a, x, kernel)
    # A window over all there is, as in transformers' EfficientNet: 1280 × 1280 over 7 × 7.
    kernel = [min(k, n + p + q) if a.get("ceil_mode") else k for k, n, (p, q) in zip(kernel, x.shape[2:], pads)]
    extra = ceil_extra(x.shape[2:], pads, kernel, stride, dilation) if a.get("ceil_mode") else [0] * len(kernel)
    ones = torch.ones_like(x[:1, :1])
    if a.get("count_include_pad"):
        ones = F.pad(ones, flat_pads(pads), value=1.0)
    else:
        ones = F.pad(ones, flat_pads(pads))
    x = F.pad(x, flat_pads(pads))
    more = flat_pads([(0, e) for e in extra])
    x, ones = F.pad(x, more), F.pad(ones, more)
    pool = {1: F.avg_pool1d, 2: F.avg_pool2d}[len(kernel)]
    return pool(x, kernel, stride) / pool(ones, kernel, stride)


def axes_of(a, ins, at=1, rank=None):
    if "axes" in a:
        axes = list(a["axes"])
    elif len(ins) > at and ins[at] is not None:
        axes = ints(ins[at])
    else:
        axes = None
    return axes


def reduce(f):
    def go(a, ins, opset):
        x = ins[0]
        axes = axes_of(a, ins)
        if not axes:
            if a.get("noop_with_empty_axes"):
                return x
            axes = list(range(x.dim()))
        return f(x, [v % x.dim() for v in axes], bool(a.get("keepdims", 1)))
    return go


def product_along(x, axes, keep):
    for axis in sorted(axes, reverse=True):
        x = x.prod(axis, keep)
    return x


def norm_mean(x, axes, keep):
    return x.mean(axes, keep)


def layer_norm(a, ins):
    x, scale, bias = ins[0], ins[1], ins[2] if len(ins) > 2 else None
    axis = a.get("axis", -1) % x.dim()
    dims = list(range(axis, x.dim()))
    mean = x.mean(dims, keepdim=True)
    inv = 1 / torch.sqrt(((x - mean) ** 2).mean(dims, keepdim=True) + a.get("epsilon", 1e-5))
    y = (x - mean) * inv * scale
    return (y + bias if bias is not None else y), mean, inv


def softmax(a, x, opset, log):
    f = torch.log_softmax if log else torch.softmax
    if opset >= 13:
        return f(x, a.get("axis", -1))
    axis = a.get("axis", 1) % x.dim()
    return f(x.flatten(axis), -1).reshape(x.shape) if axis < x.dim() - 1 else f(x, -1)


def slice_(a, ins):
    x = ins[0]
    if "starts" in a:
        starts, ends, axes, steps = list(a["starts"]), list(a["ends"]), a.get("axes"), None
    else:
        starts, ends = ints(ins[1]), ints(ins[2])
        axes = ints(ins[3]) if len(ins) > 3 and ins[3] is not None else None
        steps = ints(ins[4]) if len(ins) > 4 and ins[4] is not None else None
    axes = list(axes) if axes is not None else list(range(len(starts)))
    steps = steps or [1] * len(starts)
    for s, e, axis, step in zip(starts, ends, axes, steps):
        n = x.shape[axis]
        places = list(range(n))[slice(max(-n - 1, min(s, n)) if s < 0 else s, None if step < 0 and e < -n else e, step)]
        x = x.index_select(axis, torch.tensor(places, dtype=torch.long))
    return x


def pad(a, ins):
    x = ins[0]
    pads = list(a["pads"]) if "pads" in a else ints(ins[1])
    value = float(ins[2]) if len(ins) > 2 and ins[2] is not None else a.get("value", 0.0)
    axes = ints(ins[3]) if len(ins) > 3 and ins[3] is not None else list(range(x.dim()))
    n, mode = len(axes), a.get("mode", b"constant").decode()
    full = [(0, 0)] * x.dim()
    for i, axis in enumerate(axes):
        full[axis % x.dim()] = (pads[i], pads[n + i])
    for axis, (p, q) in enumerate(full):
        if (p, q) == (0, 0):
            continue
        size = x.shape[axis]
        if p < 0 or q < 0:
            x = x.narrow(axis, max(0, -p), size + min(0, p) + min(0, q))
            p, q, size = max(p, 0), max(q, 0), x.shape[axis]
        if mode == "constant":
            make = lambda k: torch.full([*x.shape[:axis], k, *x.shape[axis + 1:]], value, dtype=x.dtype)
            x = torch.cat([make(p), x, make(q)], axis)
        else:
            at = torch.arange(-p, size + q)
            if mode == "edge":
                at = at.clamp(0, size - 1)
            elif mode == "wrap":
                at = at % size
            else:
                at = at.abs(); at = torch.where(at >= size, 2 * (size - 1) - at, at)
            x = x.index_select(axis, at)
    return x


def resize(a, ins, opset):
    x = ins[0]
    if opset < 11:
        scales, sizes = ints_f(ins[1]) if len(ins) > 1 else list(a["scales"]), None
        how = "asymmetric"
    else:
        scales = ints_f(ins[2]) if len(ins) > 2 and ins[2] is not None and ins[2].numel() else None
        sizes = ints(ins[3]) if len(ins) > 3 and ins[3] is not None and ins[3].numel() else None
        how = a.get("coordinate_transformation_mode", b"half_pixel").decode()
    mode, near = a.get("mode", b"nearest").decode(), a.get("nearest_mode", b"round_prefer_floor").decode()
    axes = list(a.get("axes", range(x.dim())))
    for i, axis in enumerate(axes):
        n = x.shape[axis]
        m = sizes[i] if sizes else int(math.floor(n * scales[i]))
        scale = m / n if sizes else scales[i]
        if m == n and scale == 1:
            continue
        at = torch.arange(m, dtype=torch.double)
        if how == "asymmetric": at = at / scale
        elif how == "align_corners": at = at * (n - 1) / max(1, m - 1)
        elif how == "pytorch_half_pixel" and m == 1: at = torch.zeros(1, dtype=torch.double)
        else: at = (at + 0.5) / scale - 0.5
        if mode == "nearest":
            f = {"floor": torch.floor, "ceil": torch.ceil, "round_prefer_ceil": lambda v: torch.floor(v + 0.5), "round_prefer_floor": lambda v: torch.ceil(v - 0.5)}[near]
            x = x.index_select(axis, f(at).long().clamp(0, n - 1))
        elif mode == "linear":
            low = torch.floor(at); w = at - low
            shape = [1] * x.dim(); shape[axis] = m
            w = w.reshape(shape)
            lo, hi = low.long().clamp(0, n - 1), (low.long() + 1).clamp(0, n - 1)
            x = x.index_select(axis, lo) * (1 - w) + x.index_select(axis, hi) * w
        else:
            c = a.get("cubic_coeff_a", -0.75)
            low = torch.floor(at); t = at - low
            def k(d):
                d = d.abs()
                return torch.where(d <= 1, ((c + 2) * d - (c + 3)) * d * d + 1, torch.where(d < 2, ((c * d - 5 * c) * d + 8 * c) * d - 4 * c, torch.zeros_like(d)))
            shape = [1] * x.dim(); shape[axis] = m
            total, weights = 0, 0
            for j in range(-1, 3):
                w = k(t - j)
                inside = ((low + j >= 0) & (low + j <= n - 1)).double() if a.get("exclude_outside") else 1.0
                w = w * inside
                weights = weights + w
                total = total + x.index_select(axis, (low.long() + j).clamp(0, n - 1)) * w.reshape(shape)
            x = total / (weights.reshape(shape) if a.get("exclude_outside") else 1)
    return x


def ints_f(t):
    return [float(v) for v in t.flatten().tolist()]


DT = {1: torch.double, 10: torch.double, 11: torch.double, 16: torch.double, 2: torch.uint8, 3: torch.int8, 5: torch.int16, 6: torch.int32, 7: torch.int64, 9: torch.bool}


def qaxis(t, x, axis):
    if t is None or t.dim() == 0 or t.numel() == 1:
        return t if t is None else t.reshape(())
    shape = [1] * x.dim(); shape[axis] = -1
    return t.reshape(shape)


def blocks(t, x, axis, size):
    if size and t is not None and t.dim() == x.dim():
        return t.repeat_interleave(size, axis).narrow(axis, 0, x.shape[axis])
    return qaxis(t, x, axis)


def dequantize(a, ins, kind=torch.double):
    x, s, z = ins[0], ins[1], ins[2] if len(ins) > 2 else None
    axis, size = a.get("axis", 1), a.get("block_size", 0)
    y = x.to(kind)
    if z is not None:
        y = y - blocks(z.to(kind), x, axis, size)
    return y * blocks(s, x, axis, size).to(kind)


RANGE = {torch.uint8: (0, 255), torch.int8: (-128, 127), torch.int64: (0, 65535)}


def quantize(a, ins, late=False):
    """`late`: the zero point is added before rounding, which changes where ties go."""
    x, s, z = ins[0], ins[1], ins[2] if len(ins) > 2 else None
    axis = a.get("axis", 1)
    dt = z.dtype if z is not None else torch.uint8
    lo, hi = RANGE[dt]
    # onnxruntime computes in float32
    steps, zero = x.detach().float() / qaxis(s, x, axis).detach().float(), qaxis(z.double(), x, axis) if z is not None else 0
    number = torch.round(steps + zero.float()) if late else torch.round(steps).double() + zero
    return kept(straight(number.double(), x / qaxis(s, x, axis) + zero), lo, hi)


def linear_add(ins):
    """QLinearAdd as onnxruntime computes it on x86: both operands in steps of the sum, all zero points in one number."""
    A, a, za, B, b, zb, c, zc = ins
    single = lambda t: t.detach().float()
    ra, rb = single(a) / single(c), single(b) / single(c)
    number = single(A) * ra + (single(B) * rb + (single(zc) - (ra * single(za) + rb * single(zb))))
    lo, hi = RANGE[zc.dtype]
    return kept(straight(torch.round(number).double(), (dequantize({}, ins[:3]) + dequantize({}, ins[3:6])) / c + zc), lo, hi)


def kept(y, lo, hi):
    # A bound itself is inside, as in torch's fake_quantize; clamp's derivative there is 0.
    return torch.where((y >= lo) & (y <= hi), y, y.detach().clamp(lo, hi))


def straight(value, like):
    """The value of one, exactly, and the gradient of the other."""
    return value.detach() + (like - like.detach())


def linear_product(op, a, ins):
    """QLinearConv, QLinearMatMul or QGemm: a sum of whole numbers, times one factor for each output."""
    gemm_ = op == "QGemm"
    A, sa, za, B, sb, zb = ins[:6]
    bias, sc, zc = ((ins[6:] + [None] * 3)[:3]) if gemm_ else ((ins[8] if len(ins) > 8 else None), ins[6], ins[7])
    whole = lambda t, z, axis: t.double() - (0 if z is None else qaxis(z.double(), t, axis))
    A, B = whole(A, za, 1), whole(B, zb, 0 if op == "QLinearConv" or a.get("transB") else B.dim() - 1)
    bias = None if bias is None else bias.double()
    total = conv(a, A, B, bias) if op == "QLinearConv" else gemm({**a, "alpha": 1.0}, A, B, bias) if gemm_ else A @ B
    shaped = lambda t: qaxis(t, total, 1 if op == "QLinearConv" else total.dim() - 1)
    alpha, single = a.get("alpha", 1.0) if gemm_ else 1.0, lambda t: t.detach().float()
    if sc is None:
        return total * (alpha * sa.reshape(()) * shaped(sb))
    number = torch.round(single(total) * shaped(alpha * single(sa).reshape(()) * single(sb) / single(sc))).double() + zc
    lo, hi = RANGE[zc.dtype]
    return kept(straight(number, total * (alpha * sa.reshape(()) * shaped(sb)) / sc + zc), lo, hi)


def linear_mul(ins):
    """QLinearMul, likewise: a product of whole numbers, times one factor."""
    A, a, za, B, b, zb, c, zc = ins
    single = lambda t: t.detach().float()
    number = (single(A) - single(za)) * (single(B) - single(zb)) * (single(a) * single(b) / single(c)) + single(zc)
    lo, hi = RANGE[zc.dtype]
    return kept(straight(torch.round(number).double(), dequantize({}, ins[:3]) * dequantize({}, ins[3:6]) / c + zc), lo, hi)


def gemm(a, A, B, C=None):
    A = A.t() if a.get("transA") else A
    B = B.t() if a.get("transB") else B
    y = a.get("alpha", 1.0) * (A @ B)
    return y if C is None else y + a.get("beta", 1.0) * C


def gather_nd(a, x, at):
    b = a.get("batch_dims", 0)
    if b == 0:
        return x[tuple(at[..., i] for i in range(at.shape[-1]))]
    lead = x.shape[:b]
    xs, ats = x.reshape(-1, *x.shape[b:]), at.reshape(-1, *at.shape[b:])
    out = torch.stack([xi[tuple(ai[..., i] for i in range(ai.shape[-1]))] for xi, ai in zip(xs, ats)])
    return out.reshape(*lead, *out.shape[1:])


def expand(x, shape):
    return x * torch.ones(shape, dtype=x.dtype) if x.dtype != torch.bool else torch.logical_and(x, torch.ones(shape, dtype=torch.bool))


def reshape(a, x, shape):
    shape = [x.shape[i] if n == 0 and not a.get("allowzero") else n for i, n in enumerate(shape)]
    return x.reshape(shape)


def lrn(a, x):
    size = a["size"]
    square = F.pad(x * x, (0, 0, 0, 0, (size - 1) // 2, size - 1 - (size - 1) // 2))
    total = sum(square[:, i:i + x.shape[1]] for i in range(size))
    return x / (a.get("bias", 1.0) + a.get("alpha", 1e-4) / size * total) ** a.get("beta", 0.75)


def lstm(a, ins):
    x, W, R, B = ins[0], ins[1], ins[2], ins[3] if len(ins) > 3 else None
    H = a["hidden_size"]
    seq, batch, _ = x.shape
    both = a.get("direction", b"forward").decode()
    ys, hs, cs = [], [], []
    for d in range(W.shape[0]):
        h = ins[5][d] if len(ins) > 5 and ins[5] is not None else torch.zeros(batch, H, dtype=x.dtype)
        c = ins[6][d] if len(ins) > 6 and ins[6] is not None else torch.zeros(batch, H, dtype=x.dtype)
        back = both == "reverse" or d == 1
        out = [None] * seq
        for t in (reversed(range(seq)) if back else range(seq)):
            g = x[t] @ W[d].t() + h @ R[d].t()
            if B is not None:
                g = g + B[d, :4 * H] + B[d, 4 * H:]
            i, o, f, cc = g.split(H, -1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(cc)
            h = torch.sigmoid(o) * torch.tanh(c)
            out[t] = h
        ys.append(torch.stack(out)); hs.append(h); cs.append(c)
    return torch.stack(ys, 1), torch.stack(hs), torch.stack(cs)


def recurrent(op, a, ins):
    """GRU and RNN with their default activations; a state of zeros where none is given."""
    x, W, R, B = ins[0], ins[1], ins[2], ins[3] if len(ins) > 3 else None
    H, both = a["hidden_size"], a.get("direction", b"forward").decode()
    gates = 3 if op == "GRU" else 1
    ys, hs = [], []
    for d in range(W.shape[0]):
        h = torch.zeros(x.shape[1], H, dtype=x.dtype)
        wb, rb = (B[d, :gates * H], B[d, gates * H:]) if B is not None else (0, 0)
        out = [None] * x.shape[0]
        for t in (reversed(range(x.shape[0])) if both == "reverse" or d == 1 else range(x.shape[0])):
            g = x[t] @ W[d].t() + wb
            if op == "RNN":
                h = torch.tanh(g + h @ R[d].t() + rb)
            else:
                k = h @ R[d].t() + rb
                z, r = torch.sigmoid(g[:, :H] + k[:, :H]), torch.sigmoid(g[:, H:2 * H] + k[:, H:2 * H])
                after = k[:, 2 * H:] if a.get("linear_before_reset") else (r * h) @ R[d][2 * H:].t() + (rb[2 * H:] if B is not None else 0)
                n = torch.tanh(g[:, 2 * H:] + (r * after if a.get("linear_before_reset") else after))
                h = (1 - z) * n + z * h
            out[t] = h
        ys.append(torch.stack(out)); hs.append(h)
    return torch.stack(ys, 1), torch.stack(hs)


def attention(a, ins):
    """ai.onnx Attention-23 without cache."""
    q, k, v = ins[:3]
    mask = ins[3] if len(ins) > 3 else None
    three = q.dim() == 3
    if three:
        split = lambda t, n: t.reshape(t.shape[0], t.shape[1], n, -1).transpose(1, 2)
        q, k, v = split(q, a["q_num_heads"]), split(k, a["kv_num_heads"]), split(v, a["kv_num_heads"])
    scale = a.get("scale", 1 / math.sqrt(q.shape[-1]))
    s = q @ k.transpose(-1, -2) * scale
    if mask is not None:
        s = s + mask if mask.dtype != torch.bool else s.masked_fill(~mask, -math.inf)
    y = torch.softmax(s, -1) @ v
    return y.transpose(1, 2).flatten(2) if three else y


def erf_gelu(x):
    return 0.5 * x * (1 + torch.erf(x / math.sqrt(2)))


def hard_sigmoid(a, x):
    return (a.get("alpha", 0.2) * x + a.get("beta", 0.5)).clamp(0, 1)


def clip(a, ins):
    x = ins[0]
    lo = a.get("min") if "min" in a else (ins[1] if len(ins) > 1 else None)
    hi = a.get("max") if "max" in a else (ins[2] if len(ins) > 2 else None)
    if lo is not None:
        x = x.clamp(min=float(lo)) if x.is_floating_point() else x.clamp(min=int(lo))
    if hi is not None:
        x = x.clamp(max=float(hi)) if x.is_floating_point() else x.clamp(max=int(hi))
    return x


def activated(a, x):
    """What a fused operator does last."""
    name, given = a.get("activation", b"").decode(), list(a.get("activation_params", []))
    alpha, beta = [a.get(f"activation_{name}", given[at] if at < len(given) else default) for at, (name, default) in enumerate([("alpha", 0.01), ("beta", 0.5)])]
    return {"": lambda: x, "Relu": lambda: torch.relu(x), "Sigmoid": lambda: torch.sigmoid(x), "Tanh": lambda: torch.tanh(x),
            "LeakyRelu": lambda: torch.where(x > 0, x, alpha * x), "HardSigmoid": lambda: hard_sigmoid({"alpha": alpha, "beta": beta}, x),
            "Clip": lambda: x.clamp(*given)}[name]()


def div(x, y):
    return x / y if x.is_floating_point() or y.is_floating_point() else torch.div(x, y, rounding_mode="trunc")


def scatter_nd(x, at, u):
    y = x.clone()
    y[tuple(at[..., i] for i in range(at.shape[-1]))] = u
    return y


def mean_of(xs):
    return sum(xs) / len(xs)


def matmul_nbits(a, ins):
    x, B, s = ins[0], ins[1], ins[2]
    z = ins[3] if len(ins) > 3 else None
    K, N, bits, size = a["K"], a["N"], a.get("bits", 4), a["block_size"]
    n, nb = N, -(-K // size)
    if bits == 4:
        low, high = (B & 15), (B >> 4)
        q = torch.stack([low, high], -1).reshape(n, nb, -1)[:, :, :size]
        if z is not None and not z.is_floating_point():
            z = z.reshape(n, -1)
            z = torch.stack([z & 15, z >> 4], -1).reshape(n, -1)[:, :nb]
    else:
        q = B.reshape(n, nb, size)
        z = z.reshape(n, nb) if z is not None else None
    zero = z.reshape(n, nb, 1).double() if z is not None else float(1 << (bits - 1))
    w = (q.double() - zero) * s.reshape(n, nb, 1)
    return x @ w.reshape(n, -1)[:, :K].t()


def quant_range(x):
    lo, hi = min(0.0, float(x.detach().min())), max(0.0, float(x.detach().max()))
    scale = np.float32((np.float32(hi) - np.float32(lo)) / np.float32(255))
    scale = float(scale) if scale else 1.0
    zero = int(np.clip(np.round(np.float32(0 - lo) / np.float32(scale)), 0, 255))
    q = kept(straight(torch.round((x.detach().float() / np.float32(scale)).double()), x / scale) + zero, 0, 255)
    return q, torch.tensor(scale, dtype=torch.double), torch.tensor(zero, dtype=torch.uint8)


def one(node, a, ins, opset):
    op = node.op_type
    x = ins[0] if ins else None
    if op == "Conv": return conv(a, *ins)
    if op == "ConvTranspose":
        stride, dilation, pads = window(a, x, ins[1].shape[2:])
        f = F.conv_transpose1d if x.dim() == 3 else F.conv_transpose2d
        return f(x, ins[1], ins[2] if len(ins) > 2 else None, stride, [p for p, _ in pads], list(a.get("output_padding", [0] * len(stride))), a.get("group", 1), dilation)
    if op == "Gemm": return gemm(a, *ins)
    if op == "MatMul": return x @ ins[1]
    if op == "Einsum": return torch.einsum(a["equation"].decode().replace(" ", ""), *ins)
    if op == "MaxPool" and len(node.output) > 1:
        assert not any(a.get("pads", [])) and not a.get("ceil_mode")
        y, at = F.max_pool2d(x, list(a["kernel_shape"]), list(a["strides"]), return_indices=True)
        planes = torch.arange(x.shape[0] * x.shape[1]).reshape(*x.shape[:2], 1, 1)
        return y, at + planes * x.shape[2] * x.shape[3]
    if op == "MaxPool": return max_pool(a, x)
    if op == "AveragePool": return avg_pool(a, x)
    if op == "GlobalAveragePool": return x.mean(list(range(2, x.dim())), keepdim=True)
    if op == "GlobalMaxPool": return x.amax(list(range(2, x.dim())), keepdim=True)
    if op == "BatchNormalization" and a.get("training_mode"):
        d = [i for i in range(x.dim()) if i != 1]; mean = x.mean(d, keepdim=True); spread = ((x - mean) ** 2).mean(d, keepdim=True)
        beside = lambda t: t.reshape(1, -1, *[1] * (x.dim() - 2))
        y = (x - mean) / torch.sqrt(spread + a.get("epsilon", 1e-5)) * beside(ins[1]) + beside(ins[2])
        return tuple([y, ins[3], ins[4]][:len(node.output)])
    if op == "BatchNormalization":
        s = [1, -1] + [1] * (x.dim() - 2)
        _, w, b, m, v = ins[:5]
        return (x - m.reshape(s)) / torch.sqrt(v.reshape(s) + a.get("epsilon", 1e-5)) * w.reshape(s) + b.reshape(s)
    if op == "InstanceNormalization":
        d = list(range(2, x.dim())); s = [1, -1] + [1] * (x.dim() - 2)
        m = x.mean(d, keepdim=True); v = ((x - m) ** 2).mean(d, keepdim=True)
        return (x - m) / torch.sqrt(v + a.get("epsilon", 1e-5)) * ins[1].reshape(s) + ins[2].reshape(s)
    if op == "GroupNormalization":
        g = a["num_groups"]; y = x.reshape(x.shape[0], g, -1)
        m = y.mean(-1, keepdim=True); v = ((y - m) ** 2).mean(-1, keepdim=True)
        y = (y - m) / torch.sqrt(v + a.get("epsilon", 1e-5))
        s = [1, -1] + [1] * (x.dim() - 2)
        if ins[1].numel() == g and opset < 21:
            w, b = ins[1].repeat_interleave(x.shape[1] // g), ins[2].repeat_interleave(x.shape[1] // g)
        else:
            w, b = ins[1], ins[2]
        return y.reshape(x.shape) * w.reshape(s) + b.reshape(s)
    if op == "LayerNormalization": return layer_norm(a, ins)
    if op in ("RMSNormalization", "SimplifiedLayerNormalization"):
        d = list(range(a.get("axis", -1) % x.dim(), x.dim()))
        return x / torch.sqrt((x * x).mean(d, keepdim=True) + a.get("epsilon", 1e-5)) * ins[1]
    if op == "SkipLayerNormalization":
        t = ins[0] + ins[1] + (ins[4] if len(ins) > 4 and ins[4] is not None else 0)
        y, mean, inv = layer_norm({"epsilon": a.get("epsilon", 1e-12)}, [t, ins[2], ins[3] if len(ins) > 3 else None])
        return (y, mean, inv, t)[:max(1, len(node.output))]
    if op == "LRN": return lrn(a, x)
    if op in ("LSTM",): return lstm(a, ins)
    if op in ("GRU", "RNN"): return recurrent(op, a, ins)
    if op == "Shrink":
        bias, lambd = a.get("bias", 0.0), a.get("lambd", 0.5)
        return torch.where(x < -lambd, x + bias, torch.where(x > lambd, x - bias, torch.zeros_like(x)))
    if op == "Hardmax":
        axis = a.get("axis", -1); return F.one_hot(x.argmax(axis), x.shape[axis]).movedim(-1, axis).double()
    if op == "MeanVarianceNormalization":
        d = list(a.get("axes", [0, 2, 3])); m = x.mean(d, keepdim=True)
        return (x - m) / torch.sqrt(((x - m) ** 2).mean(d, keepdim=True) + 1e-9)
    if op == "GlobalLpPool": return x.abs().pow(a.get("p", 2)).sum([2, 3], keepdim=True) ** (1 / a.get("p", 2))
    if op == "LpPool":
        p, k = a.get("p", 2), list(a["kernel_shape"]); taps = int(np.prod(k))
        return (avg_pool({**a, "count_include_pad": 1}, x.abs().pow(p)) * taps) ** (1 / p)
    if op in ("Asin", "Acos", "Asinh", "Acosh", "Atanh"): return getattr(torch, op.lower())(x)
    if op == "ReduceLogSum": return torch.log(x.sum(axes_of(a, ins), keepdim=bool(a.get("keepdims", 1))))
    if op == "Xor": return x ^ ins[1]
    if op == "IsInf": return torch.isinf(x)
    if op == "ScatterElements": return x.scatter(a.get("axis", 0), ins[1].long() % x.shape[a.get("axis", 0)], ins[2])
    if op == "ReverseSequence":
        y = x.clone(); t, b = a.get("time_axis", 0), a.get("batch_axis", 1)
        for i, n in enumerate(ints(ins[1])):
            y.select(b, i).narrow(t - (t > b), 0, n).copy_(x.select(b, i).narrow(t - (t > b), 0, n).flip(t - (t > b)))
        return y
    if op == "RotaryEmbedding":
        half = ins[1].shape[-1]; c, n = ins[1][:, None], ins[2][:, None]
        if len(ins) > 3 and ins[3] is not None: c, n = ins[1][ins[3].long()][:, None], ins[2][ins[3].long()][:, None]
        p, q = x[..., :half], x[..., half:2 * half]
        return torch.cat([c * p - n * q, n * p + c * q, x[..., 2 * half:]], -1)
    if op == "Attention" and node.domain == "": return attention(a, ins)
    if op == "Attention":
        assert len(ins) < 4
        heads = {"q_num_heads": a["num_heads"], "kv_num_heads": a["num_heads"], **({"scale": a["scale"]} if a.get("scale") else {})}
        return attention(heads, torch.split(x @ ins[1] + ins[2], list(a.get("qkv_hidden_sizes", [ins[1].shape[1] // 3] * 3)), -1))
    if op == "LpNormalization": return x / x.norm(p=a.get("p", 2), dim=a.get("axis", -1), keepdim=True)
    if op == "Add": return x + ins[1]
    if op == "Sub": return x - ins[1]
    if op == "Mul": return x * ins[1]
    if op == "Div": return div(x, ins[1])
    if op == "Mod": return torch.fmod(x, ins[1]) if a.get("fmod") else torch.remainder(x, ins[1])
    if op == "Pow": return x ** ins[1] if not (ins[1].numel() == 1 and float(ins[1]) == 2) else x * x
    if op == "Max":
        for y in ins[1:]: x = torch.maximum(x, y)
        return x
    if op == "Min":
        for y in ins[1:]: x = torch.minimum(x, y)
        return x
    if op == "Sum": return sum(ins[1:], x)
    if op == "Mean": return mean_of(ins)
    if op == "Relu": return torch.relu(x)
    if op == "LeakyRelu": return torch.where(x > 0, x, a.get("alpha", 0.01) * x)
    if op == "Clip": return clip(a, ins)
    if op == "PRelu": return torch.where(x > 0, x, ins[1] * x)
    if op == "Elu": return torch.where(x > 0, x, a.get("alpha", 1.0) * (torch.exp(x.clamp(max=0)) - 1))
    if op == "Selu": return F.selu(x)
    if op == "Celu": return F.celu(x, a.get("alpha", 1.0))
    if op == "Softplus": return F.softplus(x)
    if op == "Softsign": return x / (1 + x.abs())
    if op == "ThresholdedRelu": return torch.where(x > a.get("alpha", 1.0), x, torch.zeros_like(x))
    if op == "HardSigmoid": return hard_sigmoid(a, x)
    if op == "HardSwish": return x * hard_sigmoid({"alpha": 1 / 6}, x)
    if op == "Sigmoid": return torch.sigmoid(x)
    if op == "Swish": return x * torch.sigmoid(a.get("alpha", 1.0) * x)
    if op == "QuickGelu": return x * torch.sigmoid(a.get("alpha", 1.702) * x)
    if op == "Tanh": return torch.tanh(x)
    if op == "Gelu": return F.gelu(x, approximate="tanh" if a.get("approximate", b"none") == b"tanh" else "none")
    if op in ("BiasGelu",): return erf_gelu(x + ins[1])
    if op == "FastGelu": return F.gelu(x + (ins[1] if len(ins) > 1 else 0), approximate="tanh")
    if op == "Mish": return x * torch.tanh(F.softplus(x))
    if op in ("Erf", "Abs", "Neg", "Exp", "Log", "Sqrt", "Reciprocal", "Sin", "Cos", "Tan", "Atan", "Sinh", "Cosh", "Floor", "Ceil", "Round", "Sign"):
        return getattr(torch, op.lower())(x)
    if op == "Softmax": return softmax(a, x, opset, False)
    if op == "LogSoftmax": return softmax(a, x, opset, True)
    if op in ("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL2", "ReduceL1", "ReduceSumSquare", "ReduceLogSumExp"):
        f = {"ReduceMean": lambda x, d, k: x.mean(d, k), "ReduceSum": lambda x, d, k: x.sum(d, k), "ReduceMax": lambda x, d, k: x.amax(d, k),
             "ReduceMin": lambda x, d, k: x.amin(d, k), "ReduceL2": lambda x, d, k: x.pow(2).sum(d, k).sqrt(), "ReduceL1": lambda x, d, k: x.abs().sum(d, k),
             "ReduceSumSquare": lambda x, d, k: x.pow(2).sum(d, k), "ReduceLogSumExp": lambda x, d, k: torch.logsumexp(x, d, k),
             "ReduceProd": lambda x, d, k: product_along(x, d, k)}[op]
        return reduce(f)(a, ins, opset)
    if op in ("ArgMax", "ArgMin"):
        y = (x if op == "ArgMax" else -x).argmax(a.get("axis", 0)); return y.unsqueeze(a.get("axis", 0)) if a.get("keepdims", 1) else y
    if op == "TopK":
        k = int(ins[1]); v, i = torch.topk(x, k, a.get("axis", -1), bool(a.get("largest", 1))); return v, i
    if op == "Reshape": return reshape(a, x, list(a["shape"]) if "shape" in a else ints(ins[1]))
    if op == "Flatten":
        axis = a.get("axis", 1); axis = axis % (x.dim() + 1) if axis < 0 else axis
        return x.reshape(int(np.prod(x.shape[:axis])), -1)
    if op == "Squeeze":
        axes = axes_of(a, ins)
        for axis in sorted([v % x.dim() for v in axes] if axes is not None else [i for i, n in enumerate(x.shape) if n == 1], reverse=True): x = x.squeeze(axis)
        return x
    if op == "Unsqueeze":
        axes = axes_of(a, ins); rank = x.dim() + len(axes)
        for axis in sorted(v % rank for v in axes): x = x.unsqueeze(axis)
        return x
    if op == "Transpose": return x.permute(*a["perm"]) if "perm" in a else x.permute(*reversed(range(x.dim())))
    if op == "Expand": return expand(x, ints(ins[1]))
    if op == "Tile": return x.repeat(*ints(ins[1])) if x.dim() else x
    if op == "Concat": return torch.cat([t for t in ins if t is not None], a["axis"])
    if op == "Split":
        axis = a.get("axis", 0)
        sizes = list(a["split"]) if "split" in a else (ints(ins[1]) if len(ins) > 1 and ins[1] is not None else None)
        if sizes is None:
            n = a.get("num_outputs", len(node.output)); each = -(-x.shape[axis] // n)
            sizes = [min(each, x.shape[axis] - i * each) for i in range(n)]
        return tuple(torch.split(x, sizes, axis))
    if op == "Slice": return slice_(a, ins)
    if op == "Gather":
        axis = a.get("axis", 0) % x.dim(); at = ins[1].long(); at = torch.where(at < 0, at + x.shape[axis], at)
        return x.index_select(axis, at.flatten()).reshape([*x.shape[:axis], *at.shape, *x.shape[axis + 1:]])
    if op == "GatherElements":
        at = ins[1].long(); axis = a.get("axis", 0); return torch.gather(x, axis, torch.where(at < 0, at + x.shape[axis], at))
    if op == "GatherND": return gather_nd(a, x, ins[1].long())
    if op == "ScatterND" and a.get("reduction", b"none") == b"add":
        return x.index_put(tuple(ins[1].long().unbind(-1)), ins[2], accumulate=True)
    if op == "ScatterND": return scatter_nd(x, ins[1].long(), ins[2])
    if op == "Pad": return pad(a, ins)
    if op in ("Resize", "Upsample"): return resize(a, ins, opset if op == "Resize" else 9)
    if op in ("Identity", "Dropout"): return x
    if op == "Cast":
        to = DT[a["to"]]; return x.to(to)
    if op == "CastLike": return x.to(ins[1].dtype)
    if op == "Constant":
        if "value" in a: return from_numpy(numpy_helper.to_array(a["value"]))
        for key in ("value_float", "value_floats"):
            if key in a: return torch.tensor(a[key], dtype=torch.double)
        for key in ("value_int", "value_ints"):
            if key in a: return torch.tensor(a[key], dtype=torch.int64)
    if op == "ConstantOfShape":
        v = from_numpy(numpy_helper.to_array(a["value"])) if "value" in a else torch.zeros(1, dtype=torch.double)
        return v.flatten()[0].expand(ints(x)).clone()
    if op == "Shape":
        s = list(x.shape); return torch.tensor(s[a.get("start", 0):a.get("end", len(s))], dtype=torch.int64)
    if op == "Size": return torch.tensor(x.numel())
    if op == "Range":
        return torch.arange(x.item(), ins[1].item(), ins[2].item(), dtype=x.dtype)
    if op == "Where": return torch.where(x, ins[1], ins[2])
    if op in ("Equal", "Less", "Greater", "LessOrEqual", "GreaterOrEqual"):
        return getattr(torch, {"Equal": "eq", "Less": "lt", "Greater": "gt", "LessOrEqual": "le", "GreaterOrEqual": "ge"}[op])(x, ins[1])
    if op == "Not": return ~x
    if op == "And": return x & ins[1]
    if op == "Or": return x | ins[1]
    if op == "IsNaN": return torch.isnan(x)
    if op == "Trilu": return (torch.triu if a.get("upper", 1) else torch.tril)(x, int(ins[1]) if len(ins) > 1 and ins[1] is not None else 0)
    if op == "CumSum":
        axis = int(ins[1]); y = x.flip(axis) if a.get("reverse") else x
        y = torch.cumsum(y, axis) - (y if a.get("exclusive") else 0)
        return y.flip(axis) if a.get("reverse") else y
    if op == "EyeLike": return torch.eye(*x.shape, dtype=DT[a.get("dtype", 1)])
    if op == "OneHot":
        n = int(ins[1]); hot = F.one_hot(x.long() % n, n).movedim(-1, a.get("axis", -1))
        return torch.where(hot.bool(), ins[2][1], ins[2][0])
    if op == "DepthToSpace":
        b, c, h, w = x.shape; k = a["blocksize"]
        if a.get("mode", b"DCR") == b"DCR": return x.reshape(b, k, k, c // k**2, h, w).permute(0, 3, 4, 1, 5, 2).reshape(b, c // k**2, h * k, w * k)
        return x.reshape(b, c // k**2, k, k, h, w).permute(0, 1, 4, 2, 5, 3).reshape(b, c // k**2, h * k, w * k)
    if op == "SpaceToDepth":
        b, c, h, w = x.shape; k = a["blocksize"]
        return x.reshape(b, c, h // k, k, w // k, k).permute(0, 3, 5, 1, 2, 4).reshape(b, c * k * k, h // k, w // k)
    if op == "Col2Im":
        n = len(ins[1]); p = list(a.get("pads", [0] * 2 * n))
        return F.fold(x, ints(ins[1]), ints(ins[2]), list(a.get("dilations", [1] * n)), p[:n], list(a.get("strides", [1] * n)))
    if op == "GridSample":
        return F.grid_sample(x, ins[1], {b"linear": "bilinear", b"bilinear": "bilinear", b"nearest": "nearest"}[a.get("mode", b"linear")], a.get("padding_mode", b"zeros").decode(), bool(a.get("align_corners", 0)))
    # quantised
    if op == "DequantizeLinear": return dequantize(a, ins)
    if op == "QuantizeLinear": return quantize(a, ins)
    if op == "DynamicQuantizeLinear": return quant_range(x)
    if op in ("MatMulInteger", "ConvInteger"):
        y, w = x.double(), ins[1].double()
        if len(ins) > 2 and ins[2] is not None: y = y - ins[2].double()
        if len(ins) > 3 and ins[3] is not None: w = w - (ins[3].double().reshape(-1, *[1] * (w.dim() - 1)) if op == "ConvInteger" and ins[3].numel() > 1 else ins[3].double())
        return y @ w if op == "MatMulInteger" else conv(a, y, w)
    if op in ("QLinearConv", "QLinearMatMul", "QGemm"): return linear_product(op, a, ins)
    if op == "QLinearAdd": return linear_add(ins)
    if op == "QLinearMul": return linear_mul(ins)
    if op == "QLinearAveragePool": return quantize({}, [straight(avg_pool(a, dequantize({}, ins[:3], torch.float)).double(), avg_pool(a, dequantize({}, ins[:3]))), ins[3], ins[4]], late=True)
    if op in ("QLinearSigmoid", "QLinearLeakyRelu", "QLinearGlobalAveragePool"):
        A = dequantize({}, ins[:3])
        f = {"QLinearSigmoid": torch.sigmoid, "QLinearGlobalAveragePool": lambda v: v.mean([2, 3], keepdim=True), "QLinearLeakyRelu": lambda v: F.leaky_relu(v, a.get("alpha", 0.01))}[op]
        y = f(A) if op == "QLinearGlobalAveragePool" else straight(f(dequantize({}, ins[:3], torch.float)).double(), f(A))
        return quantize({}, [y, ins[3], ins[4]])
    if op == "QLinearSoftmax": return quantize({}, [softmax(a, dequantize({}, ins[:3]), 13, False), ins[3], ins[4]])
    if op == "QLinearConcat":
        parts = [dequantize({}, ins[i:i + 3]) for i in range(2, len(ins), 3)]
        return quantize({}, [torch.cat(parts, a["axis"]), ins[0], ins[1]])
    if op == "MatMulNBits": return matmul_nbits(a, ins)
    if op == "MatMulIntegerToFloat":
        point = lambda at: ins[at].double() if len(ins) > at and ins[at] is not None else 0
        return (x.double() - point(4)) @ (ins[1].double() - point(5)) * ins[2] * ins[3] + point(6)
    if op == "DynamicQuantizeMatMul":
        q, s, z = quant_range(x)
        zb = ins[3] if len(ins) > 3 and ins[3] is not None else torch.tensor(0)
        y = (q.double() - z.double()) @ (ins[1].double() - zb.double()) * s * ins[2]
        return y + ins[4] if len(ins) > 4 and ins[4] is not None else y
    if op in ("FusedConv", "FusedGemm"):
        y = conv(a, *ins[:3]) if op == "FusedConv" else gemm(a, *ins[:3])
        return activated(a, y + ins[3] if len(ins) > 3 and ins[3] is not None else y)
    if op == "FusedMatMul":
        turned = lambda t, given: t.transpose(-1, -2) if given else t
        return a.get("alpha", 1.0) * (turned(x, a.get("transA")) @ turned(ins[1], a.get("transB")))
    raise NotImplementedError(f"{node.domain}:{op}")


def run(model, inputs, want, leaf=None, stop=None):
    """Values by name. `leaf`: the tensor that becomes a leaf with gradients."""
    if not isinstance(model, onnx.ModelProto):
        model = onnx.load(str(model))
    opset = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 17)
    env = {"": None}
    graph(model.graph, env, {k: from_numpy(v) for k, v in inputs.items()}, opset, leaf, set(want), {(f.domain, f.name): f for f in model.functions})
    return env


def graph(g, env, given, opset, leaf, want, functions):
    for t in g.initializer:
        if t.name not in given:
            env[t.name] = from_numpy(numpy_helper.to_array(t))
    env.update(given)
    last = {}
    for i, node in enumerate(g.node):
        for name in node.input:
            last[name] = i
    for i, node in enumerate(g.node):
        a = attributes(node)
        ins = [env.get(n) if n else None for n in node.input]
        while ins and ins[-1] is None:
            ins.pop()
        if node.op_type == "If":
            branch = a["then_branch"] if bool(ins[0]) else a["else_branch"]
            sub = dict(env)
            graph(branch, sub, {}, opset, None, set(), functions)
            outs = tuple(sub[o.name] for o in branch.output)
        elif (node.domain, node.op_type) in functions:
            f = functions[(node.domain, node.op_type)]
            sub = {"": None}
            class G: initializer, node = [], f.node
            graph(G, sub, dict(zip(f.input, ins)), opset, None, set(), functions)
            outs = tuple(sub[o] for o in f.output)
        else:
            outs = one(node, a, ins, opset)
        outs = outs if isinstance(outs, tuple) else (outs,)
        for name, value in zip(node.output, outs):
            if name == leaf:
                value = value.detach().clone().requires_grad_(True)
            env[name] = value
        for name in node.input:
            if last.get(name) == i and name not in want and name != leaf and name:
                env.pop(name, None)


def laid(t, C, H, W, last=False):
    """A layer's tensor as C×H×W; tokens before those of the grid are left away."""
    if t.dim() == 2:
        t = t[None]
    if t.dim() == 4 and tuple(t.shape[1:]) == (C, H, W) and not (last and tuple(t.shape[1:]) == (H, W, C)):
        return t[0]
    if t.dim() == 4 and tuple(t.shape[1:]) == (H, W, C):
        return t[0].permute(2, 0, 1)
    if t.dim() == 3 and t.shape[1] == 1 and t.shape[2] == C:
        t = t.permute(1, 0, 2)
    if t.dim() == 3 and t.shape[2] == C and t.shape[1] >= H * W:
        return t[0, t.shape[1] - H * W:].t().reshape(C, H, W)
    if t.dim() == 3 and tuple(t.shape[1:]) == (C, H * W):
        return t[0].reshape(C, H, W)
    raise ValueError(f"layer of shape {tuple(t.shape)} for {C}×{H}×{W}")


def gradcam(model, inputs, layer, scores, index, C, H, W, last=False):
    """relu(Σ α A), and a measure of cancellation: max |Σ α A| against max Σ |α A|."""
    env = run(model, inputs, [layer, scores], leaf=layer)
    value, leaf = env[scores].flatten(), env[layer]
    grad, = torch.autograd.grad(value[index], leaf)
    A, G = laid(leaf.detach(), C, H, W, last), laid(grad, C, H, W, last)
    alpha = G.mean((1, 2))
    terms = alpha[:, None, None] * A
    total = terms.sum(0)
    return torch.relu(total).numpy(), total.numpy(), float(total.abs().max() / terms.abs().sum(0).max().clamp(min=1e-300)), value.detach().numpy()
