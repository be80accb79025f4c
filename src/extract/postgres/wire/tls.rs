//! TLS towards a PostgreSQL server: which certificates are trusted, per `sslmode`, and the hash of
//! the server's certificate that SCRAM binds a login to.

use std::sync::Arc;

use sha2::{Digest, Sha256, Sha384, Sha512};
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        AlertDescription, CertificateError, ClientConfig, ConfigBuilder, DigitallySignedStruct,
        Error as TlsError, ProtocolVersion, RootCertStore, SignatureScheme,
        client::{
            WantsClientCert, WebPkiServerVerifier,
            danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
            verify_server_name,
        },
        crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
        pki_types::{CertificateDer, ServerName, UnixTime},
        server::ParsedCertificate,
    },
};

use super::{
    error::WireError,
    identity,
    options::{TlsMode, WireOptions},
};

/// Shakes hands over `socket`, which the server is ready to encrypt. An error is final: nothing is
/// ever sent unencrypted after it.
pub(super) async fn encrypt(
    socket: TcpStream,
    host: &str,
    options: &WireOptions,
) -> Result<TlsStream<TcpStream>, WireError> {
    let name = ServerName::try_from(host.to_owned()).map_err(|_| {
        WireError::setup(
            format!("`{host}` is not a host name that a certificate can be for"),
            "name the host as its certificate does",
        )
    })?;
    let asked = options.clone();
    // Certificates and keys are read anew each time, so that renewed ones are seen.
    let config = tokio::task::spawn_blocking(move || client_config(&asked))
        .await
        .map_err(|_| WireError::Lost("reading certificates was stopped".to_owned()))??;
    TlsConnector::from(Arc::new(config)).connect(name, socket).await.map_err(|error| {
        let broken = error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>());
        match broken {
            Some(broken) => failure(broken, host),
            None => WireError::lost(&error),
        }
    })
}

/// Why a handshake failed: what will fail again is told with what mends it; all else is a lost
/// connection, because a network that garbles a handshake may do better the next time.
fn failure(error: &TlsError, host: &str) -> WireError {
    let remedy = match error {
        TlsError::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => "connect by a name in the certificate's subjectAltName, or set `sslmode=verify-ca`",
        TlsError::InvalidCertificate(
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. },
        ) => "renew the server's certificate, or set the clock of this machine right",
        TlsError::InvalidCertificate(_) => {
            "name the certificate of its authority with `sslrootcert=…` in the url"
        }
        TlsError::PeerIncompatible(_)
        | TlsError::AlertReceived(
            AlertDescription::ProtocolVersion
            | AlertDescription::HandshakeFailure
            | AlertDescription::InsufficientSecurity,
        ) => "check the server's `ssl_min_protocol_version`: TLS 1.2 and 1.3 are spoken here",
        error => {
            return WireError::client_refused(error).unwrap_or_else(|| {
                WireError::Lost(format!("the TLS handshake with `{host}` broke: {error}"))
            });
        }
    };
    let what = match error {
        TlsError::InvalidCertificate(CertificateError::Other(_)) => {
            "its certificate is self-made, or is an authority's own".to_owned()
        }
        error => error.to_string(),
    };
    WireError::setup(format!("no trusted TLS connection to `{host}`: {what}"), remedy)
}

/// Which TLS a stream speaks.
pub(super) fn version(stream: &TlsStream<TcpStream>) -> &'static str {
    match stream.get_ref().1.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => "TLS 1.3",
        Some(ProtocolVersion::TLSv1_2) => "TLS 1.2",
        _ => "TLS",
    }
}

fn client_config(options: &WireOptions) -> Result<ClientConfig, WireError> {
    let builder = verified(options)?;
    match (&options.certificate, &options.key) {
        (Some(certificate), Some(key)) => identity::present(builder, certificate, key),
        _ => Ok(builder.with_no_client_auth()),
    }
}

/// How the server's certificate is verified.
fn verified(
    options: &WireOptions,
) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, WireError> {
    // The process may hold several providers, so none is the default.
    let provider = Arc::new(ring::default_provider());
    let trust = Trust::of(options);
    let verifier: Arc<dyn ServerCertVerifier> = if trust == Trust::Anyone {
        Arc::new(Verifier { roots: None, pinned: Vec::new(), trust, provider: provider.clone() })
    } else {
        let pinned = trusted(options)?;
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(pinned.iter().cloned());
        let roots = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
            .build()
            .map_err(|error| {
                WireError::setup(
                    format!("no certificate authority is trusted: {error}"),
                    "name one with `sslrootcert=…` in the url",
                )
            })?;
        let pinned = if options.root_certificate.is_some() { pinned } else { Vec::new() };
        Arc::new(Verifier { roots: Some(roots), pinned, trust, provider: provider.clone() })
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| WireError::setup(format!("TLS can't be set up: {error}"), "report it"))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    Ok(config)
}

/// The certificates that the user named, or those that this machine trusts.
fn trusted(options: &WireOptions) -> Result<Vec<CertificateDer<'static>>, WireError> {
    let Some(file) = &options.root_certificate else {
        return Ok(rustls_native_certs::load_native_certs().certs);
    };
    let remedy = "name a PEM file with the certificate of the server's authority";
    identity::certificates(file, "sslrootcert", remedy)
}

/// How much of a certificate must be right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// Nothing but that the server holds its key.
    Anyone,
    /// That somebody whom we trust signed it.
    Authority,
    /// And that it is for the host.
    Host,
}

impl Trust {
    /// What `options` ask for.
    pub(super) fn of(options: &WireOptions) -> Self {
        match options.tls {
            TlsMode::VerifyFull => Self::Host,
            TlsMode::VerifyCa => Self::Authority,
            // As in libpq: who names an authority means it.
            TlsMode::Require if options.root_certificate.is_some() => Self::Authority,
            TlsMode::Disable | TlsMode::Prefer | TlsMode::Require => Self::Anyone,
        }
    }
}

#[derive(Debug)]
struct Verifier {
    roots: Option<Arc<WebPkiServerVerifier>>,
    /// Certificates that the user named. A server that shows one of them itself needs no signature:
    /// many servers have a self-made certificate, which is no authority's.
    pinned: Vec<CertificateDer<'static>>,
    trust: Trust,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let Some(roots) = &self.roots else { return Ok(ServerCertVerified::assertion()) };
        // The name is what is verified last, so that all else holds when only it is wrong; the
        // time is verified before who signed.
        match roots.verify_server_cert(certificate, intermediates, name, ocsp, now) {
            Err(TlsError::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if self.trust == Trust::Authority => Ok(ServerCertVerified::assertion()),
            Err(TlsError::InvalidCertificate(
                CertificateError::UnknownIssuer | CertificateError::Other(_),
            )) if self.pinned.iter().any(|pinned| pinned == certificate) => {
                if self.trust == Trust::Host {
                    verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
                }
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
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// The server's `tls-server-end-point` (RFC 5929): its certificate, hashed as the certificate
/// itself was signed, but with SHA-256 where that was weaker. `None` where the signature names no
/// hash that is known here.
pub(super) fn end_point(stream: &TlsStream<TcpStream>) -> Option<Vec<u8>> {
    let (_, session) = stream.get_ref();
    let certificate = session.peer_certificates()?.first()?;
    Some(match signature_hash(certificate)? {
        SignatureHash::Sha256 => Sha256::digest(certificate).to_vec(),
        SignatureHash::Sha384 => Sha384::digest(certificate).to_vec(),
        SignatureHash::Sha512 => Sha512::digest(certificate).to_vec(),
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SignatureHash {
    Sha256,
    Sha384,
    Sha512,
}

/// The hash of the signature on an X.509 certificate: the sequence of what is signed, the
/// algorithm (a sequence that begins with an object identifier), and the signature.
fn signature_hash(certificate: &[u8]) -> Option<SignatureHash> {
    const RSA: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01];
    const ECDSA_SHA2: &[u8] = &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x04, 0x03];
    const ECDSA_SHA1: &[u8] = &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x04, 0x01];
    const SEQUENCE: u8 = 0x30;
    const IDENTIFIER: u8 = 0x06;
    let (body, _) = element(certificate, SEQUENCE)?;
    let (_, rest) = element(body, SEQUENCE)?;
    let (algorithm, _) = element(rest, SEQUENCE)?;
    let (identifier, _) = element(algorithm, IDENTIFIER)?;
    if identifier == ECDSA_SHA1 {
        return Some(SignatureHash::Sha256);
    }
    let (last, family) = identifier.split_last()?;
    match (family, last) {
        (RSA, 4 | 5 | 11) | (ECDSA_SHA2, 2) => Some(SignatureHash::Sha256),
        (RSA, 12) | (ECDSA_SHA2, 3) => Some(SignatureHash::Sha384),
        (RSA, 13) | (ECDSA_SHA2, 4) => Some(SignatureHash::Sha512),
        _ => None,
    }
}

/// The DER element with `tag` at the front of `bytes`, and what follows it.
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<2>()?;
    let [found, short] = *head;
    if found != tag {
        return None;
    }
    if short < 0x80 {
        return rest.split_at_checked(short.into());
    }
    let (len, rest) = rest.split_at_checked((short & 0x7F).into())?;
    if len.len() > 4 {
        return None;
    }
    let len = len.iter().fold(0, |len, byte| len << 8 | usize::from(*byte));
    rest.split_at_checked(len)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(identifier: &[u8]) -> Vec<u8> {
        let algorithm = [&[0x06, identifier.len() as u8], identifier].concat();
        let signed = vec![0; 200];
        let inner = [
            &[0x30, 0x81, 200][..],
            &signed,
            &[0x30, algorithm.len() as u8],
            &algorithm,
            &[0x03, 1, 0],
        ]
        .concat();
        [&[0x30, 0x82, (inner.len() >> 8) as u8, inner.len() as u8], &inner[..]].concat()
    }

    #[test]
    fn the_signature_says_which_hash() {
        let rsa = |last| certificate(&[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, last]);
        let ecdsa = |last| certificate(&[0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x04, 0x03, last]);
        for (certificate, hash) in [
            (rsa(5), Some(SignatureHash::Sha256)),
            (rsa(11), Some(SignatureHash::Sha256)),
            (rsa(12), Some(SignatureHash::Sha384)),
            (rsa(13), Some(SignatureHash::Sha512)),
            (rsa(10), None),
            (ecdsa(2), Some(SignatureHash::Sha256)),
            (ecdsa(3), Some(SignatureHash::Sha384)),
        ] {
            assert_eq!(signature_hash(&certificate), hash);
        }
    }

    #[test]
    fn a_broken_certificate_has_none() {
        let whole = certificate(&[0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x04, 0x03, 2]);
        for end in 0..whole.len() {
            assert_eq!(signature_hash(&whole[..end]), None, "{end}");
        }
        assert_eq!(signature_hash(&[0x30, 0x85, 1, 1, 1, 1, 1]), None);
    }
}
