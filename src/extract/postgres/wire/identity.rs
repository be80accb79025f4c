//! Who we are, for a server that asks for a certificate.

use std::path::Path;

use tokio_rustls::rustls::{
    ClientConfig, ConfigBuilder, Error as TlsError,
    client::WantsClientCert,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use super::error::WireError;
use crate::config::{Privacy, read_secret};

/// Completes `builder` with the certificate (and those that lead to its authority) in one PEM file
/// and its key in another. Blocks.
pub(super) fn present(
    builder: ConfigBuilder<ClientConfig, WantsClientCert>,
    certificate: &Path,
    key: &Path,
) -> Result<ClientConfig, WireError> {
    let chain = certificates(certificate, "sslcert", "name a PEM file with our own certificate")?;
    builder.with_client_auth_cert(chain, private_key(key)?).map_err(|error| match error {
        TlsError::InconsistentKeys(_) => WireError::setup(
            format!(
                "`sslkey={}` is not the key of `sslcert={}`",
                key.display(),
                certificate.display()
            ),
            "name a certificate and the key that it was made for",
        ),
        TlsError::InvalidCertificate(error) => WireError::setup(
            format!("`sslcert={}` can't be used: {error:?}", certificate.display()),
            "make it an X.509 certificate of version 3: `openssl x509 -req -extfile …`",
        ),
        error => WireError::setup(
            format!("`sslkey={}` can't be used: {error}", key.display()),
            "make a key of a usual kind: RSA of 2048 bits or more, ECDSA (P-256, P-384), Ed25519",
        ),
    })
}

/// All certificates in a PEM file that the parameter `name` of the URL names; at least one. Blocks.
pub(super) fn certificates(
    file: &Path,
    name: &str,
    remedy: &str,
) -> Result<Vec<CertificateDer<'static>>, WireError> {
    let unreadable = |error: &dyn std::fmt::Display| {
        WireError::setup(format!("`{name}={}` can't be read: {error}", file.display()), remedy)
    };
    let certificates = CertificateDer::pem_file_iter(file)
        .map_err(|error| unreadable(&error))?
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| unreadable(&error))?;
    if certificates.is_empty() {
        return Err(unreadable(&"it holds no certificate"));
    }
    Ok(certificates)
}

fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, WireError> {
    let shown = file.display();
    let pem = read_secret(file, Privacy::OwnerOrGroupOfRoot).map_err(|why| {
        WireError::setup(format!("`sslkey={shown}` {}", why.reason()), why.remedy(file))
    })?;
    let is_encrypted = ["BEGIN ENCRYPTED PRIVATE KEY", "Proc-Type: 4,ENCRYPTED"]
        .iter()
        .any(|mark| pem.reveal().contains(mark));
    if is_encrypted {
        return Err(WireError::setup(
            format!("`sslkey={shown}` is encrypted, and encrypted keys are not read"),
            format!("take the password off a copy: `openssl pkey -in {shown} -out PLAIN_KEY`"),
        ));
    }
    // The parser's own error may quote the file.
    PrivateKeyDer::from_pem_slice(pem.reveal().as_bytes()).map_err(|_| {
        WireError::setup(
            format!("`sslkey={shown}` holds no private key"),
            "name a PEM file with the key of our own certificate",
        )
    })
}
