//! Settings: flags, then `SALAMANDER_…` variables (both by clap), then the file, then defaults.
//!
//! The file is TOML. A key that is not known is an error that names the nearest one: a misspelt setting must never
//! be a silent default. Passwords and tokens stand in it as references only, `${VARIABLE}` or `${file:PATH}`.

use anyhow::{Context, bail};
use salamander_serve::{Auth, Credentials, NamedToken, UserPassword};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const KEYS: &[&str] = &["data_dir", "listen_flight", "listen_eventhubs", "server", "log", "auth"];
const AUTH_KEYS: &[&str] = &["users", "tokens"];
/// How different a key may be from the one that is suggested (0 to 1, 1 = the same).
const SIMILAR: f64 = 0.7;

/// What a file sets.
#[derive(Debug, Default, Deserialize, PartialEq, Eq)]
pub(crate) struct FileConfig {
    /// `server --data-dir`.
    pub(crate) data_dir: Option<PathBuf>,
    /// `server --listen-flight`.
    pub(crate) listen_flight: Option<String>,
    /// `server --listen-eventhubs`.
    pub(crate) listen_eventhubs: Option<String>,
    /// `--server` of the client commands.
    pub(crate) server: Option<String>,
    /// `--log`.
    pub(crate) log: Option<String>,
    /// Who may connect to the server; nobody is asked without it.
    pub(crate) auth: Option<AuthConfig>,
}

/// Principals and where their secrets are.
#[derive(Debug, Default, Deserialize, PartialEq, Eq)]
pub(crate) struct AuthConfig {
    /// Passwords by user.
    #[serde(default)]
    pub(crate) users: BTreeMap<String, String>,
    /// Tokens by principal.
    #[serde(default)]
    pub(crate) tokens: BTreeMap<String, String>,
}

impl FileConfig {
    /// Reads the file, if there is one.
    pub(crate) fn load(path: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = path else {
            return Ok(Self::default());
        };
        let text =
            std::fs::read_to_string(path).with_context(|| format!("can't read the settings in {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("in {}", path.display()))
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let table: toml::Table = text.parse()?;
        check_keys(&table, KEYS, "")?;
        if let Some(toml::Value::Table(auth)) = table.get("auth") {
            check_keys(auth, AUTH_KEYS, "auth.")?;
        }
        Ok(Self::deserialize(toml::Value::Table(table))?)
    }

    /// How the server asks its clients who they are.
    pub(crate) fn auth(&self) -> anyhow::Result<Auth> {
        let Some(auth) = &self.auth else {
            return Ok(Auth::AnonymousOnLoopback);
        };
        let mut credentials = Credentials::default();
        for (user, reference) in &auth.users {
            let password = resolve(reference).with_context(|| format!("auth.users.{user}"))?.into();
            let user = user.clone();
            credentials.users.push(UserPassword { user, password });
        }
        for (principal, reference) in &auth.tokens {
            let token = resolve(reference).with_context(|| format!("auth.tokens.{principal}"))?.into();
            let principal = principal.clone();
            credentials.tokens.push(NamedToken { principal, token });
        }
        if credentials.users.is_empty() && credentials.tokens.is_empty() {
            bail!("[auth] names neither users nor tokens, so nobody could connect: add one, or leave [auth] out");
        }
        Ok(Auth::Credentials(credentials))
    }
}

fn check_keys(table: &toml::Table, known: &[&str], prefix: &str) -> anyhow::Result<()> {
    if let Some(key) = table.keys().find(|key| !known.contains(&key.as_str())) {
        let nearest = known
            .iter()
            .map(|k| (strsim::jaro_winkler(k, key), k))
            .filter(|(similarity, _)| *similarity >= SIMILAR)
            .max_by(|a, b| a.0.total_cmp(&b.0));
        match nearest {
            Some((_, nearest)) => bail!("there is no setting `{prefix}{key}`; did you mean `{prefix}{nearest}`?"),
            None => bail!("there is no setting `{prefix}{key}`; there are {}", known.join(", ")),
        }
    }
    Ok(())
}

/// The secret behind a reference. Its text is in no error.
fn resolve(reference: &str) -> anyhow::Result<String> {
    let inner = reference
        .strip_prefix("${")
        .and_then(|rest| rest.strip_suffix('}'))
        .context("secrets are not written into the settings: refer to one by ${VARIABLE} or ${file:PATH}")?;
    let secret = match inner.strip_prefix("file:") {
        Some(path) => std::fs::read_to_string(path).with_context(|| format!("can't read {path}"))?,
        None => std::env::var(inner).map_err(|_| anyhow::anyhow!("the variable {inner} is not set"))?,
    };
    let secret = secret.trim_end_matches(['\r', '\n']);
    if secret.is_empty() {
        bail!("{inner} is empty");
    }
    Ok(secret.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        format!("{:#}", FileConfig::parse(text).unwrap_err())
    }

    #[test]
    fn known_keys_are_read() {
        let config = FileConfig::parse(
            "data_dir = '/var/lib/salamander'\nlisten_flight = '127.0.0.1:1'\n[auth.tokens]\nbi = '${TOKEN}'",
        )
        .unwrap();
        assert_eq!(config.data_dir.as_deref(), Some(Path::new("/var/lib/salamander")));
        assert_eq!(config.auth.unwrap().tokens["bi"], "${TOKEN}");
    }

    #[test]
    fn unknown_keys_name_the_nearest() {
        assert!(error("listen_fligt = 'x'").contains("did you mean `listen_flight`?"));
        assert!(error("[auth]\ntoken = {}").contains("did you mean `auth.tokens`?"));
        assert!(error("zzz = 1").contains("there are data_dir"));
        assert!(error("data_dir = 1").contains("data_dir"));
        assert!(error("= nonsense").contains("line 1"));
    }

    #[test]
    fn secrets_come_by_reference_only() {
        let config = FileConfig::parse("[auth.users]\nada = 'plain-secret'").unwrap();
        let error = format!("{:#}", config.auth().unwrap_err());
        assert!(error.contains("auth.users.ada") && !error.contains("plain-secret"), "{error}");
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "s3cret\n").unwrap();
        assert_eq!(resolve(&format!("${{file:{}}}", file.path().display())).unwrap(), "s3cret");
        assert!(resolve("${SALAMANDER_TEST_UNSET_VARIABLE}").is_err());
        assert!(FileConfig::parse("[auth]").unwrap().auth().is_err());
    }
}
