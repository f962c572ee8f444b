//! Relays, with clients and servers of others: whoever calls a model through a hub does not notice, and loses nothing.

use std::net::SocketAddr;

use http::Request;
use http_body_util::Full;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::hub::{command, room};
use crate::support::{Answer, Authority, Connection, Hub, Script, Tap, Version, tools, within};

/// A server of models.
struct Models {
    script: Script,
    url: String,
    /// The name of a model that it has.
    model: &'static str,
    _room: tempfile::TempDir,
}

// === impl Models ===

impl Models {
    /// llama.cpp's own, over a tiny model of random weights.
    async fn llama() -> Option<Self> {
        let room = room();
        let mut command = tools::python("llama_server.py")?;
        command.arg(room.path());
        let mut script = Script::start(command);
        let url = script.line().await.expect("llama.cpp did not start");
        Some(Self { script, url, model: "tiny", _room: room })
    }

    /// A simulator that speaks as several providers do.
    async fn simulator() -> Option<Self> {
        let room = room();
        let port = tidings_engine_servers::quiet_port();
        let mut command = tools::python_program("llmock")?;
        command.args(["serve", "--host", "127.0.0.1", "--log-level", "warning", "--port", &port.to_string()]);
        command.current_dir(room.path());
        let script = Script::start(command);
        let url = format!("http://127.0.0.1:{port}");
        Tap::answers(([127, 0, 0, 1], port).into()).await;
        Some(Self { script, url, model: "gpt-4o", _room: room })
    }

    /// A hub that relays it as `models`.
    async fn hub(&self) -> Hub {
        let relay = format!(
            "[relay.models]\nurl = \"{}\"\ntopic = \"llm/{{id}}\"\nmethods = [\"GET\", \"POST\"]\n",
            self.url
        );
        Hub::on_disk_with(&relay).await
    }
}

/// Everything that a client says of a server.
async fn said(mut command: Command, url: &str, arguments: &[&str], model: &str) -> Vec<String> {
    command.arg(url).args(arguments).env("KEY", "no key").env("MODEL", model);
    let mut script = Script::start(command);
    let mut said = Vec::new();
    while let Some(line) = script.line().await {
        said.push(line);
    }
    script.end().await;
    said
}

fn openai_node() -> Option<Command> {
    tools::node("openai_client.mjs", "openai")
}

fn openai_python() -> Option<Command> {
    tools::python("openai_client.py")
}

fn anthropic_node() -> Option<Command> {
    tools::node("anthropic_client.mjs", "@anthropic-ai/sdk")
}

/// A client says the same of a server and of its relay.
async fn does_not_notice(
    client: impl Fn() -> Option<Command>,
    models: &Models,
    hub: &Hub,
    path: &str,
    arguments: &[&str],
) {
    let Some(command) = client() else { return };
    let direct = said(command, &format!("{}{path}", models.url), arguments, models.model).await;
    let relayed =
        said(client().unwrap(), &hub.url(&format!("/relay/models{path}")), arguments, models.model).await;
    assert!(direct.len() >= 4, "{direct:?}");
    assert_eq!(direct, relayed);
}

#[tokio::test]
async fn clients_of_llama_cpp_do_not_notice() {
    let Some(models) = Models::llama().await else { return };
    let hub = models.hub().await;
    does_not_notice(openai_node, &models, &hub, "/v1", &[]).await;
    does_not_notice(openai_python, &models, &hub, "/v1", &[]).await;
}

#[tokio::test]
async fn clients_of_several_providers_do_not_notice() {
    let Some(mut models) = Models::simulator().await else { return };
    let hub = models.hub().await;
    does_not_notice(openai_node, &models, &hub, "/v1", &["tools"]).await;
    does_not_notice(openai_python, &models, &hub, "/v1", &["tools"]).await;
    models.model = "claude-opus-4-1";
    does_not_notice(anthropic_node, &models, &hub, "/anthropic", &[]).await;
    // Gemini's has no client here: its events are the same bytes.
    let path = "/gemini/v1beta/models/gemini-2.0-flash:streamGenerateContent?alt=sse";
    let body = json!({"contents": [{"role": "user", "parts": [{"text": "Say something."}]}]}).to_string();
    let address = models.url.strip_prefix("http://").unwrap().parse().unwrap();
    let direct = Tap::post(address, path, &body).await;
    let relayed = Tap::post(hub.address(), &format!("/relay/models{path}"), &body).await;
    let without_ids: String =
        relayed.split_inclusive('\n').filter(|line| !line.starts_with("id: ")).collect();
    assert!(direct.contains("data: "), "{direct}");
    assert_eq!(direct, without_ids);
}

/// The client is in the middle of a long answer, which three others read as well.
async fn read_in_the_middle(hub: &Hub) -> Option<(Script, String, u64)> {
    let mut command = openai_node()?;
    command.arg(hub.url("/relay/models/v1")).arg("long").env("KEY", "no key").env("MODEL", "tiny");
    let mut client = Script::start(command);
    let location = client.object().await["location"].as_str().unwrap().to_owned();
    let mut chunks = 0;
    while chunks < 100 {
        chunks = client.object().await["chunks"].as_u64().unwrap();
    }
    Some((client, location, chunks))
}

/// How the client says that its answer ended, and how many pieces it had by then.
async fn how_it_ended(mut client: Script, mut chunks: u64) -> (String, u64) {
    loop {
        let seen = client.object().await;
        if let Some(ended) = seen["ended"].as_str() {
            return (ended.to_owned(), chunks);
        }
        chunks = seen["chunks"].as_u64().unwrap();
    }
}

/// All that a topic has, once it has ended.
async fn ended(hub: &Hub, location: &str) -> (Vec<Value>, Value) {
    let mut since = "since=earliest".to_owned();
    let mut events = Vec::new();
    within("the topic to end", async {
        loop {
            let answer = hub.get(&format!("{location}?{since}&limit=10000&wait=5")).await;
            let mut page: Value = serde_json::from_slice(&answer.body).unwrap();
            events.append(page["events"].as_array_mut().unwrap());
            if page["closed"] == true {
                return (events, page["reason"].clone());
            }
            since = format!("since={}", page["next"].as_str().unwrap());
        }
    })
    .await
}

#[tokio::test]
async fn an_answer_is_stopped_by_whoever_may_end_its_topic() {
    let Some(models) = Models::llama().await else { return };
    let hub = models.hub().await;
    let Some((client, location, chunks)) = read_in_the_middle(&hub).await else { return };
    let stop = format!("{}?close=true&reason=stopped", location.strip_prefix("/topics/").unwrap());
    hub.publish(&stop, "").await;
    let (how, chunks) = how_it_ended(client, chunks).await;
    assert_ne!(how, "whole");
    let (events, reason) = ended(&hub, &location).await;
    assert_eq!(reason, "stopped");
    assert!(events.len() as u64 >= chunks, "{} of {chunks}", events.len());
    // The model is free for the next one.
    let url = hub.url("/relay/models/v1");
    within("another answer", said(openai_python().unwrap(), &url, &[], "tiny")).await;
}

#[tokio::test]
async fn readers_are_told_that_the_hub_was_killed_and_miss_nothing() {
    let Some(models) = Models::llama().await else { return };
    let mut hub = models.hub().await;
    let Some((client, location, chunks)) = read_in_the_middle(&hub).await else { return };
    let mut viewers = Vec::new();
    for _ in 0..3 {
        let mut viewer = Tap::open(hub.address(), &location, None).await;
        viewer.until(100).await;
        viewers.push(viewer);
    }
    hub.kill().await;
    let (how, chunks) = how_it_ended(client, chunks).await;
    assert_ne!(how, "whole");
    hub.start_again().await;
    let (events, reason) = ended(&hub, &location).await;
    assert_eq!(reason, "aborted");
    assert!(events.len() as u64 >= chunks, "{} of {chunks}", events.len());
    // Whoever saw a part gets the rest, and is told.
    for viewer in viewers {
        let mut seen = viewer.rest().await;
        let after = seen.last().unwrap().id.clone();
        let mut rest = Tap::open(hub.address(), &location, Some(&after)).await.rest().await;
        let end = rest.pop().unwrap();
        assert_eq!((&*end.event, &*end.data), ("tidings.end", "{\"reason\":\"aborted\"}"));
        seen.append(&mut rest);
        let ids: Vec<_> = events.iter().map(|event| event["id"].as_str().unwrap()).collect();
        assert_eq!(seen.iter().map(|event| &*event.id).collect::<Vec<_>>(), ids);
    }
}

#[tokio::test]
async fn readers_are_told_that_the_model_was_killed() {
    let Some(models) = Models::llama().await else { return };
    let hub = models.hub().await;
    let Some((client, location, chunks)) = read_in_the_middle(&hub).await else { return };
    drop(models.script);
    let (how, chunks) = how_it_ended(client, chunks).await;
    assert_ne!(how, "whole");
    let (events, reason) = ended(&hub, &location).await;
    assert_eq!(reason, "aborted");
    assert!(events.len() as u64 >= chunks, "{} of {chunks}", events.len());
}

const SECRET: &str = "a secret of thirty-two bytes, or a few more";

async fn get(address: SocketAddr, path: &str, token: Option<&str>) -> Answer {
    let mut request = Request::get(path);
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let request = request.body(Full::default()).unwrap();
    let answered = async { Connection::open(address, Version::Http1).await?.ask(request).await };
    within("an answer", answered).await.unwrap()
}

/// A client needs no more than another address: its key is the endpoint's own.
#[tokio::test]
async fn one_command_relays_an_endpoint() {
    let secret = [("TIDINGS_AUTH_HS256_SECRET", SECRET)];
    let endpoint = Hub::in_memory_with(&[], &secret).await;
    let room = room();
    let mut token = command(room.path());
    token.args(["token", "--subscribe", "news"]).envs(secret);
    let token = within("a token", token.output()).await.unwrap();
    let token = String::from_utf8(token.stdout).unwrap();

    let mut relay = command(room.path());
    relay.args(["relay", "--to", &endpoint.url(""), "--listen", "127.0.0.1:0"]);
    // It asks for no tokens, whatever the hub of this machine has.
    let mut relay = Script::start({
        relay.envs(secret);
        relay
    });
    let line = relay.line().await.unwrap();
    let url = line.strip_prefix(&format!("tidings relaying {} at http://", endpoint.url(""))).unwrap();
    let (address, path) = url.split_at(url.find('/').unwrap());
    let address = address.parse().unwrap();
    assert_eq!(path, "/relay/upstream");
    let path = format!("{path}/topics/news?since=earliest");
    assert_eq!(get(address, &path, None).await.status, 401);
    let answer = get(address, &path, Some(token.trim_end())).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["events"]), (200, &json!([])));
}

#[tokio::test]
async fn endpoints_are_asked_by_http2_where_they_speak_it() {
    let authority = Authority::new();
    let endpoint = Hub::over_tls(&authority, &[]).await;
    let room = room();
    let trusted = authority.file(room.path());
    let file = room.path().join("tidings.toml");
    let port = endpoint.address().port();
    std::fs::write(&file, format!("[relay.up]\nurl = \"https://localhost:{port}\"\nmethods = [\"GET\"]\n"))
        .unwrap();
    let variables = [("SSL_CERT_FILE", trusted.to_str().unwrap())];
    let hub = Hub::in_memory_with(&["--config", file.to_str().unwrap()], &variables).await;
    endpoint.publish("news", "one").await;
    let mut reader = Tap::open(hub.address(), "/relay/up/topics/news", None).await;
    reader.until(1).await;
    let speaking = endpoint.metric("tidings_protocol_connections{protocol=\"http/2\",tls=\"true\"}").await;
    assert_eq!(speaking, 1);
    // A hub's own words are not events of the topic.
    endpoint.publish("news?close=true", "two").await;
    let data: Vec<_> = reader.rest().await.into_iter().map(|event| event.data).collect();
    assert_eq!(data, ["one", "two", "{}"]);
    let topics = hub.get("/topics?match=relay/**").await.json();
    let topic = topics["topics"][0]["topic"].as_str().unwrap();
    let (events, reason) = ended(&hub, &format!("/topics/{topic}")).await;
    assert_eq!((events.len(), reason), (2, Value::Null));
}
