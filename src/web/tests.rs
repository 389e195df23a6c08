//! The API by its requests and whole answers.

use axum::Router;
use axum::body::Body;
use axum::http::{Request as HttpRequest, header};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;

use super::fake::{FakeDaemon, FakeHistory, jobs, partial};
use super::{Control, Request, live, offline, openapi};
use crate::engine::{Answer, Outcome, RunId};

fn daemon(answer: Answer) -> Router {
    live(FakeDaemon::answering(answer).start(), FakeHistory::example().share())
}

fn records() -> Router {
    offline(jobs(), FakeHistory::example().share())
}

/// The status line's number and the body.
async fn send(router: Router, request: HttpRequest<Body>) -> (u16, String) {
    let response = router.oneshot(request).await.expect("the router always answers");
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.expect("a whole body").to_bytes();
    (status, String::from_utf8(body.to_vec()).expect("text"))
}

async fn get(router: Router, path: &str) -> (u16, String) {
    send(router, HttpRequest::get(path).body(Body::empty()).expect("a request")).await
}

async fn post(router: Router, path: &str, body: &str) -> (u16, String) {
    let request = HttpRequest::post(path).header(header::CONTENT_TYPE, "application/json; charset=utf-8");
    send(router, request.body(Body::from(body.to_owned())).expect("a request")).await
}

/// One field of the answer's body, by its pointer.
fn field(body: &str, pointer: &str) -> String {
    let body: serde_json::Value = serde_json::from_str(body).expect("JSON");
    body.pointer(pointer).map_or_else(|| "-".to_owned(), |value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
}

#[track_caller]
fn check_refused((status, body): &(u16, String), expected: (u16, &str)) {
    assert_eq!((*status, field(body, "/error/code").as_str()), expected, "{body}");
}

fn made() -> Answer {
    Answer::Run(RunId("daily-report@20261123T120000Z+manual".into()))
}

#[tokio::test]
async fn runs_come_in_pages_newest_first() {
    let (status, body) = get(records(), "/v1/runs?limit=2").await;
    assert_eq!(
        (status, field(&body, "/runs/0/key"), field(&body, "/runs/1/key"), field(&body, "/next")),
        (200, "3".into(), "2".into(), "2".into())
    );
    let (_, body) = get(records(), "/v1/runs?limit=2&before=2").await;
    assert_eq!((field(&body, "/runs/0/key"), field(&body, "/runs/1/key"), field(&body, "/next")), ("1".into(), "-".into(), "null".into()));
}

#[tokio::test]
async fn runs_are_filtered() {
    for (query, keys) in
        [("job=sync", vec![2]), ("failed=true", vec![3]), ("since=2026-11-23T00:00:00Z", vec![3, 2]), ("job=nothing", vec![])]
    {
        let (_, body) = get(records(), &format!("/v1/runs?{query}")).await;
        let page: super::api::RunPage = serde_json::from_str(&body).expect("a page");
        assert_eq!(page.runs.iter().map(|run| run.key.0).collect::<Vec<_>>(), keys, "{query}");
    }
}

#[tokio::test]
async fn a_question_that_makes_no_sense_is_refused() {
    for path in ["/v1/runs?limit=0", "/v1/runs?limit=1001", "/v1/runs?sincr=1", "/v1/runs?since=yesterday", "/v1/runs/sync/output?index=-1"]
    {
        check_refused(&get(records(), path).await, (400, "bad_request"));
    }
}

#[tokio::test]
async fn a_run_is_told_in_detail() {
    let (status, body) = get(records(), "/v1/runs/daily-report").await;
    assert_eq!(status, 200);
    assert_eq!(field(&body, "/counts"), r#"{"failed":1,"succeeded":3}"#);
    assert_eq!((field(&body, "/slowest/0/index"), field(&body, "/failed/0/partial/target")), ("3".into(), "jp".into()));
    assert_eq!(field(&body, "/failed/0/last_output/1"), "\u{1b}[31mrefused\u{202e}");
}

#[tokio::test]
async fn an_answer_waits_for_the_end_of_a_run() {
    for path in ["/v1/runs/sync?wait=0", "/v1/runs/sync?wait=61"] {
        check_refused(&get(records(), path).await, (400, "bad_request"));
    }
    assert_eq!(get(records(), "/v1/runs/sync?wait=60").await.0, 200, "it has ended");
    let live = || {
        let mut history = FakeHistory::example();
        history.runs[1].ended = None;
        history.share()
    };
    check_refused(&get(offline(jobs(), live()), "/v1/runs/sync?wait=60").await, (503, "no_daemon"));

    let (requests, mut asked) = tokio::sync::mpsc::channel(1);
    let waiting = tokio::spawn(get(super::live(Control::new(requests), live()), "/v1/runs/sync?wait=60"));
    let Some(Request::Ended { run, reply }) = asked.recv().await else { panic!("the loop is asked for the end") };
    assert_eq!((&*run.0, waiting.is_finished()), ("sync@20261123T060000Z", false));
    reply.send(()).expect("the answer waits");
    assert_eq!(waiting.await.expect("an answer").0, 200);
}

#[tokio::test]
async fn a_run_is_named_by_id_beginning_or_job() {
    for (name, expected) in [("daily-report@20261122T070000Z", "1"), ("daily-report@20261122", "1"), ("daily-report", "3")] {
        let (_, body) = get(records(), &format!("/v1/runs/{name}")).await;
        assert_eq!(field(&body, "/run/key"), expected, "{name}");
    }
    check_refused(&get(records(), "/v1/runs/daily-report@").await, (400, "ambiguous_run"));
    check_refused(&get(records(), "/v1/runs/nothing").await, (404, "unknown_run"));
}

#[tokio::test]
async fn results_are_lines_across_pages() {
    let mut history = FakeHistory::example();
    let many = (0..700).map(|index| partial(index, "t", if index % 2 == 0 { Outcome::Failed } else { Outcome::Succeeded }));
    history.partials.insert(2, many.collect());
    let router = offline(Vec::new(), history.share());
    for (path, count) in [("/v1/runs/sync/results", 700), ("/v1/runs/sync/results?failed=true", 350)] {
        let (status, body) = get(router.clone(), path).await;
        let indices: Vec<u32> = body.lines().map(|line| field(line, "/index").parse().expect("a number")).collect();
        assert_eq!((status, indices.len()), (200, count));
        assert!(indices.is_sorted(), "in target order");
    }
}

#[tokio::test]
async fn outputs_are_kept_by_partial() {
    let (_, body) = get(records(), "/v1/runs/daily-report/output?index=2").await;
    assert_eq!(field(&body, "/outputs/0/attempt"), "2");
    let (_, body) = get(records(), "/v1/runs/daily-report/output").await;
    assert_eq!(body, r#"{"outputs":[]}"#);
}

#[tokio::test]
async fn jobs_have_their_last_run() {
    for (router, daemon) in [(daemon(made()), "true"), (records(), "false")] {
        let (_, body) = get(router, "/v1/jobs").await;
        assert_eq!(
            (field(&body, "/jobs/1/last_run/outcome"), field(&body, "/jobs/0/last_run"), field(&body, "/daemon")),
            ("failed".into(), "null".into(), daemon.into())
        );
    }
}

#[tokio::test]
async fn a_trigger_makes_a_run() {
    let (status, body) =
        post(daemon(made()), "/v1/jobs/daily-report/trigger", r#"{"targets":["eu"],"nominal":"2026-11-01T00:00:00Z"}"#).await;
    assert_eq!((status, body.as_str()), (201, r#"{"id":"daily-report@20261123T120000Z+manual"}"#));
}

#[tokio::test]
async fn a_trigger_is_refused_for_what_it_is() {
    let id = RunId("daily-report@20261123T120000Z".into());
    let refused = [
        (made(), "/v1/jobs/nothing/trigger", "{}", (404, "unknown_job")),
        (made(), "/v1/jobs/daily-report/trigger", r#"{"targets":["mars"]}"#, (404, "unknown_target")),
        (made(), "/v1/jobs/daily-report/trigger", r#"{"command":"rm -rf /"}"#, (400, "bad_request")),
        (made(), "/v1/jobs/daily-report/trigger", "", (400, "bad_request")),
        (Answer::Draining, "/v1/jobs/daily-report/trigger", "{}", (503, "draining")),
        (Answer::Overlapping(id), "/v1/jobs/daily-report/trigger", "{}", (409, "occupied")),
    ];
    for (answer, path, body, expected) in refused {
        check_refused(&post(daemon(answer), path, body).await, expected);
    }
}

#[tokio::test]
async fn a_body_is_json_and_short() {
    let plain = HttpRequest::post("/v1/reload").header(header::CONTENT_TYPE, "text/plain").body(Body::from("{}")).expect("a request");
    check_refused(&send(daemon(made()), plain).await, (415, "not_json"));
    let long = format!("{{\"plan\":{}true}}", " ".repeat(64 * 1024));
    check_refused(&post(daemon(made()), "/v1/reload", &long).await, (413, "body_too_long"));
}

#[tokio::test]
async fn cancel_stops_what_is_live() {
    let (status, body) = post(daemon(Answer::Stopping), "/v1/runs/sync/cancel", "{}").await;
    assert_eq!((status, body.as_str()), (202, r#"{"id":"sync@20261123T060000Z"}"#));
    check_refused(&post(daemon(Answer::NotLive), "/v1/runs/sync/cancel", "{}").await, (409, "not_live"));
}

#[tokio::test]
async fn reload_plans_or_applies() {
    for (body, applied) in [(r#"{"plan":true}"#, "false"), ("{}", "true")] {
        let (status, report) = post(daemon(made()), "/v1/reload", body).await;
        assert_eq!((status, field(&report, "/applied").as_str(), field(&report, "/changed/0/job").as_str()), (200, applied, "sync"));
    }
}

#[tokio::test]
async fn without_a_daemon_its_endpoints_say_so() {
    check_refused(&get(records(), "/v1/status").await, (503, "no_daemon"));
    for path in ["/v1/reload", "/v1/jobs/sync/trigger", "/v1/runs/sync/cancel"] {
        check_refused(&post(records(), path, "{}").await, (503, "no_daemon"));
    }
}

#[tokio::test]
async fn a_loop_that_is_gone_is_leaving() {
    let (requests, incoming) = tokio::sync::mpsc::channel(1);
    drop(incoming);
    let router = live(super::Control::new(requests), FakeHistory::default().share());
    check_refused(&get(router, "/v1/status").await, (503, "leaving"));
}

#[tokio::test]
async fn other_paths_and_methods_are_refused_as_json() {
    check_refused(&get(records(), "/API//x").await, (404, "unknown_path"));
    check_refused(&post(records(), "/v1/runs", "{}").await, (405, "wrong_method"));
}

#[tokio::test]
async fn the_socket_speaks_http() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join(super::SOCKET_FILE);
    let listener = super::Listener::bind(&path).expect("bind");
    let serving = tokio::spawn(super::serve(listener, FakeDaemon::answering(made()).start(), FakeHistory::example().share()));
    let stream = super::connect(&path).expect("connect");
    let (mut sender, connection) = hyper::client::conn::http1::handshake(hyper_util::rt::TokioIo::new(stream)).await.expect("a handshake");
    tokio::spawn(connection);
    let request = HttpRequest::get("/v1/status").header(header::HOST, "batchd").body(Body::empty()).expect("a request");
    assert_eq!(sender.send_request(request).await.expect("an answer").status().as_u16(), 200);
    serving.abort();
}

/// Whether `value` has the shape: the part of JSON Schema that the document uses; whatever else it may come to use fails here.
#[track_caller]
fn check_shape(document: &Value, schema: &Value, value: &Value, place: &str) {
    let Some(schema) = schema.as_object() else { return assert_eq!(schema, &Value::Bool(true), "{place}") };
    for (key, rule) in schema {
        match (key.as_str(), rule) {
            ("description" | "format" | "default" | "title", _) => {}
            ("$ref", Value::String(name)) => check_shape(document, document.pointer(&name[1..]).expect(name), value, place),
            ("type", _) => {
                let kind = match value {
                    Value::Null => "null",
                    Value::Bool(_) => "boolean",
                    Value::String(_) => "string",
                    Value::Array(_) => "array",
                    Value::Object(_) => "object",
                    Value::Number(number) if number.is_i64() || number.is_u64() => "integer",
                    Value::Number(_) => "number",
                };
                let allowed: Vec<&str> = rule
                    .as_array()
                    .map_or_else(|| vec![rule], |kinds| kinds.iter().collect())
                    .into_iter()
                    .filter_map(Value::as_str)
                    .collect();
                assert!(allowed.contains(&kind) || (kind == "integer" && allowed.contains(&"number")), "{place}: {value} is not {rule}");
            }
            ("enum", Value::Array(names)) => assert!(names.contains(value), "{place}: {value}"),
            ("const", _) => assert_eq!(rule, value, "{place}"),
            ("minimum", _) => assert!(value.as_f64().is_none_or(|number| number >= rule.as_f64().expect("a number")), "{place}"),
            ("anyOf" | "oneOf", Value::Array(choices)) => {
                let fits = |choice: &Value| std::panic::catch_unwind(|| check_shape(document, choice, value, place)).is_ok();
                assert!(choices.iter().any(fits), "{place}: {value} is none of {rule}");
            }
            ("items", _) => value.as_array().expect(place).iter().for_each(|item| check_shape(document, rule, item, place)),
            ("required", Value::Array(names)) => {
                let missing: Vec<_> = names.iter().filter(|name| value.get(name.as_str().expect("a name")).is_none()).collect();
                assert!(missing.is_empty(), "{place}: {missing:?} missing");
            }
            ("properties", Value::Object(fields)) => {
                let object = value.as_object().expect(place);
                let unknown: Vec<_> = object.keys().filter(|name| !fields.contains_key(*name)).collect();
                assert!(unknown.is_empty(), "{place}: {unknown:?} is not described");
                object.iter().for_each(|(name, value)| check_shape(document, &fields[name], value, &format!("{place}.{name}")));
            }
            ("additionalProperties", Value::Object(_)) => {
                value.as_object().expect(place).values().for_each(|value| check_shape(document, rule, value, place));
            }
            other => panic!("{place}: nothing says how to check {other:?}"),
        }
    }
}

#[tokio::test]
async fn every_answer_has_the_shape_that_the_document_gives_it() {
    let document = openapi();
    let names = [("{job}", "daily-report"), ("{run}", "daily-report")];
    for (path, methods) in document["paths"].as_object().expect("paths") {
        let (method, described) = methods.as_object().expect("methods").iter().next().expect("one");
        let asked = names.iter().fold(path.clone(), |path, (name, value)| path.replace(name, value));
        let answers = if path.ends_with("/cancel") { Answer::Stopping } else { made() };
        let (status, body) = match method.as_str() {
            "get" => get(daemon(answers), &asked).await,
            _ if path.ends_with("/backfill") => {
                post(daemon(answers), &asked, r#"{"from":"2026-11-01T00:00:00Z","to":"2026-11-03T00:00:00Z"}"#).await
            }
            _ => post(daemon(answers), &asked, "{}").await,
        };
        let described = &described["responses"][status.to_string()]["content"];
        let (media, content) = described.as_object().unwrap_or_else(|| panic!("{path}: {status} {body}")).iter().next().expect("one");
        let values: Vec<Value> = match media.as_str() {
            "application/json" => vec![serde_json::from_str(&body).expect("JSON")],
            _ => body.lines().map(|line| serde_json::from_str(line).expect("JSON lines")).collect(),
        };
        assert!(!values.is_empty(), "{path} answers");
        for value in &values {
            check_shape(&document, &content["schema"], value, path);
        }
    }
}

#[test]
fn the_document_is_the_one_that_is_published() {
    let published = include_str!("../../docs/openapi.json");
    let now = serde_json::to_string_pretty(&openapi()).expect("JSON");
    assert!(published.trim_end() == now, "write it anew: batchd schema --api > docs/openapi.json");
}

#[tokio::test]
async fn a_refusal_has_its_shape_too() {
    let document = openapi();
    let (_, body) = get(records(), "/v1/status").await;
    let schema = &document["paths"]["/v1/status"]["get"]["responses"]["default"]["content"]["application/json"]["schema"];
    check_shape(&document, schema, &serde_json::from_str(&body).expect("JSON"), "a refusal");
}
