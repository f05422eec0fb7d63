//! Certificates in PEM form, as files of the settings hold them.

use rustls::pki_types::{CertificateDer, pem};

/// Collects the certificates that a file was found to hold.
///
/// # Errors
/// A reason, where one can't be read or there is none: a file with a key alone is read without an error.
pub fn certificates(
    found: impl Iterator<Item = Result<CertificateDer<'static>, pem::Error>>,
) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Vec<_> = found.collect::<Result<_, _>>().map_err(|error| error.to_string())?;
    match found.is_empty() {
        true => Err("it holds no certificate in PEM form".to_owned()),
        false => Ok(found),
    }
}
