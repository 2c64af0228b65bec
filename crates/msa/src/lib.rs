//! The mail submission agent (RFC 6409): authenticates, checks, completes the header, hands over to the mta. It answers 250
//! only once the mta has taken the message, so it owns nothing and may be killed at any time: no disk, no database
//! credential, no key but its TLS key. It knows the mta and the mda by the traits of `protocol` alone.

mod author;
mod completion;
mod config;
mod edit;
mod http;
mod inquiries;
mod metrics;
mod policy;
mod quota;
mod refusal;
mod repair;
mod resent;
mod sender;
mod submission;

use std::net::SocketAddr;
use std::sync::Arc;

use mail::Domain;
use protocol::client::{DirectoryClient, Peers, QueueSummaryClient, QuotasClient, RelayClient};
use protocol::tls::Files;
use protocol::{Directory, QueueSummary, Quotas, Relay};
use service::Context;
use service::clock::Clock;
use service::config::{ConfigError, Tls};
use smtp::server::{self, Budget, Timeouts, TlsMode};
use smtp::tls::{CertificateFiles, ServerTls, TlsError};

pub use config::{Auth, Config, Limits, Listen, Named, Settings};
pub use http::Http;

use http::Api;
use inquiries::Inquiries;
use metrics::Metrics;
use quota::Quota;
use submission::Submissions;

/// The agents that submission depends on, near or far.
#[derive(Clone)]
pub struct Others {
    /// Takes the messages.
    pub relay: Arc<dyn Relay>,
    /// Knows who may submit, and who is ours.
    pub directory: Arc<dyn Directory>,
    /// Knows how much waits.
    pub queue: Arc<dyn QueueSummary>,
    /// Counts what accounts with limits submit.
    pub quotas: Arc<dyn Quotas>,
}

/// Starts the msa as a program of its own: mta and mda are called over gRPC. They need not be there yet: agents start in
/// any order, and as long as one is away clients hear 451.
///
/// # Errors
/// When the configuration cannot be used.
pub async fn start(config: Config, context: Context) -> anyhow::Result<()> {
    let others = connect(&config)?;
    serve(&config, others, &context).await
}

/// Serves submission, and returns once it is listened on; the rest are tasks of the context. Ready means listening: no
/// other condition, for without a working mta or mda a client is still better served by 451 than by no answer.
///
/// # Errors
/// When there is no certificate or an address cannot be listened on.
pub async fn serve(config: &Config, others: Others, context: &Context) -> anyhow::Result<()> {
    config.msa.check(&config.tls)?;
    let listening = context.readiness.condition("msa.listen");
    let certificate = certificate(&config.tls, &config.msa.auth)?;
    let host = Domain::parse(&config.service.hostname())
        .map_err(|error| ConfigError::invalid("service.hostname", error.to_string()))?;
    let settings = Arc::new(sessions(config, &host, &context.clock));
    let agent = Arc::new(Submissions {
        relay: others.relay,
        inquiries: Inquiries {
            directory: Arc::clone(&others.directory),
            queue: others.queue,
            clock: Arc::clone(&context.clock),
        },
        directory: others.directory,
        quota: Quota::new(others.quotas),
        host,
        detail_separator: config.msa.separator(),
        clock: Arc::clone(&context.clock),
        metrics: Metrics::new(),
    });
    for (name, address) in config.msa.listen.all() {
        let Some(address) = address else { continue };
        let listener = service::net::bind(address, &format!("msa.listen.{name}"))?;
        context.listening.add(name, listener.local_addr()?);
        let tls = Arc::clone(certificate.tls());
        let mode = if name == "submissions" { TlsMode::Implicit(tls) } else { TlsMode::StartTls(tls) };
        let serving = server::serve(
            listener,
            Arc::clone(&settings),
            Arc::<Submissions>::clone(&agent),
            mode,
            context.shutdown.token(),
        );
        context.shutdown.spawn("submission", async move {
            serving.await;
            Ok(())
        });
    }
    if let Some(address) = config.msa.listen.http {
        serve_http(config, address, agent, settings, certificate.tls(), context)?;
    }
    let token = context.shutdown.token();
    context.shutdown.spawn("the watch over the certificate", async move {
        certificate.keep_current(token).await;
        Ok(())
    });
    listening.ready();
    Ok(())
}

fn serve_http(
    config: &Config,
    address: SocketAddr,
    agent: Arc<Submissions>,
    sessions: Arc<server::Settings>,
    certificate: &Arc<ServerTls>,
    context: &Context,
) -> anyhow::Result<()> {
    let listener = service::net::bind(address, "msa.listen.http")?;
    let address = listener.local_addr()?;
    context.listening.add("http", address);
    let settings = config.msa.http.clone();
    if settings.insecure && !address.ip().is_loopback() {
        tracing::warn!(%address, "HTTP submission is served without TLS: passwords pass in clear text");
    }
    let tls = (!settings.insecure).then(|| Arc::clone(certificate));
    let serving = http::serve(listener, Api::new(agent, settings, sessions), tls, context.shutdown.token());
    context.shutdown.spawn("HTTP submission", async move {
        serving.await;
        Ok(())
    });
    Ok(())
}

/// Submission needs TLS, so it needs a certificate.
fn certificate(tls: &Tls, auth: &Auth) -> Result<CertificateFiles, ConfigError> {
    let (Some(certificate), Some(key)) = (&tls.certificate_file, &tls.key_file) else {
        let missing = if tls.certificate_file.is_none() { "tls.certificate_file" } else { "tls.key_file" };
        return Err(ConfigError::invalid(missing, "not given; write the path of a PEM file"));
    };
    let authority = auth.client_authority_file.as_deref();
    CertificateFiles::asking_clients(certificate, key, authority).map_err(|error| {
        let key = match &error {
            TlsError::Pem { path, .. } if Some(path.as_path()) == authority => {
                "msa.auth.client_authority_file"
            }
            _ => "tls.certificate_file",
        };
        ConfigError::invalid(key, error.to_string())
    })
}

fn connect(config: &Config) -> anyhow::Result<Others> {
    let agents = &config.tls.agents;
    let files = Files {
        certificate_file: agents.certificate_file.clone(),
        key_file: agents.key_file.clone(),
        authority_file: agents.authority_file.clone(),
    };
    let unusable = |key: &str, error: protocol::SetupError| ConfigError::invalid(key, error.to_string());
    let credentials = files.load().map_err(|error| unusable("tls.agents", error))?;
    let peers = |key, settings: &protocol::client::Settings| {
        Peers::new(settings.clone(), credentials.as_ref()).map_err(|error| unusable(key, error))
    };
    let relay = peers("msa.mta", &config.msa.mta)?;
    let directory = peers("msa.mda", &config.msa.mda)?;
    Ok(Others {
        queue: Arc::new(QueueSummaryClient::new(relay.clone())),
        relay: Arc::new(RelayClient::new(relay)),
        quotas: Arc::new(QuotasClient::new(directory.clone())),
        directory: Arc::new(DirectoryClient::new(directory)),
    })
}

/// AUTH is required, and offered over TLS alone (RFC 8314 3.3, RFC 4954 4).
fn sessions(config: &Config, host: &Domain, clock: &Arc<dyn Clock>) -> server::Settings {
    let (settings, limits) = (&config.msa, &config.msa.limits);
    config.limits.apply(server::Settings {
        hostname: host.to_string(),
        max_size: limits.message_size.as_usize(),
        max_recipients: limits.recipients,
        max_errors: limits.errors,
        max_auth_failures: limits.auth_failures,
        max_sessions: limits.sessions,
        mechanisms: settings.auth.offered(),
        reserved_sessions: limits.reserved_sessions(),
        greeting_delay: limits.greeting_delay.get(),
        proxy_from: settings.proxy_from.to_vec(),
        require_authentication: true,
        require_tls: true,
        policy: policy::of(settings, clock),
        timeouts: Timeouts {
            command: limits.idle.get(),
            authentication: limits.reserved_time.get(),
            ..Timeouts::default()
        },
        message_memory: Budget::new(limits.message_memory.as_usize()),
        memory_wait: limits.memory_wait.get(),
        ..server::Settings::default()
    })
}
