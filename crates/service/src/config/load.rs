//! Reading the layers and putting them together.
//!
//! The file is read twice: once by itself, while every key still knows its line, and once merged with the other layers.
//! Overlays are laid on one after the other, so that the one that does not fit can be named.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use toml::de::{DeTable, Deserializer};
use toml::{Table, Value};

use super::error::{explain, unknown_name};
use super::overlay::{Overlay, from_environment, from_option};
use super::{ConfigError, TABLES};

/// Where a configuration comes from.
#[derive(Debug, Clone, Default)]
pub struct Source {
    /// Built-in TOML under everything else: what a program wants other than the agents' own defaults.
    pub base: String,
    /// The configuration file (`--config`).
    pub file: Option<PathBuf>,
    /// Variables of the environment; only `POSTRIDER_TABLE__KEY` are looked at.
    pub environment: Vec<(String, String)>,
    /// `key=value`, in the order given (`--set`).
    pub set: Vec<String>,
}

impl Source {
    /// A file, if there is one, the environment of this process, and the `--set` options.
    pub fn new(file: Option<PathBuf>, set: Vec<String>) -> Source {
        // Names and values that are not UTF-8 cannot be configuration of ours.
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Source { base: String::new(), file, environment, set }
    }
}

/// Reads the tables named in `own` into `T`, whose fields have the same names.
pub fn load<T: DeserializeOwned>(source: &Source, own: &[&str]) -> Result<T, ConfigError> {
    let mut table = parse_base(&source.base, own)?;
    if let Some(path) = &source.file {
        merge(&mut table, read_file::<T>(path, own)?);
    }
    let mut overlays = from_environment(&source.environment)?;
    for option in &source.set {
        overlays.push(from_option(option)?);
    }
    overlays.retain(|overlay| own.contains(&overlay.table()));

    let mut settings = deserialize(&table).map_err(|error| ConfigError::invalid("configuration", error))?;
    for overlay in &overlays {
        settings = lay_over(&mut table, overlay)?;
    }
    Ok(settings)
}

fn parse_base(base: &str, own: &[&str]) -> Result<Table, ConfigError> {
    let mut table: Table = toml::from_str(base)
        .map_err(|error: toml::de::Error| ConfigError::invalid("built-in configuration", explain(error)))?;
    table.retain(|name, _| own.contains(&name));
    Ok(table)
}

/// Reads the file on its own, so that what is wrong in it is reported with its line.
fn read_file<T: DeserializeOwned>(path: &Path, own: &[&str]) -> Result<Table, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
        key: "--config".to_owned(),
        path: path.to_owned(),
        source,
    })?;
    let at = |offset: usize, problem: String| ConfigError::File {
        file: path.to_owned(),
        line: line_of(&text, offset),
        problem,
    };
    let wrong = |error: toml::de::Error| at(error.span().map_or(0, |span| span.start), explain(error));

    let mut document = DeTable::parse(&text).map_err(wrong)?;
    for name in document.get_ref().keys() {
        if !TABLES.contains(&name.get_ref().as_ref()) {
            let problem = unknown_name("unknown table", name.get_ref(), "", TABLES.into_iter());
            return Err(at(name.span().start, problem));
        }
    }
    for foreign in TABLES.into_iter().filter(|name| !own.contains(name)) {
        document.get_mut().remove(foreign);
    }
    T::deserialize(Deserializer::from(document.clone())).map_err(wrong)?;
    serde::Deserialize::deserialize(Deserializer::from(document)).map_err(wrong)
}

/// Lays one value over the table. A value that does not fit as TOML may have been meant as text: `--set tls.name=10`.
fn lay_over<T: DeserializeOwned>(table: &mut Table, overlay: &Overlay) -> Result<T, ConfigError> {
    let wrong = |problem| ConfigError::Overlay { origin: overlay.origin.clone(), problem };
    let mut with_value = table.clone();
    overlay.apply(&mut with_value, overlay.value.clone()).map_err(wrong)?;
    let problem = match deserialize(&with_value) {
        Ok(settings) => {
            *table = with_value;
            return Ok(settings);
        }
        Err(problem) => problem,
    };
    if !overlay.value.is_str() {
        let mut with_text = table.clone();
        overlay.apply(&mut with_text, Value::String(overlay.text.clone())).map_err(wrong)?;
        if let Ok(settings) = deserialize(&with_text) {
            *table = with_text;
            return Ok(settings);
        }
    }
    Err(wrong(problem))
}

fn deserialize<T: DeserializeOwned>(table: &Table) -> Result<T, String> {
    T::deserialize(Value::Table(table.clone())).map_err(explain)
}

/// Lays `over` onto `under`, table by table; anything but a table replaces what was there.
fn merge(under: &mut Table, over: Table) {
    for (key, value) in over {
        match (under.get_mut(&key), value) {
            (Some(Value::Table(under)), Value::Table(over)) => merge(under, over),
            (_, value) => {
                under.insert(key, value);
            }
        }
    }
}

/// The line, counted from 1, in which the byte at `offset` lies.
fn line_of(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}

#[cfg(test)]
mod tests;
