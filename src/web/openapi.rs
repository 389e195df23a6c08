//! The API as an `OpenAPI` 3.1 document, made of the table of endpoints and the shapes that they take and give.

use schemars::generate::{Contract, SchemaSettings};
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::api::ErrorBody;
use super::endpoints::{Answer, ENDPOINTS, Endpoint, shape};

/// What `{…}` in a path stands for.
const NAMES: [(&str, &str); 2] = [
    ("job", "The name of a job of the configuration"),
    ("run", "A run's name, an unambiguous beginning of it, or a job's name for its latest run"),
];

/// The document.
pub fn openapi() -> Value {
    let (mut taken, mut given) = (generator(Contract::Deserialize), generator(Contract::Serialize));
    let refusal = shape::<ErrorBody>(&mut given);
    let mut paths: Map<String, Value> = Map::new();
    for endpoint in &ENDPOINTS {
        let described = describe(endpoint, &mut taken, &mut given, &refusal);
        let methods = paths.entry(endpoint.path).or_insert_with(|| json!({}));
        methods[endpoint.method] = described;
    }
    let mut schemas: Map<String, Value> = given.take_definitions(true).into_iter().chain(taken.take_definitions(true)).collect();
    schemas.sort_keys();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "batchd",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "HTTP/1.1 and JSON on the Unix socket `state_dir/batchd.sock`, for root, the daemon's user and the socket's group: \
                            `curl --unix-socket state/batchd.sock http://batchd/v1/status`. Names are stable, fields may be added. Times are \
                            RFC 3339 in UTC; what has not happened is `null`. A job comes from the configuration, never over HTTP.",
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "http://batchd", "description": "the Unix socket; the host's name means nothing" }],
        "paths": paths,
        "components": { "schemas": schemas },
    })
}

fn generator(contract: Contract) -> SchemaGenerator {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.contract = contract;
    });
    settings.into_generator()
}

fn describe(endpoint: &Endpoint, taken: &mut SchemaGenerator, given: &mut SchemaGenerator, refusal: &Schema) -> Value {
    let named = NAMES.iter().filter(|(name, _)| endpoint.path.contains(&format!("{{{name}}}")));
    let named = named
        .map(|(name, what)| json!({ "name": name, "in": "path", "required": true, "description": what, "schema": { "type": "string" } }));
    let parameters: Vec<Value> = named.chain(endpoint.query.into_iter().flat_map(|query| parameters(query, taken))).collect();
    let (media, answer) = match endpoint.answer {
        Answer::Json(answer) => ("application/json", answer(given)),
        Answer::Lines(line) => ("application/x-ndjson", line(given)),
    };
    let content = |media: &str, shape: &Schema| json!({ media: { "schema": shape } });
    let mut described = json!({
        "operationId": operation(endpoint),
        "summary": endpoint.summary,
        "parameters": parameters,
        "responses": {
            endpoint.status.to_string(): { "description": "done", "content": content(media, &answer) },
            "default": { "description": "refused; `error.code` says why", "content": content("application/json", refusal) },
        },
    });
    if let Some(body) = endpoint.body {
        described["requestBody"] = json!({ "required": true, "content": content("application/json", &body(taken)) });
    }
    described
}

/// `get_runs_run_results`: the method and the words of the path, which no other has.
fn operation(endpoint: &Endpoint) -> String {
    let words = endpoint.path.split('/').skip(2).map(|word| word.trim_matches(['{', '}']));
    words.fold(endpoint.method.to_owned(), |name, word| format!("{name}_{word}"))
}

/// A parameter for each field of a structure.
fn parameters(query: fn(&mut SchemaGenerator) -> Schema, taken: &mut SchemaGenerator) -> Vec<Value> {
    // A generator of its own: the structure as a whole is no part of the document.
    let mut alone = SchemaGenerator::new(taken.settings().clone());
    query(&mut alone);
    let Some(structure) = alone.take_definitions(true).into_iter().map(|(_, structure)| structure).next() else { return Vec::new() };
    let fields = structure.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
    let parameter = |(name, mut field): (String, Value)| {
        let description = field.as_object_mut().and_then(|field| field.remove("description"));
        json!({ "name": name, "in": "query", "required": false, "description": description, "schema": field })
    };
    fields.into_iter().map(parameter).collect()
}
