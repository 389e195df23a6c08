//! The JSON Schema of `jobs.toml`, for editors: completion, descriptions, and most errors while typing. What it lets pass, such as a
//! wrong cron field, `batchd check` finds.

use serde_json::{Map, Value, json};

use super::keys::NOT_DEFAULTS;
use super::reference::{Key, Kind, SECTIONS, TOP};

/// One or more whole numbers with their units.
const DURATION: &str = r"^\s*([0-9]+\s*[a-zA-Z]+\s*)+$";
const SIZE: &str = r"^\s*[0-9.]+ *[a-zA-Z]+\s*$";
const JOB_NAME: &str = r"^[^\s\u0000-\u001f/]{1,64}$";

/// The ways to say what a job does, of which it has exactly one.
const WORK: [&str; 6] = ["command", "shell", "handler", "http", "worker", "task"];

/// The schema, after JSON Schema draft 7.
pub fn schema() -> Value {
    let mut tables: Map<String, Value> = TOP.iter().map(|key| (key.name.to_owned(), property(key))).collect();
    for section in SECTIONS {
        let table = match section.name {
            "jobs" => json!({
                "type": "object",
                "description": section.meaning,
                "minProperties": 1,
                "propertyNames": { "pattern": JOB_NAME },
                "additionalProperties": job(section.keys),
            }),
            "notify" => json!({ "type": "object", "description": section.meaning, "additionalProperties": table(section.keys) }),
            "defaults" => described(
                table(&section.keys.iter().filter(|key| !NOT_DEFAULTS.contains(&key.name)).copied().collect::<Vec<_>>()),
                section.meaning,
            ),
            _ => described(table(section.keys), section.meaning),
        };
        tables.insert(section.name.to_owned(), table);
    }
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "jobs.toml of batchd",
        "description": "Cron expressions and batch handlers: what runs when, and on what.",
        "type": "object",
        "properties": tables,
        "additionalProperties": false,
        "anyOf": [{ "required": ["jobs"] }, { "required": ["include"] }],
    })
}

fn job(keys: &[Key]) -> Value {
    let mut job = table(keys);
    let has = |name: &str| keys.iter().any(|key| key.name == name);
    let required = |name: &str| json!({ "required": [name] });
    let works: Vec<Value> = WORK.into_iter().filter(|name| has(name)).map(required).collect();
    job["allOf"] = json!([{ "anyOf": [required("schedule"), required("after")] }, { "oneOf": works }]);
    job
}

fn table(keys: &[Key]) -> Value {
    let properties: Map<String, Value> = keys.iter().map(|key| (key.name.to_owned(), property(key))).collect();
    json!({ "type": "object", "properties": properties, "additionalProperties": false })
}

fn property(key: &Key) -> Value {
    let text = if key.default.is_empty() { key.meaning.to_owned() } else { format!("{} Default: {}", key.meaning, key.default) };
    let mut value = described(of(&key.kind), &text);
    if let Some(default) = fixed(key.default) {
        value["default"] = default;
    }
    value
}

/// The default as JSON, where it is a fixed value and not described in words.
fn fixed(default: &str) -> Option<Value> {
    serde_json::from_str(default).ok()
}

fn described(mut value: Value, text: &str) -> Value {
    value["description"] = text.into();
    value
}

fn of(kind: &Kind) -> Value {
    match kind {
        Kind::Text => json!({ "type": "string" }),
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::Integer { least, most } => json!({ "type": "integer", "minimum": least, "maximum": most }),
        Kind::Number { least, most } => json!({ "type": "number", "minimum": least, "maximum": most }),
        Kind::Duration => json!({ "type": "string", "pattern": DURATION }),
        Kind::Size => json!({ "type": "string", "pattern": SIZE }),
        Kind::Choice(words) => json!({ "enum": words }),
        Kind::Texts => json!({ "type": "array", "items": { "type": "string" }, "minItems": 1 }),
        Kind::Integers { least, most } => json!({ "type": "array", "items": of(&Kind::Integer { least: *least, most: *most }) }),
        Kind::Names => json!({ "type": "object", "additionalProperties": { "type": "string" } }),
        Kind::AnyTable => json!({ "type": "object" }),
        Kind::Table(keys) => table(keys),
        Kind::List(kind) => json!({ "type": "array", "items": of(kind) }),
        Kind::OneOf(kinds) => json!({ "anyOf": kinds.iter().map(of).collect::<Vec<_>>() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_its_type_default_and_meaning() {
        let schema = schema();
        let job = &schema["properties"]["jobs"]["additionalProperties"]["properties"];
        insta::assert_snapshot!(serde_json::to_string_pretty(&job["overlap"]).expect("JSON"), @r#"
        {
          "anyOf": [
            {
              "enum": [
                "skip",
                "queue",
                "replace",
                "allow"
              ]
            },
            {
              "type": "object",
              "properties": {
                "policy": {
                  "enum": [
                    "skip",
                    "queue",
                    "replace",
                    "allow"
                  ],
                  "description": "What a fire does while a run of the job is live."
                },
                "max": {
                  "type": "integer",
                  "minimum": 1,
                  "maximum": 100000,
                  "description": "How many runs wait, with `queue`. Default: 10",
                  "default": 10
                }
              },
              "additionalProperties": false
            }
          ],
          "description": "What a fire does while a run of the job is live. Default: \"skip\"",
          "default": "skip"
        }
        "#);
        insta::assert_snapshot!(serde_json::to_string(&job["timezone"]).expect("JSON"), @r#"{"type":"string","description":"IANA name of the zone of this job. Default: that of [daemon]"}"#);
        assert_eq!(schema["properties"]["log"]["properties"]["backups"]["default"], 5);
        assert_eq!(schema["properties"]["defaults"]["properties"].get("schedule"), None);
    }
}
