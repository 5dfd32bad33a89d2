"""The whole table: every model of models.py made, packed by the tool, and held against its references.

    python tests/zoo/run.py [--only NAME …] [--cut] [--cache FOLDER] [--tool target/release/whylens] [--table] [--write]

What was done is kept in the cache, one JSON line a model, and not done again. `--write` renews tests/zoo/cut/."""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cut import place, write
from table import LEFT, OFF, table, verdict

HERE = Path(__file__).resolve().parent
LEAST_RIGHT = 0.97  # the share that README.md tells
LIMIT = 120  # seconds for one model


def told(error):
    """The tool's own sentence."""
    lines = [line for line in error.strip().splitlines() if line.strip()]
    return re.sub(r"^whylens: (/tmp/\S+: )?", "", lines[-1])[:400] if lines else "no word"


class Refused(Exception):
    pass


def tool(arguments, *words):
    try:
        done = subprocess.run([str(arguments.tool), *map(str, words)], capture_output=True, text=True, timeout=LIMIT)
    except subprocess.TimeoutExpired:
        raise Refused(f"takes longer than {LIMIT} s") from None
    if done.returncode:
        raise Refused(told(done.stderr))
    return done.stdout


def compare(actual, golden, most, left):
    """The correlation, or where the terms of a map cancel, 1 if ours do and 0 if not."""
    import numpy as np

    if left <= LEFT:
        return float(np.abs(actual - golden).max() <= LEFT * most)
    if golden.size == 1 or golden.std() == 0:
        return float(np.allclose(actual, golden, rtol=1e-3))
    return float(np.corrcoef(actual.flatten(), golden.flatten())[0, 1]) if actual.std() else 0.0


def middle(layers, default):
    """One layer in the middle of those that the tool lists."""
    others = [layer for layer in layers if layer["name"] != default and layer["height"] * layer["width"] <= 1024]
    return others[len(others) // 2] if others else None


def made(arguments, model):
    import make

    file = place(arguments.cache, model.name)
    if not file.exists():
        make.make(model, file)
    return make.read(file)


def measure(arguments, model, row):
    import numpy as np
    import onnx
    import reference
    import seeds

    began = time.monotonic()
    try:
        graph = seeds.fill(made(arguments, model))
    except Exception as error:  # an exporter that fails is none of the tool's faults
        return row.update(unmade=f"{type(error).__name__}: {error}"[:300])
    row["made"] = round(time.monotonic() - began, 1)
    row["exporter"] = f"{model.exporter} {max(o.version for o in graph.opset_import if o.domain in ('', 'ai.onnx'))}"
    image = seeds.image(model.size, last=model.last)
    held = reference.averaged(graph) if model.mean else graph
    name, right, varies = reference.scores(held, image)
    row.update(scores=[float(f"{v:.6g}") for v in right], varies=varies)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        onnx.save(graph, folder / "model.onnx")
        (folder / "labels.txt").write_text("".join(f"class {i}\n" for i in range(right.size)))
        np.save(folder / "image.npy", image)
        began = time.monotonic()
        given = (folder / "model.onnx", "--labels", folder / "labels.txt", "--out", folder / "out")
        said = tool(arguments, "pack", *given, "--precision", arguments.precision)
        row["seconds"] = round(time.monotonic() - began, 2)
        row["given"] = (folder / "model.onnx").stat().st_size
        row["kept"] = (folder / "out/model.onnx").stat().st_size
        row["memory"] = int(re.search(r"memory +about (\d+) MB", said)[1])
        row["plan"] = re.search(r"plan +(.*)", said)[1]
        manifest = json.loads((folder / "out/model.json").read_text())
        default, layers = manifest["heatmap"].get("layer"), manifest["heatmap"].get("layers", [])
        row["heatmaps"] = re.search(r"heatmaps +(.*)", said)[1]
        words = ("classify", folder / "out", "--tensor", folder / "image.npy")
        tool(arguments, *words, "--logits", folder / "scores.npy")
        ours = np.load(folder / "scores.npy").flatten()
        row["difference"] = float(np.abs(ours - right).max() / max(np.ptp(right), 1e-30))
        row["first"] = bool(ours.argmax() == right.argmax())
        chosen = [layer for layer in layers if layer["name"] == default] + [middle(layers, default)]
        chosen = [layer for layer in chosen if layer]
        if not default or not chosen:
            raise Refused(f"no heatmap by gradients: {row['heatmaps']}")
        row["layer"], row["depth"] = default, round(reference.depth(held, default, name), 3)
        order = [int(i) for i in np.argsort(-right)[[0, -1, 1, -2, 2, -3]]]
        golden = reference.maps(held, image, chosen, name, order, LEFT)
        row["maps"] = [{**layer, **told_of(*values)} for layer, values in zip(chosen, golden)]
        for map, (index, right_one, most, left) in zip(row["maps"], golden):
            more = ("--class", index, "--layer", map["name"], "--method", "gradcam", "--json", "--top-k", 1)
            said = tool(arguments, *words, *more)
            ours = np.array(json.loads(said)["heatmap"]["values"]).reshape(right_one.shape)
            map["correlation"] = compare(ours, right_one, most, left)
            map["off"] = float(f"{np.abs(ours - right_one).max() / (float(right_one.max()) or 1.0):.2g}")
            if map["off"] > OFF and left > LEFT:
                map["varies"] = float(f"{reference.spread(held, image, map, name, index):.2g}")


def told_of(index, values, most, left):
    """A reference as cases.json has it."""
    scale = float(values.max()) or 1.0
    return {
        "class": index,
        "terms": float(f"{most / scale:.6g}"),
        "left": float(f"{left:.3g}"),
        "max": float(f"{values.max():.6g}"),
        "values": [round(float(value), 6) for value in (values / scale).flatten()],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=[], help="these models again")
    parser.add_argument("--cut", action="store_true", help="what is part of the cut")
    parser.add_argument("--cache", type=Path, default=Path("/tmp/whylens-zoo"))
    parser.add_argument("--tool", type=Path, default=HERE.parents[1] / "target/release/whylens")
    parser.add_argument("--precision", default="fp32", help="how the weights are stored")
    parser.add_argument("--minutes", type=float, default=1e9, help="begin no other model after this time")
    parser.add_argument("--table", action="store_true", help="only print what is known")
    parser.add_argument("--write", action="store_true", help="renew tests/zoo/cut/")
    arguments = parser.parse_args()
    arguments.cache.mkdir(parents=True, exist_ok=True)
    results = arguments.cache / "results.jsonl"
    known = {}
    if results.exists():
        known = {row["name"]: row for row in map(json.loads, results.read_text().splitlines())}
    import models

    wanted = [
        m
        for m in models.all_models()
        if (m.cut or not arguments.cut) and (not arguments.only or m.name in arguments.only)
    ]
    began = time.monotonic()
    for model in wanted:
        if arguments.table or model.name in known and not arguments.only:
            continue
        if time.monotonic() - began > 60 * arguments.minutes:
            break
        row = {
            "name": model.name,
            "family": model.family,
            "exporter": model.exporter,
            "size": model.size,
        }
        try:
            measure(arguments, model, row)
        except Refused as error:
            row["error"] = str(error)
        except Exception as error:  # one model that ends the run would hide the others
            row["unheld"] = f"{type(error).__name__}: {error}"[:300]
        known[model.name] = row
        with results.open("a") as file:
            file.write(json.dumps(row) + "\n")
        said = row.get("unmade") or row.get("unheld") or verdict(row) or "right"
        print(f"{model.name}: {said} ({row.get('made')} + {row.get('seconds')} s)", file=sys.stderr, flush=True)
    measured = [known[m.name] for m in wanted if m.name in known]
    rows = [row for row in measured if not {"unmade", "unheld"} & row.keys()]
    for row in measured:
        if why := row.get("unmade") or row.get("unheld"):
            print(f"{'not made' if 'unmade' in row else 'no reference'}: {row['name']}: {why}", file=sys.stderr)
    if arguments.write:
        cut = {m.name for m in models.all_models() if m.cut}
        write(arguments.cache, [row for row in rows if row["name"] in cut], cut)
    share = table(rows)
    sys.exit(share < LEAST_RIGHT)


if __name__ == "__main__":
    main()
