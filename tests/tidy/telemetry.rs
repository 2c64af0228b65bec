//! docs/telemetry.md names every span with its fields, every metric, and sentences of the log that are in the code; and nothing
//! else.

use std::collections::{BTreeMap, BTreeSet};

use crate::macros::calls;
use crate::tree::{codes, program_sources, read, rows, section};

type Names = BTreeMap<String, BTreeSet<String>>;

/// Fields for the exporter, which become something else on the wire.
const FOR_THE_EXPORTER: &str = "otel.";

fn spans_in_code() -> Names {
    let mut spans = Names::new();
    for (path, text) in program_sources() {
        for call in calls(&text).into_iter().filter(|call| call.name.ends_with("span")) {
            let name = call.text().unwrap_or_else(|| panic!("{path}: a span without a name: {call:?}"));
            let fields = call.fields().into_iter().filter(|field| !field.starts_with(FOR_THE_EXPORTER));
            let fields: Vec<_> = fields.map(ToOwned::to_owned).collect();
            spans.entry(name.to_owned()).or_default().extend(fields);
        }
        let attribute = concat!("#[", "instrument");
        assert!(!text.contains(attribute), "{path}: spans are made by macros, where this test sees them");
    }
    spans
}

fn spans_in_document() -> Names {
    let document = read("docs/telemetry.md");
    let mut spans = Names::new();
    for row in rows(section(&document, "## Spans")) {
        let mut family = String::new();
        for name in codes(&row[0]) {
            let name = name.strip_prefix('.').map_or(name.clone(), |end| format!("{family}.{end}"));
            family = name.split('.').next().unwrap_or_default().to_owned();
            // `queue_id` (show): the field of that span alone.
            let fields = row[2].split(", ").filter_map(|field| {
                let only = field.split_once(" (").map(|(_, only)| only.trim_end_matches(')'));
                let elsewhere = only.is_some_and(|only| {
                    codes(&row[0]).iter().any(|other| other.ends_with(&format!(".{only}")))
                        && !name.ends_with(&format!(".{only}"))
                });
                codes(field).into_iter().next().filter(|_| !elsewhere)
            });
            spans.entry(name.clone()).or_default().extend(fields);
        }
    }
    spans
}

#[test]
fn spans_and_their_fields() {
    assert_eq!(spans_in_document(), spans_in_code(), "docs/telemetry.md, then the code");
}

#[test]
fn every_span_of_the_picture_exists() {
    let document = read("docs/telemetry.md");
    let picture = section(&document, "## One trace a message").split("```").nth(1).unwrap();
    let spans = spans_in_code();
    for line in picture.lines().filter(|line| !line.trim().is_empty()) {
        let name = line.trim_start_matches([' ', '│', '├', '└', '─']).split(' ').next().unwrap();
        assert!(spans.contains_key(name), "the picture shows {name}");
    }
}

/// OTLP name and Prometheus name of each instrument.
fn metrics_in_code() -> BTreeMap<String, String> {
    let mut metrics = BTreeMap::new();
    for (_, text) in program_sources() {
        for (start, suffix) in [("_counter(\"", "_total"), ("_histogram(\"", ""), ("_gauge(\"", "")] {
            for (at, _) in text.match_indices(start) {
                let rest = &text[at + start.len()..];
                let (name, rest) = rest.split_once('"').unwrap();
                let built = rest.split(".build()").next().unwrap_or_default();
                let unit = match built.split_once(".with_unit(\"").and_then(|(_, unit)| unit.split_once('"'))
                {
                    Some(("s", _)) => "_seconds",
                    Some(("By", _)) => "_bytes",
                    // A word for people, as in "{message}".
                    Some((word, _)) if word.starts_with('{') => "",
                    Some((other, _)) => panic!("{name}: what is the unit {other} for Prometheus?"),
                    None => "",
                };
                metrics.insert(name.to_owned(), format!("{}{unit}{suffix}", name.replace('.', "_")));
            }
        }
    }
    metrics
}

#[test]
fn metrics_under_both_names() {
    let document = read("docs/telemetry.md");
    let documented: BTreeMap<_, _> = rows(section(&document, "## Metrics"))
        .into_iter()
        .map(|row| (codes(&row[0]).remove(0), codes(&row[1]).remove(0)))
        .collect();
    assert_eq!(documented, metrics_in_code(), "docs/telemetry.md, then the code");
}

#[test]
fn what_to_watch_is_measured() {
    let document = read("docs/telemetry.md");
    let names: BTreeSet<_> = metrics_in_code().into_values().collect();
    let watched = codes(section(&document, "## Metrics")).into_iter().filter(|code| code.contains("_total"));
    for code in watched {
        let name = code.split('{').next().unwrap();
        assert!(names.contains(name), "{name} is to be watched and is no metric");
    }
}

#[test]
fn sentences_of_the_log_with_level_and_fields() {
    let document = read("docs/telemetry.md");
    let mut events = Vec::new();
    for (_, text) in program_sources() {
        let said = calls(&text).into_iter().filter(|call| !call.name.ends_with("span"));
        events.extend(said);
    }
    for row in rows(section(&document, "## Logs")) {
        for sentence in codes(&row[0]) {
            let start = sentence.split(' ').next().unwrap();
            // One call for several actions, as in "message {}".
            let general = format!("{start} {{}}");
            let says = |text: &str| events.iter().find(|event| event.text() == Some(text));
            let event = says(&sentence).or_else(|| says(&general));
            let event = event.unwrap_or_else(|| panic!("nothing says: {sentence}"));
            assert_eq!(event.name, row[1], "the level of: {sentence}");
            for field in codes(&row[2]) {
                assert!(event.fields().contains(&field.as_str()), "{sentence}: no {field} in {event:?}");
            }
        }
    }
}

#[test]
fn the_queue_id_has_one_name() {
    for (path, text) in program_sources() {
        for call in calls(&text) {
            let other =
                call.fields().into_iter().find(|field| ["id", "queue.id", "message_id"].contains(field));
            assert!(other.is_none(), "{path}: queue_id is its name: {call:?}");
        }
    }
}
