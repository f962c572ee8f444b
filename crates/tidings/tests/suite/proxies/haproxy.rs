use super::{
    HANDED_OUT, OPEN, a_reload_loses_nothing, clients_are_told_apart, long_polls_pass, nobody_is_let_in,
    own_pages_publish, streams_are_put_off, streams_pass, websockets_pass,
};
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
async fn handed_out(hub: &Hub) -> Option<Proxy> {
    let address = hub.address();
    Proxy::haproxy(move |place| {
        let text = include_str!("../../../../../deploy/haproxy/tidings.cfg");
        let text = text.replace("server hub 127.0.0.1:8080", &format!("server hub {address}"));
        text.replace("bind :80\n", &format!("bind {}\n", place.listen))
    })
    .await
}

#[tokio::test]
async fn the_configuration_for_haproxy_is_closed_until_somebody_is_let_in() {
    for settings in [&["--config", HANDED_OUT][..], &[]] {
        let hub = Hub::in_memory(settings).await;
        let Some(proxy) = handed_out(&hub).await else { return };
        nobody_is_let_in(&proxy).await;
    }
}

#[tokio::test]
async fn pages_behind_the_configuration_for_haproxy_are_the_hubs_own() {
    let hub = Hub::in_memory(&OPEN).await;
    let Some(proxy) = handed_out(&hub).await else { return };
    own_pages_publish(&proxy).await;
}

#[tokio::test]
async fn the_configuration_for_haproxy_puts_streams_off_while_the_hub_is_away() {
    let mut hub = Hub::on_disk(&OPEN).await;
    let Some(proxy) = handed_out(&hub).await else { return };
    hub.kill().await;
    streams_are_put_off(&proxy, 503).await;
}

#[tokio::test]
async fn the_configuration_for_haproxy_holds_nothing_back() {
    let hub = Hub::in_memory(&OPEN).await;
    let Some(proxy) = handed_out(&hub).await else { return };
    streams_pass(&hub, &proxy).await;
    long_polls_pass(&hub, &proxy).await;
    websockets_pass(&hub, &proxy).await;
    clients_are_told_apart(&hub, &proxy).await;
    a_reload_loses_nothing(&proxy).await;
}

#[tokio::test]
async fn a_reload_of_haproxy_loses_nothing() {
    let hub = Hub::in_memory(&[]).await;
    let Some(proxy) = plain(&hub).await else { return };
    a_reload_loses_nothing(&proxy).await;
}
