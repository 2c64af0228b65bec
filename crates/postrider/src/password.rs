//! Where passwords come from: an option, a file, the terminal without echo, standard input, or chance.

use std::io::{BufRead, IsTerminal};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;

/// Letters and digits that nobody takes for one another.
const ALPHABET: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz123456789";
/// Groups of five characters of five bits: 100 bits.
const GROUPS: usize = 4;

/// How a password is given.
#[derive(Debug, Default, Args)]
#[group(multiple = false)]
pub(crate) struct PasswordSource {
    /// The password (others on this machine can see it while the command runs)
    #[arg(long, value_name = "PASSWORD")]
    password: Option<String>,
    /// Read the password from the first line of this file
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Make a password up and print it
    #[arg(long)]
    generate: bool,
}

/// A password, and whether the user has yet to be told what it is.
#[derive(Debug)]
pub(crate) struct Password {
    pub(crate) text: String,
    pub(crate) generated: bool,
}

impl PasswordSource {
    /// The password that was given; without an option it is asked for.
    pub(crate) fn get(&self) -> anyhow::Result<Password> {
        let text = match self {
            Self { generate: true, .. } => return Ok(Password { text: generate(), generated: true }),
            Self { password: Some(password), .. } => password.clone(),
            Self { password_file: Some(path), .. } => read_file(path)?,
            _ if std::io::stdin().is_terminal() => match ask("Password (leave empty to have one made up): ")?
            {
                empty if empty.is_empty() => return Ok(Password { text: generate(), generated: true }),
                password if password == ask("Once more: ")? => password,
                _ => bail!("the two passwords differ"),
            },
            _ => read_line()?,
        };
        if text.is_empty() {
            bail!("the password is empty; give one, or let --generate make one up");
        }
        Ok(Password { text, generated: false })
    }
}

/// A password nobody can guess and everybody can type.
pub(crate) fn generate() -> String {
    let random: [u8; GROUPS * 5] = rand::random();
    let character = |byte: &u8| char::from(ALPHABET[usize::from(byte % 32)]);
    let groups: Vec<String> = random.chunks(5).map(|group| group.iter().map(character).collect()).collect();
    groups.join("-")
}

/// The first line of a file.
pub(crate) fn read_file(path: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("--password-file: cannot read {}", path.display()))?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// Asks on the terminal, without echo.
pub(crate) fn ask(prompt: &str) -> anyhow::Result<String> {
    rpassword::prompt_password(prompt).context("cannot ask for the password")
}

fn read_line() -> anyhow::Result<String> {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).context("cannot read the password from standard input")?;
    if line.is_empty() {
        bail!("no password was given; use --password-file, --generate, or write it to standard input");
    }
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_password_is_long_and_different_each_time() {
        let password = generate();
        assert_eq!(password.len(), 23);
        assert!(password.bytes().all(|byte| byte == b'-' || ALPHABET.contains(&byte)), "{password}");
        assert_ne!(password, generate());
    }

    #[test]
    fn a_file_gives_its_first_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        std::fs::write(&path, "hush \r\nnot this\n").unwrap();
        let source = PasswordSource { password_file: Some(path.clone()), ..PasswordSource::default() };
        assert_eq!(source.get().unwrap().text, "hush ");
        std::fs::write(&path, "").unwrap();
        assert!(source.get().unwrap_err().to_string().starts_with("the password is empty"));
    }
}
