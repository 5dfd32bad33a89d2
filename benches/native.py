"""The native tool's executor beside ONNX Runtime's CPU: python native.py CACHE REPEAT [ROUNDS]

REPEAT is the built example `repeat`. Both run in processes of their own, calls interleaved, with one thread and with two;
the scores have to agree. Writes CACHE/native.json and prints a table."""

import json
import math
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnxruntime

SIDE = 224
TOLERANCE = 1e-3
WARM = 3
THREADS = (1, 2)


class Ours:
    def __init__(self, repeat, folder, tensor, threads):
        self.process = subprocess.Popen([repeat, folder / "packed", tensor, str(threads)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)

    def run(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        told = json.loads(self.process.stdout.readline())
        return told["ms"], np.array(told["scores"])

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Theirs:
    """In this process: nothing else runs here meanwhile."""

    def __init__(self, folder, values, threads):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Its threads must not keep a core busy while the other engine runs.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        self.session = onnxruntime.InferenceSession(folder / "original.onnx", options, providers=["CPUExecutionProvider"])
        self.inputs = {self.session.get_inputs()[0].name: values}

    def run(self):
        start = time.perf_counter()
        [scores] = self.session.run(None, self.inputs)
        return (time.perf_counter() - start) * 1000, scores.flatten()


def compare(repeat, folder, tensor, values, threads, rounds):
    ours, theirs = Ours(repeat, folder, tensor, threads), Theirs(folder, values, threads)
    times = []
    for turn in range(-WARM, rounds):
        (mine, left), (peer, right) = ours.run(), theirs.run()
        difference = float(np.abs(left - right).max() / np.abs(right).max())
        if not difference <= TOLERANCE:
            raise RuntimeError(f"the scores differ by {difference} of the largest")
        if turn >= 0:
            times.append((mine, peer))
    ours.close()
    mine, peer = (statistics.median(column) for column in zip(*times))
    return {"ours": mine, "onnxruntime": peer, "ratio": mine / peer}


def main(cache, repeat, rounds):
    values = np.random.default_rng(1).normal(0, 1, (1, 3, SIDE, SIDE)).astype(np.float32)
    tensor = cache / "native.tensor"
    values.tofile(tensor)
    folders = sorted(path.parents[1] for path in cache.glob("*/*/packed/model.json"))
    folders = [folder for folder in folders if folder.name.split("-")[-1] not in ("96", "160", "320", "448")]
    cpu = next(line.split(": ")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name"))
    print(f"{os.cpu_count()} × {cpu}, onnxruntime {onnxruntime.__version__}, medians of {rounds}\n")
    print("| model | ours, ms | onnxruntime, ms | ratio | ours, two threads | onnxruntime, two threads | ratio |")
    print("|---|---|---|---|---|---|---|")
    only, models, failed = list(filter(None, os.environ.get("MODELS", "").split(","))), {}, {}
    for folder in folders:
        if only and folder.name not in only:
            continue
        try:
            rows = [compare(repeat, folder, tensor, values, threads, rounds) for threads in THREADS]
        except Exception as error:  # the others do not depend on it
            failed[folder.name] = f"{type(error).__name__}: {error}"
            continue
        models[folder.name] = rows
        cells = [f"{row['ours']:.1f} | {row['onnxruntime']:.1f} | {row['ratio']:.2f}" for row in rows]
        print(f"| {folder.name} | {' | '.join(cells)} |", flush=True)
    for name, sum_of in (("geometric mean", lambda all: math.exp(statistics.fmean(map(math.log, all)))), ("worst", max)):
        one, two = (sum_of([rows[at]["ratio"] for rows in models.values()]) for at in (0, 1))
        print(f"| {name} of {len(models)} | | | **{one:.2f}** | | | **{two:.2f}** |")
    for name, why in failed.items():
        print(f"\n{name} was not measured: {why}")
    told = {"cpu": cpu, "onnxruntime": onnxruntime.__version__, "rounds": rounds, "models": models, "failed": failed}
    (cache / "native.json").write_text(json.dumps(told, indent=1))


main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve(), int(sys.argv[3]) if len(sys.argv) > 3 else 21)
