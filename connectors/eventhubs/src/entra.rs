//! Entra ID credentials, from `azure_identity`.

use crate::options::OptionError;
use azure_core::credentials::{Secret, TokenCredential};
use azure_core::http::ClientOptions;
use azure_identity::{
    AzureCliCredential, AzureCliCredentialOptions, ClientSecretCredential, ClientSecretCredentialOptions,
    ManagedIdentityCredential, ManagedIdentityCredentialOptions, UserAssignedId,
};
use secrecy::{ExposeSecret, SecretString};
use std::sync::Arc;

/// Who the client is to Entra ID.
#[derive(Debug, Clone)]
pub enum Identity {
    /// The identity of the virtual machine, container or app that this runs in; with a client id, one that was
    /// assigned by the user.
    Managed {
        /// Client id of a user-assigned identity.
        client_id: Option<String>,
    },
    /// An application with a secret.
    ClientSecret {
        /// The tenant.
        tenant_id: String,
        /// The application.
        client_id: String,
        /// Its secret.
        client_secret: SecretString,
    },
    /// Whoever is logged in to the Azure CLI: for development.
    Cli {
        /// The tenant, if not the CLI's default.
        tenant_id: Option<String>,
    },
}

impl Identity {
    /// The credential. `client` says how HTTP is spoken: for tests and sovereign clouds.
    ///
    /// # Errors
    /// When the library refuses a value (an empty id, a malformed tenant).
    pub(crate) fn credential(&self, client: ClientOptions) -> Result<Arc<dyn TokenCredential>, OptionError> {
        let refused = |error: azure_core::Error| OptionError::new("auth", format!("Entra ID: {error}"));
        Ok(match self {
            Self::Managed { client_id } => {
                let options = ManagedIdentityCredentialOptions {
                    user_assigned_id: client_id.clone().map(UserAssignedId::ClientId),
                    client_options: client,
                };
                ManagedIdentityCredential::new(Some(options)).map_err(refused)?
            }
            Self::ClientSecret { tenant_id, client_id, client_secret } => {
                let secret = Secret::new(client_secret.expose_secret().to_owned());
                let options = ClientSecretCredentialOptions { client_options: client };
                ClientSecretCredential::new(tenant_id, client_id.clone(), secret, Some(options)).map_err(refused)?
            }
            Self::Cli { tenant_id } => {
                let options = AzureCliCredentialOptions { tenant_id: tenant_id.clone(), ..Default::default() };
                AzureCliCredential::new(Some(options)).map_err(refused)?
            }
        })
    }
}

#[cfg(test)]
mod tests {
    //! Against a token endpoint on this machine. `azure_identity` insists on https and on its own addresses, so what is
    //! replaced is the last step: an [`HttpClient`] that opens a plain connection to the local endpoint in place of TLS
    //! to Entra ID. Requests and answers are real HTTP; TLS, DNS and Entra ID itself are not run here.

    use super::*;
    use crate::amqp::transport::Address;
    use crate::auth::Credential;
    use crate::hub::{Hub, HubSettings};
    use azure_core::http::headers::Headers;
    use azure_core::http::{AsyncRawResponse, Body, HttpClient, Request, StatusCode, Transport};
    use salamander_eventhubs_broker::{Broker, BrokerHandle, BrokerOptions};
    use salamander_types::{SystemClock, SystemEntropy};
    use std::net::SocketAddr;
    use std::sync::Mutex;
    use std::time::{Duration, SystemTime, UNIX_EPOCH};
    use tempfile::TempDir;
    use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
    use tokio::net::{TcpListener, TcpStream};

    const TOKEN: &str = "a.bearer.token";

    /// Speaks plain HTTP to one address, whatever the request's URL says.
    #[derive(Debug)]
    struct Reroute(SocketAddr);

    #[async_trait::async_trait]
    impl HttpClient for Reroute {
        async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
            let body = match request.body() {
                Body::Bytes(bytes) => bytes.clone(),
                _ => panic!("a token request has no stream"),
            };
            let head = format!(
                "{} {} HTTP/1.1\r\nhost: {}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                request.method(),
                request.path_and_query(),
                request.url().host_str().unwrap(),
                body.len()
            );
            let mut socket = TcpStream::connect(self.0).await?;
            socket.write_all(head.as_bytes()).await?;
            socket.write_all(&body).await?;
            let mut answer = String::new();
            socket.read_to_string(&mut answer).await?;
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            let status: u16 = head.split(' ').nth(1).unwrap().parse().unwrap();
            Ok(AsyncRawResponse::from_bytes(StatusCode::from(status), Headers::new(), body.to_owned()))
        }
    }

    /// A token endpoint: what it was asked (request line, host, body), and how its clients reach it.
    struct Endpoint {
        asked: Arc<Mutex<Vec<String>>>,
        client: ClientOptions,
    }

    impl Endpoint {
        async fn start(status: &'static str, answer: String) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let asked = Arc::new(Mutex::new(Vec::new()));
            let log = Arc::clone(&asked);
            tokio::spawn(async move {
                while let Ok((socket, _)) = listener.accept().await {
                    let mut socket = BufReader::new(socket);
                    let (mut head, mut length) = (String::new(), 0);
                    loop {
                        let mut line = String::new();
                        socket.read_line(&mut line).await.unwrap();
                        if let Some(number) = line.strip_prefix("content-length: ") {
                            length = number.trim().parse().unwrap();
                        }
                        if line.trim().is_empty() {
                            break;
                        }
                        head.push_str(&line);
                    }
                    let mut body = vec![0; length];
                    socket.read_exact(&mut body).await.unwrap();
                    log.lock().unwrap().push(format!("{head}{}", String::from_utf8(body).unwrap()));
                    let text = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{answer}", answer.len());
                    socket.write_all(text.as_bytes()).await.unwrap();
                }
            });
            let transport = Some(Transport::new(Arc::new(Reroute(address))));
            Self { asked, client: ClientOptions { transport, ..ClientOptions::default() } }
        }

        fn asked(&self) -> Vec<String> {
            self.asked.lock().unwrap().clone()
        }
    }

    fn application() -> Identity {
        Identity::ClientSecret {
            tenant_id: "tenant".into(),
            client_id: "application".into(),
            client_secret: "c2VjcmV0".to_owned().into(),
        }
    }

    async fn broker() -> (BrokerHandle, TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let mut options = BrokerOptions::new(SocketAddr::from(([127, 0, 0, 1], 0)), dir.path());
        options.bearer_tokens = vec![TOKEN.to_owned().into()];
        options.development_key = false;
        (Broker::start(options).await.unwrap(), dir)
    }

    fn hub(broker: &BrokerHandle, credential: Arc<dyn TokenCredential>) -> Hub {
        let address = broker.local_addr();
        let settings = HubSettings {
            address: Address { host: address.ip().to_string(), port: address.port(), tls: None },
            hub: "logs".into(),
            credential: Credential::Entra(credential),
            token_lifetime: Duration::from_secs(3600),
            call_limit: Duration::from_secs(5),
        };
        Hub::new(settings, Arc::new(SystemClock::default()), Arc::new(SystemEntropy::default()))
    }

    fn token_answer(token: &str) -> String {
        format!(r#"{{"token_type":"Bearer","expires_in":3600,"ext_expires_in":3600,"access_token":"{token}"}}"#)
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn an_application_gets_a_token_and_is_let_in() {
        let endpoint = Endpoint::start("200 OK", token_answer(TOKEN)).await;
        let (broker, _dir) = broker().await;
        let hub = hub(&broker, application().credential(endpoint.client.clone()).unwrap());
        assert_eq!(hub.properties().await.unwrap().partition_ids.len(), 4);
        let asked = endpoint.asked();
        assert_eq!(asked.len(), 1, "the token is kept");
        assert!(
            asked[0].starts_with("POST /tenant/oauth2/v2.0/token HTTP/1.1\r\nhost: login.microsoftonline.com"),
            "{}",
            asked[0]
        );
        assert!(asked[0].contains("client_id=application&client_secret=c2VjcmV0&grant_type=client_credentials"));
        assert!(asked[0].ends_with("scope=https%3A%2F%2Feventhubs.azure.net%2F.default"));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_entra_or_the_hub_refuses_is_said_without_the_secret() {
        let (broker, _dir) = broker().await;
        let answer = r#"{"error":"invalid_client","error_codes":[7000215],"error_description":"AADSTS7000215: Invalid client secret provided."}"#;
        let endpoint = Endpoint::start("401 Unauthorized", answer.into()).await;
        let refused = hub(&broker, application().credential(endpoint.client.clone()).unwrap());
        let error = refused.properties().await.unwrap_err();
        let text = refused.error("here", &error).to_string();
        assert!(text.contains("AADSTS7000215") && !text.contains("c2VjcmV0"), "{text}");
        let endpoint = Endpoint::start("200 OK", token_answer("another.token")).await;
        let unknown = hub(&broker, application().credential(endpoint.client.clone()).unwrap());
        let error = unknown.properties().await.unwrap_err();
        let error = unknown.error("here", &error);
        assert_eq!(error.kind, salamander_types::ErrorKind::Unauthorized);
        assert!(!error.to_string().contains("another.token"), "{error}");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_managed_identity_asks_its_machine() {
        let expires = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 3600;
        let answer = format!(
            r#"{{"access_token":"{TOKEN}","expires_on":"{expires}","resource":"https://eventhubs.azure.net","token_type":"Bearer"}}"#
        );
        let endpoint = Endpoint::start("200 OK", answer).await;
        let (broker, _dir) = broker().await;
        let identity = Identity::Managed { client_id: Some("assigned".into()) };
        let hub = hub(&broker, identity.credential(endpoint.client.clone()).unwrap());
        assert_eq!(hub.properties().await.unwrap().name, "logs");
        let asked = endpoint.asked().join("\n");
        assert!(asked.contains("host: 169.254.169.254") && asked.contains("client_id=assigned"), "{asked}");
        assert!(asked.contains("resource=https%3A%2F%2Feventhubs.azure.net"), "{asked}");
    }

    /// The CLI is found by PATH, which is the process's: so this test starts itself again with an `az` of its own.
    #[test]
    fn the_cli_is_asked() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let az = dir.path().join("az");
        std::fs::write(&az, format!("#!/bin/sh\necho \"$@\" > {}/asked\necho '{{\"accessToken\":\"{TOKEN}\",\"expiresOn\":\"2038-01-02 03:04:05.000000\",\"expires_on\":2145991445,\"tenant\":\"t\",\"tokenType\":\"Bearer\"}}'\n", dir.path().display())).unwrap();
        std::fs::set_permissions(&az, std::fs::Permissions::from_mode(0o755)).unwrap();
        let path = format!("{}:{}", dir.path().display(), std::env::var("PATH").unwrap());
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "entra::tests::with_the_cli_on_the_path", "--ignored"])
            .env("PATH", path)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&child.stdout);
        assert!(child.status.success() && text.contains("1 passed"), "{text}");
        let asked = std::fs::read_to_string(dir.path().join("asked")).unwrap();
        assert_eq!(
            asked.trim(),
            "account get-access-token -o json --scope https://eventhubs.azure.net/.default --tenant t"
        );
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    #[ignore = "run by the_cli_is_asked, with an `az` of its own on the PATH"]
    async fn with_the_cli_on_the_path() {
        let (broker, _dir) = broker().await;
        let identity = Identity::Cli { tenant_id: Some("t".into()) };
        let hub = hub(&broker, identity.credential(ClientOptions::default()).unwrap());
        assert_eq!(hub.properties().await.unwrap().name, "logs");
    }
}
