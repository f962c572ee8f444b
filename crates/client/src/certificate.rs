//! Which certificates are trusted, and what is wrong with those that are not.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, InvalidMessage, RootCertStore,
    SignatureScheme,
};
use rustls_platform_verifier::BuilderVerifierExt as _;

use crate::BuildError;

/// Whose certificates are trusted.
#[derive(Clone, Default)]
pub enum Trust {
    /// Those whom the system trusts.
    #[default]
    System,
    /// Those in a PEM file.
    File(PathBuf),
    /// Those in a PEM text.
    Pem(Vec<u8>),
}

/// Trusts what some authorities have signed, and some certificates for what they are.
#[derive(Debug)]
struct Named {
    by_authorities: Arc<WebPkiServerVerifier>,
    certificates: Vec<CertificateDer<'static>>,
}

// === impl Trust ===

impl Trust {
    pub(crate) fn is_own(&self) -> bool {
        !matches!(self, Self::System)
    }

    /// What a connection is made with. Its client offers HTTP/2 and HTTP/1.1.
    ///
    /// # Errors
    /// [`BuildError`] where the certificates to trust cannot be read.
    pub fn tls(&self) -> Result<ClientConfig, BuildError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| BuildError::Http(error.to_string()))?;
        let builder = match self.pem()? {
            Some(pem) => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Named::from_pem(&pem, &provider)?)),
            None => builder
                .clone()
                .with_platform_verifier()
                // A bare container has no certificates of authorities. Plain HTTP works there all the same.
                .unwrap_or_else(|_| builder.with_root_certificates(RootCertStore::empty())),
        };
        let mut config = builder.with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }

    fn pem(&self) -> Result<Option<Vec<u8>>, BuildError> {
        match self {
            Self::System => Ok(None),
            Self::Pem(pem) => Ok(Some(pem.clone())),
            Self::File(path) => std::fs::read(path).map(Some).map_err(|error| BuildError::Certificates {
                reason: format!("{} cannot be read: {error}", path.display()),
            }),
        }
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System => f.write_str("System"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Pem(_) => f.write_str("Pem(…)"),
        }
    }
}

// === impl Named ===

impl Named {
    fn from_pem(pem: &[u8], provider: &Arc<CryptoProvider>) -> Result<Self, BuildError> {
        let invalid = |reason: String| BuildError::Certificates { reason };
        // Some editors begin a text with a mark, which is no part of its first line.
        let pem = pem.strip_prefix("\u{feff}".as_bytes()).unwrap_or(pem);
        let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
        let certificates = read.map_err(|error| invalid(format!("they are not PEM: {error}")))?;
        let mut roots = RootCertStore::empty();
        let (taken, _) = roots.add_parsable_certificates(certificates.iter().cloned());
        if taken == 0 {
            return Err(invalid("there is no `-----BEGIN CERTIFICATE-----` of use among them".into()));
        }
        let by_authorities = WebPkiServerVerifier::builder_with_provider(roots.into(), provider.clone())
            .build()
            .map_err(|error| invalid(error.to_string()))?;
        Ok(Self { by_authorities, certificates })
    }
}

impl ServerCertVerifier for Named {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.by_authorities.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        match verified {
            // One that is named itself needs no authority. What the others are asked for first is their dates.
            Err(error) if !is_about_time(&error) && self.certificates.contains(end_entity) => {
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.by_authorities.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.by_authorities.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.by_authorities.supported_verify_schemes()
    }
}

/// What is wrong with the certificate that was shown, or with there being none, where a request failed for that.
///
/// It looks among the causes of an error for one of TLS, and says what to do about it.
#[must_use]
pub fn complaint(error: &(dyn StdError + 'static)) -> Option<String> {
    use CertificateError as Bad;
    let bad = match tls_error(error)? {
        Error::InvalidCertificate(bad) => bad,
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            return Some("the hub does not speak TLS: its URL may have to begin with http://".into());
        }
        _ => return None,
    };
    let what = match bad {
        Bad::Expired | Bad::ExpiredContext { .. } => "it has expired".to_owned(),
        Bad::NotValidYet | Bad::NotValidYetContext { .. } => {
            "it is not valid yet; the clock here may be wrong".to_owned()
        }
        Bad::Revoked => "it has been revoked".to_owned(),
        Bad::NotValidForName | Bad::NotValidForNameContext { .. } => "it is for another name".to_owned(),
        Bad::UnknownIssuer | Bad::Other(_) => {
            "no authority that is trusted here has signed it; where it is right all the same, a CA file with it or with its \
             authority makes it trusted"
                .to_owned()
        }
        other => other.to_string(),
    };
    Some(format!("the hub's certificate is not trusted: {what}"))
}

/// Whether that does not pass by itself, as the wrong time does.
pub(crate) fn is_lasting(error: &(dyn StdError + 'static)) -> bool {
    tls_error(error).is_some_and(|error| !is_about_time(error))
}

fn is_about_time(error: &Error) -> bool {
    use CertificateError::{Expired, ExpiredContext, NotValidYet, NotValidYetContext};
    let Error::InvalidCertificate(bad) = error else { return false };
    matches!(bad, Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. })
}

/// What TLS says among the causes of an error.
fn tls_error<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Error> {
    if let Some(found) = error.downcast_ref::<Error>() {
        return Some(found);
    }
    // An error of I/O shows the cause of what is in it, and not that itself.
    let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    if let Some(found) = inner.and_then(|inner| tls_error(inner)) {
        return Some(found);
    }
    error.source().and_then(tls_error)
}
