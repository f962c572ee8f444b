use std::convert::Infallible;
use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{MissedTickBehavior, interval};

use crate::defaults;

mod alert;
#[cfg(any(test, fuzzing))]
mod fuzzing;
mod handshake;
mod keys;
mod link;
mod records;
mod session;
mod socket;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

#[cfg(any(test, fuzzing))]
pub(crate) use fuzzing::records;
pub(crate) use link::{Received, Sent, TlsLink};
pub(crate) use session::Session;
pub(crate) use socket::TlsSocket;

/// A certificate and its key, from two files that may change. Clones are the same.
#[derive(Clone)]
pub struct Tls(Arc<TlsState>);

struct TlsState {
    files: Files,
    provider: Arc<CryptoProvider>,
    certificate: Arc<Current>,
    config: ServerConfig,
    /// Which contents of the files were looked at last, whether they were of use or not.
    seen: Mutex<u64>,
}

#[derive(Debug, Clone)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

/// The certificate that new connections get.
#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

/// What the files hold.
struct Contents {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

/// The files hold no certificate and key that could be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    #[error("failed to read {}: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// A file does not hold what it should.
    #[error("failed to read {}: {problem}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What was found, and what would be right.
        problem: String,
    },
    /// The key is another certificate's.
    #[error(
        "the key in {} does not belong to the certificate in {}, of which the server's own is the first",
        key.display(),
        certificate.display()
    )]
    Mismatch {
        /// The file of the certificates.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
    },
    /// The library cannot be set up.
    #[error("failed to set up TLS: {0}")]
    Setup(String),
}

// === impl Tls ===

impl Tls {
    /// Reads a certificate, followed by those that lead from it to an authority, and its key, both as PEM.
    ///
    /// # Errors
    /// Where a file cannot be read, holds something else, or the two do not belong together.
    pub fn open(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let files = Files { certificate: certificate.into(), key: key.into() };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let contents = files.read()?;
        let seen = contents.fingerprint();
        let current = Arc::new(Current(RwLock::new(Arc::new(files.certified(&contents, &provider)?))));
        let setup = |error: rustls::Error| TlsError::Setup(error.to_string());
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(setup)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&current) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // Sessions are resumed by tickets that clients keep, so that they cost nothing here.
        config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().map_err(setup)?;
        // The records are sealed here, so that a connection that waits costs next to nothing.
        config.enable_secret_extraction = true;
        Ok(Self(Arc::new(TlsState { files, provider, certificate: current, config, seen: Mutex::new(seen) })))
    }

    /// Reads the files again. New connections get what they hold; those that are open go on with what they got.
    /// Where the files are of no use, nothing changes.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn reload(&self) -> Result<(), TlsError> {
        let contents = self.0.files.read()?;
        self.note(&contents);
        self.replace(&contents)
    }

    /// Reads the files again if they have changed since they were last looked at, and says whether they had.
    ///
    /// # Errors
    /// As [`open`](Self::open). What is of no use is not looked at again until it has changed.
    pub fn reload_if_changed(&self) -> Result<bool, TlsError> {
        // By what they hold: however a file is replaced, renamed or linked, and whatever its time says.
        let contents = self.0.files.read()?;
        if !self.note(&contents) {
            return Ok(false);
        }
        self.replace(&contents).map(|()| true)
    }

    /// Agrees on keys with a client.
    pub(crate) async fn accept<T: AsyncRead + AsyncWrite + Unpin>(&self, io: T) -> io::Result<TlsSocket<T>> {
        handshake::accept(&self.0.config, io).await
    }

    /// Looks at the files every now and then. Dropping it ends that.
    pub(crate) async fn watch(self) -> Infallible {
        let mut ticks = interval(defaults::CERTIFICATE_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut complained = false;
        loop {
            ticks.tick().await;
            let own = self.clone();
            let looked = match tokio::task::spawn_blocking(move || own.reload_if_changed()).await {
                Ok(looked) => looked,
                Err(error) => {
                    tracing::error!(%error, "failed to look at the certificate; the next look may do better");
                    continue;
                }
            };
            match looked {
                Ok(changed) => {
                    complained = false;
                    if changed {
                        tracing::info!(certificate = %self.0.files.certificate.display(), "took a new certificate");
                    }
                }
                // What is not there is told of once. What is of no use is not looked at again until it changes.
                Err(error @ TlsError::Read { .. }) if complained => {
                    tracing::debug!(%error, "kept the certificate");
                }
                Err(error) => {
                    tracing::error!(%error, "kept the certificate, as the new one is of no use");
                    complained = true;
                }
            }
        }
    }

    /// Takes note of what the files hold, and says whether it is new.
    fn note(&self, contents: &Contents) -> bool {
        let mut seen = self.0.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let now = contents.fingerprint();
        std::mem::replace(&mut *seen, now) != now
    }

    fn replace(&self, contents: &Contents) -> Result<(), TlsError> {
        let certified = Arc::new(self.0.files.certified(contents, &self.0.provider)?);
        *self.0.certificate.0.write().unwrap_or_else(PoisonError::into_inner) = certified;
        Ok(())
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("files", &self.0.files).finish_non_exhaustive()
    }
}

// === impl Files ===

impl Files {
    fn read(&self) -> Result<Contents, TlsError> {
        Ok(Contents { certificate: read(&self.certificate)?, key: read(&self.key)? })
    }

    fn certified(&self, contents: &Contents, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
        let chain = CertificateDer::pem_slice_iter(&contents.certificate).collect::<Result<Vec<_>, _>>();
        let chain =
            chain.and_then(|chain| if chain.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(chain) });
        let chain = chain.map_err(|error| {
            let problem = match error {
                pem::Error::NoItemsFound => {
                    "there is no `-----BEGIN CERTIFICATE-----` in it; a certificate is \
                    given as PEM, followed by those that lead to its authority"
                        .into()
                }
                other => format!("its PEM is damaged: {other}"),
            };
            TlsError::Content { path: self.certificate.clone(), problem }
        })?;
        let key = PrivateKeyDer::from_pem_slice(&contents.key).map_err(|error| {
            let problem = match error {
                pem::Error::NoItemsFound if contains(&contents.key, b"BEGIN ENCRYPTED PRIVATE KEY") => {
                    "the key is encrypted; write it without a passphrase, as with `openssl pkey`".into()
                }
                pem::Error::NoItemsFound => {
                    "there is no `-----BEGIN PRIVATE KEY-----` in it; a key is given as PEM".into()
                }
                other => format!("its PEM is damaged: {other}"),
            };
            TlsError::Content { path: self.key.clone(), problem }
        })?;
        CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                TlsError::Mismatch { certificate: self.certificate.clone(), key: self.key.clone() }
            }
            rustls::Error::InvalidCertificate(error) => {
                let problem = format!("its first certificate is none: {error:?}");
                TlsError::Content { path: self.certificate.clone(), problem }
            }
            other => {
                let problem = format!("the key cannot be used: {other}; RSA, ECDSA and Ed25519 are known");
                TlsError::Content { path: self.key.clone(), problem }
            }
        })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path);
    let read = file.and_then(|file| file.take(defaults::CERTIFICATE_BYTES).read_to_end(&mut bytes));
    read.map_err(|error| TlsError::Read { path: path.into(), error })?;
    // Some editors begin a text with a mark, which is no part of its first line.
    if bytes.starts_with("\u{feff}".as_bytes()) {
        bytes.drain(.."\u{feff}".len());
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        let problem = "it is UTF-16; write it as UTF-8 or ASCII".into();
        return Err(TlsError::Content { path: path.into(), problem });
    }
    Ok(bytes)
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    memchr::memmem::find(text, part).is_some()
}

// === impl Contents ===

impl Contents {
    /// Tells one pair of files from the next, without keeping a key.
    fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (&self.certificate, &self.key).hash(&mut hasher);
        hasher.finish()
    }
}

// === impl Current ===

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}
