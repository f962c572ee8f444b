//! Which signatures count.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{KeyPair, PublicKeyData as _, RsaKeySize};
use serde_json::{Value, json};
use tidings_http::{AuthConfig, InvalidKey, Key};

use crate::support::tokens::{SECRET, bearer, claims, hub, hub_with, moment, sign, sign_as, with};
use crate::support::{Request, Running, Setup};

/// The detail of the refusal of a token; `None` where it is accepted.
pub(super) async fn refusal(hub: &Running, token: &str) -> Option<String> {
    let answer = hub.ask(Request::get("/topics/a").header("authorization", &bearer(token))).await;
    if answer.status() == 200 {
        return None;
    }
    let challenge = answer.header("www-authenticate").unwrap();
    assert!(challenge.starts_with("Bearer realm=\"tidings\", error=\"invalid_token\""), "{challenge}");
    let detail = answer.problem(401, "unauthorized");
    assert!(token.len() < 16 || !detail.contains(token), "it repeats the token");
    Some(detail)
}

fn pairs() -> [(Algorithm, KeyPair, EncodingKey); 3] {
    let rsa = KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
    let ec = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let ed = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let pem = |pair: &KeyPair| pair.serialize_pem().into_bytes();
    let keys = [
        EncodingKey::from_rsa_pem(&pem(&rsa)).unwrap(),
        EncodingKey::from_ec_pem(&pem(&ec)).unwrap(),
        EncodingKey::from_ed_pem(&pem(&ed)).unwrap(),
    ];
    let [rsa_key, ec_key, ed_key] = keys;
    [(Algorithm::RS256, rsa, rsa_key), (Algorithm::ES256, ec, ec_key), (Algorithm::EdDSA, ed, ed_key)]
}

#[tokio::test]
async fn each_algorithm_is_taken_with_its_key_and_no_other() {
    let (own, others) = (pairs(), pairs());
    let pem: String = own.iter().map(|(_, pair, _)| pair.public_key_pem()).collect();
    let keys = Key::from_pem(&pem).unwrap();
    assert_eq!(keys.len(), 3);
    let hub = hub_with(Setup::new(), AuthConfig { keys, ..AuthConfig::default() }).await;
    let claims = claims(&[], &["**"]);
    assert_eq!(refusal(&hub, &sign(&claims)).await, None);
    for (algorithm, pair, key) in &own {
        let header = Header::new(*algorithm);
        assert_eq!(refusal(&hub, &sign_as(&header, &claims, key)).await, None, "{algorithm:?}");
        // The public key is no secret, and taken for one it would let everyone sign (RFC 8725 §2.1).
        let forged = EncodingKey::from_secret(pair.public_key_pem().as_bytes());
        let forged = sign_as(&Header::new(Algorithm::HS256), &claims, &forged);
        assert!(refusal(&hub, &forged).await.is_some(), "{algorithm:?} as a secret");
        let forged = EncodingKey::from_secret(&pair.subject_public_key_info());
        let forged = sign_as(&Header::new(Algorithm::HS256), &claims, &forged);
        assert!(refusal(&hub, &forged).await.is_some(), "{algorithm:?} as a secret");
    }
    for (algorithm, _, key) in &others {
        let token = sign_as(&Header::new(*algorithm), &claims, key);
        assert!(refusal(&hub, &token).await.is_some(), "{algorithm:?} of another");
    }
    for algorithm in [Algorithm::HS384, Algorithm::HS512] {
        let token = sign_as(&Header::new(algorithm), &claims, &EncodingKey::from_secret(SECRET));
        assert!(refusal(&hub, &token).await.is_some(), "{algorithm:?}");
    }
    let token = sign_as(&Header::new(Algorithm::RS384), &claims, &own[0].2);
    assert!(refusal(&hub, &token).await.is_some(), "RS384");
}

#[tokio::test]
async fn a_token_without_a_signature_is_refused() {
    let hub = hub().await;
    let part = |value: &Value| {
        use base64::Engine as _;
        URL_SAFE_NO_PAD.encode(value.to_string())
    };
    let claims = claims(&["**"], &["**"]);
    for name in ["none", "None", "NONE", "nOnE", "", "HS256 "] {
        let unsigned = format!("{}.{}", part(&json!({"alg": name, "typ": "JWT"})), part(&claims));
        for token in [format!("{unsigned}."), unsigned.clone(), format!("{unsigned}.AAAA")] {
            assert!(refusal(&hub, &token).await.is_some(), "{token}");
        }
    }
    // Signed, and yet for those who understand more (RFC 7515 §4.1.11).
    let critical = format!("{}.{}", part(&json!({"alg": "HS256", "crit": ["x"], "x": 1})), part(&claims));
    let key = EncodingKey::from_secret(SECRET);
    let signature = jsonwebtoken::crypto::sign(critical.as_bytes(), &key, Algorithm::HS256).unwrap();
    assert!(refusal(&hub, &format!("{critical}.{signature}")).await.unwrap().contains("crit"));
    let unsigned = format!("{}.{}", part(&json!({"alg": "HS256"})), part(&claims));
    assert!(refusal(&hub, &format!("{unsigned}.")).await.is_some());
}

#[tokio::test]
async fn a_token_that_was_changed_or_cut_is_refused() {
    let hub = hub().await;
    let token = sign(&claims(&[], &["**"]));
    assert_eq!(refusal(&hub, &token).await, None);
    for length in (1..token.len()).step_by(7) {
        assert!(refusal(&hub, &token[..length]).await.is_some(), "cut to {length}");
    }
    for at in (0..token.len()).step_by(11) {
        let mut bytes = token.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(bytes).unwrap();
        assert!(refusal(&hub, &changed).await.is_some(), "changed at {at}");
    }
    for odd in ["x", "..", "...", "a.b.c.d", "=.=.=", "eyJ.eyJ.eyJ"] {
        assert!(refusal(&hub, odd).await.is_some(), "{odd}");
    }
    let long = with(claims(&[], &["**"]), "padding", json!("x".repeat(9_000)));
    assert!(refusal(&hub, &sign(&long)).await.unwrap().contains("8192 bytes"));
}

#[tokio::test]
async fn its_time_counts_with_half_a_minute_of_leeway() {
    let hub = hub().await;
    let token = |name: &str, value: Value| sign(&with(claims(&[], &["**"]), name, value));
    for (name, from_now, fine) in
        [("exp", -20, true), ("exp", -45, false), ("nbf", 20, true), ("nbf", 45, false), ("nbf", -100, true)]
    {
        let refused = refusal(&hub, &token(name, json!(moment(from_now)))).await;
        assert_eq!(refused.is_none(), fine, "{name} {from_now}: {refused:?}");
    }
    assert!(refusal(&hub, &token("exp", json!(moment(-45)))).await.unwrap().contains("expired"));
    assert!(refusal(&hub, &token("exp", Value::Null)).await.unwrap().contains("`exp`"));
    for odd in [json!("soon"), json!(-1), json!(1e300), json!([1]), json!(true), json!({})] {
        // It may be taken for a time far off, and does no harm.
        refusal(&hub, &token("exp", odd)).await;
    }
    assert_eq!(refusal(&hub, &token("exp", json!(moment(60) as f64 + 0.5))).await, None);
}

#[tokio::test]
async fn audience_and_issuer_count_where_they_are_set() {
    let config = AuthConfig {
        audience: Some("tidings".into()),
        issuer: Some("https://login.example".into()),
        ..AuthConfig::default()
    };
    let hub = hub_with(Setup::new(), config).await;
    let token = |aud: Value, iss: Value| sign(&with(with(claims(&[], &["**"]), "aud", aud), "iss", iss));
    let issuer = || json!("https://login.example");
    assert_eq!(refusal(&hub, &token(json!("tidings"), issuer())).await, None);
    assert_eq!(refusal(&hub, &token(json!(["other", "tidings"]), issuer())).await, None);
    for (aud, iss) in [
        (json!("other"), issuer()),
        (Value::Null, issuer()),
        (json!("tidings"), Value::Null),
        (json!("tidings"), json!("https://login.evil")),
    ] {
        assert!(refusal(&hub, &token(aud.clone(), iss.clone())).await.is_some(), "{aud} {iss}");
    }
}

#[tokio::test]
async fn claims_that_make_no_sense_are_refused() {
    let hub = hub().await;
    for scope in [
        json!({"subscribe": ["a/**/b"]}),
        json!({"subscribe": [""]}),
        json!({"publish": ["/a"]}),
        json!({"subscribe": "**"}),
        json!(["**"]),
        json!({"subscribe": [1]}),
    ] {
        let token = sign(&with(claims(&[], &[]), "tidings", scope.clone()));
        assert!(refusal(&hub, &token).await.is_some(), "{scope}");
    }
}

#[test]
fn keys_of_no_use_are_refused() {
    assert_eq!(Key::hs256(b"short").unwrap_err(), InvalidKey::Short { bytes: 5, least: 32 });
    let ec = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    let private = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    for text in ["", "secret", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"] {
        assert_eq!(Key::from_pem(text).unwrap_err(), InvalidKey::Pem, "{text}");
    }
    assert_eq!(Key::from_pem(&private.serialize_pem()).unwrap_err(), InvalidKey::Pem);
    assert_eq!(Key::from_pem(&ec.public_key_pem()).unwrap_err(), InvalidKey::Pem);
    let shown = format!("{:?}", Key::hs256(SECRET).unwrap());
    assert!(!shown.contains("secret"), "{shown}");
}

/// What serde derives would take the fields of a struct as an array too.
#[tokio::test]
async fn a_token_and_its_parts_are_objects() {
    let hub = hub().await;
    let sign_raw = |header: &str, claims: &str| {
        let [header, claims] = [header, claims].map(|text| URL_SAFE_NO_PAD.encode(text));
        let signed = format!("{header}.{claims}");
        let key = EncodingKey::from_secret(SECRET);
        let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &key, Algorithm::HS256).unwrap();
        format!("{signed}.{signature}")
    };
    let (header, exp) = ("{\"typ\":\"JWT\",\"alg\":\"HS256\"}", moment(3_600));
    let good = format!("{{\"exp\":{exp},\"tidings\":{{\"subscribe\":[\"**\"]}}}}");
    assert_eq!(refusal(&hub, &sign_raw(header, &good)).await, None);
    for (header, claims) in [
        (header, format!("{{\"exp\":{exp},\"tidings\":[[],[\"**\"],false]}}")),
        (header, format!("[{exp},null,{{\"subscribe\":[\"**\"]}}]")),
        ("[\"JWT\",\"HS256\"]", good.clone()),
        ("{\"typ\":\"JWT\",\"alg\":\"HS256\",\"crit\":[\"x\"]}", good.clone()),
        ("{\"typ\":\"JWT\",\"alg\":\"HS256\",\"crit\":[\"x\"],\"crit\":null}", good.clone()),
    ] {
        assert!(refusal(&hub, &sign_raw(header, &claims)).await.is_some(), "{header} {claims}");
    }
}
