"""What was measured → what of it is right, and the Markdown table."""

CORRELATION = 0.999
SCORES = 1e-4  # of the scores' span
LEFT = 1e-3  # a map is held by its correlation where its terms leave at least this share of themselves
OFF = 0.01  # of a map scaled to 0..1


def verdict(row):
    """None where all is right, or what is not."""
    if "error" in row:
        return row["error"]
    allowed = max(SCORES, 2 * row["varies"])
    if not row["difference"] <= allowed:
        return f"scores differ by {row['difference']:.1e} of their span, {allowed:.1e} is allowed"
    if not row["first"]:
        return "another first class"
    for map in row["maps"]:
        if not map["correlation"] >= CORRELATION:
            return f"the map at `{map['name']}` has the correlation {map['correlation']:.4f}"
        if map["left"] > LEFT and map["off"] > max(OFF, 2 * map.get("varies", 0)):
            return f"the map at `{map['name']}` differs by {map['off']}"
    return None


def planned(row):
    return row.get("plan", "").startswith("in the file")


def families(rows):
    """Prints how many of each family are right."""
    print("| family | tried | right | with a plan |")
    print("|---|---|---|---|")
    for family in dict.fromkeys(row["family"] for row in rows):
        mine = [row for row in rows if row["family"] == family]
        right = sum(verdict(row) is None for row in mine)
        print(f"| {family} | {len(mine)} | {right} | {sum(map(planned, mine))} |")
    print()


def table(rows):
    """Prints the table; gives the share that is right."""
    families(rows)
    print("| model | exporter | packed | MB in → out | plan | scores | map, default | map, middle | depth | memory |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for row in rows:
        if "seconds" not in row:
            print(f"| {row['name']} | {row['exporter']} | **{row['error']}** | | | | | | | |")
            continue
        held = [map for map in row.get("maps", []) if "correlation" in map]
        maps = [f"{map['correlation']:.5f}" + ("" if map["left"] > LEFT else " (cancels)") for map in held]
        maps += ["–"] * (2 - len(maps))
        plan = "yes" if planned(row) else row["plan"].removeprefix("none, so that loading takes longer: ")
        scores = f"{row.get('difference', float('nan')):.0e}" + ("" if row.get("first", True) else ", another first")
        if (wrong := verdict(row)) and "error" in row:
            maps[0] = f"**{wrong}**"
        sizes = f"{row['given'] / 1e6:.1f} → {row['kept'] / 1e6:.1f}"
        cells = [row["name"], row["exporter"], f"{row['seconds']} s", sizes, plan, scores, *maps]
        print("|", " | ".join([*cells, str(row.get("depth", "")), f"{row['memory']} MB"]), "|")
    right = sum(verdict(row) is None for row in rows)
    share, plans = right / max(1, len(rows)), sum(map(planned, rows))
    print(f"\n{right} of {len(rows)} right ({share:.1%}); a plan is kept of {plans}.\n")
    for row in rows:
        if wrong := verdict(row):
            print(f"- {row['name']}: {wrong}")
    return share
