//! `postrider certificates`: an authority and what it signs, so that agents on several machines or in containers know each
//! other. One folder for each agent with just what that agent may read. Idempotent: what is there already stays.
//!
//! ```text
//! OUT/authority/authority.pem authority.key     the authority; its key is needed for further certificates only
//! OUT/NAME/agent.pem agent.key authority.pem    for [tls.agents] of the agent NAME
//! OUT/NAME/smtp.pem smtp.key                    for [tls] of the agents that speak SMTP, with --smtp
//! ```

mod files;
mod issue;

use std::path::PathBuf;

use anyhow::{Context, ensure};
use clap::Args;
use serde::Serialize;

use crate::output::{Output, Show, Style};

pub(crate) use files::write_pair;
pub(crate) use issue::self_signed;

/// The arguments of `postrider certificates`.
#[derive(Debug, Args)]
pub(crate) struct Certificates {
    /// The folder to write to, one folder in it for each agent
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Also a certificate for SMTP with this host name (repeatable; the first is the subject)
    #[arg(long = "smtp", alias = "smtp-name", value_name = "HOST")]
    smtp: Vec<String>,
    /// Who gets the certificate for SMTP
    #[arg(long, value_name = "NAMES", value_delimiter = ',', default_value = "msa,mta", requires = "smtp")]
    smtp_for: Vec<String>,
    /// The agents, by the host names that others call them by
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
}

/// What was made and what was there.
#[derive(Debug, Default, Serialize)]
struct Made {
    made: Vec<PathBuf>,
    kept: Vec<PathBuf>,
}

impl Show for Made {
    fn text(&self, style: Style) -> String {
        let made = self.made.iter().map(|path| format!("made  {}", path.display()));
        let kept = self.kept.iter().map(|path| style.dim(&format!("kept  {}", path.display())));
        made.chain(kept).collect::<Vec<_>>().join("\n")
    }
}

/// Makes what is missing.
pub(crate) fn run(arguments: &Certificates, output: Output) -> anyhow::Result<()> {
    for name in arguments.names.iter().chain(&arguments.smtp) {
        ensure!(
            mail::Domain::parse(name).is_ok_and(|name| name.is_ascii()),
            "\"{name}\" is no name for a certificate; write a host name, as in mta or mail.example.org"
        );
        ensure!(name != AUTHORITY, "\"{AUTHORITY}\" is the authority's own folder; name the agent otherwise");
    }
    let mut made = Made::default();
    let home = arguments.out.join(AUTHORITY);
    let pair = [home.join("authority.pem"), home.join("authority.key")];
    if made.missing(&pair)? {
        write_pair(&pair, &issue::authority()?)?;
    }
    let authority =
        std::fs::read_to_string(&pair[0]).with_context(|| format!("cannot read {}", pair[0].display()))?;
    let key =
        std::fs::read_to_string(&pair[1]).with_context(|| format!("cannot read {}", pair[1].display()))?;
    let issuer = issue::issuer(&authority, &key)
        .with_context(|| format!("{} is no authority that can sign", home.display()))?;
    for name in &arguments.names {
        let folder = arguments.out.join(name);
        let pair = [folder.join("agent.pem"), folder.join("agent.key")];
        if made.missing(&pair)? {
            write_pair(&pair, &issue::agent(name, &issuer)?)?;
        }
        let copy = folder.join("authority.pem");
        if std::fs::read_to_string(&copy).ok().as_ref() != Some(&authority) {
            files::write(&copy, &authority, 0o644)?;
        }
        let pair = [folder.join("smtp.pem"), folder.join("smtp.key")];
        if !arguments.smtp.is_empty() && arguments.smtp_for.contains(name) && made.missing(&pair)? {
            write_pair(&pair, &issue::server(&arguments.smtp, &issuer)?)?;
        }
    }
    output.show(&made)
}

/// The name of the authority's folder.
const AUTHORITY: &str = "authority";

impl Made {
    /// Whether the pair has to be made. Half a pair is somebody's mistake, and not ours to overwrite.
    fn missing(&mut self, pair: &[PathBuf; 2]) -> anyhow::Result<bool> {
        let [certificate, key] = pair;
        match (certificate.exists(), key.exists()) {
            // A key alone is what a run leaves that was broken off: it is written first.
            (false, _) => self.made.push(certificate.clone()),
            (true, true) => self.kept.push(certificate.clone()),
            (true, false) => anyhow::bail!(
                "{} is there and its key {} is not; restore the key, or remove the certificate to get a new pair",
                certificate.display(),
                key.display()
            ),
        }
        Ok(!certificate.exists())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn arguments(out: &std::path::Path) -> Certificates {
        let names = ["msa", "mda"].map(str::to_owned).to_vec();
        let smtp = vec!["mail.example.test".to_owned()];
        Certificates { out: out.to_owned(), smtp, smtp_for: vec!["msa".to_owned()], names }
    }

    #[test]
    fn what_is_there_stays_and_each_agent_gets_only_what_it_needs() {
        let folder = tempfile::tempdir().unwrap();
        let arguments = arguments(folder.path());
        run(&arguments, Output::new(true)).unwrap();
        let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
        let files =
            ["authority/authority.key", "msa/agent.pem", "msa/agent.key", "msa/smtp.pem", "mda/agent.pem"];
        let first = files.map(read);
        run(&arguments, Output::new(true)).unwrap();
        assert_eq!(first, files.map(read));
        assert_eq!(read("mda/authority.pem"), read("authority/authority.pem"));
        assert!(!folder.path().join("mda/smtp.key").exists());
        let mode = std::fs::metadata(folder.path().join("msa/agent.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        smtp::tls::ServerTls::from_pem_files(
            &folder.path().join("msa/smtp.pem"),
            &folder.path().join("msa/smtp.key"),
        )
        .unwrap();
    }

    #[test]
    fn a_certificate_without_its_key_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let arguments = arguments(folder.path());
        run(&arguments, Output::new(true)).unwrap();
        std::fs::remove_file(folder.path().join("msa/agent.key")).unwrap();
        let error = run(&arguments, Output::new(true)).unwrap_err().to_string();
        assert!(error.contains("agent.key is not; restore the key"), "{error}");
    }

    #[test]
    fn names_that_are_no_names_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["../x", "a b", "authority"] {
            let mut arguments = arguments(folder.path());
            arguments.names.push(name.to_owned());
            assert!(run(&arguments, Output::new(true)).is_err(), "{name}");
        }
    }
}
