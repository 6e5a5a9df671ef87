//! Who is connected: asked from outside by letter, answered by each worker in pages, so that none is busy with it for long.

use crate::connection::{Client, Phase, peer_text};
use crate::driver::Driver;
use crate::mailbox::{Letter, Mailbox};
use crate::worker::Worker;
use forebay_core::engine::Engine;
use forebay_core::sessions::{
    BackendRow, PinRow, ROWS_MAX, SessionRow, SessionState, SessionsAsked, SessionsReport,
};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// Places of clients that a worker looks at for one page: a fraction of a millisecond.
const PLACES_PER_PAGE: u32 = 512;
/// How long workers have to answer, all of them together.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// A page that is asked for.
#[derive(Debug)]
pub struct PageAsked {
    /// Only of pinned sessions.
    pinned: bool,
    /// The first place to look at.
    from: u32,
    reply: Sender<Page>,
}

/// A worker's answer.
#[derive(Debug)]
struct Page {
    worker: u16,
    clients: u64,
    rows: Vec<SessionRow>,
    /// Where the next page begins, if there is one.
    next: Option<u32>,
}

impl<D: Driver, E: Engine> Worker<D, E> {
    /// Answers with a page.
    pub(crate) fn on_page_asked(&mut self, asked: &PageAsked) {
        let capacity = self.clients.capacity();
        let end = asked.from.saturating_add(PLACES_PER_PAGE).min(capacity);
        let mut page = Page {
            worker: self.crew.number,
            clients: 0,
            rows: Vec::new(),
            next: (end < capacity).then_some(end),
        };
        for index in asked.from..end {
            let ticket = self.clients.ticket_at(index);
            let Some(client) = ticket.and_then(|ticket| self.clients.get(ticket)) else {
                continue;
            };
            page.clients += 1;
            if client.pin.is_some() || !asked.pinned {
                page.rows.push(self.row(client));
            }
        }
        // Whoever asked may have given up.
        let _ = asked.reply.send(page);
    }

    fn row(&self, client: &Client<E>) -> SessionRow {
        let backend = client.lease.and_then(|lease| self.backends.get(lease));
        let state = backend.and_then(|backend| backend.state.as_ref());
        let facts = E::describe(&client.session, state);
        let transaction = backend.and_then(|backend| backend.transaction_since);
        let state = match client.phase {
            Phase::Login | Phase::Cancelling { ready: false } => SessionState::Login,
            Phase::Cancelling { ready: true } => SessionState::Active,
            Phase::Waiting { .. } => SessionState::Waiting,
            Phase::Ready => facts.state,
        };
        let since = match state {
            SessionState::InTransaction => transaction,
            SessionState::Active | SessionState::Waiting => client.asked_at,
            SessionState::Idle | SessionState::Login => None,
        };
        let key = client.pool.as_ref().map(|pool| &pool.key);
        SessionRow {
            client: client.number,
            worker: self.crew.number,
            address: peer_text(self.driver.peer(client.handle)),
            proxy: Arc::clone(&client.endpoint.proxy.borrow().proxy.name),
            endpoint: Arc::clone(&client.endpoint.name),
            user: key.map(|key| Arc::clone(&key.user)),
            database: key.map(|key| Arc::clone(&key.database)),
            application: facts.application,
            tls: client.secured,
            state,
            lasts: self.now.since(since.unwrap_or(client.active_at)),
            transaction: transaction.map(|since| self.now.since(since)),
            pin: client.pin.as_ref().map(|pin| PinRow {
                reason: pin.reason,
                lasts: self.now.since(pin.since),
                statement: pin.statement.clone(),
            }),
            backend: backend.map(|backend| BackendRow {
                number: backend.number,
                process: facts.process,
                target: Arc::clone(&backend.pool.target().plan.name),
            }),
        }
    }
}

/// Asks all workers and waits for their answers, for a bounded time.
pub(crate) fn ask<E: Engine>(
    mailboxes: &[Arc<Mailbox<E>>],
    asked: &SessionsAsked,
) -> SessionsReport {
    let (reply, pages) = channel();
    let ask = |worker: usize, from: u32| {
        if let Some(mailbox) = mailboxes.get(worker) {
            mailbox.send(Letter::Sessions(Box::new(PageAsked {
                pinned: asked.pinned,
                from,
                reply: reply.clone(),
            })));
        }
    };
    (0..mailboxes.len()).for_each(|worker| ask(worker, 0));
    let asked = SessionsAsked {
        limit: asked.limit.clamp(1, ROWS_MAX),
        ..*asked
    };
    collect(&asked, mailboxes.len(), &pages, ask)
}

fn collect(
    asked: &SessionsAsked,
    workers: usize,
    pages: &Receiver<Page>,
    ask: impl Fn(usize, u32),
) -> SessionsReport {
    let end = Instant::now() + ANSWER_MAX;
    let mut report = SessionsReport::default();
    let mut answering = workers as u64;
    while answering > 0 {
        let Ok(mut page) = pages.recv_timeout(end.saturating_duration_since(Instant::now())) else {
            break;
        };
        report.clients += page.clients;
        report.matching += page.rows.len() as u64;
        report.rows.append(&mut page.rows);
        if report.rows.len() > 2 * asked.limit {
            report.arrange(asked);
        }
        match page.next {
            Some(from) => ask(usize::from(page.worker), from),
            None => answering -= 1,
        }
    }
    report.workers_silent = answering;
    report.arrange(asked);
    report
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    fn row(client: u64) -> SessionRow {
        SessionRow {
            client,
            worker: 0,
            address: "".into(),
            proxy: "orders".into(),
            endpoint: "default".into(),
            user: None,
            database: None,
            application: None,
            tls: false,
            state: SessionState::Idle,
            lasts: Duration::ZERO,
            transaction: None,
            pin: None,
            backend: None,
        }
    }

    #[test]
    fn pages_are_asked_for_until_a_worker_has_no_more_and_rows_stay_bounded() {
        let (send, pages) = channel();
        let page = |clients: std::ops::Range<u64>, next| Page {
            worker: 0,
            clients: clients.end - clients.start,
            rows: clients.map(row).collect(),
            next,
        };
        send.send(page(100..140, Some(512))).unwrap();
        send.send(page(0..40, None)).unwrap();
        let more = RefCell::new(Vec::new());
        let asked = SessionsAsked {
            limit: 3,
            ..SessionsAsked::default()
        };
        let report = collect(&asked, 1, &pages, |worker, from| {
            more.borrow_mut().push((worker, from));
        });
        assert_eq!(*more.borrow(), [(0, 512)]);
        assert_eq!((report.clients, report.matching), (80, 80));
        assert_eq!(report.workers_silent, 0);
        let clients: Vec<u64> = report.rows.iter().map(|row| row.client).collect();
        assert_eq!(clients, [0, 1, 2]);
    }

    #[test]
    fn a_worker_that_is_gone_is_counted_and_not_waited_for_without_end() {
        let (send, pages) = channel::<Page>();
        drop(send);
        let report = collect(&SessionsAsked::default(), 2, &pages, |_, _| {});
        assert_eq!(report.workers_silent, 2);
    }
}
