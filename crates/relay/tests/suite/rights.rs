use std::sync::Arc;

use http::request::Parts;
use tidings_http::{Auth, Denied, Grant, Rights};
use tidings_log::{MemoryLog, Retention};

use crate::support::{Answer, Bench, within};

/// A word stands for what its bearer may do.
fn rights(word: &str) -> Rights {
    let strings = |text: &str| text.split(',').filter(|text| !text.is_empty()).map(str::to_owned).collect();
    match word {
        "r" => Rights { relay: strings("r"), ..Rights::none() },
        "other" => Rights { relay: strings("other"), ..Rights::none() },
        "any" => Rights { relay: strings("*"), ..Rights::none() },
        "stop" => Rights { close: vec!["llm/*".parse().unwrap()], ..Rights::none() },
        _ => Rights { subscribe: vec!["news".parse().unwrap()], ..Rights::none() },
    }
}

fn auth() -> Auth {
    Auth::by(|request: &Parts| {
        let word = request.headers.get("authorization").and_then(|value| value.to_str().ok());
        let word = word.and_then(|word| word.strip_prefix("Bearer ")).map(str::to_owned);
        async move {
            word.map(|word| Grant::from(rights(&word))).ok_or_else(|| Denied::unauthorized("who are you?"))
        }
    })
}

async fn bench() -> Bench {
    let log = Arc::new(MemoryLog::new(Retention::default(), std::time::Duration::from_secs(60)));
    Bench::over(log, auth(), |_| {}).await
}

#[tokio::test]
async fn a_relay_is_for_those_who_may_use_it() {
    let mut bench = bench().await;
    let response = bench.post("/relay/r/x").send().await.unwrap();
    assert_eq!(response.status(), 401);
    for word in ["other", "reader", "stop"] {
        let response = bench.post("/relay/r/x").bearer_auth(word).send().await.unwrap();
        assert_eq!(response.status(), 403, "{word}");
    }
    // Nor is it told what relays there are.
    assert_eq!(bench.post("/relay/nothing/x").bearer_auth("r").send().await.unwrap().status(), 403);
    assert!(bench.endpoint.is_quiet());
    for (field, value) in
        [("authorization", "Bearer any"), ("x-api-key", "r"), ("x-goog-api-key", "r"), ("api-key", "r")]
    {
        let request = tokio::spawn(bench.post("/relay/r/x").header(field, value).send());
        let mut asked = bench.endpoint.asked().await;
        assert_eq!(asked.field(field), None);
        asked.write("HTTP/1.1 204 No Content\r\n\r\n").await;
        assert_eq!(within("an answer", request).await.unwrap().unwrap().status(), 204, "{field}");
    }
}

#[tokio::test]
async fn its_topics_are_read_by_their_names_and_by_no_pattern() {
    let mut bench = bench().await;
    let request = tokio::spawn(bench.post("/relay/r/x").bearer_auth("r").send());
    let mut asked = bench.endpoint.asked().await.events().await;
    let mut answer = Answer::of(within("an answer", request).await.unwrap().unwrap());
    asked.send("data: one\n\n").await;
    answer.until("\n\n").await;
    let location = answer.location();
    let get = async |path: &str, word: &str| {
        bench.get(path).bearer_auth(word).send().await.unwrap().status().as_u16()
    };
    assert_eq!(get(&location, "r").await, 200);
    assert_eq!(get(&location, "any").await, 200);
    for (path, word) in [
        (&*location, "other"),
        (&location, "reader"),
        (&location, "stop"),
        ("/topics/llm/*", "r"),
        ("/topics/llm/short", "r"),
        ("/topics?match=llm/*", "r"),
        ("/topics/**", "any"),
        ("/topics/news", "r"),
    ] {
        assert_eq!(get(path, word).await, 403, "{path} for {word}");
    }
    let both = format!("/events?topic={}&topic=news", &location["/topics/".len()..]);
    assert_eq!(get(&both, "r").await, 403);
    // To end it is another right.
    let stop = async |word: &str| {
        let path = format!("{location}?close=true&reason=stopped");
        bench.post(&path).bearer_auth(word).send().await.unwrap().status().as_u16()
    };
    assert_eq!((stop("r").await, stop("stop").await), (403, 201));
    asked.cancelled().await;
}
