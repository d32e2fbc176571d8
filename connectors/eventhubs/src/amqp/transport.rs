//! From a host and port to an open session: TCP, TLS, SASL, open, begin.

use super::error::AmqpError;
use super::frame::{self, AMQP, SASL};
use super::session::Session;
use super::wire::Cursor;
use bytes::{Buf, BytesMut};
use fe2o3_amqp_types::performatives::{Begin, Open, Performative};
use fe2o3_amqp_types::sasl::{SaslCode, SaslInit, SaslMechanisms, SaslOutcome};
use serde::Serialize;
use serde_amqp::primitives::Symbol;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

const SASL_HEADER: &[u8; 8] = b"AMQP\x03\x01\x00\x00";
const AMQP_HEADER: &[u8; 8] = b"AMQP\x00\x01\x00\x00";
/// Bytes of one frame that this side takes.
pub(crate) const MAX_FRAME: u32 = 64 << 10;
/// What this side asks the peer to send at least that often. A peer silent for twice as long counts as dead.
pub(crate) const IDLE: Duration = Duration::from_secs(30);
/// What may come before the connection is open.
const MAX_HANDSHAKE_FRAME: usize = 64 << 10;

/// Any socket.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Where to connect to.
#[derive(Debug, Clone)]
pub(crate) struct Address {
    /// Host name or IP address.
    pub(crate) host: String,
    /// Port.
    pub(crate) port: u16,
    /// TLS from the first byte on (amqps).
    pub(crate) tls: Option<Arc<ClientConfig>>,
}

/// TLS as Azure wants it: Mozilla's roots, no client certificate.
///
/// # Errors
/// When the cryptography offers no protocol version (it does).
pub(crate) fn public_tls() -> Result<Arc<ClientConfig>, AmqpError> {
    let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    tls_with(roots)
}

/// TLS that trusts the given roots only.
pub(crate) fn tls_with(roots: RootCertStore) -> Result<Arc<ClientConfig>, AmqpError> {
    let provider = Arc::new(crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| AmqpError::Io(format!("TLS: {error}")))?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

/// An open session with what has been read behind the handshake.
pub(crate) struct Opened {
    pub(crate) io: Box<dyn Io>,
    pub(crate) input: BytesMut,
    pub(crate) session: Session,
    /// How often the peer wants to hear from this side.
    pub(crate) heartbeat: Option<Duration>,
}

/// Connects and opens. The caller sets the time limit.
///
/// # Errors
/// When the host can't be reached, isn't an AMQP endpoint, or refuses.
pub(crate) async fn open(address: &Address, container: &str) -> Result<Opened, AmqpError> {
    let tcp = TcpStream::connect((address.host.as_str(), address.port)).await?;
    tcp.set_nodelay(true)?;
    let io: Box<dyn Io> = match &address.tls {
        None => Box::new(tcp),
        Some(config) => {
            let name = ServerName::try_from(address.host.clone())
                .map_err(|_| AmqpError::Io(format!("'{}' is not a host name that TLS can check", address.host)))?;
            Box::new(TlsConnector::from(Arc::clone(config)).connect(name, tcp).await?)
        }
    };
    let mut peer = Handshake { io, input: BytesMut::with_capacity(16 << 10) };
    peer.sasl(&address.host).await?;
    let open = peer.open(&address.host, container).await?;
    let begin = peer.begin().await?;
    let peer_frame = open.max_frame_size.0.max(512) as usize;
    let heartbeat =
        open.idle_time_out.filter(|millis| *millis > 0).map(|millis| Duration::from_millis(millis.into()) / 2);
    Ok(Opened { io: peer.io, input: peer.input, session: Session::new(&begin, peer_frame), heartbeat })
}

struct Handshake {
    io: Box<dyn Io>,
    input: BytesMut,
}

impl Handshake {
    async fn header(&mut self, header: &[u8; 8]) -> Result<(), AmqpError> {
        self.io.write_all(header).await?;
        self.io.flush().await?;
        while self.input.len() < header.len() {
            self.read_more().await?;
        }
        let answer = self.input.split_to(header.len());
        if answer[..] != header[..] {
            return Err(AmqpError::Protocol(
                "the peer speaks another protocol: is this an AMQP 1.0 endpoint (5671 with TLS, 5672 without)?".into(),
            ));
        }
        Ok(())
    }

    async fn read_more(&mut self) -> Result<(), AmqpError> {
        match self.io.read_buf(&mut self.input).await? {
            0 => Err(AmqpError::Io("the peer closed the connection during the handshake".into())),
            _ => Ok(()),
        }
    }

    async fn write(&mut self, kind: u8, performative: &impl Serialize) -> Result<(), AmqpError> {
        let mut out = BytesMut::new();
        frame::write(&mut out, kind, performative, &[])?;
        self.io.write_all(&out).await?;
        Ok(self.io.flush().await?)
    }

    /// The body of the next frame of this kind.
    async fn frame(&mut self, kind: u8) -> Result<BytesMut, AmqpError> {
        loop {
            if let Some(frame) = frame::first(&self.input, MAX_HANDSHAKE_FRAME)? {
                let (size, is, body) = (frame.size, frame.kind, BytesMut::from(frame.body));
                self.input.advance(size);
                if is != kind {
                    return Err(AmqpError::Protocol("a frame of the wrong type during the handshake".into()));
                }
                if !body.is_empty() {
                    return Ok(body);
                }
            } else {
                self.read_more().await?;
            }
        }
    }

    /// SASL with ANONYMOUS: authorisation is by tokens (`$cbs`) once the connection is open.
    async fn sasl(&mut self, host: &str) -> Result<(), AmqpError> {
        self.header(SASL_HEADER).await?;
        let offered: SaslMechanisms = serde_amqp::from_slice(&self.frame(SASL).await?)?;
        let offers = |name: &str| offered.sasl_server_mechanisms.0.iter().any(|m| m.as_str() == name);
        let mechanism = ["ANONYMOUS", "MSSBCBS"].into_iter().find(|name| offers(name));
        let Some(mechanism) = mechanism else {
            return Err(AmqpError::Protocol(
                "the peer offers neither ANONYMOUS nor MSSBCBS: is this an Event Hubs endpoint?".into(),
            ));
        };
        let init =
            SaslInit { mechanism: Symbol::from(mechanism), initial_response: None, hostname: Some(host.to_owned()) };
        self.write(SASL, &init).await?;
        let outcome: SaslOutcome = serde_amqp::from_slice(&self.frame(SASL).await?)?;
        match outcome.code {
            SaslCode::Ok => Ok(()),
            code => Err(AmqpError::Remote {
                condition: "amqp:unauthorized-access".into(),
                description: format!("SASL ended with {code:?}"),
            }),
        }
    }

    async fn open(&mut self, host: &str, container: &str) -> Result<Open, AmqpError> {
        self.header(AMQP_HEADER).await?;
        let open = Open {
            container_id: container.to_owned(),
            hostname: Some(host.to_owned()),
            max_frame_size: MAX_FRAME.into(),
            channel_max: 255.into(),
            idle_time_out: Some(IDLE.as_millis() as u32),
            outgoing_locales: None,
            incoming_locales: None,
            offered_capabilities: None,
            desired_capabilities: None,
            properties: None,
        };
        self.write(AMQP, &open).await?;
        match self.performative().await? {
            Performative::Open(open) => Ok(open),
            Performative::Close(close) => Err(close.error.map_or(AmqpError::Closed, Into::into)),
            _ => Err(AmqpError::Protocol("the peer answered open with something else".into())),
        }
    }

    async fn begin(&mut self) -> Result<Begin, AmqpError> {
        self.write(AMQP, &Session::begin()).await?;
        match self.performative().await? {
            Performative::Begin(begin) => Ok(begin),
            Performative::End(end) => Err(end.error.map_or(AmqpError::Closed, Into::into)),
            Performative::Close(close) => Err(close.error.map_or(AmqpError::Closed, Into::into)),
            _ => Err(AmqpError::Protocol("the peer answered begin with something else".into())),
        }
    }

    async fn performative(&mut self) -> Result<Performative, AmqpError> {
        let body = self.frame(AMQP).await?;
        Cursor::new(&body).descriptor()?;
        Ok(serde_amqp::from_slice(&body)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amqp::{Connection, Meaning};
    use std::process::Command;
    use tokio::io::copy_bidirectional;
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;
    use tokio_rustls::rustls::ServerConfig;
    use tokio_rustls::rustls::pki_types::pem::PemObject;
    use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

    /// A certificate for `localhost` and its key, made by openssl for this test.
    fn certificate() -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let dir = tempfile::tempdir().unwrap();
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"])
            .args(["-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE"])
            .args(["-keyout", "key.pem", "-out", "cert.pem"])
            .current_dir(dir.path())
            .output()
            .expect("openssl is needed for this test");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let certificate = CertificateDer::from_pem_file(dir.path().join("cert.pem")).unwrap();
        (certificate, PrivateKeyDer::from_pem_file(dir.path().join("key.pem")).unwrap())
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_session_opens_through_tls_and_only_with_a_trusted_certificate() {
        let dir = tempfile::tempdir().unwrap();
        let options = salamander_eventhubs_broker::BrokerOptions::new(([127, 0, 0, 1], 0).into(), dir.path());
        let broker = salamander_eventhubs_broker::Broker::start(options).await.unwrap();
        let plain = broker.local_addr();
        let (certificate, key) = certificate();
        let provider = Arc::new(crypto::ring::default_provider());
        let server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(server));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let mut tls = acceptor.accept(socket).await?;
                    copy_bidirectional(&mut tls, &mut TcpStream::connect(plain).await?).await
                });
            }
        });
        let limit = Duration::from_secs(5);
        let mut roots = RootCertStore::empty();
        roots.add(certificate).unwrap();
        let trusting = Address { host: "localhost".into(), port, tls: Some(tls_with(roots).unwrap()) };
        let connection = Connection::open(&trusting, "test", limit).await.unwrap();
        let rpc = crate::rpc::Rpc::open(&connection, "$cbs", "test", limit).await.unwrap();
        let reply = rpc.call(
            vec![("operation", fe2o3_amqp_types::primitives::SimpleValue::String("nonsense".into()))],
            Default::default(),
        );
        assert!(reply.await.unwrap().status >= 400);
        let public = Address { tls: Some(public_tls().unwrap()), ..trusting };
        let error = Connection::open(&public, "test", limit).await.unwrap_err();
        assert!(error.to_string().contains("invalid peer certificate"), "{error}");
        assert_eq!(error.meaning(), Meaning::Transient);
    }
}
