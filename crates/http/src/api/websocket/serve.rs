//! The task that serves the messages of a WebSocket, for as long as there are some.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use tidings_log::{Batch, Close, Idempotency, Scope};
use tidings_protocol::{NewEvent, ProblemKind, Timestamp};

use super::message::{self, Command, Refused};
use super::{Reference, Session, close_code, problem};
use crate::api::problem::Refusal;
use crate::api::publish::{self, SinglePublication};
use crate::api::read;
use crate::delivery::encoding::SubscriptionName;
use crate::delivery::memory::Client;
use crate::delivery::parking::{Inbox, Messages, SocketHandle, Told};
use crate::{Api, defaults};
use tidings_hub::Folding;
use tidings_protocol::{Selection, Start};

/// Serves what waits in a socket's inbox, in order, and says what comes of it.
async fn serve(api: Api, session: Session, inbox: Arc<Inbox>, socket: SocketHandle) {
    let mut ending = Ending { socket: socket.clone(), is_over: false };
    let mut server = MessageServer {
        api,
        session,
        socket,
        batch: Vec::new(),
        single: Vec::new(),
        replies: Vec::new(),
        served: 0,
    };
    loop {
        let messages = inbox.take();
        if messages.is_empty() {
            break;
        }
        for message in messages {
            server.serve(message).await;
        }
        server.finish().await;
    }
    ending.is_over = true;
}

impl Messages for Api {
    fn serve(
        &self,
        session: Session,
        inbox: Arc<Inbox>,
        socket: SocketHandle,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(serve(self.clone(), session, inbox, socket))
    }
}

/// Tells the shard when the task ends, however that comes.
struct Ending {
    socket: SocketHandle,
    is_over: bool,
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.socket.tell(if self.is_over { Told::Idle } else { Told::Broken });
    }
}

/// Serves the messages of a socket.
struct MessageServer {
    api: Api,
    session: Session,
    socket: SocketHandle,
    /// Events that come next and are appended together: a publication does not wait for the one before it to be durable, and
    /// is appended after it all the same.
    batch: Vec<(NewEvent, Reference)>,
    /// The same, each in a batch of its own, as it has a key or was refused with others. Where there are some, `batch` is empty.
    single: Vec<(Batch, Reference)>,
    /// What is to be sent.
    replies: Vec<u8>,
    /// How much of what waits was served.
    served: usize,
}

// === impl MessageServer ===

impl MessageServer {
    async fn serve(&mut self, message: String) {
        self.served += message.len() + defaults::BATCH_EVENT_BYTES;
        let (command, reference) = self.read(message).await;
        let served = match command {
            Ok(Command::Publish(publication)) => {
                self.publish(*publication, &reference).await.map_err(Box::<Refused>::from)
            }
            command => {
                // What was said first is done first.
                self.append().await;
                match command {
                    Ok(command) => self.command(command, &reference).await,
                    Err(refused) => Err(refused),
                }
            }
        };
        if let Err(refused) = served {
            let Refused { refusal, name } = *refused;
            self.append().await;
            self.refuse(&refusal, &reference, name);
        }
    }

    /// Reads a message; a large one where that keeps nobody waiting.
    async fn read(&self, text: String) -> (Result<Command, Box<Refused>>, Reference) {
        if text.len() <= defaults::PARSE_BYTES {
            return message::read(&text, &self.api);
        }
        let api = self.api.clone();
        let Ok(_turn) = Arc::clone(&api.parses).acquire_owned().await else { return gone() };
        tokio::task::spawn_blocking(move || message::read(&text, &api)).await.unwrap_or_else(|_| gone())
    }

    async fn command(&mut self, command: Command, reference: &Reference) -> Result<(), Box<Refused>> {
        match command {
            Command::Subscribe { name, selectors, start, types, folding } => {
                let told = |refusal| Box::new(Refused { refusal, name: Some(name) });
                self.session.access.subscribe(&selectors).map_err(told)?;
                let selection = Selection::new(selectors).of_types(types);
                self.subscribe(name, selection, start, folding, reference).await.map_err(told)
            }
            Command::Unsubscribe(name) => {
                self.send();
                self.socket.tell(Told::Unsubscribe(name, reference.clone()));
                Ok(())
            }
            Command::Token(token) => self.renew(&token, reference).await,
            Command::Publish(publication) => Ok(self.publish(*publication, reference).await?),
        }
    }

    async fn subscribe(
        &mut self,
        name: SubscriptionName,
        selection: Selection,
        start: Option<Start>,
        folding: Folding,
        reference: &Reference,
    ) -> Result<(), Refusal> {
        let reference = reference.clone();
        let subscription =
            self.session.subscription(&self.api, name, selection, start, folding, reference).await?;
        self.send();
        self.socket.tell(Told::Subscribe(Box::new(subscription)));
        Ok(())
    }

    /// A token was shown. One that is no good ends a socket that can do nothing without; any other keeps what it had.
    async fn renew(&mut self, token: &str, reference: &Reference) -> Result<(), Box<Refused>> {
        let is_needed = self.session.first.is_some() || self.session.access.may_nothing();
        let renewed = match self.api.auth.renew(&self.session.access, token).await {
            Ok(access) => {
                let before = Some((&self.session.access, self.session.until));
                read::lease_at(&self.api, self.session.address, &access, before).map(|lease| (access, lease))
            }
            Err(refusal) => Err(refusal),
        };
        let (access, lease) = match renewed {
            Ok(renewed) => renewed,
            Err(refusal) if is_needed => {
                self.close(&refusal, reference);
                return Ok(());
            }
            Err(refusal) => return Err(refusal.into()),
        };
        self.session.until = lease.as_ref().map(|lease| lease.until);
        let until = self.session.until.map(|until| {
            let left = until.saturating_duration_since(Instant::now());
            let left = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
            Timestamp::from_millis(Timestamp::now().as_millis().saturating_add(left)).to_string()
        });
        self.session.client = Client::at(self.session.address, Some(&access));
        self.session.access = access;
        let first = self.session.first.take();
        self.send();
        let terms = message::terms(until, reference.as_deref());
        self.socket.tell(Told::Token(Box::new((self.session.clone(), lease, terms))));
        let Some(first) = first else { return Ok(()) };
        let opened = match self.session.access.subscribe(&first.selectors) {
            Ok(()) => self.session.first_subscription(&self.api, *first).await,
            Err(refusal) => Err(refusal),
        };
        match opened {
            Ok(subscription) => self.socket.tell(Told::Subscribe(Box::new(subscription))),
            Err(refusal) => self.close(&refusal, &None),
        }
        Ok(())
    }

    /// Takes a publication. It is appended with those that follow it, unless it is more than an event.
    async fn publish(
        &mut self,
        publication: SinglePublication,
        reference: &Reference,
    ) -> Result<(), Refusal> {
        let SinglePublication { topic, event, close, reason, key } = publication;
        let access = &self.session.access;
        if event.is_some() {
            access.publish(&topic)?;
        }
        if close {
            access.close(&topic)?;
        }
        self.api.rates.check_at(&self.api, self.session.address, access)?;
        let most = self.api.config.max_batch_events.max(1);
        match event {
            Some(event) if !close && key.is_none() => {
                if !self.single.is_empty() || self.batch.len() >= most {
                    self.append().await;
                }
                self.batch.push((event, reference.clone()));
                Ok(())
            }
            Some(event) if !close => {
                if !self.batch.is_empty() || self.single.len() >= most {
                    self.append().await;
                }
                let idempotency = key.map(|key| Idempotency { scope: Scope::Topic(topic), key });
                self.single
                    .push((Batch { events: vec![event], close: None, idempotency }, reference.clone()));
                Ok(())
            }
            event => {
                self.append().await;
                let batch = Batch {
                    close: close.then(|| Close::for_reason(topic.clone(), reason)),
                    idempotency: key.map(|key| Idempotency { scope: Scope::Topic(topic), key }),
                    events: event.into_iter().collect(),
                };
                let published = publish::publish(&self.api, batch).await?;
                self.api.metrics.websocket_publications.inc();
                let id = published.ids().next();
                self.replies.extend(message::published(id, &published, reference.as_deref()));
                Ok(())
            }
        }
    }

    /// Appends the events that wait, in one batch. Where that is refused for the sake of one of them, each goes alone.
    async fn append(&mut self) {
        self.append_each().await;
        let batch = std::mem::take(&mut self.batch);
        if batch.is_empty() {
            return;
        }
        let events: Vec<_> = batch.iter().map(|(event, _)| event.clone()).collect();
        match publish::publish(&self.api, Batch { events, close: None, idempotency: None }).await {
            Ok(published) => {
                self.api.metrics.websocket_publications.inc_by(batch.len() as u64);
                for ((_, reference), id) in batch.iter().zip(published.ids()) {
                    self.replies.extend(message::published(Some(id), &published, reference.as_deref()));
                }
            }
            // Nothing of it is in the log then, but where nobody knows.
            Err(refusal) if batch.len() > 1 && refusal.kind() != ProblemKind::Unavailable => {
                let alone = |event| Batch { events: vec![event], close: None, idempotency: None };
                self.single = batch.into_iter().map(|(event, reference)| (alone(event), reference)).collect();
                self.append_each().await;
            }
            Err(refusal) => {
                for (_, reference) in &batch {
                    self.refuse(&refusal, reference, None);
                }
            }
        }
    }

    /// Appends batches of one event, one after the other. None waits for the one before it to be durable.
    async fn append_each(&mut self) {
        let mut waiting = VecDeque::from(std::mem::take(&mut self.single));
        let mut most = waiting.len();
        while !waiting.is_empty() {
            let batches: Vec<_> = waiting.iter().take(most).map(|(batch, _)| batch.clone()).collect();
            let answers = publish::publish_each(&self.api, batches).await;
            if answers.is_empty() {
                let refusal = Refusal::new(ProblemKind::Unavailable, "the log gives no answer");
                for (_, reference) in waiting {
                    self.refuse(&refusal, &reference, None);
                }
                return;
            }
            // What stands behind one that was refused goes on without it; in small steps at first, as all may be refused.
            most = if answers.iter().all(Result::is_ok) { most.saturating_mul(2) } else { 1 };
            for answer in answers {
                let Some((_, reference)) = waiting.pop_front() else { break };
                match answer {
                    Ok(published) => {
                        self.api.metrics.websocket_publications.inc();
                        let id = published.ids().next();
                        self.replies.extend(message::published(id, &published, reference.as_deref()));
                    }
                    Err(refusal) => self.refuse(&refusal, &reference, None),
                }
            }
        }
    }

    fn refuse(&mut self, refusal: &Refusal, reference: &Reference, name: Option<SubscriptionName>) {
        self.api.metrics.count_refusal(refusal.kind());
        self.replies.extend(problem(refusal, reference.as_deref(), name));
    }

    /// Says why the socket is closed.
    fn close(&mut self, refusal: &Refusal, reference: &Reference) {
        self.refuse(refusal, reference, None);
        self.send();
        self.socket.tell(Told::Close(close_code(refusal), refusal.detail().to_owned().into()));
    }

    /// Does what is still to be done of what was served, and says so.
    async fn finish(&mut self) {
        self.append().await;
        self.send();
        self.socket.tell(Told::Done(std::mem::take(&mut self.served)));
    }

    fn send(&mut self) {
        if !self.replies.is_empty() {
            self.socket.tell(Told::Frames(std::mem::take(&mut self.replies)));
        }
    }
}

fn gone() -> (Result<Command, Box<Refused>>, Reference) {
    (Err(Refusal::new(ProblemKind::Unavailable, "the message cannot be read now").into()), None)
}
