//! The administrative verbs, one file each: what they are asked, whom they ask, and what they show.

pub(crate) mod account;
pub(crate) mod alias;
pub(crate) mod config;
pub(crate) mod domain;
mod limits;
pub(crate) mod mail;
pub(crate) mod migrate;
pub(crate) mod queue;

use serde::Serialize;

use crate::output::{Show, Style};

/// Something that was done, in one sentence.
#[derive(Debug, Serialize)]
pub(crate) struct Done {
    done: String,
}

impl Done {
    pub(crate) fn new(done: String) -> Self {
        Self { done }
    }
}

impl Show for Done {
    fn text(&self, _: Style) -> String {
        self.done.clone()
    }
}

/// The form in which lists go to programs and people.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct List<T>(pub(crate) Vec<T>);
