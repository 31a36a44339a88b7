//! What the settings make of a server's certificate, with a server that does nothing but show one.

use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::ssl::{SslAcceptor, SslMethod};
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{X509, X509Name};
use tempfile::NamedTempFile;

use super::*;
use crate::{ScyllaStore, Settings};

/// A certificate that signed itself, for an IP address.
fn certificate(address: &str) -> (X509, PKey<Private>) {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
    let mut name = X509Name::builder().unwrap();
    name.append_entry_by_text("CN", address).unwrap();
    let name = name.build();
    let mut made = X509::builder().unwrap();
    made.set_version(2).unwrap();
    made.set_serial_number(&BigNum::from_u32(1).unwrap().to_asn1_integer().unwrap()).unwrap();
    made.set_subject_name(&name).unwrap();
    made.set_issuer_name(&name).unwrap();
    made.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
    made.set_not_after(&Asn1Time::days_from_now(1).unwrap()).unwrap();
    made.set_pubkey(&key).unwrap();
    made.append_extension(BasicConstraints::new().critical().ca().build().unwrap()).unwrap();
    let names = SubjectAlternativeName::new().ip(address).build(&made.x509v3_context(None, None)).unwrap();
    made.append_extension(names).unwrap();
    made.sign(&key, MessageDigest::sha256()).unwrap();
    (made.build(), key)
}

/// Shows the certificate to whoever comes, says nothing more and hangs up; where it is.
fn show(certificate: &X509, key: &PKey<Private>) -> String {
    let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server()).unwrap();
    acceptor.set_certificate(certificate).unwrap();
    acceptor.set_private_key(key).unwrap();
    let acceptor = acceptor.build();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let serve = move || listener.incoming().flatten().for_each(|stream| drop(acceptor.accept(stream)));
    std::thread::Builder::new().spawn(serve).unwrap();
    address
}

fn file_of(certificate: &X509) -> NamedTempFile {
    let file = NamedTempFile::new().unwrap();
    std::fs::write(file.path(), certificate.to_pem().unwrap()).unwrap();
    file
}

async fn connect(address: &str, ca: &NamedTempFile, check_address: bool) -> StoreError {
    let tls = Tls { ca: Some(ca.path().to_owned()), check_address, ..Tls::default() };
    let settings = Settings {
        contact_points: vec![address.to_owned()],
        connect_timeout: Duration::from_secs(30),
        tls: Some(tls),
        ..Settings::default()
    };
    ScyllaStore::connect(settings).await.err().unwrap()
}

#[tokio::test]
async fn a_certificate_has_to_name_the_nodes_address_unless_that_is_switched_off() {
    let (certificate, key) = certificate("192.0.2.1");
    let (address, ca) = (show(&certificate, &key), file_of(&certificate));
    let error = connect(&address, &ca, true).await;
    let StoreError::Refused { detail, .. } = &error else { panic!("{error}") };
    assert!(detail.contains("IP address mismatch") && detail.contains("store.tls_address"), "{detail}");
    let error = connect(&address, &ca, false).await;
    assert!(matches!(error, StoreError::Unavailable { .. }), "let in, and told nothing: {error}");
}

#[tokio::test]
async fn a_certificate_has_to_be_of_the_authority_whatever_address_it_names() {
    let ((shown, key), (other, _)) = (certificate("127.0.0.1"), certificate("127.0.0.1"));
    let address = show(&shown, &key);
    for check_address in [true, false] {
        let error = connect(&address, &file_of(&other), check_address).await;
        let StoreError::Refused { detail, .. } = &error else { panic!("{error}") };
        assert!(detail.contains("store.tls_ca"), "{detail}");
    }
    let error = connect(&address, &file_of(&shown), true).await;
    assert!(matches!(error, StoreError::Unavailable { .. }), "let in, and told nothing: {error}");
}

#[test]
fn every_file_that_cannot_be_used_is_named() {
    let nowhere = |name: &str| Some(PathBuf::from(format!("/nowhere/{name}")));
    let tls =
        Tls { ca: nowhere("ca.pem"), certificate: nowhere("c.pem"), key: nowhere("k.pem"), ..Tls::default() };
    let Err(StoreError::Refused { detail, .. }) = context(&tls, &Fault::default()).map(drop) else {
        panic!()
    };
    assert!(detail.contains("tls_ca: /nowhere/ca.pem") && detail.contains("/nowhere/c.pem"), "{detail}");
    for (certificate, key) in [(nowhere("c.pem"), None), (None, nowhere("k.pem"))] {
        let Err(StoreError::Refused { detail, .. }) =
            context(&Tls { certificate, key, ..Tls::default() }, &Fault::default()).map(drop)
        else {
            panic!()
        };
        assert!(detail.contains("tls_certificate") && detail.contains("tls_key"), "{detail}");
    }
    assert!(context(&Tls::default(), &Fault::default()).is_ok(), "the system's authorities");
}
