//! What comes to a router in another program, whose connections the hub does not see.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use tidings_protocol::ProblemKind;

use crate::api::problem::Refusal;
use crate::delivery::memory::Client;
use crate::limit::Limit;
use crate::server::kept::keep;
use crate::{Api, ClientAddress, api::read};

/// Counts a request for its address, where that is known, until it is answered to the end. On a server of the hub's own,
/// connections are counted in its place.
pub(crate) async fn admit(State(api): State<Api>, request: Request, next: Next) -> Response {
    let under_way = api.under_way.token();
    let from = request.extensions().get::<ClientAddress>().copied();
    let share = from.map(|from| {
        let most = api.config.max_connections_of(from.address());
        api.addresses.share(&Client::Network(from.network()), most).ok_or(most)
    });
    match share.transpose() {
        Ok(share) => keep(next.run(request).await, (under_way, share)),
        Err(most) => {
            api.metrics.count_limit(Limit::ConnectionsPerAddress);
            let detail = format!("this address has {most} requests under way, the most that may be");
            let refusal = read::refuse(&request, Refusal::new(ProblemKind::TooManyRequests, detail));
            api.config.cors.show(&request.map(|_| ()), refusal).await
        }
    }
}
