//! What `postrider up` says once everything serves: where it listens, who has an account, and what to do next.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::Serialize;

use super::accounts::Prepared;
use crate::output::{Show, Style};

/// In place of a password that we do not know or need not repeat.
const UNKNOWN: &str = "PASSWORD";
/// More accounts are counted, not named.
const NAMED: usize = 3;

/// Everything worth knowing after a start.
#[derive(Debug, Serialize)]
pub(super) struct Welcome {
    pub(super) data: PathBuf,
    pub(super) sandbox: bool,
    pub(super) listening: BTreeMap<String, SocketAddr>,
    pub(super) accounts: Vec<Prepared>,
    /// Whether HTTP submission is served without TLS.
    pub(super) http_insecure: bool,
    /// Whether clients cannot know the certificate.
    pub(super) self_signed: bool,
    /// How this program is called, with the options that lead to the same data.
    #[serde(skip)]
    pub(super) command: String,
}

impl Show for Welcome {
    fn text(&self, style: Style) -> String {
        let mut lines = vec![String::new(), self.headline(style), String::new()];
        self.places(style, &mut lines);
        self.people(style, &mut lines);
        self.next(style, &mut lines);
        lines.push(String::new());
        lines.push(style.dim("Ctrl-C stops it; nothing that was accepted is lost."));
        lines.push(String::new());
        lines.join("\n")
    }
}

impl Welcome {
    fn headline(&self, style: Style) -> String {
        let up = style.bold("Postrider is up.");
        if self.sandbox {
            format!(
                "{up} It is a sandbox: mail to any address stays here. {}",
                style.dim("(--relay sends it out)")
            )
        } else {
            format!("{up} Mail for other domains is sent out.")
        }
    }

    fn places(&self, style: Style, lines: &mut Vec<String>) {
        let mut place = |label: &str, value: String| {
            lines.push(format!("  {}{value}", style.dim(&format!("{label:12}"))));
        };
        for (name, label, how) in [
            ("submission", "Submission", "STARTTLS, login"),
            ("submission_alt", "", "STARTTLS, login"),
            ("submissions", "", "TLS, login"),
            ("mx", "Incoming", "from other servers"),
        ] {
            if let Some(address) = self.listening.get(name) {
                place(label, format!("{:<17} {}", address.to_string(), style.dim(how)));
            }
        }
        if let Some(http) = self.listening.get("http") {
            let scheme = if self.http_insecure { "http" } else { "https" };
            place("", format!("{scheme}://{http}/v1/messages {}", style.dim("JSON, login")));
        }
        if let Some(health) = self.listening.get("health") {
            place("Health", format!("http://{health}/readyz"));
        }
        place("Data", self.data.display().to_string());
    }

    fn people(&self, style: Style, lines: &mut Vec<String>) {
        lines.push(String::new());
        for account in self.accounts.iter().take(NAMED) {
            let address = style.bold(&account.address.to_string());
            let label = style.dim(&format!("{:12}", "Account"));
            lines.push(format!("  {label}{address}"));
            if let Some(password) = &account.password {
                let label = style.dim(&format!("{:12}", "Password"));
                lines.push(format!("  {label}{}   {}", style.bold(password), style.dim("shown this once")));
            }
        }
        if self.accounts.len() > NAMED {
            let more =
                format!("and {} more; all: {} account list", self.accounts.len() - NAMED, self.command);
            lines.push(format!("  {:12}{}", "", style.dim(&more)));
        }
        match self.accounts.first() {
            None => lines
                .push(format!("  No account yet. Make one: {} account add you@example.org", self.command)),
            Some(account) if !account.made => {
                let reset =
                    format!("password forgotten? {} account password {}", self.command, account.address);
                lines.push(format!("  {:12}{}", "", style.dim(&reset)));
            }
            Some(_) => {}
        }
    }

    fn next(&self, style: Style, lines: &mut Vec<String>) {
        let (Some(account), Some(submission)) = (self.accounts.first(), self.listening.get("submission"))
        else {
            return;
        };
        let address = account.address.to_string();
        let password = account.password.as_deref().unwrap_or(UNKNOWN);
        let server = reachable(*submission);
        let insecure = if self.self_signed { " --insecure" } else { "" };
        let quoted = quote(&address);
        lines.extend([
            String::new(),
            style.dim("Send a message, either way:"),
            String::new(),
            format!("  printf 'From: %s\\nTo: %s\\nSubject: Hello\\n\\nIt works.\\n' {quoted} {quoted} |"),
            format!(
                "    curl --silent --show-error{insecure} --ssl-reqd smtp://{server} --user {} \\",
                quote(&format!("{address}:{password}"))
            ),
            format!("      --mail-from {quoted} --mail-rcpt {quoted} --crlf --upload-file -"),
            String::new(),
            format!(
                "  swaks --server {server} --tls --auth-user {quoted} --auth-password {} \\",
                quote(password)
            ),
            format!("    --from {quoted} --to {quoted}"),
            String::new(),
            style.dim("Read it:"),
            String::new(),
            format!("  {} mail list {quoted}", self.command),
            format!("  {} mail show {quoted} latest", self.command),
        ]);
    }
}

/// Who listens on all addresses is reached on the loopback one.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = if address.ip().is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { address.ip() };
    SocketAddr::new(ip, address.port())
}

/// As a shell takes it for one word.
pub(super) fn quote(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "@%+=:,./-_".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn welcome(password: Option<&str>, made: bool) -> Welcome {
        let address = |port| SocketAddr::from(([0, 0, 0, 0], port));
        Welcome {
            data: "data".into(),
            sandbox: true,
            http_insecure: true,
            listening: [
                ("http".to_owned(), address(8587)),
                ("submission".to_owned(), address(1587)),
                ("mx".to_owned(), address(1025)),
            ]
            .into(),
            accounts: vec![Prepared {
                address: "demo@localhost".parse().unwrap(),
                made,
                password: password.map(str::to_owned),
            }],
            self_signed: true,
            command: "target/release/postrider".to_owned(),
        }
    }

    #[test]
    fn the_first_start_shows_the_password_and_what_to_paste() {
        let text = welcome(Some("abcde-fghij"), true).text(Style::default());
        for part in [
            "It is a sandbox",
            "demo@localhost\n",
            "abcde-fghij   shown this once",
            "smtp://127.0.0.1:1587 --user demo@localhost:abcde-fghij",
            "--insecure",
            "http://0.0.0.0:8587/v1/messages JSON, login",
            "swaks --server 127.0.0.1:1587 --tls --auth-user demo@localhost --auth-password abcde-fghij",
            "target/release/postrider mail list demo@localhost",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        assert!(!text.contains('\x1b'));
    }

    #[test]
    fn later_starts_say_how_to_get_in_again() {
        let text = welcome(None, false).text(Style::default());
        assert!(text.contains("postrider account password demo@localhost"), "{text}");
        assert!(text.contains("--auth-password PASSWORD"), "{text}");
        assert!(!text.contains("shown this once"), "{text}");
    }

    #[test]
    fn a_shell_reads_back_what_was_quoted() {
        assert_eq!(quote("demo@localhost:a-b"), "demo@localhost:a-b");
        assert_eq!(quote("it's $HOME"), r"'it'\''s $HOME'");
        assert_eq!(quote(""), "''");
    }
}
