//! A certificate that is not trusted, and how it comes to be.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};

use crate::support::{Hub, Program};

/// Where a hub has its certificate, and what is to be trusted.
struct Files {
    folder: tempfile::TempDir,
    trusted: PathBuf,
}

impl Files {
    fn new(certificate: &str, key: &str, trusted: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("hub.pem", certificate), ("hub.key", key), ("trusted.pem", trusted)] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        Self { trusted: folder.path().join("trusted.pem"), folder }
    }

    fn hub(&self) -> Hub {
        let file = |name: &str| self.folder.path().join(name).to_str().unwrap().to_owned();
        let tls = ["--tls-certificate", &file("hub.pem"), "--tls-key", &file("hub.key")];
        Hub::start_at("127.0.0.1:0", &tls)
    }
}

/// A certificate that signs itself, is an authority, and names nobody: as `openssl req -x509` makes them.
fn own() -> Files {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "hub");
    let pem = params.self_signed(&key).unwrap().pem();
    Files::new(&pem, &key.serialize_pem(), &pem)
}

/// One of an authority, for these years.
fn signed(names: &[&str], years: (i32, i32)) -> Files {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut params =
        CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
    (params.not_before, params.not_after) = (date_time_ymd(years.0, 1, 1), date_time_ymd(years.1, 1, 1));
    let certificate = params.signed_by(&key, &authority).unwrap();
    Files::new(&certificate.pem(), &key.serialize_pem(), &authority.pem())
}

fn https(hub: &Hub) -> String {
    hub.url().replace("http://", "https://")
}

fn publishes(hub: &Hub, ca_file: &Path) {
    let arguments = ["publish", "a", "x", "--ca-file", ca_file.to_str().unwrap()];
    let (code, ids, told) = Program::start(&arguments, &https(hub)).end();
    assert_eq!((code, ids.len()), (Some(0), 1), "{told:?}");
    for transport in ["auto", "websocket"] {
        let subscribe = ["subscribe", "a", "--since", "earliest", "--transport", transport];
        let trusted = ["--ca-file", ca_file.to_str().unwrap()];
        assert_eq!(Program::start(&[&subscribe[..], &trusted].concat(), &https(hub)).line(), "x");
    }
}

fn is_refused(hub: &Hub, more: &[&str], words: &str) {
    for arguments in [
        &["publish", "a", "x"][..],
        &["subscribe", "a"],
        &["subscribe", "a", "--transport", "websocket,auto"],
    ] {
        let (code, _, told) = Program::start(&[arguments, more].concat(), &https(hub)).end();
        let told = told.join("\n");
        assert_eq!(code, Some(1), "{told}");
        assert!(told.contains(words), "{told}");
    }
}

#[test]
fn one_that_is_not_trusted_ends_a_command_at_once_and_a_file_mends_it() {
    for files in [own(), signed(&["127.0.0.1"], (2020, 2100))] {
        let hub = files.hub();
        is_refused(
            &hub,
            &[],
            "the hub's certificate is not trusted: no authority that is trusted here has signed it",
        );
        publishes(&hub, &files.trusted);
    }
}

#[test]
fn openssl_makes_one_that_can_be_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let request = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "hub.key", "-out", "hub.pem"];
    let mut command = Command::new("openssl");
    command.args(request).args(["-days", "30", "-subj", "/CN=hub.example"]).current_dir(folder.path());
    let Ok(made) = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status() else {
        return;
    };
    assert!(made.success());
    let files = Files { trusted: folder.path().join("hub.pem"), folder };
    let hub = files.hub();
    is_refused(&hub, &[], "the hub's certificate is not trusted");
    publishes(&hub, &files.trusted);
}

#[test]
fn another_name_is_refused_but_for_one_that_is_trusted_itself() {
    let files = signed(&["hub.example"], (2020, 2100));
    let hub = files.hub();
    let trusted = files.trusted.to_str().unwrap();
    is_refused(&hub, &["--ca-file", trusted], "it is for another name");
    publishes(&hub, &files.folder.path().join("hub.pem"));
}

#[test]
fn one_that_has_expired_may_be_renewed_and_is_waited_for() {
    let files = signed(&["127.0.0.1"], (2020, 2021));
    let hub = files.hub();
    for trusted in [files.trusted.clone(), files.folder.path().join("hub.pem")] {
        let arguments = ["subscribe", "a", "--ca-file", trusted.to_str().unwrap()];
        let told = Program::start(&arguments, &https(&hub)).told();
        assert!(told.contains("it has expired; connecting again"), "{told}");
    }
}

#[test]
fn a_file_that_is_of_no_use_is_a_wrong_argument() {
    let files = own();
    let key = files.folder.path().join("hub.key");
    for (file, words) in
        [("absent.pem", "absent.pem"), (key.to_str().unwrap(), "-----BEGIN CERTIFICATE-----")]
    {
        let (code, _, told) =
            Program::start(&["publish", "a", "x", "--ca-file", file], "https://127.0.0.1:1").end();
        assert_eq!(code, Some(2), "{told:?}");
        assert!(told[0].contains("--ca-file: ") && told[0].contains(words), "{told:?}");
    }
}
