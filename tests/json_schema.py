"""Holds values against a JSON schema, by the standard's own validator too where it is installed."""

from urllib.parse import unquote

try:
    import jsonschema
except ImportError:
    jsonschema = None


def fits(value, schema):
    """Return whether a value fits a schema."""
    fits = not errors(value, schema, schema)
    if jsonschema is not None:
        assert jsonschema.Draft202012Validator(schema).is_valid(value) == fits
    return fits


def check_schema(schema):
    """Hold a schema against the standard itself, where its validator is installed."""
    if jsonschema is not None:
        jsonschema.Draft202012Validator.check_schema(schema)


def errors(value, rule, root):
    """Return what a JSON value breaks, of the part of the standard that our schema uses."""
    found = []
    if "$ref" in rule:
        return errors(value, root["$defs"][unquote(rule["$ref"].removeprefix("#/$defs/"))], root)
    if "anyOf" in rule and all(errors(value, choice, root) for choice in rule["anyOf"]):
        found.append("anyOf")
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    types = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}
    if "type" in rule:
        named = rule["type"]
        fits = is_number and (named == "number" or value == int(value)) if named in ("number", "integer") else None
        found += [] if (isinstance(value, types[named]) if fits is None else fits) else ["type"]
    if "const" in rule and value != rule["const"]:
        found.append("const")
    if "enum" in rule and value not in rule["enum"]:
        found.append("enum")
    if is_number:
        found += ["minimum"] if value < rule.get("minimum", value) else []
        found += ["maximum"] if value > rule.get("maximum", value) else []
        found += ["exclusiveMinimum"] if "exclusiveMinimum" in rule and value <= rule["exclusiveMinimum"] else []
        found += ["exclusiveMaximum"] if "exclusiveMaximum" in rule and value >= rule["exclusiveMaximum"] else []
    if isinstance(value, list):
        found += ["minItems"] if len(value) < rule.get("minItems", 0) else []
        found += [error for entry in value if "items" in rule for error in errors(entry, rule["items"], root)]
    if isinstance(value, dict):
        own = rule.get("properties", {})
        found += [f"required {name}" for name in rule.get("required", []) if name not in value]
        if rule.get("additionalProperties", True) is False:
            found += [f"unknown {name}" for name in value if name not in own]
        found += [error for name, entry in value.items() if name in own for error in errors(entry, own[name], root)]
    return found
