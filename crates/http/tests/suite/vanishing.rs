//! §3.4: a client that vanishes without a word, as one does whose network is gone, is missed after the write timeout,
//! although the kernel takes heartbeats for it for hours.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tidings_http::{Auth, Cleartext};
use tokio::net::TcpListener;

use crate::support::{Authority, Setup, eventually};

/// A network of its own, which a cable leads to that can be cut.
struct Network {
    name: String,
    clients: Vec<Child>,
}

impl Network {
    /// `None` where the system does not let one be made.
    fn new() -> Option<Self> {
        let id = std::process::id();
        let own = Self { name: format!("tidings-{id}"), clients: Vec::new() };
        let (near, far) = (Self::near(), format!("tidf{id}"));
        let made = ip(&format!("netns add {}", own.name))
            && ip(&format!("link add {near} type veth peer name {far} netns {}", own.name))
            && ip(&format!("address add {}/30 dev {near}", Self::address(1)))
            && ip(&format!("link set {near} up"))
            && ip(&format!("-n {} address add {}/30 dev {far}", own.name, Self::address(2)))
            && ip(&format!("-n {} link set {far} up", own.name));
        made.then_some(own)
    }

    fn near() -> String {
        format!("tidn{}", std::process::id())
    }

    /// The address of this end, or of the other.
    fn address(host: u32) -> String {
        let id = std::process::id();
        format!("10.{}.{}.{}", 200 + id % 50, id / 50 % 250, 4 * (id / 12_500 % 60) + host)
    }

    /// A client in it that goes on reading.
    fn curl(&mut self, arguments: &[&str]) {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, "curl", "-sSNk", "--max-time", "120"]).args(arguments);
        self.clients.push(command.stdout(Stdio::null()).spawn().unwrap());
    }

    /// Everything that is sent from now on is lost, on both ways.
    fn cut(&self) {
        assert!(ip(&format!("-n {} link set tidf{} down", self.name, std::process::id())));
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for client in &mut self.clients {
            drop(client.kill());
            drop(client.wait());
        }
        ip(&format!("netns del {}", self.name));
        ip(&format!("link del {}", Self::near()));
    }
}

fn ip(arguments: &str) -> bool {
    let done = Command::new("ip").args(arguments.split(' ')).stderr(Stdio::null()).status();
    done.is_ok_and(|status| status.success())
}

#[tokio::test]
async fn a_client_whose_network_is_gone_is_closed() {
    if cfg!(feature = "portable") {
        eprintln!("SKIPPED: only Linux gives up a connection that acknowledges nothing; nothing was tested");
        return;
    }
    let Some(mut network) = Network::new() else {
        eprintln!(
            "SKIPPED: no network namespace can be made here (it takes root and `ip`); nothing was tested"
        );
        return;
    };
    let authority = Authority::new();
    let mut setup = Setup::new().heartbeat(Duration::from_secs(1));
    setup.http.write_timeout = Duration::from_secs(3);
    setup.tls = Some((authority.issue("hub", 1).open(), Cleartext::Everyone));
    let listener = TcpListener::bind((Network::address(1), 0)).await.unwrap();
    let log = setup.hub();
    let hub = setup.start_on(listener, log, Auth::open());
    let (clear, tls) =
        (format!("http://{}/topics/a", hub.address), format!("https://{}/topics/a", hub.address));
    let stream = ["-H", "accept: text/event-stream"];
    for url in [&clear, &tls] {
        network.curl(&[&stream[..], &["--http1.1", url]].concat());
        network.curl(&["--http1.1", &format!("{url}?wait=60")]);
    }
    network.curl(&[&stream[..], &["--http2-prior-knowledge", &clear]].concat());
    network.curl(&[&stream[..], &["--http2", &tls]].concat());
    // It goes nowhere, but has nothing to say.
    network.curl(&["--http1.1", "-H", "accept: application/x-ndjson", &clear]);
    hub.readers("sse", 4).await;
    hub.readers("long-poll", 2).await;
    hub.readers("ndjson", 1).await;

    network.cut();
    for transport in ["sse", "ndjson", "long-poll"] {
        hub.readers(transport, 0).await;
    }
    hub.waiting("a", 0).await;
    let missed = "tidings_limits_reached_total{limit=\"write-timeout\"}";
    assert!(hub.metric(missed).await >= 3, "{}", hub.metric(missed).await);
    eventually("they are closed", async || hub.metric("tidings_connections").await <= 1).await;
}
