//! The JSON Schema of the file, for editors. It is as strict as a schema can be; what needs
//! the whole file (circles, names, expressions) is for `dagbook lint`.

use serde_json::{Value as Json, json};

const IDENTIFIER: &str = "^[A-Za-z_][A-Za-z0-9_]{0,62}$";
const STEP_NAME: &str = "^[A-Za-z_][A-Za-z0-9_-]{0,62}$";
const SLUG: &str = "^[a-z0-9][a-z0-9-]{0,62}$";
const VARIABLE: &str = "^(?!DAGBOOK_)[A-Za-z_][A-Za-z0-9_]*$";
const DURATION: &str = "^(?=.*[1-9])([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$";
const SIZE: &str = "^[0-9]+(\\.[0-9]{1,3})?(Ki|Mi|Gi|Ti|K|k|M|G|T)$";
/// Text that holds no expression.
const PLAIN: &str = "^(?![\\s\\S]*\\$\\{\\{)";
const EXPRESSION: &str = "\\$\\{\\{";

/// The schema (JSON Schema, draft 2020-12).
pub fn schema() -> Json {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://dagbook.dev/schema/dag-v1.json",
        "title": "dagbook DAG file, format v1",
        "type": "object",
        "required": ["dagbook", "name", "steps"],
        "additionalProperties": false,
        "patternProperties": { "^x-": {} },
        "properties": {
            "dagbook": { "const": "v1" },
            "name": { "type": "string", "pattern": SLUG },
            "description": { "$ref": "#/$defs/plain" },
            "labels": { "type": "object", "additionalProperties": { "$ref": "#/$defs/scalar" } },
            "params": {
                "type": "object",
                "maxProperties": 256,
                "propertyNames": { "pattern": IDENTIFIER },
                "additionalProperties": { "$ref": "#/$defs/param" }
            },
            "on": { "$ref": "#/$defs/on" },
            "concurrency": { "$ref": "#/$defs/concurrency" },
            "priority": { "type": "integer", "minimum": -100, "maximum": 100 },
            "timeout": { "$ref": "#/$defs/duration" },
            "max_parallel": { "type": "integer", "minimum": 1, "maximum": 100_000 },
            "defaults": { "$ref": "#/$defs/defaults" },
            "steps": { "$ref": "#/$defs/steps", "minProperties": 1 },
            "finally": { "$ref": "#/$defs/steps" }
        },
        "$defs": definitions()
    })
}

fn definitions() -> Json {
    let mut all = serde_json::Map::new();
    for part in [basics(), top(), triggers(), steps(), tasks(), waits()] {
        if let Json::Object(members) = part {
            all.extend(members);
        }
    }
    Json::Object(all)
}

fn closed(properties: Json, required: &[&str]) -> Json {
    json!({
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
        "required": required
    })
}

fn basics() -> Json {
    let scalar = json!({ "type": ["string", "number", "boolean"] });
    json!({
        "scalar": scalar,
        "plain": { "type": "string", "pattern": PLAIN },
        "word": { "type": "string", "minLength": 1, "pattern": PLAIN },
        "words": {
            "oneOf": [
                { "$ref": "#/$defs/word" },
                { "type": "array", "minItems": 1, "items": { "$ref": "#/$defs/word" } }
            ]
        },
        "duration": { "type": "string", "pattern": DURATION },
        "size": { "type": "string", "pattern": SIZE },
        "type": { "enum": ["string", "integer", "number", "boolean", "list", "object"] },
        "expression": { "type": "string", "pattern": EXPRESSION },
        "variables": {
            "type": "object",
            "propertyNames": { "pattern": VARIABLE },
            "additionalProperties": { "$ref": "#/$defs/scalar" }
        },
        "shell": {
            "oneOf": [
                { "enum": ["sh", "bash", "python3"] },
                { "type": "array", "minItems": 1, "items": { "$ref": "#/$defs/word" } }
            ]
        }
    })
}

fn top() -> Json {
    let param = json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "type": { "$ref": "#/$defs/type" },
            "description": { "$ref": "#/$defs/plain" },
            "default": {},
            "required": { "type": "boolean" },
            "minimum": { "type": "number" },
            "maximum": { "type": "number" },
            "pattern": { "type": "string" },
            "enum": { "type": "array", "minItems": 1 }
        },
        "not": {
            "properties": { "required": { "const": true } },
            "required": ["required", "default"]
        },
        "allOf": param_types()
    });
    json!({
        "param": param,
        "concurrency": closed(json!({
            "group": { "$ref": "#/$defs/scalar" },
            "limit": { "type": "integer", "minimum": 1, "maximum": 100_000 },
            "when_full": { "enum": ["queue", "cancel_running", "reject"] }
        }), &["group"]),
        "defaults": closed(json!({
            "executor": { "type": "string", "pattern": SLUG },
            "image": { "$ref": "#/$defs/scalar" },
            "env": { "$ref": "#/$defs/variables" },
            "shell": { "$ref": "#/$defs/shell" },
            "timeout": { "$ref": "#/$defs/timeout" },
            "retry": { "$ref": "#/$defs/retry" },
            "workspace": { "enum": ["source", "empty"] }
        }), &[])
    })
}

/// The default has the declared type, and bounds and patterns belong to some types only.
fn param_types() -> Json {
    let when = |kind: &str, then: Json| {
        json!({
            "if": { "properties": { "type": { "const": kind } }, "required": ["type"] },
            "then": then
        })
    };
    let default = |schema: Json, without: &[&str]| {
        let mut properties = serde_json::Map::new();
        properties.insert("default".into(), schema);
        for key in without {
            properties.insert((*key).into(), Json::Bool(false));
        }
        json!({ "properties": properties })
    };
    let bounds = ["minimum", "maximum"];
    let every = ["minimum", "maximum", "pattern"];
    json!([
        when("string", default(json!({ "$ref": "#/$defs/scalar" }), &bounds)),
        when("integer", default(json!({ "type": "integer" }), &["pattern"])),
        when("number", default(json!({ "type": "number" }), &["pattern"])),
        when("boolean", default(json!({ "type": "boolean" }), &every)),
        when("list", default(json!({ "type": "array" }), &every)),
        when("object", default(json!({ "type": "object" }), &every))
    ])
}

fn triggers() -> Json {
    let one_or_many = |name: &str| {
        let one = json!({ "$ref": format!("#/$defs/{name}") });
        json!({ "oneOf": [one, { "type": "array", "items": one }] })
    };
    let filter = |branches: &str| {
        let mut properties = serde_json::Map::new();
        for key in [branches, "paths", "ignore_paths"] {
            properties.insert(key.into(), json!({ "$ref": "#/$defs/words" }));
        }
        json!({ "oneOf": [{ "type": "null" }, closed(Json::Object(properties), &[])] })
    };
    let mut gitlab = closed(
        json!({
            "project": { "type": "string", "pattern": "^[^/]+(/[^/]+)+$" },
            "push": filter("branches"),
            "tag": { "$ref": "#/$defs/words" },
            "merge_request": filter("target_branches")
        }),
        &["project"],
    );
    gitlab["oneOf"] = required_one_of(&["push", "tag", "merge_request"]);
    json!({
        "on": closed(json!({
            "gitlab": one_or_many("gitlab"),
            "schedule": one_or_many("schedule")
        }), &[]),
        "gitlab": gitlab,
        "schedule": closed(json!({
            "cron": { "$ref": "#/$defs/word" },
            "timezone": { "$ref": "#/$defs/word" },
            "overlap": { "enum": ["skip", "queue", "allow", "cancel_running"] },
            "catch_up": {
                "oneOf": [
                    { "enum": ["none", "latest"] },
                    closed(json!({ "all_within": { "$ref": "#/$defs/duration" } }), &["all_within"])
                ]
            },
            "jitter": { "$ref": "#/$defs/duration" },
            "params": { "type": "object" }
        }), &["cron"])
    })
}

fn required_one_of(keys: &[&str]) -> Json {
    Json::Array(keys.iter().map(|key| json!({ "required": [key] })).collect())
}

/// Members of every step, those of tasks, those of fan-outs.
fn step_properties(tasks: bool, fan_out: bool) -> serde_json::Map<String, Json> {
    let common = json!({
        "description": { "$ref": "#/$defs/plain" },
        "needs": {
            "oneOf": [
                { "$ref": "#/$defs/word" },
                { "type": "array", "uniqueItems": true, "items": { "$ref": "#/$defs/word" } }
            ]
        },
        "when": { "enum": ["all_succeeded", "any_failed", "any_succeeded", "all_done"] },
        "if": { "type": ["string", "boolean"] }
    });
    let fan = json!({
        "matrix": { "$ref": "#/$defs/matrix" },
        "for_each": { "$ref": "#/$defs/expression" },
        "max_parallel": { "type": "integer", "minimum": 1, "maximum": 50_000 },
        "fail_fast": { "type": "boolean" },
        "min_success": {
            "oneOf": [
                { "type": "integer", "minimum": 1, "maximum": 50_000 },
                { "type": "string", "pattern": "^([1-9]|[1-9][0-9]|100)%$" }
            ]
        },
        "timeout": { "$ref": "#/$defs/timeout" },
        "retry": { "$ref": "#/$defs/retry" }
    });
    let mut properties = serde_json::Map::new();
    let wanted = [(common, true), (fan, fan_out), (task_properties(), tasks)];
    for part in wanted.into_iter().filter_map(|(part, wanted)| wanted.then_some(part)) {
        if let Json::Object(members) = part {
            properties.extend(members);
        }
    }
    properties
}

fn step(key: &str, value: Json, tasks: bool, fan_out: bool, extra: &[(&str, Json)]) -> Json {
    let mut properties = step_properties(tasks, fan_out);
    properties.insert(key.into(), value);
    properties.extend(extra.iter().map(|(key, value)| (key.to_string(), value.clone())));
    let mut step = closed(Json::Object(properties), &[key]);
    if fan_out {
        step["not"] = json!({ "required": ["matrix", "for_each"] });
    }
    step
}

fn steps() -> Json {
    let argv = json!({
        "type": "array",
        "minItems": 1,
        "items": { "$ref": "#/$defs/scalar" }
    });
    let script = json!({ "type": "string", "pattern": "^(?![\\s\\S]*\\$\\{\\{)[\\s\\S]*\\S" });
    let shell = json!({ "$ref": "#/$defs/shell" });
    let params = json!({ "type": "object", "additionalProperties": { "$ref": "#/$defs/scalar" } });
    json!({
        "steps": {
            "type": "object",
            "propertyNames": { "pattern": STEP_NAME },
            "additionalProperties": { "$ref": "#/$defs/step" }
        },
        "step": {
            "oneOf": [
                step("run", script, true, true, &[("shell", shell)]),
                step("command", argv, true, true, &[]),
                step("approval", json!({ "$ref": "#/$defs/approval" }), false, false, &[]),
                step("wait", json!({ "$ref": "#/$defs/wait" }), false, false, &[]),
                step("dag", json!({ "$ref": "#/$defs/dag" }), false, true, &[("params", params)])
            ]
        },
        "matrix": {
            "type": "object",
            "minProperties": 1,
            "propertyNames": { "pattern": IDENTIFIER },
            "properties": {
                "include": { "$ref": "#/$defs/cells" },
                "exclude": { "$ref": "#/$defs/cells" }
            },
            "additionalProperties": {
                "oneOf": [{ "type": "array", "minItems": 1 }, { "$ref": "#/$defs/expression" }]
            }
        },
        "cells": {
            "type": "array",
            "items": { "type": "object", "propertyNames": { "pattern": IDENTIFIER } }
        },
        "timeout": {
            "oneOf": [
                { "$ref": "#/$defs/duration" },
                closed(json!({
                    "attempt": { "$ref": "#/$defs/duration" },
                    "total": { "$ref": "#/$defs/duration" },
                    "queue": { "$ref": "#/$defs/duration" },
                    "heartbeat": { "$ref": "#/$defs/duration" }
                }), &[])
            ]
        },
        "retry": retry()
    })
}

fn retry() -> Json {
    let attempts = json!({ "type": "integer", "minimum": 1, "maximum": 1_000 });
    let one_or_many =
        |one: Json| json!({ "oneOf": [one.clone(), { "type": "array", "items": one }] });
    closed(
        json!({
            "max_attempts": attempts,
            "infra_attempts": attempts,
            "on": one_or_many(json!({ "enum": ["failed", "timeout", "oom", "any"] })),
            "exit_codes":
                one_or_many(json!({ "type": "integer", "minimum": 1, "maximum": 255 })),
            "backoff": closed(json!({
                "initial": { "$ref": "#/$defs/duration" },
                "factor": { "type": "number", "minimum": 1, "maximum": 100 },
                "max": { "$ref": "#/$defs/duration" },
                "jitter": { "enum": ["none", "full", "equal"] }
            }), &[])
        }),
        &[],
    )
}

fn task_properties() -> Json {
    json!({
        "executor": { "type": "string", "pattern": SLUG },
        "image": { "$ref": "#/$defs/scalar" },
        "env": { "$ref": "#/$defs/variables" },
        "secrets": { "$ref": "#/$defs/secrets" },
        "resources": { "$ref": "#/$defs/resources" },
        "placement": { "$ref": "#/$defs/placement" },
        "outputs": {
            "type": "object",
            "propertyNames": { "pattern": IDENTIFIER },
            "additionalProperties": { "$ref": "#/$defs/type" }
        },
        "artifacts": {
            "type": "object",
            "propertyNames": { "pattern": STEP_NAME },
            "additionalProperties": { "$ref": "#/$defs/word" }
        },
        "inputs": { "type": "object", "additionalProperties": { "$ref": "#/$defs/expression" } },
        "cache": { "$ref": "#/$defs/cache" },
        "workspace": { "enum": ["source", "empty"] },
        "requires": { "$ref": "#/$defs/words" }
    })
}

fn tasks() -> Json {
    let labels = json!({
        "oneOf": [
            { "type": "array", "items": { "$ref": "#/$defs/word" } },
            { "type": "object", "additionalProperties": { "$ref": "#/$defs/scalar" } }
        ]
    });
    let count = json!({ "type": "integer", "minimum": 1, "maximum": 1_024 });
    json!({
        "secrets": {
            "type": "object",
            "propertyNames": { "pattern": VARIABLE },
            "additionalProperties": {
                "oneOf": [
                    { "$ref": "#/$defs/word" },
                    closed(json!({
                        "name": { "$ref": "#/$defs/word" },
                        "as": { "enum": ["variable", "file"] }
                    }), &["name"])
                ]
            }
        },
        "resources": closed(json!({
            "cpu": {
                "oneOf": [
                    { "type": "number", "exclusiveMinimum": 0 },
                    { "type": "string", "pattern": "^([0-9]+m|[0-9]+(\\.[0-9]{1,3})?)$" }
                ]
            },
            "memory": { "$ref": "#/$defs/size" },
            "disk": { "$ref": "#/$defs/size" },
            "gpu": {
                "oneOf": [
                    count,
                    closed(json!({
                        "count": count,
                        "model": { "$ref": "#/$defs/word" },
                        "memory": { "$ref": "#/$defs/size" },
                        "mode": { "type": "string", "pattern": "^(exclusive|mig:.+)$" }
                    }), &[])
                ]
            }
        }), &[]),
        "placement": closed(json!({ "require": labels, "prefer": labels }), &[]),
        "cache": closed(json!({
            "key": {
                "oneOf": [
                    { "$ref": "#/$defs/scalar" },
                    { "type": "array", "items": { "$ref": "#/$defs/scalar" } }
                ]
            },
            "max_age": { "$ref": "#/$defs/duration" }
        }), &["key"])
    })
}

fn waits() -> Json {
    let mut wait = closed(
        json!({
            "for": { "$ref": "#/$defs/duration" },
            "until": { "type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9:.]+([Zz]|[+-][0-9:]+)$" },
            "event": { "$ref": "#/$defs/word" }
        }),
        &[],
    );
    wait["oneOf"] = required_one_of(&["for", "until", "event"]);
    let params = json!({ "type": "object", "additionalProperties": { "$ref": "#/$defs/scalar" } });
    let mut call = closed(
        json!({
            "path": { "$ref": "#/$defs/word" },
            "pipeline": {
                "type": "string",
                "pattern": "^[a-z0-9][a-z0-9-]{0,62}(@[A-Za-z0-9._-]{1,64})?$"
            },
            "params": params
        }),
        &[],
    );
    call["oneOf"] = required_one_of(&["path", "pipeline"]);
    json!({
        "approval": closed(json!({
            "role": { "enum": ["admin", "owner", "maintainer", "developer"] },
            "message": { "$ref": "#/$defs/scalar" },
            "timeout": { "$ref": "#/$defs/duration" },
            "on_timeout": { "enum": ["reject", "approve"] }
        }), &[]),
        "wait": wait,
        "dag": { "oneOf": [{ "$ref": "#/$defs/word" }, call] }
    })
}
