use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SerialNumber};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tidings_http::Tls;
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{H2, Wire, within};

/// Somebody who signs certificates, with a folder for them.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

/// The files of a certificate and its key.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

// === impl Authority ===

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { issuer, folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A new certificate with this number for the hub, in files of this name.
    pub(crate) fn issue(&self, name: &str, number: u64) -> Pair {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["hub".into(), "127.0.0.1".into()]).unwrap();
        params.serial_number = Some(SerialNumber::from(number));
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let pair = Pair {
            certificate: self.folder.path().join(format!("{name}.pem")),
            key: self.folder.path().join(format!("{name}.key")),
        };
        std::fs::write(&pair.certificate, certificate.pem()).unwrap();
        std::fs::write(&pair.key, key.serialize_pem()).unwrap();
        pair
    }

    /// What a client is set up with that trusts this authority.
    pub(crate) fn trusted(&self, protocol: &str) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.into()];
        Arc::new(config)
    }

    /// A connection whose other side has shown a certificate of this authority.
    pub(crate) async fn connect(&self, address: SocketAddr, protocol: &str) -> TlsStream<TcpStream> {
        let socket = within(TcpStream::connect(address)).await.unwrap();
        socket.set_nodelay(true).unwrap();
        self.agree(socket, protocol).await
    }

    async fn agree(&self, socket: TcpStream, protocol: &str) -> TlsStream<TcpStream> {
        let connector = TlsConnector::from(self.trusted(protocol));
        let stream = within(connector.connect(ServerName::try_from("hub").unwrap(), socket)).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(protocol.as_bytes()));
        stream
    }

    pub(crate) async fn http1(&self, address: SocketAddr) -> Wire {
        Wire::over(self.connect(address, "http/1.1").await)
    }

    /// A connection of which the client's system takes few bytes that the client does not read.
    pub(crate) async fn narrow_http1(&self, address: SocketAddr) -> Wire {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(16 << 10).unwrap();
        Wire::over(self.agree(within(socket.connect(address)).await.unwrap(), "http/1.1").await)
    }

    pub(crate) async fn http2(&self, address: SocketAddr) -> H2 {
        H2::over(self.connect(address, "h2").await).await
    }

    /// The number of the certificate that is shown to who comes now.
    pub(crate) async fn number(&self, address: SocketAddr) -> u64 {
        let stream = self.connect(address, "http/1.1").await;
        let shown = &stream.get_ref().1.peer_certificates().unwrap()[0];
        serial(shown)
    }
}

// === impl Pair ===

impl Pair {
    pub(crate) fn open(&self) -> Tls {
        Tls::open(&self.certificate, &self.key).unwrap()
    }

    /// Puts other contents into these files, in the place of those that are there.
    pub(crate) fn become_like(&self, other: &Self) {
        for (own, other) in [(&self.certificate, &other.certificate), (&self.key, &other.key)] {
            std::fs::copy(other, own.with_extension("new")).unwrap();
            std::fs::rename(own.with_extension("new"), own).unwrap();
        }
    }
}

/// The serial number of a certificate, the first short INTEGER after its version.
fn serial(der: &[u8]) -> u64 {
    // SEQUENCE { SEQUENCE { [0] { INTEGER 2 }, INTEGER serial, …
    let version = [0xa0, 3, 2, 1, 2, 2];
    let at = der.windows(version.len()).position(|window| window == version).unwrap() + version.len();
    let length = usize::from(der[at]);
    der[at + 1..=at + length].iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}
