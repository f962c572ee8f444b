use super::{a_reload_loses_nothing, clients_are_told_apart, long_polls_pass, streams_pass};
use crate::support::{Hub, Proxy};

async fn plain(hub: &Hub) -> Option<Proxy> {
    let hub = hub.address();
    Proxy::haproxy(move |place| {
        let listen = place.listen;
        format!(
            "defaults\n mode http\n timeout connect 5s\n timeout client 75s\n timeout server 75s\n\
             frontend web\n bind {listen}\n default_backend hub\n\
             backend hub\n server hub {hub}\n"
        )
    })
    .await
}

#[tokio::test]
async fn haproxy_holds_nothing_back() {
    let hub = Hub::in_memory(&[]).await;
    let Some(proxy) = plain(&hub).await else { return };
    streams_pass(&hub, &proxy).await;
    long_polls_pass(&hub, &proxy).await;
}

/// The configuration that is handed out, on a port and with a hub of this test.
#[tokio::test]
async fn the_configuration_for_haproxy_holds_nothing_back() {
    let hub =
        Hub::in_memory(&["--trusted-proxies", "127.0.0.1", "--log-level", "tidings::access=debug"]).await;
    let address = hub.address();
    let proxy = Proxy::haproxy(move |place| {
        let text = include_str!("../../../../../deploy/haproxy/tidings.cfg");
        let text = text.replace("server hub 127.0.0.1:8080", &format!("server hub {address}"));
        text.replace("bind :80\n", &format!("bind {}\n", place.listen))
    });
    let Some(proxy) = proxy.await else { return };
    streams_pass(&hub, &proxy).await;
    long_polls_pass(&hub, &proxy).await;
    clients_are_told_apart(&hub, &proxy).await;
    a_reload_loses_nothing(&proxy).await;
}

#[tokio::test]
async fn a_reload_of_haproxy_loses_nothing() {
    let hub = Hub::in_memory(&[]).await;
    let Some(proxy) = plain(&hub).await else { return };
    a_reload_loses_nothing(&proxy).await;
}
