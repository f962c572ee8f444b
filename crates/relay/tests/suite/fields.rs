use tidings_relay::FieldSource;

use crate::support::{Bench, within};

#[tokio::test]
async fn the_endpoint_gets_its_own_credentials_and_none_of_the_callers() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    std::fs::write(&file, "s3cret\n").unwrap();
    let mut bench = Bench::with(|config| {
        let source = FieldSource::File { file, prefix: "Bearer ".to_owned() };
        config.headers = vec![("authorization".to_owned(), source)];
        config.url.push_str("/below");
    })
    .await;
    let request = bench
        .post("/relay/r/v1/chat?alt=sse&access_token=own")
        .header("authorization", "Bearer own")
        .header("cookie", "session=own")
        .header("x-api-key", "own")
        .header("accept-encoding", "gzip, br")
        .header("te", "trailers")
        .header("anthropic-version", "2023-06-01")
        .body("{\"q\": 1}");
    let request = tokio::spawn(request.send());
    let mut asked = bench.endpoint.asked().await;
    assert!(asked.head.starts_with("post /below/v1/chat?alt=sse http/1.1\r\n"), "{}", asked.head);
    assert_eq!(asked.field("authorization"), Some("bearer s3cret"));
    assert_eq!(asked.field("accept-encoding"), Some("identity"));
    assert_eq!(asked.field("anthropic-version"), Some("2023-06-01"));
    assert_eq!(asked.field("host").map(str::to_owned), Some(bench.endpoint.address.to_string()));
    for name in ["cookie", "x-api-key", "te"] {
        assert_eq!(asked.field(name), None, "{name}");
    }
    assert!(!asked.head.contains("own"), "{}", asked.head);
    assert_eq!(asked.body, b"{\"q\": 1}");
    asked.write("HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\nset-cookie: a=b\r\nwww-authenticate: Bearer\r\naccess-control-allow-origin: *\r\n\r\nno").await;
    let response = within("an answer", request).await.unwrap().unwrap();
    assert_eq!(response.status(), 401);
    for name in ["set-cookie", "access-control-allow-origin", "location"] {
        assert!(!response.headers().contains_key(name), "{name}");
    }
    assert_eq!(response.headers()["www-authenticate"], "Bearer");
    assert_eq!(response.text().await.unwrap(), "no");
}

#[tokio::test]
async fn a_large_request_is_passed_on_as_it_comes() {
    let mut bench = Bench::start().await;
    let body: Vec<u8> = (0..5_000_000_u32).map(|number| number as u8).collect();
    let request = tokio::spawn(bench.post("/relay/r/upload").body(body.clone()).send());
    let mut asked = bench.endpoint.asked().await;
    assert!(asked.body == body);
    asked.write("HTTP/1.1 204 No Content\r\n\r\n").await;
    assert_eq!(within("an answer", request).await.unwrap().unwrap().status(), 204);
}
