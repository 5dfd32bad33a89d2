"""seeded maps → places.json: where their mass lies, by scipy.ndimage (requirements: ../requirements.txt)."""

import json
from pathlib import Path

import numpy as np
from scipy.ndimage import center_of_mass, gaussian_filter, label

SIZES = [(7, 7), (7, 7), (7, 7), (8, 8), (14, 14), (14, 14), (24, 24), (5, 9), (1, 6), (12, 3), (2, 2), (16, 16)]


def evidence(values):
    values = np.maximum(values.astype(np.float64), 0)
    if not values.any():
        return None
    rows, columns = values.shape
    y, x = center_of_mass(values)
    held = np.cumsum(np.sort(values.ravel())[::-1])
    groups, spots = label(values >= values.max() / 2, structure=np.ones((3, 3)))
    sides = {"top": groups[0], "right": groups[:, -1], "bottom": groups[-1], "left": groups[:, 0]}
    return {"x": (x + 0.5) / columns, "y": (y + 0.5) / rows, "share": (np.argmax(held >= held[-1] / 2) + 1) / values.size,
            "spots": spots, "border": [side for side, cells in sides.items() if cells.any()]}


def main():
    random = np.random.default_rng(19)
    cases = []
    for at, size in enumerate(SIZES):
        values = gaussian_filter(random.normal(size=size), [0, 0.7, 1.2, 2][at % 4], mode="nearest").round(3)
        if at % 3 == 0:
            values = np.maximum(values, 0)
        values = values.astype(np.float32)
        cases.append({"shape": size, "values": [float(str(value)) for value in values.ravel()],
                      "evidence": evidence(values), "opposing": evidence(-values)})
    text = ",\n".join(json.dumps(case) for case in cases)
    (Path(__file__).parent / "places.json").write_text(f"[\n{text}\n]\n")


main()
