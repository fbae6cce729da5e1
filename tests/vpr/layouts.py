"""Small sets in the layouts that the community has on disk, for tests."""

import csv
from pathlib import Path

import numpy as np
from PIL import Image

EASTS = {"database": (0, 10, 30, 100, 500), "queries": (5, 90, 4000)}
"""Metres east of the database images and queries of a set: the queries have 2 + 1 (at 30 m: 25 m away) + 1 + 0 positives."""
TRUTH = [[0, 1, 2], [3], []]
"""Database indices within 25 m of each query."""


def image(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (90, 120, 30)).save(path, "PNG" if path.suffix == ".png" else "JPEG")
    return path


def named(east: float, north: float = 4175000.0, heading: object = "", note: str = "", pano: object = "") -> str:
    return f"@{540000 + east:010.2f}@{north:010.2f}@10@S@37.7@-122.4@{pano}@@{heading}@@@@201311@{note}@.jpg"


def retrieval(folder: Path, database: str = "database", queries: str = "queries") -> Path:
    """Database and queries with positions in the names."""
    for part, kind in ((database, "database"), (queries, "queries")):
        for number, east in enumerate(EASTS[kind]):
            image(folder / part / named(east, pano=number))
    return folder


def gsv_cities(folder: Path, end: str = ".jpg", city: str = "Oslo") -> Path:
    """Two places with four images each; returns the table's file."""
    rows = ["place_id,year,month,northdeg,city_id,lat,lon,panoid"]
    for place in (3, 12):
        for view in range(4):
            rows.append(f"{place},2016,7,{5 * view},{city},59.9{view + 1},10.75,pano{place}{view}")
            name = f"{city}_{place:07d}_2016_07_{5 * view:03d}_59.9{view + 1}_10.75_pano{place}{view}{end}"
            image(folder / "Images" / city / name)
    table = folder / "Dataframes" / f"{city}.csv"
    table.parent.mkdir(exist_ok=True)
    table.write_text("\n".join(rows) + "\n")
    return table


def objects(rows: list) -> np.ndarray:
    """An array of objects, as ground truth is stored."""
    found = np.empty(len(rows), dtype=object)
    found[:] = rows
    return found


def lists(folder: Path, ends: tuple[str, str, str] = ("_dbImages", "_qImages", "_gt_25m")) -> Path:
    """OpenVPRLab's val set."""
    files = {}
    for kind, part in (("database", "sf/database"), ("queries", "sf/query")):
        files[kind] = [f"{part}/key{number}.jpg" for number in range(len(EASTS[kind]))][::-1]
        for name in files[kind]:
            image(folder / name)
    last = len(EASTS["database"]) - 1
    np.save(folder / f"msls_val{ends[0]}.npy", np.array(files["database"]))
    np.save(folder / f"msls_val{ends[1]}.npy", np.array(files["queries"]))
    np.save(folder / f"msls_val{ends[2]}.npy", objects([[last - right for right in each] for each in TRUTH[::-1]]))
    return folder


def vpr_bench(folder: Path) -> Path:
    for kind, part in (("database", "ref"), ("queries", "query")):
        for number in range(len(EASTS[kind])):
            image(folder / part / f"{number:07d}.jpg")
    truth = np.empty((len(TRUTH), 2), dtype=object)
    for query, right in enumerate(TRUTH):
        truth[len(TRUTH) - 1 - query] = [query, right]
    np.save(folder / "ground_truth_new.npy", truth)
    return folder


def msls_city(folder: Path, zone: tuple[float, float] = (37.7, -122.4)) -> Path:
    """A city of MSLS as downloaded, with a panorama and an image outside the task."""
    for kind, part in (("database", "database"), ("queries", "query")):
        keys = [f"{part}{number}" for number in range(len(EASTS[kind]))]
        tables = {"postprocessed": [["", "key", "easting", "northing", "night", "view_direction"]]}
        tables |= {"raw": [["", "key", "lon", "lat", "ca", "captured_at", "pano"]]}
        tables |= {"subtask_index": [["", "key", "all", "s2w"]]}
        for number, (key, east) in enumerate(zip([*keys, "pano", "other"], [*EASTS[kind], 7, 8], strict=True)):
            image(folder / part / "images" / f"{key}.jpg")
            tables["postprocessed"].append([number, key, 540000.0 + east, 4175000.0, False, "Forward"])
            tables["raw"].append([number, key, zone[1], zone[0], 90.0, "2019-01-01", key == "pano"])
            tables["subtask_index"].append([number, key, key != "other", False])
        for name, rows in tables.items():
            with (folder / part / f"{name}.csv").open("w", newline="") as file:
                csv.writer(file).writerows(rows)
    return folder
