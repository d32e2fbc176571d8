//! Who is asking.
//!
//! Two ways to say it: `Basic` (user and password) in a Handshake, answered with a bearer token in the response
//! metadata, or a configured token as `Bearer` in a Handshake or in each call. With [`Auth::AnonymousOnLoopback`]
//! nobody is asked, a Handshake is still answered (drivers insist), and the server refuses to listen anywhere else.
//!
//! A *session* is a login where there is one (its token is nobody else's), and a connection otherwise: anonymous clients,
//! and those that share a configured token.
//!
//! Tokens that a login has earned live in memory: a restart means logging in again. Passwords and tokens are held in
//! `secrecy` types, compared in constant time, and never printed.

use crate::service::Session;
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use parking_lot::Mutex;
use rand::Rng;
use salamander_types::Clock;
use secrecy::{ExposeSecret, SecretString};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tonic::Status;
use tonic::metadata::{AsciiMetadataValue, MetadataMap};

/// Logins that are remembered; with more, the one that was idle longest has to log in again.
const MAX_LOGINS: usize = 10_000;
/// A login that is not used for so long is forgotten.
const LOGIN_IDLE_LIMIT: Duration = Duration::from_secs(24 * 60 * 60);
/// Base64 with or without padding: Go's Flight client, and so ADBC, leaves it out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
/// The bearer token that anonymous clients get for their Handshake.
const ANONYMOUS_TOKEN: &str = "anonymous";

/// How clients say who they are.
#[derive(Debug, Clone, Default)]
pub enum Auth {
    /// Nobody is asked; only loopback addresses can be listened on.
    #[default]
    AnonymousOnLoopback,
    /// One of these users or tokens.
    Credentials(Credentials),
}

/// The users and tokens that are let in.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    /// Users with passwords.
    pub users: Vec<UserPassword>,
    /// Long-lived tokens.
    pub tokens: Vec<NamedToken>,
}

/// A user who logs in with a password.
#[derive(Debug, Clone)]
pub struct UserPassword {
    /// The principal of the sessions.
    pub user: String,
    /// The password.
    pub password: SecretString,
}

/// A token that stands for a principal.
#[derive(Debug, Clone)]
pub struct NamedToken {
    /// The principal of the sessions.
    pub principal: String,
    /// The token.
    pub token: SecretString,
}

/// Checks credentials and remembers logins.
pub(crate) struct Authenticator {
    auth: Auth,
    logins: Mutex<HashMap<String, Login>>,
    numbers: AtomicU64,
    clock: Arc<dyn Clock>,
}

struct Login {
    principal: String,
    /// The session's id: the token itself is a secret.
    session: String,
    used_at: Duration,
}

#[allow(clippy::result_large_err)] // tonic's own error type
impl Authenticator {
    pub(crate) fn new(auth: Auth, clock: Arc<dyn Clock>) -> Self {
        Self { auth, logins: Mutex::default(), numbers: AtomicU64::new(1), clock }
    }

    /// Answers a Handshake: the `authorization` value that the client repeats in every later call.
    pub(crate) fn handshake(&self, headers: &MetadataMap) -> Result<AsciiMetadataValue, Status> {
        let token = match &self.auth {
            Auth::AnonymousOnLoopback => ANONYMOUS_TOKEN.to_owned(),
            Auth::Credentials(credentials) => match presented(headers)? {
                Presented::Basic { user, password } => {
                    let principal = credentials.check_password(&user, &password).ok_or_else(wrong_password)?;
                    self.remember(principal)
                }
                Presented::Bearer(token) => {
                    self.principal_of_token(credentials, &token)?;
                    token
                }
                Presented::Nothing => return Err(missing()),
            },
        };
        AsciiMetadataValue::try_from(format!("Bearer {token}"))
            .map_err(|_| Status::internal("a token holds characters that no header can carry"))
    }

    /// The session of a call that came over this connection.
    pub(crate) fn session(&self, headers: &MetadataMap, connection: Option<&str>) -> Result<Session, Status> {
        let connection = connection.unwrap_or("unknown").to_owned();
        let (principal, id) = match &self.auth {
            Auth::AnonymousOnLoopback => (Session::ANONYMOUS.to_owned(), connection),
            Auth::Credentials(credentials) => match presented(headers)? {
                Presented::Bearer(token) => {
                    let (principal, login) = self.principal_of_token(credentials, &token)?;
                    (principal, login.unwrap_or(connection))
                }
                Presented::Basic { user, password } => {
                    let principal = credentials.check_password(&user, &password).ok_or_else(wrong_password)?;
                    (principal.to_owned(), connection)
                }
                Presented::Nothing => return Err(missing()),
            },
        };
        // Drivers send the unknown keys of a connection string as headers.
        let database = ["database", "schema"]
            .iter()
            .find_map(|key| headers.get(*key)?.to_str().ok())
            .filter(|name| !name.is_empty())
            .map(str::to_owned);
        Ok(Session { principal, database, id })
    }

    /// Whose token it is, and the session if it was earned by a login.
    fn principal_of_token(&self, credentials: &Credentials, token: &str) -> Result<(String, Option<String>), Status> {
        if let Some(principal) = credentials.check_token(token) {
            return Ok((principal.to_owned(), None));
        }
        let now = self.clock.monotonic();
        let mut logins = self.logins.lock();
        match logins.get_mut(token) {
            Some(login) if now.saturating_sub(login.used_at) <= LOGIN_IDLE_LIMIT => {
                login.used_at = now;
                Ok((login.principal.clone(), Some(login.session.clone())))
            }
            _ => {
                logins.remove(token);
                Err(Status::unauthenticated("this token is not known here, or was not used for a day: log in again"))
            }
        }
    }

    fn remember(&self, principal: &str) -> String {
        let token = fresh_token();
        let now = self.clock.monotonic();
        let mut logins = self.logins.lock();
        if logins.len() >= MAX_LOGINS {
            logins.retain(|_, login| now.saturating_sub(login.used_at) <= LOGIN_IDLE_LIMIT);
        }
        if logins.len() >= MAX_LOGINS {
            let idlest = logins.iter().min_by_key(|(_, login)| login.used_at);
            if let Some(idlest) = idlest.map(|(token, _)| token.clone()) {
                logins.remove(&idlest);
            }
        }
        let session = format!("login #{}", self.numbers.fetch_add(1, Ordering::Relaxed));
        let login = Login { principal: principal.to_owned(), session, used_at: now };
        logins.insert(token.clone(), login);
        token
    }
}

impl Credentials {
    fn check_password(&self, user: &str, password: &str) -> Option<&str> {
        self.users
            .iter()
            .find(|known| known.user == user && equal(known.password.expose_secret(), password))
            .map(|known| known.user.as_str())
    }

    fn check_token(&self, token: &str) -> Option<&str> {
        self.tokens.iter().find(|known| equal(known.token.expose_secret(), token)).map(|known| known.principal.as_str())
    }
}

/// What a client has presented.
enum Presented {
    Basic { user: String, password: String },
    Bearer(String),
    Nothing,
}

#[allow(clippy::result_large_err)] // tonic's own error type
fn presented(headers: &MetadataMap) -> Result<Presented, Status> {
    let Some(value) = headers.get("authorization") else {
        return Ok(Presented::Nothing);
    };
    let unreadable = || {
        Status::unauthenticated(
            "the authorization header is neither `Basic <base64 of user:password>` nor `Bearer <token>`",
        )
    };
    let value = value.to_str().map_err(|_| unreadable())?;
    match value.split_once(' ') {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("bearer") => Ok(Presented::Bearer(rest.trim().to_owned())),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("basic") => {
            let bytes = BASE64.decode(rest.trim()).map_err(|_| unreadable())?;
            let text = String::from_utf8(bytes).map_err(|_| unreadable())?;
            split_basic(&text).ok_or_else(unreadable)
        }
        _ => Err(unreadable()),
    }
}

/// `user:password`; or `user};PWD={password:`, which is what Power BI makes of its credential dialog.
fn split_basic(text: &str) -> Option<Presented> {
    let (user, password) = text.split_once(':')?;
    let (user, password) = match user.split_once("};PWD={") {
        Some((user, inner)) if password.is_empty() => (user, inner),
        _ => (user, password),
    };
    Some(Presented::Basic { user: user.to_owned(), password: password.to_owned() })
}

fn missing() -> Status {
    Status::unauthenticated(
        "this server asks who you are: log in with user and password, or send a token as `authorization: Bearer …`",
    )
}

fn wrong_password() -> Status {
    Status::unauthenticated("wrong user or password")
}

/// Compares in a time that depends on the lengths only.
fn equal(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let differences = a.iter().zip(b).fold(0, |sum, (x, y)| sum | (x ^ y));
    a.len() == b.len() && std::hint::black_box(differences) == 0
}

/// 192 random bits of the operating system's generator. Not the injected [`salamander_types::Entropy`]: whoever can
/// guess a token is let in, so this must never be reproducible.
fn fresh_token() -> String {
    let mut bytes = [0_u8; 24];
    rand::rng().fill(&mut bytes);
    base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use salamander_types::SystemClock;

    #[derive(Debug, Default)]
    struct Seconds(AtomicU64);

    impl Clock for Seconds {
        fn now_micros(&self) -> i64 {
            0
        }
        fn monotonic(&self) -> Duration {
            Duration::from_secs(self.0.load(Ordering::Relaxed))
        }
    }

    fn credentials() -> Auth {
        Auth::Credentials(Credentials {
            users: vec![UserPassword { user: "ada".into(), password: "s3cret".to_owned().into() }],
            tokens: vec![NamedToken { principal: "powerbi".into(), token: "pat-1".to_owned().into() }],
        })
    }

    fn headers(authorization: &str) -> MetadataMap {
        let mut headers = MetadataMap::new();
        headers.insert("authorization", authorization.parse().unwrap());
        headers
    }

    fn basic(text: &str) -> MetadataMap {
        headers(&format!("Basic {}", BASE64.encode(text)))
    }

    #[test]
    fn a_login_earns_a_token_that_idles_away() {
        let clock = Arc::new(Seconds::default());
        let auth = Authenticator::new(credentials(), Arc::clone(&clock) as Arc<dyn Clock>);
        let answer = auth.handshake(&basic("ada:s3cret")).unwrap();
        let later = headers(answer.to_str().unwrap());
        assert_eq!(auth.session(&later, None).unwrap().principal, "ada");
        clock.0.store(86_000, Ordering::Relaxed);
        assert!(auth.session(&later, None).is_ok());
        clock.0.store(86_000 + 86_401, Ordering::Relaxed);
        let status = auth.session(&later, None).unwrap_err();
        assert_eq!(status.code(), tonic::Code::Unauthenticated);
    }

    #[test]
    fn the_spellings_of_power_bi_and_adbc_and_tokens_are_accepted() {
        let auth = Authenticator::new(credentials(), Arc::new(SystemClock::default()));
        assert!(auth.handshake(&basic("ada};PWD={s3cret:")).is_ok());
        // As ADBC sends it: without the padding.
        assert!(auth.handshake(&headers("Basic YWRhOnMzY3JldA")).is_ok());
        assert!(auth.handshake(&headers("Basic YWRhOnMzY3JldA==")).is_ok());
        let answer = auth.handshake(&headers("Bearer pat-1")).unwrap();
        assert_eq!(answer, "Bearer pat-1");
        let session = auth.session(&headers("Bearer pat-1"), None).unwrap();
        assert_eq!(session.principal, "powerbi");
    }

    #[test]
    fn wrong_and_missing_credentials_are_refused_without_echo() {
        let auth = Authenticator::new(credentials(), Arc::new(SystemClock::default()));
        for wrong in [
            basic("ada:s3cres"),
            basic("ada:"),
            basic("bob:s3cret"),
            basic("no colon"),
            headers("Bearer nope"),
            headers("Digest x"),
            MetadataMap::new(),
        ] {
            for status in
                [auth.handshake(&wrong).map(drop).unwrap_err(), auth.session(&wrong, None).map(drop).unwrap_err()]
            {
                assert_eq!(status.code(), tonic::Code::Unauthenticated);
                assert!(!status.message().contains("s3cre"), "{}", status.message());
            }
        }
    }

    #[test]
    fn a_login_is_a_session_and_a_shared_token_is_not() {
        let auth = Authenticator::new(credentials(), Arc::new(SystemClock::default()));
        let login = || headers(auth.handshake(&basic("ada:s3cret")).unwrap().to_str().unwrap());
        let id = |headers: &MetadataMap, connection| auth.session(headers, Some(connection)).unwrap().id;
        let (first, second) = (login(), login());
        assert_eq!(id(&first, "c1"), id(&first, "c2"));
        assert_ne!(id(&first, "c1"), id(&second, "c1"));
        let shared = headers("Bearer pat-1");
        assert_eq!((id(&shared, "c1"), id(&shared, "c2")), ("c1".to_owned(), "c2".to_owned()));
        assert_eq!(id(&basic("ada:s3cret"), "c1"), "c1");
    }

    #[test]
    fn anonymous_sessions_take_their_database_from_headers() {
        let auth = Authenticator::new(Auth::default(), Arc::new(SystemClock::default()));
        let mut headers = MetadataMap::new();
        headers.insert("schema", "sales".parse().unwrap());
        let session = auth.session(&headers, None).unwrap();
        assert_eq!(session.principal, Session::ANONYMOUS);
        assert_eq!(session.database.as_deref(), Some("sales"));
        assert_eq!(auth.handshake(&headers).unwrap(), "Bearer anonymous");
    }
}
