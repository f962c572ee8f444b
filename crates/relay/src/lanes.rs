//! The connections to an endpoint, in lanes: a lane is a client with a pool of its own.
//!
//! Over HTTP/2 a pool has one connection, and a request beyond what its server takes on one connection at once waits until
//! another has ended, which with answers that go on for minutes is as good as for ever. So each lane gets only so many, and
//! there are as many lanes as that needs.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use reqwest::{Client, ClientBuilder};

use crate::defaults;

/// The lanes to one endpoint.
#[derive(Debug)]
pub(crate) struct Lanes {
    builder: Builder,
    lanes: Arc<Mutex<Vec<Lane>>>,
}

/// How the client of a lane is made.
struct Builder(Box<dyn Fn() -> ClientBuilder + Send + Sync>);

#[derive(Debug)]
struct Lane {
    client: Client,
    /// Requests on it that have not come to their end.
    requests: usize,
}

/// A place in a lane, for as long as this lives.
#[derive(Debug)]
pub(crate) struct InLane {
    lanes: Arc<Mutex<Vec<Lane>>>,
    index: usize,
}

// === impl Lanes ===

impl Lanes {
    pub(crate) fn new(
        builder: impl Fn() -> ClientBuilder + Send + Sync + 'static,
    ) -> Result<Self, reqwest::Error> {
        let first = Lane { client: builder().build()?, requests: 0 };
        Ok(Self { builder: Builder(Box::new(builder)), lanes: Arc::new(Mutex::new(vec![first])) })
    }

    /// A client for one request, in the first lane that has room.
    pub(crate) fn enter(&self) -> Result<(Client, InLane), reqwest::Error> {
        let mut lanes = lock(&self.lanes);
        let free = lanes.iter().position(|lane| lane.requests < defaults::LANE_REQUESTS);
        let index = match free {
            Some(index) => index,
            None => {
                lanes.push(Lane { client: (self.builder.0)().build()?, requests: 0 });
                lanes.len() - 1
            }
        };
        let lane = &mut lanes[index];
        lane.requests += 1;
        Ok((lane.client.clone(), InLane { lanes: Arc::clone(&self.lanes), index }))
    }
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Builder(…)")
    }
}

impl Drop for InLane {
    fn drop(&mut self) {
        let mut lanes = lock(&self.lanes);
        lanes[self.index].requests -= 1;
        // The last ones go again when a crowd has left; their numbers are nobody's then.
        while lanes.len() > 1 && lanes.last().is_some_and(|lane| lane.requests == 0) {
            lanes.pop();
        }
    }
}

fn lock(lanes: &Mutex<Vec<Lane>>) -> MutexGuard<'_, Vec<Lane>> {
    lanes.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_gets_lanes_and_leaves_none() {
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        let lanes = Lanes::new(|| Client::builder().no_proxy()).unwrap();
        let mut held: Vec<_> =
            (0..2 * defaults::LANE_REQUESTS + 1).map(|_| lanes.enter().unwrap().1).collect();
        assert_eq!(lock(&lanes.lanes).len(), 3);
        drop(held.remove(0));
        held.push(lanes.enter().unwrap().1);
        assert_eq!(held.last().unwrap().index, 0, "the first one with room");
        assert_eq!(lock(&lanes.lanes).len(), 3);
        drop(held);
        assert_eq!(lock(&lanes.lanes).len(), 1);
    }
}
