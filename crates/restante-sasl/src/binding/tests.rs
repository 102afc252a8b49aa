//! Both roles, with every binding that each of them may have.

use alloc::{format, vec};

use secrecy::ExposeSecret as _;

use super::*;
use crate::{
    Mechanism,
    client::{Credentials, Exchange as ClientExchange},
    scram::ScramParameters,
    server::{Exchange, ExchangeError, Step},
};

const EXPORTER_OCTETS: [u8; 32] = [0x5A; 32];

fn end_point(certificate: &[u8]) -> EndPoint {
    EndPoint::of_certificate(certificate).unwrap()
}

/// A certificate whose hash has 48 octets, and another whose has 32.
fn ours() -> EndPoint {
    end_point(include_bytes!("../end_point/certificates/ecdsa_sha384.der"))
}

fn theirs() -> EndPoint {
    end_point(include_bytes!("../end_point/certificates/ecdsa_sha256.der"))
}

/// How far a client with one binding comes at a server with another: to its proof, or not.
fn meet(
    mechanism: Mechanism,
    client: ChannelBinding,
    server: ChannelBinding,
) -> Result<(), ExchangeError> {
    let credentials = Credentials {
        name: "user".into(),
        password: "pencil".into(),
        authorization: None,
    };
    let mut client = ClientExchange::new(mechanism, credentials, client, [7; 18]).unwrap();
    let mut server = Exchange::new(mechanism, server, [9; 18]);
    let first = client.initial_response().unwrap();
    let Step::LookUpScram { .. } = server.start(Some(first.expose_secret()))? else {
        panic!("no question for keys");
    };
    let parameters = ScramParameters::new(vec![1; 16], 4096).unwrap();
    let Step::Challenge(challenge) = server.scram_parameters(&parameters)? else {
        panic!("no challenge");
    };
    let last = client.respond(&challenge).unwrap();
    match server.respond(last.expose_secret())? {
        Step::VerifyProof(_) => Ok(()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn r5929_cb_4_the_client_chooses_the_type_and_the_server_takes_what_it_knows() {
    let exporter = || ChannelBinding::with(Some(EXPORTER_OCTETS), None);
    let certificate = || ChannelBinding::with(None, Some(ours()));
    let either = || ChannelBinding::with(Some(EXPORTER_OCTETS), Some(ours()));
    let unsupported = Err(ExchangeError::BindingUnsupported);
    for mechanism in [Mechanism::ScramSha1Plus, Mechanism::ScramSha256Plus] {
        for (client, server, met) in [
            (exporter(), exporter(), Ok(())),
            (exporter(), either(), Ok(())),
            (certificate(), certificate(), Ok(())),
            (certificate(), either(), Ok(())),
            // Of two, the client uses the exporter.
            (either(), exporter(), Ok(())),
            (either(), either(), Ok(())),
            (either(), certificate(), unsupported),
            (exporter(), certificate(), unsupported),
            (certificate(), exporter(), unsupported),
        ] {
            let what = format!("{mechanism} {client:?} {server:?}");
            assert_eq!(meet(mechanism, client, server), met, "{what}");
        }
    }
}

// R5802-SCRAM-3
#[test]
fn r5929_cb_4_another_certificate_is_somebody_in_the_middle() {
    let (client, either) = (
        ChannelBinding::with(None, Some(theirs())),
        ChannelBinding::with(Some(EXPORTER_OCTETS), Some(ours())),
    );
    for server in [ChannelBinding::with(None, Some(ours())), either.clone()] {
        let met = meet(Mechanism::ScramSha256Plus, client.clone(), server);
        assert_eq!(met, Err(ExchangeError::BindingMismatch));
    }
    // The certificate is right, and the exporter is another connection's.
    let client = ChannelBinding::with(Some([1; 32]), Some(ours()));
    let met = meet(Mechanism::ScramSha256Plus, client, either);
    assert_eq!(met, Err(ExchangeError::BindingMismatch));
}

/// R5802-PLUS-2: with any binding, -PLUS is advertised.
#[test]
fn r5802_plus_2_y_fails_whatever_there_is_to_bind_to() {
    let certificate = ChannelBinding::with(None, Some(ours()));
    for server in [
        certificate.clone(),
        ChannelBinding::with(Some(EXPORTER_OCTETS), Some(ours())),
    ] {
        let met = |client| meet(Mechanism::ScramSha256, client, server.clone());
        let downgraded = Err(ExchangeError::BindingDowngraded);
        assert_eq!(met(ChannelBinding::Unused), downgraded);
        assert_eq!(met(ChannelBinding::None), Ok(()));
    }
    // Data of one type under the name of the other.
    assert_eq!(certificate.data("tls-exporter"), None);
    assert_eq!(certificate.data("tls-unique"), None);
    assert_eq!(certificate.data("TLS-SERVER-END-POINT"), None);
    let nothing = ChannelBinding::with(None, None);
    assert!(nothing == ChannelBinding::None && !nothing.is_usable());
}

// PRJ-SEC-2
#[test]
fn prj_sec_2_no_binding_shows_what_tls_exports() {
    let either = ChannelBinding::with(Some(EXPORTER_OCTETS), Some(ours()));
    assert_eq!(format!("{either:?}"), "Either([REDACTED])");
}
