"""What was measured → tests/zoo/cut/: the stripped graphs, and cases.json with their references."""

import json
from pathlib import Path

from table import planned, verdict

CUT = Path(__file__).resolve().parent / "cut"


def place(cache, name):
    """Where a stripped graph is: that of the cut stays as it is, whatever the exporters do."""
    kept = CUT / f"{name}.onnx.br"
    return kept if kept.exists() else cache / kept.name


def write(cache, rows, names):
    """What is there and was not measured now stays, as long as it is among `names`."""
    CUT.mkdir(exist_ok=True)
    cases = CUT / "cases.json"
    held = json.loads(cases.read_text()) if cases.exists() else {"models": [], "known": []}
    kept = {one["name"]: one for one in held["models"] + held["known"] if one["name"] in names}
    for row in rows:
        file = place(cache, row["name"])
        (CUT / file.name).write_bytes(file.read_bytes())
        one = {key: row.get(key) for key in ("name", "size", "varies", "scores", "layer")}
        one["plan"] = planned(row)
        one["maps"] = [
            {key: value for key, value in map.items() if key not in ("correlation", "off")}
            for map in row.get("maps", [])
        ]
        if wrong := verdict(row):
            one["reason"] = wrong
        kept[row["name"]] = one
    split = {
        "models": [one for one in kept.values() if "reason" not in one],
        "known": [one for one in kept.values() if "reason" in one],
    }
    lines = [f'"{kind}": [\n' + ",\n".join(json.dumps(one) for one in split[kind]) + "\n]" for kind in split]
    cases.write_text("{" + ",\n".join(lines) + "}\n")
    for file in CUT.glob("*.onnx.br"):
        if file.name.removesuffix(".onnx.br") not in kept:
            file.unlink()
