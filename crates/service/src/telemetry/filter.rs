//! Which records go where.

use tracing_subscriber::filter::{LevelFilter, Targets};

/// What the exporter itself runs on. Exporting its records would make new ones, without end.
const EXPORTER: [&str; 6] = ["h2", "hyper", "hyper_util", "tonic", "tower", "opentelemetry"];

const ADVICE: &str = "write a level, as in \"info\" or \"info,mta=debug\"; \
                      levels are error, warn, info, debug, trace and off";

/// Reads `info` or `info,mta=debug`. `off` is a level too.
pub(crate) fn parse(text: &str) -> Result<Targets, String> {
    // Neither the notices that a database sends nor the exporter's own doings are news.
    let mut targets =
        Targets::new().with_target("opentelemetry", LevelFilter::WARN).with_target("sqlx", LevelFilter::WARN);
    for part in text.split(',').map(str::trim) {
        let (target, level) =
            part.split_once('=').map_or((None, part), |(target, level)| (Some(target), level));
        // Not LevelFilter's own reading, which takes numbers and nothing at all for levels too.
        let level = level_named(level.trim()).ok_or(ADVICE)?;
        targets = match target {
            Some(target) => targets.with_target(target.trim(), level),
            None => targets.with_default(level),
        };
    }
    Ok(targets)
}

fn level_named(name: &str) -> Option<LevelFilter> {
    Some(match name.to_ascii_lowercase().as_str() {
        "off" => LevelFilter::OFF,
        "error" => LevelFilter::ERROR,
        "warn" => LevelFilter::WARN,
        "info" => LevelFilter::INFO,
        "debug" => LevelFilter::DEBUG,
        "trace" => LevelFilter::TRACE,
        _ => return None,
    })
}

/// The same, without anything that exporting makes.
pub(super) fn without_exporter(targets: Targets) -> Targets {
    targets.with_targets(EXPORTER.map(|target| (target, LevelFilter::OFF)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::Level;

    #[test]
    fn a_level_holds_for_all_or_for_one_module() {
        let targets = parse("warn, mta=debug").unwrap();
        assert!(targets.would_enable("mta::scheduler", &Level::DEBUG));
        assert!(!targets.would_enable("msa", &Level::INFO));
        assert!(targets.would_enable("msa", &Level::WARN));
        assert!(!parse("debug").unwrap().would_enable("opentelemetry_sdk", &Level::INFO));
        for wrong in ["", "loud", "mta", "mta=", "mta=loud", "info,"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_the_exporter_does_is_not_exported() {
        let targets = without_exporter(parse("trace").unwrap());
        assert!(!targets.would_enable("h2::codec", &Level::ERROR));
        assert!(!targets.would_enable("opentelemetry-otlp", &Level::WARN));
        assert!(targets.would_enable("mta", &Level::TRACE));
    }
}
