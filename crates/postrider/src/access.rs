//! The way to what administrative verbs are about: by gRPC to agents elsewhere where `[admin]` names them, or else straight
//! to the stores, which works beside a running `postrider up` and without one. Which it is, the verbs do not know.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use protocol::client::{
    DirectoryAdminClient, MailboxesClient, Peers, QueueAdminClient, Settings as PeerSettings,
};
use protocol::tls::Files;
use protocol::{DirectoryAdmin, Mailboxes, QueueAdmin};
use service::exit::{Code, Stop};

use crate::settings::{Place, Settings};

/// How long a database may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Domains, accounts and aliases.
pub(crate) async fn directory(place: &Place) -> anyhow::Result<Arc<dyn DirectoryAdmin>> {
    let settings = place.read()?;
    match &settings.admin.mda {
        Some(mda) => Ok(Arc::new(DirectoryAdminClient::new(peers("admin.mda", mda, &settings)?))),
        None => Ok(open_mda(place, settings).await?.admin),
    }
}

/// Mailboxes.
pub(crate) async fn mailboxes(place: &Place) -> anyhow::Result<Arc<dyn Mailboxes>> {
    let settings = place.read()?;
    match &settings.admin.mda {
        Some(mda) => Ok(Arc::new(MailboxesClient::new(peers("admin.mda", mda, &settings)?))),
        None => Ok(open_mda(place, settings).await?.mailboxes),
    }
}

/// The queue.
pub(crate) async fn queue(place: &Place) -> anyhow::Result<Arc<dyn QueueAdmin>> {
    let settings = place.read()?;
    if let Some(mta) = &settings.admin.mta {
        return Ok(Arc::new(QueueAdminClient::new(peers("admin.mta", mta, &settings)?)));
    }
    present(place, sqlite_path(&settings.queue.url).map(PathBuf::from))?;
    let views =
        queue::Views::open(&settings.queue.url).await.map_err(|error| Stop::new(Code::Unavailable, error))?;
    Ok(Arc::new(mta::queue_admin::QueueAdmin(views)))
}

async fn open_mda(place: &Place, settings: Settings) -> anyhow::Result<mda::Mda> {
    present(place, directory_path(settings.directory.url.expose()))?;
    // An mda waits for its database for ever; a person does not.
    let (settings, context) = (settings.mda(), service::Context::default());
    // On the heap, because every verb that asks the directory would be as large.
    let opened = tokio::time::timeout(PATIENCE, Box::pin(mda::Mda::open(&settings, &context))).await;
    opened.map_err(|_| {
        let silence = format!("directory.url: the database does not answer within {PATIENCE:?}");
        Stop::new(Code::Unavailable, anyhow::Error::msg(silence))
    })?
}

fn peers(key: &str, endpoint: &str, settings: &Settings) -> anyhow::Result<Peers> {
    let agents = settings.tls.agents.clone();
    let files = Files {
        certificate_file: agents.certificate_file,
        key_file: agents.key_file,
        authority_file: agents.authority_file,
    };
    let connect = || {
        let credentials = files.load()?;
        let endpoints = vec![endpoint.to_owned()];
        let peers = PeerSettings { endpoints, insecure: settings.admin.insecure, ..PeerSettings::default() };
        Peers::new(peers, credentials.as_ref())
    };
    connect().map_err(|error| Stop::new(Code::Config, error)).with_context(|| key.to_owned())
}

/// A file of SQLite that is not there means that the user looks in the wrong place; making it would hide that.
fn present(place: &Place, path: Option<PathBuf>) -> Result<(), Stop> {
    let Some(path) = path.filter(|path| !path.exists()) else { return Ok(()) };
    let advice = if place.config().is_some() {
        format!("nothing at {}; run \"postrider migrate\" with this configuration first", path.display())
    } else {
        format!(
            "no data in {}; start \"postrider up\" first, or name another folder with --data",
            path.parent().unwrap_or(Path::new(".")).display()
        )
    };
    Err(Stop::new(Code::Unavailable, anyhow::Error::msg(advice)))
}

/// What stands behind `sqlite:`.
fn sqlite_path(url: &str) -> Option<&str> {
    let path = url.strip_prefix("sqlite:")?;
    Some(path.strip_prefix("//").unwrap_or(path))
}

/// The directory's file, whose path is read as a part of a URL.
fn directory_path(url: &str) -> Option<PathBuf> {
    let path = sqlite_path(url)?.split('?').next()?;
    Some(PathBuf::from(path.replace("%3F", "?").replace("%25", "%")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_a_url() {
        for (url, path) in [
            ("sqlite:data/queue.db", Some("data/queue.db")),
            ("sqlite:/a/queue.db", Some("/a/queue.db")),
            ("sqlite:///a/queue.db?mode=rwc", Some("/a/queue.db")),
            ("sqlite:a%25b%3F/queue.db", Some("a%b?/queue.db")),
            ("postgres://db/queue", None),
        ] {
            assert_eq!(directory_path(url), path.map(PathBuf::from), "{url}");
        }
    }
}
