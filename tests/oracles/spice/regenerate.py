"""Write the stored SPICE results again: `python tests/spice/regenerate.py` (needs ngspice)."""

import json

from spice_cases import CASES, DATA, write

from jaxaimc import spice


def to_json(record):
    """JSON with one netlist line a line and everything else compact."""
    parts = []
    for key, value in record.items():
        if key == "netlist":
            text = "[\n" + ",\n".join("  " + json.dumps(line) for line in value) + "\n ]"
        else:
            text = json.dumps(value)
        parts.append(f" {json.dumps(key)}: {text}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def main():
    DATA.mkdir(exist_ok=True)
    for name, (kind, inputs) in CASES.items():
        netlist = write(kind, inputs)
        results = spice.run(netlist)
        record = {
            "ngspice": spice.version(),
            "kind": kind,
            "inputs": {key: value.tolist() if hasattr(value, "tolist") else value for key, value in inputs.items()},
            "netlist": netlist.splitlines(),
            "results": {key: value.tolist() for key, value in results.items()},
        }
        path = DATA / f"{name}.json"
        path.write_text(to_json(record))
        print(f"{path.name}: {path.stat().st_size / 1024:.1f} kB")


if __name__ == "__main__":
    main()
