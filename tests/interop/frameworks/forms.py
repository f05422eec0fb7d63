#!/usr/bin/env python3
"""Holds the tools that frameworks have put before vendors of models to the vendors' rules: `forms.py FACTS_FOLDER`.

The rules are those of tests/vendors, for what the server lists, and those of forms.toml beside this, for what frameworks make of
it. A file `NAME.asked` has the names that a framework listed, and the tools in each request that it made of them.
"""

import json
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jsonschema import Draft7Validator, Draft202012Validator

HERE = Path(__file__).parent
RULES = [
    rule
    for file in (HERE.parents[1] / "vendors/rules.toml", HERE / "forms.toml")
    for rule in tomllib.loads(file.read_text())["rules"]
]
VENDORS = {"openai": "OpenAI", "openai-strict": "OpenAI, strict", "anthropic": "Anthropic", "gemini": "Gemini", "bedrock": "Bedrock"}

Json = Any
Schema = dict[str, Json]


class Tool:
    """A tool as a vendor gets it. `vendors` are those whose rules hold for it."""

    def __init__(self, api: str, form: Json) -> None:
        self.vendors = {VENDORS[api]}
        if api.startswith("openai"):
            # The one API has it within, the other beside the kind.
            function = form.get("function", form)
            self.name, self.schema = function["name"], function.get("parameters")
            self.vendors = {"OpenAI", "OpenAI, strict"} if function.get("strict") else {"OpenAI"}
        elif api == "anthropic":
            self.name, self.schema = form["name"], form["input_schema"]
        elif api == "bedrock":
            spec = form["toolSpec"]
            self.name, self.schema = spec["name"], spec["inputSchema"]["json"]
        else:
            self.name, self.schema = form["name"], form.get("parametersJsonSchema")
            if self.schema is None and (own := form.get("parameters")):
                self.vendors.add("Gemini, Schema")
                self.schema = lower(own)
        # A tool without parameters may have no schema.
        self.places = list(places(self.schema, 0)) if self.schema is not None else []


def lower(schema: Json) -> Json:
    """Writes Gemini's own Schema as JSON Schema: its types are upper case, and its members may have the names of the protocol buffer."""
    if isinstance(schema, list):
        return [lower(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    made = {}
    for key, value in schema.items():
        key = re.sub("_(.)", lambda found: found[1].upper(), key)
        if key == "properties":
            made[key] = {name: lower(part) for name, part in value.items()}
        elif key in ("items", "anyOf"):
            made[key] = lower(value)
        else:
            made[key] = value.lower() if key == "type" else value
    return made


def places(schema: Json, depth: int) -> Iterator[tuple[Schema, int]]:
    """All sub-schemas, and how deep they lie."""
    if not isinstance(schema, dict):
        return
    yield schema, depth
    for keyword in ("properties", "$defs", "definitions"):
        for part in (schema.get(keyword) or {}).values():
            yield from places(part, depth + 1)
    for keyword in ("anyOf", "oneOf", "allOf"):
        for part in schema.get(keyword) or []:
            yield from places(part, depth + 1)
    for keyword in ("items", "additionalProperties"):
        yield from places(schema.get(keyword), depth + 1)


def is_object(schema: Schema) -> bool:
    kind = schema.get("type")
    return kind == "object" or (isinstance(kind, list) and "object" in kind)


def has_one_type(schema: Schema, takes_null: bool) -> bool:
    """OpenAI's strict form has null beside a type for what need not be given."""
    kind = schema.get("type")
    if takes_null and isinstance(kind, list):
        return len([name for name in kind if name != "null"]) == 1
    return isinstance(kind, str) or any(keyword in schema for keyword in ("anyOf", "$ref"))


def enum_faults(rule: Json, schemas: list[Schema]) -> list[str]:
    lists = [schema["enum"] for schema in schemas if "enum" in schema]
    chars = [sum(len(name) for name in names if isinstance(name, str)) for names in lists]
    is_long = any(len(names) > rule["many"] and count > rule["chars_of_many"] for names, count in zip(lists, chars))
    count = sum(map(len, lists))
    return [f"{count} values in lists"] if is_long or count > rule["values"] else []


def faults(rule: Json, tool: Tool) -> list[str]:
    """What of a tool breaks a rule."""
    schemas = [schema for schema, _ in tool.places]
    root = tool.schema or {"type": "object"}
    match rule["check"]:
        case "name":
            return [] if re.search(rule["pattern"], tool.name) else ["its name"]
        case "property":
            names = [name for schema in schemas for name in schema.get("properties") or {}]
            return [f"the property {name}" for name in names if not re.search(rule["pattern"], name)]
        case "root":
            found = [f"{keyword} at the root" for keyword in rule["without"] if keyword in root]
            return found if root.get("type") == rule["type"] else [*found, "the type of the root"]
        case "has":
            # What the server lists has it everywhere; that objects have properties is asked of the root alone.
            if rule["type"] == "object":
                schemas = schemas[:1]
            return [f"{s} lacks {rule['keyword']}" for s in schemas if s.get("type") == rule["type"] and rule["keyword"] not in s]
        case "nowhere":
            return [f"the keyword {keyword}" for schema in schemas for keyword in rule["keywords"] if keyword in schema]
        case "only":
            return [f"the keyword {keyword}" for schema in schemas for keyword in schema if keyword not in rule["keywords"]]
        case "alone":
            return [f"{rule['keyword']} with others: {s}" for s in schemas if rule["keyword"] in s and len(s) > 1]
        case "pattern":
            patterns = [schema["pattern"] for schema in schemas if "pattern" in schema]
            return [f"the pattern {text}" for text in patterns if any(part in text for part in rule["without"])]
        case "format":
            return [f"the format {s['format']}" for s in schemas if "format" in s and s["format"] not in rule["any_of"]]
        case "enums":
            return enum_faults(rule, schemas)
        case "depth":
            deepest = max((depth for _, depth in tool.places), default=0)
            return [f"a depth of {deepest}"] if deepest > rule["max"] else []
        case "meta-schema":
            validator = Draft202012Validator if rule["draft"] == "2020-12" else Draft7Validator
            return [error.message for error in validator(validator.META_SCHEMA).iter_errors(root)]
        case "one-type":
            takes_null = rule["vendor"] == "OpenAI, strict"
            return [f"no one type: {schema}" for schema in schemas if not has_one_type(schema, takes_null)]
        case "enum-of-texts":
            lists = [schema["enum"] for schema in schemas if "enum" in schema]
            return [f"the enum {names}" for names in lists if not names or not all(isinstance(name, str) and name for name in names)]
        case "required":
            return [
                f"{name} is required and no property"
                for schema in schemas
                for name in schema.get("required") or []
                if name not in (schema.get("properties") or {})
            ]
        case "closed":
            return [
                f"an object that is open: {schema}"
                for schema in schemas
                if is_object(schema)
                and (schema.get("additionalProperties") is not False or set(schema.get("required") or []) != set(schema.get("properties") or {}))
            ]
    raise ValueError(rule["check"])


def tools(api: str, told: Json) -> list[Tool]:
    if api == "gemini":
        told = [form for tool in told for form in tool["functionDeclarations"]]
    return [Tool(api, form) for form in told]


def plain(name: str) -> str:
    """What one framework makes of a name."""
    return re.sub("[^a-zA-Z0-9]", "_", name)


def main() -> None:
    count = 0
    broken: dict[str, list[str]] = {}
    for file in sorted(Path(sys.argv[1]).glob("*.asked")):
        for query, asked in json.loads(file.read_text()).items():
            for api, told in asked["tools"].items():
                made = tools(api, told)
                if sorted(plain(tool.name) for tool in made) != sorted(map(plain, asked["names"])):
                    lost = set(map(plain, asked["names"])) - {plain(tool.name) for tool in made}
                    broken.setdefault(f"{file.stem}, {api}{query}: tools are lost or renamed", []).extend(sorted(lost))
                for tool in made:
                    count += 1
                    for rule in RULES:
                        if rule["vendor"] in tool.vendors:
                            for fault in faults(rule, tool):
                                broken.setdefault(f"{file.stem}, {api}{query}: {rule['vendor']}: {rule['source']}", []).append(f"{tool.name}: {fault}"[:300])
    for what, found in broken.items():
        print(f"FAILED {what}", *found[:5], *(["…"] if len(found) > 5 else []), sep="\n  ")
    if broken:
        sys.exit(1)
    print(f"vendors take {count} tools that frameworks have made")


if __name__ == "__main__":
    main()
