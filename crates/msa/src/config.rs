//! `[msa]`: what the mail submission agent listens on, whom it hands mail to, and its limits.

mod auth;

use std::net::SocketAddr;

use mail::{Mailbox, Priority};
use protocol::client;
use serde::{Deserialize, Serialize};
use service::config::{ByteSize, ConfigError, Duration, Networks, Service, Telemetry, Tls};

use crate::http::Http;
pub use auth::{Auth, Named};

/// What the program `msa` reads.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `[service]`
    pub service: Service,
    /// `[telemetry]`
    pub telemetry: Telemetry,
    /// `[tls]`
    pub tls: Tls,
    /// `[limits]`
    pub limits: limits::Limits,
    /// `[msa]`
    pub msa: Settings,
}

impl service::config::Settings for Config {
    const TABLES: &'static [&'static str] = &["service", "telemetry", "tls", "limits", "msa"];

    fn service(&self) -> &Service {
        &self.service
    }

    fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }

    fn check(&self) -> Result<(), ConfigError> {
        for (key, peers) in [("msa.mta", &self.msa.mta), ("msa.mda", &self.msa.mda)] {
            if peers.endpoints.is_empty() {
                let agent = &key[4..];
                let problem =
                    format!("name the {agent}, as in {key} = \"https://{agent}:{}\"", port_of(agent));
                return Err(ConfigError::invalid(key, problem));
            }
        }
        self.limits.check()?;
        self.msa.check(&self.tls)
    }
}

fn port_of(agent: &str) -> u16 {
    if agent == "mta" { 7025 } else { 7026 }
}

/// `[msa]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// `[msa.listen]`
    pub listen: Listen,
    /// The mta that takes the mail: an address such as `https://mta:7025`, a list of them, or a table with more.
    pub mta: client::Settings,
    /// The mda that knows who may submit mail, written as `mta` is.
    pub mda: client::Settings,
    /// What stands between an account's name and a detail, as in `alice+lists@example.org`, which its owner may send as
    /// too; empty for no details. The same as the mda's.
    pub detail_separator: String,
    /// Whether VRFY and EXPN tell those who have authenticated who is here.
    pub verify: bool,
    /// Networks that VRFY and EXPN tell who is here.
    pub verify_from: Networks,
    /// Networks that may say by XCLIENT and XFORWARD whom they speak for.
    pub xclient_from: Networks,
    /// Whether they may also say who has authenticated, which is then believed without a password.
    pub xclient_login: bool,
    /// Networks that may give QUEU, TICK and VERB.
    pub verbs_from: Networks,
    /// Accounts that may give QUEU, TICK and VERB.
    pub administrators: Vec<Mailbox>,
    /// `[msa.auth]`
    pub auth: Auth,
    /// Load balancers that tell in a PROXY header whose connection it is; nobody else may.
    pub proxy_from: Networks,
    /// `[msa.http]`
    pub http: Http,
    /// `[msa.limits]`
    pub limits: Limits,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: Listen::default(),
            mta: client::Settings::default(),
            mda: client::Settings::default(),
            detail_separator: "+".to_owned(),
            verify: false,
            verify_from: Networks::default(),
            xclient_from: Networks::default(),
            xclient_login: false,
            verbs_from: Networks::default(),
            administrators: Vec::new(),
            auth: Auth::default(),
            proxy_from: Networks::default(),
            http: Http::default(),
            limits: Limits::default(),
        }
    }
}

impl Settings {
    /// What the types cannot say, where the other agents are called directly and have no address.
    ///
    /// # Errors
    /// The first setting that cannot be meant, with what to change.
    pub fn check(&self, tls: &Tls) -> Result<(), ConfigError> {
        let mut all = self.listen.all().into_iter().chain([("http", self.listen.http)]);
        let Some((key, _)) = all.find(|(_, address)| address.is_some()) else {
            let problem = "nothing to listen on; write at least one of submission = \"0.0.0.0:587\", \
                           submission_alt = \"0.0.0.0:2525\", submissions = \"0.0.0.0:465\", http = \"0.0.0.0:443\"";
            return Err(ConfigError::invalid("msa.listen", problem));
        };
        for (name, file) in [("tls.certificate_file", &tls.certificate_file), ("tls.key_file", &tls.key_file)]
        {
            if file.is_none() {
                let problem = format!(
                    "not given, and msa.listen.{key} needs a certificate: passwords are taken over TLS only; \
                     give tls.certificate_file and tls.key_file"
                );
                return Err(ConfigError::invalid(name, problem));
            }
        }
        if self.detail_separator.chars().count() > 1 {
            return Err(ConfigError::invalid(
                "msa.detail_separator",
                "write one character, or \"\" for no details",
            ));
        }
        self.auth.check()?;
        self.http.check()?;
        self.limits.check()
    }

    /// The character between a name and its detail.
    #[must_use]
    pub fn separator(&self) -> Option<char> {
        self.detail_separator.chars().next()
    }
}

/// `[msa.listen]`: each of them nowhere by default.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Listen {
    /// Submission with STARTTLS (RFC 6409), port 587.
    pub submission: Option<SocketAddr>,
    /// The same on another port, for networks that block 587; port 2525.
    pub submission_alt: Option<SocketAddr>,
    /// Submission with TLS from the first octet (RFC 8314), port 465.
    pub submissions: Option<SocketAddr>,
    /// Submission by HTTP requests.
    pub http: Option<SocketAddr>,
}

impl Listen {
    /// Names and addresses of those that speak SMTP.
    #[must_use]
    pub fn all(&self) -> [(&'static str, Option<SocketAddr>); 3] {
        [
            ("submission", self.submission),
            ("submission_alt", self.submission_alt),
            ("submissions", self.submissions),
        ]
    }
}

/// `[msa.limits]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Largest message.
    pub message_size: ByteSize,
    /// Recipients in one transaction.
    pub recipients: usize,
    /// Sessions at once, on each address.
    pub sessions: usize,
    /// How many hundredths of them only sessions keep that authenticate.
    pub reserved_percent: u8,
    /// How soon a session that has such a place must authenticate.
    pub reserved_time: Duration,
    /// How long a client that is not known waits for the greeting; not at all by default.
    pub greeting_delay: Duration,
    /// Memory for message content in all sessions together.
    pub message_memory: ByteSize,
    /// How long a session waits for memory before it hears 452.
    pub memory_wait: Duration,
    /// How long a client may stay silent.
    pub idle: Duration,
    /// Refused commands in one session before it is closed.
    pub errors: u32,
    /// Failed authentications in one session before it is closed.
    pub auth_failures: u32,
    /// The least time that BY (RFC 2852) may give with by-mode R.
    pub deliver_by: Duration,
    /// The longest that HOLDFOR and HOLDUNTIL (RFC 4865) hold a message; zero holds none.
    pub hold: Duration,
    /// The highest MT-PRIORITY (RFC 6710) that a client may ask for, from -9 to 9.
    pub priority: i8,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_size: ByteSize::mib(50),
            recipients: 1000,
            sessions: 10_000,
            reserved_percent: 10,
            reserved_time: Duration::from_secs(15),
            greeting_delay: Duration::default(),
            message_memory: ByteSize::mib(256),
            memory_wait: Duration::from_secs(30),
            idle: Duration::from_secs(300),
            errors: 20,
            auth_failures: 5,
            deliver_by: Duration::from_secs(60),
            hold: Duration::from_secs(30 * 86_400),
            priority: 0,
        }
    }
}

impl Limits {
    /// The sessions that [`Limits::reserved_percent`] stands for.
    #[must_use]
    pub fn reserved_sessions(&self) -> usize {
        self.sessions.saturating_mul(self.reserved_percent.into()) / 100
    }

    fn check(&self) -> Result<(), ConfigError> {
        for (key, is_zero) in [
            ("msa.limits.message_size", self.message_size.get() == 0),
            ("msa.limits.recipients", self.recipients == 0),
            ("msa.limits.sessions", self.sessions == 0),
            ("msa.limits.reserved_time", self.reserved_time.is_zero()),
            ("msa.limits.idle", self.idle.is_zero()),
            ("msa.limits.errors", self.errors == 0),
            ("msa.limits.auth_failures", self.auth_failures == 0),
        ] {
            if is_zero {
                return Err(ConfigError::invalid(key, "zero would refuse everything; write more"));
            }
        }
        if Priority::new(self.priority).is_none() {
            return Err(ConfigError::invalid("msa.limits.priority", "write a number from -9 to 9"));
        }
        if self.reserved_percent > 90 {
            let problem = "leaves no place to authenticate from; write a number from 0 to 90";
            return Err(ConfigError::invalid("msa.limits.reserved_percent", problem));
        }
        if self.message_memory < self.message_size {
            let problem = "holds not even one message of msa.limits.message_size; write more";
            return Err(ConfigError::invalid("msa.limits.message_memory", problem));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use service::config::{Settings as _, Source};

    use super::*;

    const WORKING: &str = r#"
        [tls]
        certificate_file = "a.pem"
        key_file = "a.key"
        [msa]
        mta = "https://mta:7025"
        mda = ["https://one:7026", "https://two:7026"]
        listen.submission = "127.0.0.1:0"
    "#;

    fn read(set: &[&str]) -> Result<Config, String> {
        let set = set.iter().map(ToString::to_string).collect();
        let source = Source { base: WORKING.to_owned(), set, ..Source::default() };
        Config::read(&source).map_err(|error| error.to_string())
    }

    #[test]
    fn other_agents_are_named_by_address_list_or_table() {
        let config = read(&[]).unwrap();
        assert_eq!(config.msa.mta.endpoints, ["https://mta:7025"]);
        assert_eq!(config.msa.mda.endpoints, ["https://one:7026", "https://two:7026"]);
        let config =
            read(&["msa.mta={endpoints=[\"http://mta:7025\"], insecure=true, deadline_ms=1}"]).unwrap();
        assert!(config.msa.mta.insecure && config.msa.mta.deadline_ms == 1);
        assert!(read(&["msa.mta={endpoint=\"x\"}"]).unwrap_err().contains("did you mean \"endpoints\"?"));
        // What --check prints is read back.
        let printed = service::config::print(&config).unwrap();
        let source = Source { base: printed, ..Source::default() };
        assert_eq!(Config::read(&source).unwrap().msa.mta, config.msa.mta);
    }

    #[test]
    fn what_is_offered_is_what_is_named_and_what_there_is_an_authority_for() {
        let offered = |set: &[&str]| {
            let names: Vec<_> = read(set).unwrap().msa.auth.offered().iter().map(|m| m.name()).collect();
            names.join(" ")
        };
        assert_eq!(offered(&[]), "PLAIN LOGIN SCRAM-SHA-256 SCRAM-SHA-256-PLUS");
        let tokens = "msa.auth.mechanisms=[\"oauthbearer\", \"plain\", \"PLAIN\"]";
        assert_eq!(offered(&[tokens]), "OAUTHBEARER PLAIN");
        let authority = "msa.auth.client_authority_file=ca.pem";
        assert_eq!(offered(&[tokens, authority]), "OAUTHBEARER PLAIN EXTERNAL");
        assert_eq!(offered(&["msa.auth.mechanisms=[]", authority]), "EXTERNAL");
    }

    #[test]
    fn what_cannot_work_is_refused_with_what_to_change() {
        for (set, words) in [
            ("msa.mta=[]", "msa.mta: name the mta, as in msa.mta = \"https://mta:7025\""),
            ("msa.mda=[]", "msa.mda: name the mda"),
            ("limits.memory_percent=0", "limits.memory_percent: write a number"),
            ("msa.limits.reserved_percent=100", "msa.limits.reserved_percent: leaves no place"),
            ("msa.proxy_from=[\"x\"]", "\"x\" is no network"),
            ("msa.limits.recipients=0", "msa.limits.recipients: zero"),
            ("msa.limits.priority=10", "msa.limits.priority: write a number from -9 to 9"),
            ("msa.limits.message_memory=1KiB", "msa.limits.message_memory: holds not even one"),
            ("msa.detail_separator=--", "one character"),
            ("msa.auth.mechanisms=[]", "msa.auth.mechanisms: without any"),
            (
                "msa.auth.mechanisms=[\"CRAM-MD5\"]",
                "there is no mechanism \"CRAM-MD5\" here; there are PLAIN,",
            ),
            ("msa.auth.mechanisms=[\"external\"]", "give msa.auth.client_authority_file"),
            ("msa.listen.submision=127.0.0.1:1", "did you mean \"submission\"?"),
        ] {
            let error = read(&[set]).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
        let error = Settings::default().check(&Tls::default()).unwrap_err().to_string();
        assert!(error.starts_with("msa.listen: nothing to listen on"), "{error}");
        let mut settings = Settings::default();
        settings.listen.submissions = Some(SocketAddr::from(([127, 0, 0, 1], 465)));
        let error = settings.check(&Tls::default()).unwrap_err().to_string();
        assert!(
            error.starts_with("tls.certificate_file: not given, and msa.listen.submissions needs"),
            "{error}"
        );
    }
}
