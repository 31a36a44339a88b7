//! TLS to the server: what the settings say, as the driver takes it.

use std::sync::{Arc, OnceLock};

use scylla::client::session::TlsContext;
use tidefold_store::StoreError;

use crate::error::refused;
use crate::settings::Tls;

/// Why a node's certificate was not taken, in OpenSSL's words: the driver passes on only that it was not.
pub(crate) type Fault = Arc<OnceLock<&'static str>>;

#[cfg(not(feature = "tls"))]
pub(crate) fn context(_: &Tls, _: &Fault) -> Result<TlsContext, StoreError> {
    Err(refused(
        "to connect with TLS",
        "this binary was built without it; build it with `--features kafka` or `--features tls`",
    ))
}

/// What the settings say. Every file that cannot be used is told.
#[cfg(feature = "tls")]
pub(crate) fn context(tls: &Tls, fault: &Fault) -> Result<TlsContext, StoreError> {
    use openssl::ssl::{SslConnector, SslMethod, SslVerifyMode, SslVersion};

    /// What OpenSSL calls an IP address that the certificate does not name (`X509_V_ERR_IP_ADDRESS_MISMATCH`).
    const ANOTHER_ADDRESS: i32 = 64;

    let library = |error| refused("to connect with TLS", format!("OpenSSL refuses: {error}"));
    let mut builder = SslConnector::builder(SslMethod::tls_client()).map_err(library)?;
    builder.set_min_proto_version(Some(SslVersion::TLS1_2)).map_err(library)?;
    let mut wrong = Vec::new();
    if let Some(path) = &tls.ca {
        match files::authorities(path) {
            Ok(store) => builder.set_cert_store(store),
            Err(error) => wrong.push(error),
        }
    }
    match (&tls.certificate, &tls.key) {
        (None, None) => {}
        (Some(certificate), Some(key)) => wrong.extend(files::identity(&mut builder, certificate, key)),
        (Some(_), None) => wrong.push("store.tls_certificate is set without tls_key; set both".to_owned()),
        (None, Some(_)) => wrong.push("store.tls_key is set without tls_certificate; set both".to_owned()),
    }
    if !wrong.is_empty() {
        return Err(refused("to connect with TLS", wrong.join("; ")));
    }
    let (check_address, fault) = (tls.check_address, Arc::clone(fault));
    builder.set_verify_callback(SslVerifyMode::PEER, move |valid, chain| {
        let error = chain.error();
        let taken = valid || (!check_address && error.as_raw() == ANOTHER_ADDRESS);
        if !taken {
            fault.get_or_init(|| error.error_string());
        }
        taken
    });
    Ok(builder.into())
}

#[cfg(feature = "tls")]
mod files {
    use std::path::Path;

    use openssl::pkey::PKey;
    use openssl::ssl::SslConnectorBuilder;
    use openssl::x509::X509;
    use openssl::x509::store::{X509Store, X509StoreBuilder};

    pub(super) fn authorities(path: &Path) -> Result<X509Store, String> {
        let told = |error: &dyn std::fmt::Display| format!("store.tls_ca: {} {error}", path.display());
        let pem = std::fs::read(path).map_err(|error| told(&format!("cannot be read: {error}")))?;
        let found = X509::stack_from_pem(&pem).map_err(|error| told(&format!("is no PEM: {error}")))?;
        if found.is_empty() {
            return Err(told(&"has no certificate in it"));
        }
        let mut store = X509StoreBuilder::new().map_err(|error| told(&error))?;
        for certificate in found {
            store.add_cert(certificate).map_err(|error| told(&error))?;
        }
        Ok(store.build())
    }

    /// Sets our certificate and its key; what is wrong with them.
    pub(super) fn identity(
        builder: &mut SslConnectorBuilder,
        certificate: &Path,
        key: &Path,
    ) -> Option<String> {
        if let Err(error) = builder.set_certificate_chain_file(certificate) {
            return Some(format!(
                "store.tls_certificate: {} has no certificate: {error}",
                certificate.display()
            ));
        }
        let pem = match std::fs::read(key) {
            Ok(pem) => pem,
            Err(error) => return Some(format!("store.tls_key: {} cannot be read: {error}", key.display())),
        };
        // Without a callback OpenSSL would ask the terminal for a passphrase.
        let key_of_pem = PKey::private_key_from_pem_callback(&pem, |_| Ok(0));
        match key_of_pem
            .and_then(|key| builder.set_private_key(&key))
            .and_then(|()| builder.check_private_key())
        {
            Ok(()) => None,
            Err(error) => Some(format!(
                "store.tls_key: {} is not the key of {} without a passphrase: {error}",
                key.display(),
                certificate.display()
            )),
        }
    }
}

#[cfg(test)]
#[cfg(feature = "tls")]
mod tests;
