"""Small results of every kind, as the commands write them, with names that a careless page would stumble over."""

import json
from typing import ClassVar

import numpy as np
import polars as pl

from jaxaimc import presets
from jaxaimc.config import dumps
from jaxaimc.studies.results import Rows
from jaxaimc.studies.store import ResultsFolder
from jaxaimc.sweeps import Measure, Plan, Range, SweepFolder, Values

NASTY = "<script>alert(1)</script> & $x^2$ {y} %{z}"


class Given(Measure):
    """A measure whose figures are given to the folder, never computed."""

    columns: ClassVar = {"score": "", "energy": "J"}

    def facts(self):
        return {"measure": "Given", "t": None, "metric": "accuracy", "w": "0" * 64}

    def __call__(self, config, key_chip, key_read):
        raise NotImplementedError


def plan(chips=3):
    axes = [Range("wires.r", 0.1, 10.0, 5, scale="log"), Values("adc.f_adc", [4e9, 6e9])]
    return Plan(presets.tile_circuit(), axes, chips=chips)


def sweep(folder, *, parts=None):
    """Write a sweep; of its chunks all, or the first few."""
    whole = SweepFolder(folder, plan(), Given(), command=["jaxaimc", "sweep", NASTY])
    rng = np.random.default_rng(1)
    for chunk in plan().chunks(pairs=6)[:parts]:
        rows = chunk.rows()
        falling = 0.9 - 0.05 * rows["wires.r"].to_numpy() + 0.01 * rng.normal(size=len(rows))
        energy = 1e-9 / rows["wires.r"].to_numpy() * rows["adc.f_adc"].to_numpy() / 4e9
        whole.add(
            None, chunk, rows.with_columns(score=falling, energy=energy * (1 + 0.01 * rng.normal(size=len(rows))))
        )
    whole.close()
    return folder


def evaluation(folder, *, cost=True):
    """Write an evaluation of two effects, a sweep of four resistances and two layers, on two chips."""
    config = json.loads(dumps(presets.tile_circuit()))
    settings = {"examples": 20, "chips": 2, "times": [], "resistances": [0.0, 0.1, 1.0, 10.0], "sweep_examples": 10}
    facts = {"config": config, "settings": {**settings, "layer_examples": 5, "seed": 0}}
    figures = {"energy": 2e-9, "latency": 1e-6, "area": 1e-7, "conversions": 5.0, "macs": 10.0}
    product = {"path": "head", "shape": [3, 2], "analog": True, "tiles": 1, "devices": 12, "bias": "digital"}
    notes = {"metric": "accuracy", "analog_products": 1, "tiles": 1, "error_of_wires_method": {"head": 0.01}}
    notes["products"] = [product, {"path": NASTY, "shape": [2], "analog": False, "reason": "no tile for it"}]
    if cost:
        parts = {"energy_by_part": {"adc": 1e-9, "array": 1e-9}, "area_by_part": {"adc": 5e-8, "array": 5e-8}}
        notes["cost"] = {**figures, **parts, "notes": ["no part was measured"], "layers": {"head": figures}}
    store = ResultsFolder(folder, facts, ["jaxaimc", "evaluate"], notes)
    base = {"sets": "{}", "t": None, "compensated": False, "r": None, "random": True, "examples": 20}
    for name, scores in (("digital", [0.9]), ("everything", [0.8, 0.7])):
        rows = [{**base, "study": "effect", "name": name, "chip": c, "score": s} for c, s in enumerate(scores)]
        layers = [
            {"name": name, "layer": layer, "chip": 0, "error": 0.1} for layer in ("head", NASTY) if name != "digital"
        ]
        store.add(name, Rows([{**row, "random": name != "digital"} for row in rows], layers))
    swept = {**base, "study": "resistance", "examples": 10}
    store.add("d", Rows([{**swept, "name": "digital", "random": False, "chip": 0, "score": 0.95}], []))
    for r, score in ((0.0, 0.9), (0.1, 0.89), (1.0, 0.8), (10.0, 0.2)):
        rows = [{**swept, "name": "everything", "r": r, "chip": c, "score": score + 0.01 * c} for c in (0, 1)]
        store.add(f"r{r}", Rows(rows, []))
    return folder


def design(folder):
    """Write the designs of two weights."""
    folder.mkdir()
    (folder / "design.json").write_text(dumps(presets.tile_circuit()))
    settings = {"train_examples": 8, "chips": 1, "examples": 12, "fresh_chips": 2, "seed": 3}
    (folder / "settings.json").write_text(json.dumps(settings))
    steps = {"weight": [0.01] * 3 + [0.1] * 3, "step": [0, 1, 2] * 2, "total": [3.0, 2.0, 1.0, 2.0, 1.5, 1.2]}
    pl.DataFrame({**steps, "wires.r": [0.1, 0.2, 0.3, 0.3, 0.5, 0.6]}).write_parquet(folder / "history.parquet")
    front = {"design": ["start", "design-00", "design-01"], "weight": [None, 0.01, 0.1], "wires.r": [0.1, 0.3, 0.6]}
    figures = {"loss": [0.5, 0.3, 0.4], "accuracy": [0.8, 0.9, 0.85], "energy": [3e-9, 2e-9, 1e-9]}
    pl.DataFrame({**front, **figures, "dominated": [None, False, False]}).write_parquet(folder / "front.parquet")
    record = {"facts": {"kind": "design"}, "command": ["jaxaimc", "design"], "metric": "accuracy"}
    (folder / "run.json").write_text(json.dumps({**record, "units": {"wires.r": "ohm"}, "versions": {"jax": "1"}}))
    return folder


def table(path, rows=10_000):
    """Write a table of designs drawn at random."""
    rng = np.random.default_rng(0)
    r, bits = rng.uniform(0.1, 10.0, rows), rng.integers(4, 9, rows)
    columns = {"r": r, "bits": bits, "name": rng.choice(["a", NASTY], rows)}
    score = 0.9 - 0.02 * r + 0.01 * bits + 0.02 * rng.normal(size=rows)
    pl.DataFrame({**columns, "score": score, "power": 1e-3 * 2.0**bits / r}).write_csv(path)
    return path
