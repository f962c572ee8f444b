use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt as _;
use tidings_engine::EngineError;
use tokio_postgres_rustls::MakeRustlsConnect;

/// How connections are encrypted. The server's certificate is always checked.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tls {
    pub(crate) wanted: bool,
    /// Whose certificates count, where it is not the system that says so.
    pub(crate) authority: Option<PathBuf>,
    /// The certificate to log in with, and its key.
    pub(crate) certificate: Option<(PathBuf, PathBuf)>,
}

// === impl Tls ===

impl Tls {
    /// The files are read each time, as certificates are renewed while a hub runs.
    pub(crate) fn connector(&self) -> Result<MakeRustlsConnect, EngineError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(EngineError::refused)?;
        let builder = match &self.authority {
            Some(file) => builder.with_root_certificates(roots(file)?),
            // Nothing will be checked where nothing is encrypted.
            None if !self.wanted => builder.with_root_certificates(RootCertStore::empty()),
            None => builder.with_platform_verifier().map_err(EngineError::refused)?,
        };
        let config = match &self.certificate {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = CertificateDer::pem_file_iter(certificate)
                    .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                    .map_err(|error| unreadable(certificate, &error))?;
                let own = PrivateKeyDer::from_pem_file(key).map_err(|error| unreadable(key, &error))?;
                builder.with_client_auth_cert(chain, own).map_err(|error| unreadable(certificate, &error))?
            }
        };
        Ok(MakeRustlsConnect::new(config))
    }
}

fn roots(file: &Path) -> Result<RootCertStore, EngineError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(|error| unreadable(file, &error))? {
        let certificate = certificate.map_err(|error| unreadable(file, &error))?;
        roots.add(certificate).map_err(|error| unreadable(file, &error))?;
    }
    Ok(roots)
}

fn unreadable(file: &Path, error: &dyn std::fmt::Display) -> EngineError {
    EngineError::refused(format!("failed to read {}: {error}", file.display()))
}
