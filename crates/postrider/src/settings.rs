//! The configuration of the program for people: the tables of all agents and `[admin]`, over defaults with which everything
//! runs on loopback and in one data folder.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::{Deserialize, Serialize, Serializer};
use service::config::{ConfigError, SecretUrl, Service, Settings as _, Source, Telemetry, Tls};

/// The data folder where none is named.
pub(crate) const DEFAULT_DATA: &str = "data";

/// Where `--help` shows the options that all commands have.
pub(crate) const COMMON: &str = "Common options";

/// Which installation a command is about.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Place {
    /// The folder with queue, directory, mailboxes and certificate [default: data]
    #[arg(long, value_name = "DIR", global = true, help_heading = COMMON)]
    pub(crate) data: Option<PathBuf>,
    #[arg(
        long,
        value_name = "FILE",
        global = true,
        help_heading = COMMON,
        help = "The configuration file (TOML) [environment: POSTRIDER_CONFIG]"
    )]
    config: Option<PathBuf>,
    /// Set one configuration key, as in mta.listen.mx=127.0.0.1:2500 (repeatable)
    #[arg(long, value_name = "KEY=VALUE", global = true, help_heading = COMMON)]
    set: Vec<String>,
}

impl Place {
    /// The data folder.
    pub(crate) fn folder(&self) -> &Path {
        self.data.as_deref().unwrap_or(Path::new(DEFAULT_DATA))
    }

    /// The configuration file, by option or environment.
    pub(crate) fn config(&self) -> Option<PathBuf> {
        let named =
            || std::env::var_os("POSTRIDER_CONFIG").filter(|path| !path.is_empty()).map(PathBuf::from);
        self.config.clone().or_else(named)
    }

    /// The options that lead another command to the same data. A URL with a password is left out: nobody wants to see it.
    pub(crate) fn options(&self) -> Vec<String> {
        let path = |option: &str, path: PathBuf| [option.to_owned(), path.to_string_lossy().into_owned()];
        let mut options = Vec::new();
        options.extend(self.data.clone().into_iter().flat_map(|folder| path("--data", folder)));
        options.extend(self.config.clone().into_iter().flat_map(|file| path("--config", file)));
        for set in &self.set {
            let (key, value) = set.split_once('=').unwrap_or((set, ""));
            let about_data = ["queue.", "directory.", "mda."].iter().any(|table| key.starts_with(table));
            if about_data && SecretUrl::new(value).to_string() == value {
                options.extend(["--set".to_owned(), set.clone()]);
            }
        }
        options
    }

    /// Reads the configuration as every command sees it.
    pub(crate) fn read(&self) -> Result<Settings, ConfigError> {
        self.read_with(false)
    }

    /// Reads it with `service.sandbox` on or off by default.
    pub(crate) fn read_with(&self, sandbox: bool) -> Result<Settings, ConfigError> {
        let mut source = Source::new(self.config(), self.set.clone());
        source.base = base(self.folder(), sandbox)?;
        Settings::read(&source)
    }
}

/// All tables.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    pub(crate) service: Service,
    pub(crate) telemetry: Telemetry,
    pub(crate) tls: Tls,
    pub(crate) limits: limits::Limits,
    #[serde(serialize_with = "without_password")]
    pub(crate) queue: queue::Settings,
    pub(crate) directory: mda::DirectorySettings,
    pub(crate) msa: msa::Settings,
    pub(crate) mta: mta::Settings,
    pub(crate) mda: mda::Settings,
    pub(crate) admin: Admin,
}

/// `[admin]`: agents elsewhere that administrative commands ask. Without it they open the stores themselves.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Admin {
    /// Where an mda answers, as in `https://mda:7026`: accounts, domains, aliases and mailboxes.
    pub(crate) mda: Option<String>,
    /// Where an mta answers, as in `https://mta:7025`: the queue.
    pub(crate) mta: Option<String>,
    /// Allows `http://` beyond loopback, where the network itself is trusted.
    pub(crate) insecure: bool,
}

impl service::config::Settings for Settings {
    const TABLES: &'static [&'static str] =
        &["service", "telemetry", "tls", "limits", "queue", "directory", "msa", "mta", "mda", "admin"];

    fn service(&self) -> &Service {
        &self.service
    }

    fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }

    fn check(&self) -> Result<(), ConfigError> {
        self.limits.check()?;
        self.msa.check(&self.tls)?;
        mda::Config::check(&self.mda())?;
        mta::Config::check(&self.mta())
    }
}

impl Settings {
    /// What the msa reads.
    pub(crate) fn msa(&self) -> msa::Config {
        let Self { service, telemetry, tls, limits, msa, .. } = self.clone();
        msa::Config { service, telemetry, tls, limits, msa }
    }

    /// What the mta reads.
    pub(crate) fn mta(&self) -> mta::Config {
        let Self { service, telemetry, tls, limits, queue, mta, .. } = self.clone();
        mta::Config { service, telemetry, tls, limits, queue, mta }
    }

    /// What the mda reads.
    pub(crate) fn mda(&self) -> mda::Config {
        let Self { service, telemetry, tls, directory, mda, .. } = self.clone();
        mda::Config { service, telemetry, tls, directory, mda }
    }
}

fn without_password<S: Serializer>(settings: &queue::Settings, serializer: S) -> Result<S::Ok, S::Error> {
    let url = SecretUrl::new(settings.url.as_str()).to_string();
    queue::Settings { url, ..settings.clone() }.serialize(serializer)
}

/// Everything on loopback, on ports that need no privilege, in one folder.
fn base(folder: &Path, sandbox: bool) -> Result<String, ConfigError> {
    let folder = folder
        .to_str()
        .ok_or_else(|| ConfigError::invalid("--data", "the folder's name is not UTF-8; choose another"))?;
    let mut base = format!(
        r#"
            service.sandbox = {sandbox}
            service.listen.health = "127.0.0.1:8025"
            msa.listen.submission = "127.0.0.1:1587"
            msa.listen.submission_alt = "127.0.0.1:2525"
            msa.listen.submissions = "127.0.0.1:1465"
            msa.listen.http = "127.0.0.1:8587"
            msa.http.insecure = {sandbox}
            mta.listen.mx = "127.0.0.1:1025"
        "#
    );
    // The directory's path is read as a part of a URL, the queue's as it stands.
    let quoted = folder.replace('%', "%25").replace('?', "%3F");
    for (key, value) in [
        ("queue.url", format!("sqlite:{folder}/queue.db")),
        ("directory.url", format!("sqlite:{quoted}/directory.db")),
        ("mda.mail", format!("{folder}/mail")),
        ("tls.certificate_file", format!("{folder}/tls/certificate.pem")),
        ("tls.key_file", format!("{folder}/tls/key.pem")),
    ] {
        // JSON text in quotes is TOML text in quotes.
        let value = serde_json::Value::String(value);
        // Writing to a String cannot fail.
        let _ = writeln!(base, "{key} = {value}");
    }
    Ok(base)
}

/// The certificate and key that `up` makes in the data folder.
pub(crate) fn own_certificate(folder: &Path) -> [PathBuf; 2] {
    [folder.join("tls/certificate.pem"), folder.join("tls/key.pem")]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(data: &str, set: &[&str]) -> Place {
        Place { data: Some(data.into()), config: None, set: set.iter().map(ToString::to_string).collect() }
    }

    #[test]
    fn without_configuration_all_is_on_loopback_and_in_the_folder() {
        let settings = place("/x/a \"b\"%?", &[]).read_with(true).unwrap();
        assert!(settings.service.sandbox);
        assert_eq!(settings.mta.listen.mx.unwrap().to_string(), "127.0.0.1:1025");
        assert_eq!(settings.tls.key_file.unwrap(), PathBuf::from("/x/a \"b\"%?/tls/key.pem"));
        let [certificate, _] = own_certificate(Path::new("/x/a \"b\"%?"));
        assert_eq!(settings.tls.certificate_file.unwrap(), certificate);
        assert_eq!(settings.directory.url.expose(), "sqlite:/x/a \"b\"%25%3F/directory.db");
        assert_eq!(settings.queue.url, "sqlite:/x/a \"b\"%?/queue.db");
    }

    #[test]
    fn a_command_to_paste_leads_to_the_same_data_and_holds_no_password() {
        let set =
            ["mta.listen.mx=127.0.0.1:0", "directory.url=postgres://u:hush@db/d", "queue.url=sqlite:/q.db"];
        assert_eq!(place("d", &set).options(), ["--data", "d", "--set", "queue.url=sqlite:/q.db"]);
    }

    #[test]
    fn what_is_set_wins_and_what_is_unknown_is_refused() {
        let settings =
            place("d", &["service.sandbox=false", "admin.mta=https://mta:7025"]).read_with(true).unwrap();
        assert!(!settings.service.sandbox);
        assert_eq!(settings.admin.mta.as_deref(), Some("https://mta:7025"));
        let error = place("d", &["admin.mtaa=x"]).read().unwrap_err().to_string();
        assert!(error.contains("did you mean \"mta\"?"), "{error}");
    }
}
