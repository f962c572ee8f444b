use super::{a_reload_loses_nothing, long_polls_pass, streams_pass};
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

#[tokio::test]
async fn a_reload_of_haproxy_loses_nothing() {
    let hub = Hub::in_memory(&[]).await;
    let Some(proxy) = plain(&hub).await else { return };
    a_reload_loses_nothing(&proxy).await;
}
